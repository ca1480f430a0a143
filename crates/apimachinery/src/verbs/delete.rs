//! Delete: at once, or when the finalizers are gone. What becomes of dependents is left to a garbage collector, by two
//! finalizers of its own.

use std::sync::Arc;

use super::Case;
use crate::{
    command::{Answer, Decision, Write},
    kind::Resource,
    metadata::{FINALIZER_FOREGROUND, FINALIZER_ORPHAN},
    object::Object,
    options::{DeleteOptions, Propagation},
    refusal::{Details, Refusal},
};

impl<W> Case<'_, W> {
    pub(super) fn delete(&self, current: &Arc<Object>, options: &DeleteOptions) -> Result<Decision, Refusal> {
        self.check_preconditions(current, options)?;
        let finalizers = finalizers(&current.metadata.finalizers, options.propagation);
        let held = !finalizers.is_empty() || self.kind.is_held(current);
        if held && current.is_terminating() && finalizers == current.metadata.finalizers {
            let answer = Answer::Unchanged(Arc::clone(current));
            return Ok(Decision { writes: Vec::new(), answer, warnings: Vec::new() });
        }
        self.kind.may_delete(self.world, self.key, current, &self.ctx)?;
        if !held {
            return self.remove(current);
        }
        let mut marked = (**current).clone();
        marked.metadata.finalizers = finalizers;
        if !current.is_terminating() {
            let meta = &mut marked.metadata;
            meta.deletion_timestamp = Some(self.ctx.now);
            meta.deletion_grace_period_seconds = Some(0);
            if self.resource.counts_generations() {
                meta.generation = Some(meta.generation.unwrap_or(0) + 1);
            }
            self.kind.mark_terminating(&mut marked);
        }
        let write = Write { key: self.key.clone(), old: Some(Arc::clone(current)), new: Some(Arc::new(marked)) };
        Ok(Decision { writes: vec![write], answer: Answer::Changed, warnings: Vec::new() })
    }

    fn check_preconditions(&self, current: &Object, options: &DeleteOptions) -> Result<(), Refusal> {
        let meta = &current.metadata;
        let Resource { group, kind, .. } = self.resource;
        let refuse = |what: &str, wanted: &str, found: &str, why: &str| {
            let why = format!(
                "the {what} in the precondition ({wanted}) does not match the {what} in record ({found}). {why}"
            );
            Err(Refusal::conflict(group, kind, &self.key.name, &why))
        };
        if let Some(uid) = options.uid.as_ref().filter(|uid| **uid != meta.uid) {
            return refuse("UID", uid, &meta.uid, "The object might have been deleted and then recreated");
        }
        if let Some(version) = options.resource_version.as_ref().filter(|version| **version != meta.resource_version) {
            return refuse("ResourceVersion", version, &meta.resource_version, "The object might have been modified");
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

/// The finalizers of an object that is deleted like this. A garbage collector removes its two when it has done what they
/// ask for; without a wish of the caller, those that the object has already stay.
fn finalizers(present: &[String], propagation: Option<Propagation>) -> Vec<String> {
    let of_the_collector = |name: &String| name == FINALIZER_ORPHAN || name == FINALIZER_FOREGROUND;
    let wished = match propagation {
        None => present.iter().find(|name| of_the_collector(name)).map(String::as_str),
        Some(Propagation::Background) => None,
        Some(Propagation::Foreground) => Some(FINALIZER_FOREGROUND),
        Some(Propagation::Orphan) => Some(FINALIZER_ORPHAN),
    };
    let kept = |name: &&String| !of_the_collector(name) || Some(name.as_str()) == wished;
    let mut finalizers: Vec<String> = present.iter().filter(kept).cloned().collect();
    if let Some(wished) = wished.filter(|wished| !finalizers.iter().any(|name| name == wished)) {
        finalizers.push(wished.to_owned());
    }
    finalizers
}
