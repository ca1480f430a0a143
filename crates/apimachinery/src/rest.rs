//! The generic part of create, update, apply and delete, the same for every kind, with calls to the kind's own rules
//! ([`Kind`]). All functions are pure.
//!
//! There are two steps. [`prepare`] takes the command and the stored version of its object, and does nearly all the
//! work: it patches, applies, defaults, validates, and computes managed fields. It runs on the task of the request.
//! [`PreparedCommand::decide`] takes the decision state, and requires that the command was prepared for the version that is
//! current ([`PreparedCommand::is_for_version`]). It runs in the committer, one command at a time.

mod apply;
mod create;
mod delete;
mod prepared_command;
mod update;

use std::sync::Arc;

use serde_json::Value;

use crate::{
    body::check_object_size,
    command::{Action, Command, ObjectKey, UpdateOperation},
    decoding::{DecodedObject, KindMismatch},
    field::{FieldError, Path},
    kind::{Kind, PreparedObject, RequestContext},
    object::{Object, ObjectMeta},
    resource::Resource,
    schema::Schema,
    status_error::{Cause, StatusError, StatusReason},
};

use self::prepared_command::PreparedChange;
pub use self::prepared_command::{Existence, PreparedCommand, SpentCommand};

/// Prepares a command on `current`, the stored version of its object that the caller has read. A create needs no
/// version: the decision rejects a name that is taken. `kind` is the kind in the view of the command.
pub fn prepare<W>(
    kind: &dyn Kind<W>,
    schema: &Schema,
    command: Command,
    current: Option<&Arc<Object>>,
) -> Result<PreparedCommand<W>, StatusError> {
    let Command { key, view, action, manager, dry_run, now, entropy, permissions, body_bytes } = command;
    let shown = view.zip(current).map(|(view, current)| Arc::new(view.to_served(Object::clone(current))));
    let seen = shown.as_ref().or(current);
    let name_in_path = !matches!(action, Action::Create(_));
    let ctx = RequestContext { permissions: &permissions, now, entropy, dry_run, name_in_path, status: &Value::Null };
    let context = WriteContext { kind, resource: kind.resource(), schema, key: &key, manager: &manager, ctx };
    let decode_warnings = decode_warnings(&action);
    let changes = !matches!(action, Action::Create(_));
    if changes && seen.is_some_and(|seen| !schema.can_represent(seen)) {
        return Err(context.newer_version_error());
    }
    // A create is valid for any current version and is never prepared again, so its object is moved, not cloned.
    let (proposal, repeat) = match action {
        Action::Create(decoded) => (context.create(*decoded, None), None),
        action => (context.propose(&action, seen), Some(action)),
    };
    let Proposal { change, warnings } = proposal.map_err(|refusal| refusal.with_warnings(decode_warnings))?;
    let change = match view {
        Some(view) => change.stored(view, current),
        None => change,
    };
    let command = repeat
        .map(|action| Command {
            key: key.clone(),
            view,
            action,
            manager,
            dry_run,
            now,
            entropy,
            permissions,
            body_bytes,
        })
        .map(Box::new);
    Ok(PreparedCommand { key, view, now, dry_run, entropy, change, warnings, command, encoded: None })
}

/// Returns the warnings from decoding the body. They are sent even if the request fails.
fn decode_warnings(action: &Action) -> Vec<String> {
    match action {
        Action::Create(decoded) | Action::Update { change: UpdateOperation::Replace(decoded), .. } => {
            decoded.warnings.clone()
        }
        _ => Vec::new(),
    }
}

/// True if a field error is in the status, which is written through its own path.
fn is_of_status(error: &FieldError) -> bool {
    Path::new("status").is_prefix_of(error.path.as_str())
}

/// The prepared change and its warnings.
struct Proposal<W> {
    change: PreparedChange<W>,
    warnings: Vec<String>,
}

/// Context of one preparation.
struct WriteContext<'a, W> {
    kind: &'a dyn Kind<W>,
    resource: &'a Resource,
    schema: &'a Schema,
    key: &'a ObjectKey,
    manager: &'a str,
    ctx: RequestContext<'a>,
}

impl<W> WriteContext<'_, W> {
    fn propose(&self, action: &Action, current: Option<&Arc<Object>>) -> Result<Proposal<W>, StatusError> {
        match (action, current) {
            (Action::Create(decoded), _) => self.create(DecodedObject::clone(decoded), None),
            (Action::Apply { apply, subresource }, current) => self.apply(current, apply, *subresource),
            (Action::Update { change: UpdateOperation::Replace(decoded), subresource: None }, None)
                if self.kind.allows_create_on_update() =>
            {
                self.create_by_update(DecodedObject::clone(decoded))
            }
            (Action::Update { change: UpdateOperation::Replace(decoded), .. }, None) => {
                self.check_name_and_namespace(&mut decoded.object.metadata.clone()).and_then(|()| Err(self.not_found()))
            }
            (_, None) => Err(self.not_found()),
            (Action::Update { change, subresource }, Some(current)) => self.update(current, change, *subresource),
            (Action::Delete(options), Some(current)) => self.delete(current, options),
        }
    }

    fn not_found(&self) -> StatusError {
        StatusError::not_found(self.resource.group, self.resource.plural, &self.key.name)
    }

    fn conflict(&self, why: &str) -> StatusError {
        StatusError::conflict(self.resource.group, self.resource.plural, &self.key.name, why)
    }

    /// API error for an object with fields or values that this version does not know: a write by this version could
    /// lose them.
    fn newer_version_error(&self) -> StatusError {
        let Resource { group, kind, plural, .. } = self.resource;
        let message = format!(
            "{kind} \"{}\" was written by a newer version of this server, and this one does not know all of its fields \
             or values; nothing was written: repeat the request, another replica may serve it, or upgrade this one",
            self.key.name
        );
        StatusError::new(StatusReason::ServiceUnavailable, message)
            .with_details(group, plural, &self.key.name)
            .retry_after(1)
    }

    /// Checks the memory size of an object including its managed fields.
    fn check_size(&self, object: &Object) -> Result<(), StatusError> {
        check_object_size(object).map_err(|refusal| self.with_object_details(refusal))
    }

    /// Adds the object to the details of an API error.
    fn with_object_details(&self, refusal: StatusError) -> StatusError {
        let Resource { group, kind, plural, .. } = self.resource;
        let noun = if refusal.reason == StatusReason::Invalid { kind } else { plural };
        refusal.with_details(group, noun, &self.key.name)
    }

    /// API error for a body of another kind.
    fn kind_mismatch_error(&self, mismatch: &KindMismatch, of_metadata: &[FieldError]) -> StatusError {
        let errors = [of_metadata, &mismatch.errors].concat();
        StatusError::invalid(&mismatch.group, &mismatch.kind, &self.key.name, &errors)
    }

    /// Merges the field errors of schema (`of_types`), metadata and kind into one 422. A value dropped for its type
    /// would be reported again by the kind as missing, so those errors are omitted.
    fn merge_errors(
        &self,
        prepared: Result<PreparedObject<W>, StatusError>,
        of_types: &[FieldError],
        of_metadata: &[FieldError],
    ) -> Result<PreparedObject<W>, StatusError> {
        if of_types.is_empty() && of_metadata.is_empty() {
            return prepared;
        }
        let mut causes: Vec<Cause> = of_metadata.iter().chain(of_types).map(Cause::from).collect();
        let of_kind = match prepared {
            Err(refusal) if refusal.reason == StatusReason::Invalid => refusal.details.causes,
            _ => Vec::new(),
        };
        let is_new = |cause: &Cause| !of_types.iter().any(|error| error.path.is_prefix_of(&cause.field));
        causes.extend(of_kind.into_iter().filter(is_new));
        let Resource { group, kind, .. } = self.resource;
        Err(StatusError::invalid_for(group, kind, &self.key.name, causes))
    }

    /// Sets the namespace from the URL; fails if the body has another one.
    fn default_namespace(&self, meta: &mut ObjectMeta) -> Result<(), StatusError> {
        let namespace = &mut meta.namespace;
        if !self.resource.namespaced || namespace.is_empty() {
            namespace.clone_from(&self.key.namespace);
        }
        if *namespace == self.key.namespace {
            return Ok(());
        }
        Err(StatusError::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ))
    }
}

#[cfg(test)]
mod tests;
