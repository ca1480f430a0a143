//! The generic part of create, update, apply and delete, the same for every kind, with calls to the kind's own rules
//! ([`Kind`]). All functions are pure.
//!
//! There are two steps. [`prepare`] takes the command and the stored version of its object, and does nearly all the
//! work: it patches, applies, defaults, validates, and computes managed fields. It runs on the task of the request.
//! [`Plan::decide`] takes the decision state, and requires that the command was prepared for the version that is
//! current ([`Plan::suits`]). It runs in the committer, one command at a time.

mod apply;
mod create;
mod delete;
mod plan;
mod update;

use std::sync::Arc;

use serde_json::Value;

use crate::{
    command::{Action, Command, Mutation, ObjectKey},
    draft::{Draft, Other},
    field::{Fault, Path},
    kind::{Kind, Prepared, RequestContext, Resource},
    object::{Object, ObjectMeta},
    refusal::{Cause, Reason, Refusal},
    schema::{Schema, check_object_size},
};

use self::plan::Step;
pub use self::plan::{Plan, Present, Spent};

/// Prepares a command on `current`, the stored version of its object that the caller has read. A create needs no
/// version: the decision rejects a name that is taken. `kind` is the kind in the view of the command.
pub fn prepare<W>(
    kind: &dyn Kind<W>,
    schema: &Schema,
    command: Command,
    current: Option<&Arc<Object>>,
) -> Result<Plan<W>, Refusal> {
    let Command { key, view, action, manager, dry_run, now, seed, rights, body_bytes } = command;
    let shown = view.zip(current).map(|(view, current)| Arc::new(view.show(Object::clone(current))));
    let seen = shown.as_ref().or(current);
    let named = !matches!(action, Action::Create(_));
    let ctx = RequestContext { rights: &rights, now, seed, dry_run, named, status: &Value::Null };
    let case = Case { kind, resource: kind.resource(), schema, key: &key, manager: &manager, ctx };
    let noticed = noticed(&action);
    let changes = !matches!(action, Action::Create(_));
    if changes && seen.is_some_and(|seen| !schema.understands(seen)) {
        return Err(case.is_newer());
    }
    // A create is valid for any current version and is never prepared again, so its object is moved, not cloned.
    let (proposal, repeat) = match action {
        Action::Create(draft) => (case.create(*draft, None), None),
        action => (case.propose(&action, seen), Some(action)),
    };
    let Proposal { step, warnings } = proposal.map_err(|refusal| refusal.warned(noticed))?;
    let step = match view {
        Some(view) => step.stored(view, current),
        None => step,
    };
    let command = repeat
        .map(|action| Command { key: key.clone(), view, action, manager, dry_run, now, seed, rights, body_bytes })
        .map(Box::new);
    Ok(Plan { key, view, now, dry_run, seed, step, warnings, command, encoded: None })
}

/// Returns the warnings from decoding the body. They are sent even if the request fails.
fn noticed(action: &Action) -> Vec<String> {
    match action {
        Action::Create(draft) | Action::Update { change: Mutation::Replace(draft), .. } => draft.warnings.clone(),
        _ => Vec::new(),
    }
}

/// True if a field error is in the status, which is written through its own path.
fn is_of_status(fault: &Fault) -> bool {
    Path::new("status").covers(fault.path.as_str())
}

/// The prepared step and its warnings.
struct Proposal<W> {
    step: Step<W>,
    warnings: Vec<String>,
}

/// Context of one preparation.
struct Case<'a, W> {
    kind: &'a dyn Kind<W>,
    resource: &'a Resource,
    schema: &'a Schema,
    key: &'a ObjectKey,
    manager: &'a str,
    ctx: RequestContext<'a>,
}

impl<W> Case<'_, W> {
    fn propose(&self, action: &Action, current: Option<&Arc<Object>>) -> Result<Proposal<W>, Refusal> {
        match (action, current) {
            (Action::Create(draft), _) => self.create(Draft::clone(draft), None),
            (Action::Apply { apply, subresource }, current) => self.apply(current, apply, *subresource),
            (Action::Update { change: Mutation::Replace(draft), subresource: None }, None)
                if self.kind.is_made_by_updates() =>
            {
                self.create_by_update(Draft::clone(draft))
            }
            (Action::Update { change: Mutation::Replace(draft), .. }, None) => {
                self.check_place(&mut draft.object.metadata.clone()).and_then(|()| Err(self.not_found()))
            }
            (_, None) => Err(self.not_found()),
            (Action::Update { change, subresource }, Some(current)) => self.update(current, change, *subresource),
            (Action::Delete(options), Some(current)) => self.delete(current, options),
        }
    }

    fn not_found(&self) -> Refusal {
        Refusal::not_found(self.resource.group, self.resource.plural, &self.key.name)
    }

    fn conflict(&self, why: &str) -> Refusal {
        Refusal::conflict(self.resource.group, self.resource.plural, &self.key.name, why)
    }

    /// API error for an object with fields or values that this version does not know: changing it might break a newer
    /// version.
    fn is_newer(&self) -> Refusal {
        let Resource { group, kind, plural, .. } = self.resource;
        let message = format!(
            "{kind} \"{}\" was written by a newer version of this server, and this one does not know all of its fields \
             or values; nothing was written: repeat the request, another replica may serve it, or upgrade this one",
            self.key.name
        );
        Refusal::new(Reason::ServiceUnavailable, message).about(group, plural, &self.key.name).retry_after(1)
    }

    /// Checks the memory size of an object including its managed fields.
    fn check_size(&self, object: &Object) -> Result<(), Refusal> {
        check_object_size(object).map_err(|refusal| self.about_this(refusal))
    }

    /// Adds the object to the details of an API error.
    fn about_this(&self, refusal: Refusal) -> Refusal {
        let Resource { group, kind, plural, .. } = self.resource;
        let noun = if refusal.reason == Reason::Invalid { kind } else { plural };
        refusal.about(group, noun, &self.key.name)
    }

    /// API error for a body of another kind.
    fn of_other_kind(&self, other: &Other, of_metadata: &[Fault]) -> Refusal {
        let faults = [of_metadata, &other.faults].concat();
        Refusal::invalid(&other.group, &other.kind, &self.key.name, &faults)
    }

    /// Merges the field errors of schema (`of_types`), metadata and kind into one 422. A value dropped for its type
    /// would be reported again by the kind as missing, so those errors are omitted.
    fn join(
        &self,
        prepared: Result<Prepared<W>, Refusal>,
        of_types: &[Fault],
        of_metadata: &[Fault],
    ) -> Result<Prepared<W>, Refusal> {
        if of_types.is_empty() && of_metadata.is_empty() {
            return prepared;
        }
        let mut causes: Vec<Cause> = of_metadata.iter().chain(of_types).map(Cause::from).collect();
        let of_kind = match prepared {
            Err(refusal) if refusal.reason == Reason::Invalid => refusal.details.causes,
            _ => Vec::new(),
        };
        let is_new = |cause: &Cause| !of_types.iter().any(|fault| fault.path.covers(&cause.field));
        causes.extend(of_kind.into_iter().filter(is_new));
        let Resource { group, kind, .. } = self.resource;
        Err(Refusal::invalid_for(group, kind, &self.key.name, causes))
    }

    /// Sets the namespace from the URL; fails if the body has another one.
    fn settle_namespace(&self, meta: &mut ObjectMeta) -> Result<(), Refusal> {
        let namespace = &mut meta.namespace;
        if !self.resource.namespaced || namespace.is_empty() {
            namespace.clone_from(&self.key.namespace);
        }
        if *namespace == self.key.namespace {
            return Ok(());
        }
        Err(Refusal::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ))
    }
}

#[cfg(test)]
mod tests;
