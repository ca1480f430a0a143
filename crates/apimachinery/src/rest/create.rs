//! Create.

use serde_json::Value;

use super::{Proposal, WriteContext, is_of_status, prepared_command::PreparedChange};
use crate::{
    decoding::DecodedObject,
    kind::{PreparedObject, RequestContext},
    metadata,
    object::Object,
    status_error::StatusError,
};

impl<W> WriteContext<'_, W> {
    /// Prepares a create. `owners` are the entries of managed fields, if already computed.
    pub(super) fn create(
        &self,
        decoded: DecodedObject,
        owners: Option<Vec<Value>>,
    ) -> Result<Proposal<W>, StatusError> {
        let DecodedObject { mut object, mut warnings, errors: mut of_types, mismatch } = decoded;
        if !object.metadata.resource_version.is_empty() {
            return Err(StatusError::bad_request("resourceVersion should not be set on objects to be created"));
        }
        self.default_namespace(&mut object.metadata)?;
        if let Some(mismatch) = mismatch {
            return Err(self.kind_mismatch_error(&mismatch, &[]));
        }
        let status = object.fields.remove("status").unwrap_or_default();
        self.fill_system_metadata(&mut object);
        of_types.retain(|error| !is_of_status(error));
        let errors = metadata::validate_create(&object.metadata, self.resource);
        let of_finalizers = metadata::finalizer_warnings(&[], &object.metadata.finalizers);
        let ctx = RequestContext { status: &status, ..self.ctx };
        let prepared = self.kind.prepare_create(self.key, object, &ctx);
        let PreparedObject { mut object, warnings: more, decide } = self.merge_errors(prepared, &of_types, &errors)?;
        warnings.extend(of_finalizers.into_iter().chain(more));
        object.metadata.managed_fields = owners.unwrap_or_else(|| self.initial_managed_fields(&object));
        self.check_size(&object)?;
        Ok(Proposal { change: PreparedChange::Create(object, decide), warnings })
    }

    /// Prepares a PUT that creates the object; the caller needs the create permission, too.
    pub(super) fn create_by_update(&self, mut decoded: DecodedObject) -> Result<Proposal<W>, StatusError> {
        let meta = &mut decoded.object.metadata;
        self.check_name_and_namespace(meta)?;
        self.validate_implicit_create(None, &meta.uid)?;
        self.ctx.permissions.authorize(&self.create_attributes())?;
        // As in Kubernetes, a resourceVersion is ignored if the object does not exist.
        meta.resource_version.clear();
        self.create(decoded, None)
    }

    /// Sets the system metadata.
    fn fill_system_metadata(&self, object: &mut Object) {
        let meta = &mut object.metadata;
        self.key.name.clone_into(&mut meta.name);
        meta.uid = self.ctx.entropy.uid();
        meta.creation_timestamp = Some(self.ctx.now);
        meta.deletion_timestamp = None;
        meta.deletion_grace_period_seconds = None;
        meta.generation = self.resource.has_generation().then_some(1);
        meta.self_link.clear();
    }

    /// Managed fields of a new object, without the status, which a create cannot set.
    fn initial_managed_fields(&self, object: &Object) -> Vec<Value> {
        let field_manager = self.schema.field_manager(None);
        field_manager.update(None, &object.to_value_without("status"), self.manager, self.ctx.now)
    }
}
