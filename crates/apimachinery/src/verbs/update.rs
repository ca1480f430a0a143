//! Update: replace or patch of an object or a subresource.

use std::sync::Arc;

use serde_json::Value;

use super::{Case, Proposal, is_of_status, plan::Step};
use crate::{
    command::Mutation,
    draft::{Draft, Other, Reader},
    field::{Fault, Path},
    kind::{Prepared, Resource, Subresource},
    managed::is_same_but_for_times,
    metadata,
    object::{Object, ObjectMeta},
    refusal::Refusal,
};

/// The desired new version.
pub(super) struct Wanted {
    pub(super) draft: Draft,
    /// True for a PUT, whose body is the whole object and must have the resourceVersion that it replaces.
    pub(super) replaced: bool,
    /// Entries of managed fields, if already computed.
    pub(super) owners: Option<Vec<Value>>,
}

impl<W> Case<'_, W> {
    pub(super) fn update(
        &self,
        current: &Arc<Object>,
        change: &Mutation,
        subresource: Option<Subresource>,
    ) -> Result<Proposal<W>, Refusal> {
        let replaced = matches!(change, Mutation::Replace(_));
        let draft = self.changed(current, change)?;
        let noticed = draft.warnings.clone();
        let proposed = self.change(current, Wanted { draft, replaced, owners: None }, subresource);
        proposed.map_err(|refusal| if replaced { refusal } else { refusal.warned(noticed) })
    }

    /// Prepares the change of the object or subresource to the desired version.
    pub(super) fn change(
        &self,
        current: &Arc<Object>,
        wanted: Wanted,
        subresource: Option<Subresource>,
    ) -> Result<Proposal<W>, Refusal> {
        let Wanted { draft, replaced, owners } = wanted;
        let Draft { object: mut new, mut warnings, faults: mut of_types, other } = draft;
        self.check_identity(current, &mut new, replaced)?;
        restore(current, &mut new, subresource);
        let faults = metadata::validate_update(&current.metadata, &new.metadata);
        // Type errors outside the part that this path writes are ignored.
        of_types.retain(|fault| is_of_status(fault) == (subresource == Some(Subresource::Status)));
        let matters = |other: &Other| subresource != Some(Subresource::Status) || other.is_of_other_version();
        if let Some(other) = other.filter(matters) {
            return Err(self.of_other_kind(&other, &faults));
        }
        let of_finalizers = metadata::finalizer_warnings(&current.metadata.finalizers, &new.metadata.finalizers);
        let prepared = self.kind.prepare_update(self.key, current, new, subresource, &self.ctx);
        let Prepared { object: mut new, warnings: more, decide } = self.join(prepared, &of_types, &faults)?;
        warnings.extend(of_finalizers.into_iter().chain(more));
        if subresource.is_none() && self.resource.counts_generations() && is_other_desire(current, &new) {
            new.metadata.generation = Some(current.metadata.generation.unwrap_or(0) + 1);
        }
        let owners = owners.unwrap_or_else(|| self.next_owners(current, &new, subresource));
        new.metadata.managed_fields = if is_same_but_for_times(&owners, &current.metadata.managed_fields) {
            current.metadata.managed_fields.clone()
        } else {
            owners
        };
        self.check_size(&new)?;
        let (old, unchanged) = (Arc::clone(current), new == **current);
        Ok(Proposal { step: Step::Update { old, new, unchanged, decide }, warnings })
    }

    /// Decodes the desired object, in the served version.
    fn changed(&self, current: &Object, change: &Mutation) -> Result<Draft, Refusal> {
        let (patch, validation) = match change {
            Mutation::Replace(draft) => return Ok(Draft::clone(draft)),
            Mutation::Patch(patch, validation) => (patch, *validation),
            Mutation::Unreadable(refusal) => return Err(refusal.clone()),
        };
        let patched = patch.apply(&current.to_value()).map_err(|refusal| self.about_this(refusal))?;
        let reader = Reader { resource: self.resource, schema: self.schema, name: &self.key.name, validation };
        reader.patched(patched, patch.duplicates())
    }

    fn next_owners(&self, current: &Object, new: &Object, subresource: Option<Subresource>) -> Vec<Value> {
        if subresource == Some(Subresource::Finalize) {
            return current.metadata.managed_fields.clone();
        }
        let endpoint = self.schema.endpoint(subresource);
        endpoint.update(Some(&current.to_value()), &new.to_value(), self.manager, self.ctx.now)
    }

    /// Checks name and namespace of a body against those of the URL.
    pub(super) fn check_place(&self, meta: &mut ObjectMeta) -> Result<(), Refusal> {
        self.settle_namespace(meta)?;
        let (name, own) = (&meta.name, &self.key.name);
        if name == own {
            return Ok(());
        }
        Err(Refusal::bad_request(if name.is_empty() {
            format!("the name of the object ({own} based on URL) was undeterminable: name must be provided")
        } else {
            format!("the name of the object ({name}) does not match the name on the URL ({own})")
        }))
    }

    /// Checks that name, namespace, uid and resourceVersion, where given, equal those of the object.
    fn check_identity(&self, current: &Object, new: &mut Object, replaced: bool) -> Result<(), Refusal> {
        self.check_place(&mut new.metadata)?;
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
        if meta.resource_version.is_empty() && replaced && !self.resource.is_replaced_blindly() {
            let path = Path::new("metadata").child("resourceVersion");
            let fault = Fault::invalid(path, 0, "must be specified for an update");
            let Resource { group, plural, .. } = self.resource;
            return Err(Refusal::invalid(group, plural, &self.key.name, &[fault]));
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
fn is_other_desire(old: &Object, new: &Object) -> bool {
    let desires = |object: &Object| object.fields.len() - usize::from(object.fields.contains_key("status"));
    let differs = |(name, value): (&String, &Value)| name != "status" && old.fields.get(name) != Some(value);
    desires(old) != desires(new) || new.fields.iter().any(differs)
}

/// Restores what the client cannot change: system metadata, and the part that this path does not write. The client's
/// managed fields are kept.
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
