//! What a command changes: the part of create, update and delete that is the same for every kind. The kind's own rules
//! ([`Kind`]) are asked in the middle. Nothing here does anything; it decides.

mod apply;
mod create;
mod delete;
mod update;

use std::sync::Arc;

use crate::{
    command::{Action, Command, Decision, Mutation, ObjectKey},
    draft::Other,
    field::{Fault, Path},
    kind::{Context, Decided, Kind, Related, Resource},
    object::Object,
    refusal::{Cause, Reason, Refusal},
    schema::{Schema, check_object_size},
};

/// Decides a command on `current`, the object of its key.
pub fn decide<W>(
    kind: &dyn Kind<W>,
    schema: &Schema,
    world: &W,
    command: Command,
    current: Option<&Arc<Object>>,
    related: &Related,
) -> Result<Decision, Refusal> {
    let Command { key, action, manager, dry_run, now, seed, rights } = command;
    let named = !matches!(action, Action::Create(_));
    let ctx = Context { rights: &rights, now, seed, dry_run, named, related };
    let case = Case { kind, resource: kind.resource(), schema, world, key: &key, manager: &manager, ctx };
    let noticed = noticed(&action);
    let changes = !matches!(action, Action::Create(_));
    if changes && current.is_some_and(|current| !schema.understands(current)) {
        return Err(case.is_newer());
    }
    let decided = match (action, current) {
        (Action::Create(draft), current) => case.create(*draft, current, None),
        (Action::Apply { apply, subresource }, current) => case.apply(current, apply, subresource),
        (Action::Update { change: Mutation::Replace(mut draft), .. }, None) => {
            case.check_place(&mut draft.object).and_then(|()| Err(case.not_found()))
        }
        (_, None) => Err(case.not_found()),
        (Action::Update { change, subresource }, Some(current)) => case.update(current, change, subresource),
        (Action::Delete(options), Some(current)) => case.delete(current, &options),
    };
    decided.map_err(|refusal| refusal.warned(noticed))
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

/// Everything that a decision is about.
struct Case<'a, W> {
    kind: &'a dyn Kind<W>,
    resource: &'a Resource,
    schema: &'a Schema,
    world: &'a W,
    key: &'a ObjectKey,
    manager: &'a str,
    ctx: Context<'a>,
}

impl<W> Case<'_, W> {
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

    /// What the kind decided, unless it, the schema or the rules of metadata refuse: all that is wrong with fields is in
    /// one answer. What was left out for its type looks to the others as if it were missing; of that they are not heard.
    fn join(
        &self,
        decided: Result<Decided, Refusal>,
        of_types: &[Fault],
        of_metadata: &[Fault],
    ) -> Result<Decided, Refusal> {
        if of_types.is_empty() && of_metadata.is_empty() {
            return decided;
        }
        let mut causes: Vec<Cause> = of_metadata.iter().chain(of_types).map(Cause::from).collect();
        let of_kind = match decided {
            Err(refusal) if refusal.reason == Reason::Invalid => refusal.details.causes,
            _ => Vec::new(),
        };
        let is_new = |cause: &Cause| !of_types.iter().any(|fault| fault.path.covers(&cause.field));
        causes.extend(of_kind.into_iter().filter(is_new));
        let Resource { group, kind, .. } = self.resource;
        Err(Refusal::invalid_for(group, kind, &self.key.name, causes))
    }

    /// Fills in the namespace of the URL; another one in the body is refused.
    fn settle_namespace(&self, object: &mut Object) -> Result<(), Refusal> {
        let namespace = &mut object.metadata.namespace;
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
