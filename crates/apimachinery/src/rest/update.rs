//! Update: replace or patch of an object or a subresource.

use std::sync::Arc;

use serde_json::Value;

use super::{Proposal, WriteContext, is_of_status, prepared_command::PreparedChange};
use crate::{
    command::UpdateOperation,
    decoding::{DecodedObject, KindMismatch, ObjectDecoder},
    field::{FieldError, Path},
    kind::PreparedObject,
    managed_fields::equal_ignoring_timestamps,
    metadata,
    object::{Object, ObjectMeta},
    resource::{Resource, Subresource},
    status_error::StatusError,
};

/// The desired new version.
pub(super) struct DesiredState {
    pub(super) decoded: DecodedObject,
    /// True for a PUT, whose body is the whole object and must have the resourceVersion that it replaces.
    pub(super) replaced: bool,
    /// Entries of managed fields, if already computed.
    pub(super) owners: Option<Vec<Value>>,
}

impl<W> WriteContext<'_, W> {
    pub(super) fn update(
        &self,
        current: &Arc<Object>,
        change: &UpdateOperation,
        subresource: Option<Subresource>,
    ) -> Result<Proposal<W>, StatusError> {
        let replaced = matches!(change, UpdateOperation::Replace(_));
        let decoded = self.apply_update_operation(current, change)?;
        let decode_warnings = decoded.warnings.clone();
        let proposed = self.update_to(current, DesiredState { decoded, replaced, owners: None }, subresource);
        proposed.map_err(|refusal| if replaced { refusal } else { refusal.with_warnings(decode_warnings) })
    }

    /// Prepares the change of the object or subresource to the desired version.
    pub(super) fn update_to(
        &self,
        current: &Arc<Object>,
        wanted: DesiredState,
        subresource: Option<Subresource>,
    ) -> Result<Proposal<W>, StatusError> {
        let DesiredState { decoded, replaced, owners } = wanted;
        let DecodedObject { object: mut new, mut warnings, errors: mut of_types, mismatch } = decoded;
        self.check_identity(current, &mut new, replaced)?;
        restore(current, &mut new, subresource);
        let errors = metadata::validate_update(&current.metadata, &new.metadata);
        // Type errors outside the part that this path writes are ignored.
        of_types.retain(|error| is_of_status(error) == (subresource == Some(Subresource::Status)));
        let matters =
            |mismatch: &KindMismatch| subresource != Some(Subresource::Status) || mismatch.is_version_mismatch();
        if let Some(mismatch) = mismatch.filter(matters) {
            return Err(self.kind_mismatch_error(&mismatch, &errors));
        }
        let of_finalizers = metadata::finalizer_warnings(&current.metadata.finalizers, &new.metadata.finalizers);
        let prepared = self.kind.prepare_update(self.key, current, new, subresource, &self.ctx);
        let PreparedObject { object: mut new, warnings: more, decide } =
            self.merge_errors(prepared, &of_types, &errors)?;
        warnings.extend(of_finalizers.into_iter().chain(more));
        if subresource.is_none() && self.resource.has_generation() && spec_changed(current, &new) {
            new.metadata.generation = Some(current.metadata.generation.unwrap_or(0) + 1);
        }
        let owners = owners.unwrap_or_else(|| self.updated_managed_fields(current, &new, subresource));
        new.metadata.managed_fields = if equal_ignoring_timestamps(&owners, &current.metadata.managed_fields) {
            current.metadata.managed_fields.clone()
        } else {
            owners
        };
        self.check_size(&new)?;
        let (old, unchanged) = (Arc::clone(current), new == **current);
        Ok(Proposal { change: PreparedChange::Update { old, new, unchanged, decide }, warnings })
    }

    /// Decodes the desired object, in the served version.
    fn apply_update_operation(&self, current: &Object, change: &UpdateOperation) -> Result<DecodedObject, StatusError> {
        let (patch, validation) = match change {
            UpdateOperation::Replace(decoded) => return Ok(DecodedObject::clone(decoded)),
            UpdateOperation::Patch(patch, validation) => (patch, *validation),
            UpdateOperation::MalformedPatch(refusal) => return Err(refusal.clone()),
        };
        let patched = patch.apply(&current.to_value()).map_err(|refusal| self.with_object_details(refusal))?;
        let decoder = ObjectDecoder { resource: self.resource, schema: self.schema, name: &self.key.name, validation };
        decoder.decode_patched(patched, patch.duplicates())
    }

    fn updated_managed_fields(&self, current: &Object, new: &Object, subresource: Option<Subresource>) -> Vec<Value> {
        if subresource == Some(Subresource::Finalize) {
            return current.metadata.managed_fields.clone();
        }
        let field_manager = self.schema.field_manager(subresource);
        field_manager.update(Some(&current.to_value()), &new.to_value(), self.manager, self.ctx.now)
    }

    /// Checks name and namespace of a body against those of the URL.
    pub(super) fn check_name_and_namespace(&self, meta: &mut ObjectMeta) -> Result<(), StatusError> {
        self.default_namespace(meta)?;
        let (name, own) = (&meta.name, &self.key.name);
        if name == own {
            return Ok(());
        }
        Err(StatusError::bad_request(if name.is_empty() {
            format!("the name of the object ({own} based on URL) was undeterminable: name must be provided")
        } else {
            format!("the name of the object ({name}) does not match the name on the URL ({own})")
        }))
    }

    /// Checks that name, namespace, uid and resourceVersion, where given, equal those of the object.
    fn check_identity(&self, current: &Object, new: &mut Object, replaced: bool) -> Result<(), StatusError> {
        self.check_name_and_namespace(&mut new.metadata)?;
        let now = &current.metadata;
        let meta = &mut new.metadata;
        if meta.uid.is_empty() {
            meta.uid.clone_from(&now.uid);
        }
        // In a patch, the uid is validated as an immutable field of the metadata.
        if meta.uid != now.uid && replaced {
            return Err(self.conflict(&format!(
                "Precondition failed: UID in precondition: {}, UID in object meta: {}",
                meta.uid, now.uid
            )));
        }
        if meta.resource_version.is_empty() && replaced && !self.resource.allows_unconditional_update() {
            let path = Path::new("metadata").child("resourceVersion");
            let error = FieldError::invalid(path, 0, "must be specified for an update");
            let Resource { group, plural, .. } = self.resource;
            return Err(StatusError::invalid(group, plural, &self.key.name, &[error]));
        }
        if !meta.resource_version.is_empty() && meta.resource_version != now.resource_version {
            return Err(self.conflict(
                "the object has been modified; please apply your changes to the latest version and try again",
            ));
        }
        Ok(())
    }
}

/// True if anything outside metadata and status differs.
fn spec_changed(old: &Object, new: &Object) -> bool {
    let desires = |object: &Object| object.fields.len() - usize::from(object.fields.contains_key("status"));
    let differs = |(name, value): (&String, &Value)| name != "status" && old.fields.get(name) != Some(value);
    desires(old) != desires(new) || new.fields.iter().any(differs)
}

/// Copies from `current` to `new` the fields that the client cannot change: system metadata, and the part of the object
/// that this path does not write (for the main resource the status). `managedFields` of the client are kept.
fn restore(current: &Object, new: &mut Object, subresource: Option<Subresource>) {
    match subresource {
        None => {}
        Some(Subresource::Status) => {
            let status = new.field("status").clone();
            new.clone_from(current);
            new.set_field("status", status);
            return;
        }
        Some(Subresource::Finalize) => {
            let finalizers = new.field("spec").get("finalizers").cloned();
            new.clone_from(current);
            let mut spec = current.field("spec").as_object().cloned().unwrap_or_default();
            spec.insert("finalizers".to_owned(), finalizers.unwrap_or_else(|| Value::Array(Vec::new())));
            new.set_field("spec", Value::Object(spec));
            return;
        }
    }
    new.set_field("status", current.field("status").clone());
    let now = &current.metadata;
    let meta = &mut new.metadata;
    meta.resource_version.clone_from(&now.resource_version);
    meta.creation_timestamp = now.creation_timestamp;
    // An update can neither clear nor set the deletion timestamp; setting it is rejected by validation.
    meta.deletion_timestamp = now.deletion_timestamp.or(meta.deletion_timestamp);
    meta.deletion_grace_period_seconds = meta.deletion_grace_period_seconds.or(now.deletion_grace_period_seconds);
    meta.generation = now.generation;
    meta.generate_name.clone_from(&now.generate_name);
    meta.self_link.clear();
}
