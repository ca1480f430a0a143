//! Delete.

use std::sync::Arc;

use super::Case;
use crate::{
    command::{Answer, Decision, Write},
    metadata::{FINALIZER_FOREGROUND, FINALIZER_ORPHAN},
    object::Object,
    options::DeleteOptions,
    refusal::{Details, Refusal},
};

impl<W> Case<'_, W> {
    /// There is no garbage collector that would ever remove `orphan` or `foregroundDeletion`, so every propagation policy
    /// acts as Background: the two finalizers are dropped.
    pub(super) fn delete(&self, current: &Arc<Object>, options: &DeleteOptions) -> Result<Decision, Refusal> {
        self.check_preconditions(current, options)?;
        if current.is_terminating() && !current.metadata.finalizers.is_empty() {
            let answer = Answer::Unchanged(Arc::clone(current));
            return Ok(Decision { writes: Vec::new(), answer, warnings: Vec::new() });
        }
        self.kind.may_delete(self.world, self.key, current, &self.ctx)?;
        let of_the_collector = |name: &String| name == FINALIZER_ORPHAN || name == FINALIZER_FOREGROUND;
        if current.metadata.finalizers.iter().all(of_the_collector) {
            return self.remove(current);
        }
        let mut marked = (**current).clone();
        let meta = &mut marked.metadata;
        meta.finalizers.retain(|name| !of_the_collector(name));
        meta.deletion_timestamp = Some(self.ctx.now);
        meta.deletion_grace_period_seconds = Some(0);
        meta.generation = Some(meta.generation.unwrap_or(0) + 1);
        self.kind.mark_terminating(&mut marked);
        let write = Write { key: self.key.clone(), old: Some(Arc::clone(current)), new: Some(Arc::new(marked)) };
        Ok(Decision { writes: vec![write], answer: Answer::Changed, warnings: Vec::new() })
    }

    fn check_preconditions(&self, current: &Object, options: &DeleteOptions) -> Result<(), Refusal> {
        let meta = &current.metadata;
        if let Some(uid) = options.uid.as_ref().filter(|uid| **uid != meta.uid) {
            return Err(self.conflict(&format!(
                "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
                meta.uid
            )));
        }
        if let Some(version) = options.resource_version.as_ref().filter(|version| **version != meta.resource_version) {
            return Err(self.conflict(&format!(
                "Precondition failed: ResourceVersion in precondition: {version}, ResourceVersion in object meta: {}",
                meta.resource_version
            )));
        }
        Ok(())
    }

    fn remove(&self, current: &Arc<Object>) -> Result<Decision, Refusal> {
        let mut writes = vec![Write { key: self.key.clone(), old: Some(Arc::clone(current)), new: None }];
        writes.extend(self.kind.delete(self.world, self.key, current, &self.ctx)?);
        let details = Details {
            name: self.key.name.clone(),
            group: self.resource.group.to_owned(),
            kind: self.resource.plural.to_owned(),
            uid: current.metadata.uid.clone(),
            ..Details::default()
        };
        Ok(Decision { writes, answer: Answer::Deleted(details), warnings: Vec::new() })
    }
}
