//! What a command changes: the part of create, update and delete that is the same for every kind. The kind's own rules
//! ([`Kind`]) are asked in the middle. Nothing here does anything; it computes.
//!
//! It does so in two steps. [`prepare`] needs the command and the version of the object that it is about, and does nearly
//! all the work: it patches, applies, defaults, validates, and computes managed fields. It runs where the request comes in.
//! [`Plan::decide`] needs the world, and the plan to be for the version that is current then ([`Plan::suits`]). It runs in
//! the committer, which does nothing else meanwhile.

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

/// Prepares a command on `current`, the stored version of the object of its key that the caller has read. A create needs none:
/// a name that is taken is refused by the decision. `kind` is the one that the command's view shows.
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
    // A create suits whatever there is, and is prepared once: its object is moved into the plan.
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

/// What was noticed of a body when it was read: its sender is told even if nothing comes of it.
fn noticed(action: &Action) -> Vec<String> {
    match action {
        Action::Create(draft) | Action::Update { change: Mutation::Replace(draft), .. } => draft.warnings.clone(),
        _ => Vec::new(),
    }
}

/// Whether a fault is in the status, which has a path of its own to be written through.
fn is_of_status(fault: &Fault) -> bool {
    Path::new("status").covers(fault.path.as_str())
}

/// The first step of a plan, and the warnings so far.
struct Proposal<W> {
    step: Step<W>,
    warnings: Vec<String>,
}

/// Everything that a preparation is about.
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

    /// The object has something that this version does not know: a change by it might break what a newer one relies on.
    fn is_newer(&self) -> Refusal {
        let Resource { group, kind, plural, .. } = self.resource;
        let message = format!(
            "{kind} \"{}\" was written by a newer version of this server, and this one does not know all of its fields \
             or values; nothing was written: repeat the request, another replica may serve it, or upgrade this one",
            self.key.name
        );
        Refusal::new(Reason::ServiceUnavailable, message).about(group, plural, &self.key.name).retry_after(1)
    }

    /// Refuses an object that takes too much memory with all that its managers own.
    fn check_size(&self, object: &Object) -> Result<(), Refusal> {
        check_object_size(object).map_err(|refusal| self.about_this(refusal))
    }

    /// A refusal that says which object it is about.
    fn about_this(&self, refusal: Refusal) -> Refusal {
        let Resource { group, kind, plural, .. } = self.resource;
        let noun = if refusal.reason == Reason::Invalid { kind } else { plural };
        refusal.about(group, noun, &self.key.name)
    }

    /// A refusal of what says to be of another kind.
    fn of_other_kind(&self, other: &Other, of_metadata: &[Fault]) -> Refusal {
        let faults = [of_metadata, &other.faults].concat();
        Refusal::invalid(&other.group, &other.kind, &self.key.name, &faults)
    }

    /// What the kind prepared, unless it, the schema or the rules of metadata refuse: one answer has all faults of fields. A
    /// value that was left out for its type would be reported again as missing; those faults are dropped.
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

    /// Fills in the namespace of the URL; another one in the body is refused.
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
