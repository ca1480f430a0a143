//! Delete: at once, or after the last finalizer is removed. The garbage collector handles dependents, controlled by the
//! finalizers `orphan` and `foregroundDeletion`.

use std::sync::Arc;

use super::{Proposal, WriteContext, prepared_command::PreparedChange};
use crate::{
    metadata::{FINALIZER_FOREGROUND, FINALIZER_ORPHAN},
    object::Object,
    options::{DeleteOptions, Propagation},
    resource::Resource,
    status_error::{Details, StatusError},
};

/// Effect of a delete request.
pub(super) enum Deletion {
    /// None: deletion has begun already and waits.
    Pending,
    /// Deletion begins: the object is stored like this until nothing delays its deletion.
    Started(Box<Object>),
    /// The object is deleted.
    Finished(Details),
}

impl<W> WriteContext<'_, W> {
    pub(super) fn delete(&self, current: &Arc<Object>, options: &DeleteOptions) -> Result<Proposal<W>, StatusError> {
        self.check_preconditions(current, options)?;
        let finalizers = finalizers(&current.metadata.finalizers, options.propagation);
        let held = !finalizers.is_empty() || self.kind.has_extra_finalizers(current);
        let deletion = if !held {
            Deletion::Finished(self.details(current))
        } else if current.is_terminating() && finalizers == current.metadata.finalizers {
            Deletion::Pending
        } else {
            Deletion::Started(Box::new(self.marked(current, finalizers)))
        };
        Ok(Proposal { change: PreparedChange::Delete(Arc::clone(current), deletion), warnings: Vec::new() })
    }

    /// Returns the object with these finalizers and marked as terminating.
    fn marked(&self, current: &Object, finalizers: Vec<String>) -> Object {
        let mut marked = current.clone();
        marked.metadata.finalizers = finalizers;
        if current.is_terminating() {
            return marked;
        }
        let meta = &mut marked.metadata;
        meta.deletion_timestamp = Some(self.ctx.now);
        meta.deletion_grace_period_seconds = Some(0);
        if self.resource.has_generation() {
            meta.generation = Some(meta.generation.unwrap_or(0) + 1);
        }
        self.kind.mark_terminating(&mut marked);
        marked
    }

    fn check_preconditions(&self, current: &Object, options: &DeleteOptions) -> Result<(), StatusError> {
        let meta = &current.metadata;
        let Resource { group, kind, .. } = self.resource;
        let refuse = |what: &str, wanted: &str, found: &str, why: &str| {
            let why = format!(
                "the {what} in the precondition ({wanted}) does not match the {what} in record ({found}). {why}"
            );
            Err(StatusError::conflict(group, kind, &self.key.name, &why))
        };
        if let Some(uid) = options.uid.as_ref().filter(|uid| **uid != meta.uid) {
            return refuse("UID", uid, &meta.uid, "The object might have been deleted and then recreated");
        }
        if let Some(version) = options.resource_version.as_ref().filter(|version| **version != meta.resource_version) {
            return refuse("ResourceVersion", version, &meta.resource_version, "The object might have been modified");
        }
        Ok(())
    }

    fn details(&self, current: &Object) -> Details {
        Details {
            name: self.key.name.clone(),
            group: self.resource.group.to_owned(),
            kind: self.resource.plural.to_owned(),
            uid: current.metadata.uid.clone(),
            ..Details::default()
        }
    }
}

/// Returns the finalizers after a delete request. The garbage collector removes `orphan` and `foregroundDeletion` when
/// done. Without a propagation policy, the present ones stay.
fn finalizers(present: &[String], propagation: Option<Propagation>) -> Vec<String> {
    let of_the_collector = |name: &String| name == FINALIZER_ORPHAN || name == FINALIZER_FOREGROUND;
    let requested = match propagation {
        None => present.iter().find(|name| of_the_collector(name)).map(String::as_str),
        Some(Propagation::Background) => None,
        Some(Propagation::Foreground) => Some(FINALIZER_FOREGROUND),
        Some(Propagation::Orphan) => Some(FINALIZER_ORPHAN),
    };
    let kept = |name: &&String| !of_the_collector(name) || Some(name.as_str()) == requested;
    let mut finalizers: Vec<String> = present.iter().filter(kept).cloned().collect();
    if let Some(requested) = requested.filter(|requested| !finalizers.iter().any(|name| name == requested)) {
        finalizers.push(requested.to_owned());
    }
    finalizers
}
