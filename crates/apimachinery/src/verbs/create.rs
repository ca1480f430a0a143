//! Create.

use serde_json::Value;

use super::{Case, Proposal, is_of_status, plan::Step};
use crate::{
    draft::Draft,
    kind::{Prepared, RequestContext},
    metadata,
    object::Object,
    refusal::Refusal,
};

impl<W> Case<'_, W> {
    /// Prepares a create. `owners` are the entries of managed fields, if already computed.
    pub(super) fn create(&self, draft: Draft, owners: Option<Vec<Value>>) -> Result<Proposal<W>, Refusal> {
        let Draft { mut object, mut warnings, faults: mut of_types, other } = draft;
        if !object.metadata.resource_version.is_empty() {
            return Err(Refusal::bad_request("resourceVersion should not be set on objects to be created"));
        }
        self.settle_namespace(&mut object.metadata)?;
        if let Some(other) = other {
            return Err(self.of_other_kind(&other, &[]));
        }
        let status = object.fields.remove("status").unwrap_or_default();
        self.complete(&mut object);
        of_types.retain(|fault| !is_of_status(fault));
        let faults = metadata::validate_create(&object.metadata, self.resource);
        let of_finalizers = metadata::finalizer_warnings(&[], &object.metadata.finalizers);
        let ctx = RequestContext { status: &status, ..self.ctx };
        let prepared = self.kind.prepare_create(self.key, object, &ctx);
        let Prepared { mut object, warnings: more, decide } = self.join(prepared, &of_types, &faults)?;
        warnings.extend(of_finalizers.into_iter().chain(more));
        object.metadata.managed_fields = owners.unwrap_or_else(|| self.first_owners(&object));
        self.check_size(&object)?;
        Ok(Proposal { step: Step::Create(object, decide), warnings })
    }

    /// Prepares a PUT that creates the object; the caller needs the create permission, too.
    pub(super) fn create_by_update(&self, mut draft: Draft) -> Result<Proposal<W>, Refusal> {
        let meta = &mut draft.object.metadata;
        self.check_place(meta)?;
        self.may_begin(None, &meta.uid)?;
        self.ctx.rights.require(&self.creation())?;
        // As in Kubernetes, a resourceVersion is ignored if the object does not exist.
        meta.resource_version.clear();
        self.create(draft, None)
    }

    /// Sets the system metadata.
    fn complete(&self, object: &mut Object) {
        let meta = &mut object.metadata;
        self.key.name.clone_into(&mut meta.name);
        meta.uid = self.ctx.seed.uid();
        meta.creation_timestamp = Some(self.ctx.now);
        meta.deletion_timestamp = None;
        meta.deletion_grace_period_seconds = None;
        meta.generation = self.resource.counts_generations().then_some(1);
        meta.self_link.clear();
    }

    /// Managed fields of a new object, without the status, which a create cannot set.
    fn first_owners(&self, object: &Object) -> Vec<Value> {
        let endpoint = self.schema.endpoint(None);
        endpoint.update(None, &object.to_value_without("status"), self.manager, self.ctx.now)
    }
}
