//! Create.

use std::sync::Arc;

use serde_json::Value;

use super::{Case, is_of_status};
use crate::{
    command::{Answer, Decision, Write},
    draft::Draft,
    kind::Decided,
    metadata,
    object::Object,
    refusal::Refusal,
};

impl<W> Case<'_, W> {
    /// `owners` are the object's entries of managed fields, if they are known already.
    pub(super) fn create(
        &self,
        draft: Draft,
        current: Option<&Arc<Object>>,
        owners: Option<Vec<Value>>,
    ) -> Result<Decision, Refusal> {
        let Draft { mut object, mut warnings, faults: mut of_types, other } = draft;
        if !object.metadata.resource_version.is_empty() {
            return Err(Refusal::bad_request("resourceVersion should not be set on objects to be created"));
        }
        self.settle_namespace(&mut object)?;
        if let Some(other) = other {
            return Err(self.of_other_kind(&other, &[]));
        }
        self.complete(&mut object);
        of_types.retain(|fault| !is_of_status(fault));
        let faults = metadata::validate_create(&object.metadata, self.resource);
        let of_finalizers = metadata::finalizer_warnings(&[], &object.metadata.finalizers);
        if let (Some(current), true) = (current, of_types.is_empty() && faults.is_empty()) {
            return Err(self.taken(current).warned(of_finalizers));
        }
        let decided = self.kind.create(self.world, self.key, object, &self.ctx);
        let Decided { mut object, companions, warnings: more } = self.join(decided, &of_types, &faults)?;
        warnings.extend(of_finalizers.into_iter().chain(more));
        object.metadata.managed_fields = owners.unwrap_or_else(|| self.first_owners(&object));
        self.check_size(&object)?;
        let mut writes = vec![Write { key: self.key.clone(), old: None, new: Some(Arc::new(object)) }];
        writes.extend(companions);
        Ok(Decision { writes, answer: Answer::Created, warnings })
    }

    /// What the server sets, whatever the body says.
    fn complete(&self, object: &mut Object) {
        object.fields.remove("status");
        let meta = &mut object.metadata;
        self.key.name.clone_into(&mut meta.name);
        meta.uid = self.ctx.seed.uid();
        meta.creation_timestamp = Some(self.ctx.now);
        meta.deletion_timestamp = None;
        meta.deletion_grace_period_seconds = None;
        meta.generation = self.resource.counts_generations().then_some(1);
        meta.self_link.clear();
    }

    /// The status is not of the creator's making.
    fn first_owners(&self, object: &Object) -> Vec<Value> {
        let endpoint = self.schema.endpoint(None);
        endpoint.update(None, &object.to_value_without("status"), self.manager, self.ctx.now)
    }

    fn taken(&self, current: &Object) -> Refusal {
        let (group, plural) = (self.resource.group, self.resource.plural);
        let mut refusal = Refusal::already_exists(group, plural, &self.key.name);
        if current.is_terminating() {
            refusal.message = format!("object is being deleted: {}", refusal.message);
        }
        refusal
    }
}
