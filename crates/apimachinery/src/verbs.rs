//! What a command changes: the part of create, update and delete that is the same for every kind. The kind's own rules
//! ([`Kind`]) are asked in the middle. Nothing here does anything; it decides.

mod create;
mod delete;
mod update;

use std::sync::Arc;

use serde_json::{Value, json};

use crate::{
    command::{Action, Command, Decision, FieldValidation, ObjectKey},
    field::{Fault, FaultType, Path},
    kind::{Context, Decided, Kind, Related, Resource},
    metadata,
    object::Object,
    refusal::{Cause, Reason, Refusal},
    schema::{Findings, Schema},
};

/// Decides a command on `current`, the object of its key.
pub fn decide<W>(
    kind: &dyn Kind<W>,
    schema: &Schema,
    world: &W,
    command: &Command,
    current: Option<&Arc<Object>>,
    related: &Related,
) -> Result<Decision, Refusal> {
    let case = Case {
        kind,
        resource: kind.resource(),
        schema,
        world,
        key: &command.key,
        validation: command.field_validation,
        ctx: Context { now: command.now, seed: command.seed, dry_run: command.dry_run, related },
    };
    match (&command.action, current) {
        (Action::Create(body), current) => case.create(body, current),
        (_, None) => Err(case.not_found()),
        (Action::Update { change, subresource }, Some(current)) => case.update(current, change, *subresource),
        (Action::Delete(options), Some(current)) => case.delete(current, options),
    }
}

/// Everything that a decision is about.
struct Case<'a, W> {
    kind: &'a dyn Kind<W>,
    resource: &'a Resource,
    schema: &'a Schema,
    world: &'a W,
    key: &'a ObjectKey,
    validation: FieldValidation,
    ctx: Context<'a>,
}

impl<W> Case<'_, W> {
    fn not_found(&self) -> Refusal {
        Refusal::not_found(self.resource.group, self.resource.plural, &self.key.name)
    }

    fn conflict(&self, why: &str) -> Refusal {
        Refusal::conflict(self.resource.group, self.resource.plural, &self.key.name, why)
    }

    fn invalid(&self, faults: &[Fault]) -> Refusal {
        Refusal::invalid(self.resource.group, self.resource.kind, &self.key.name, faults)
    }

    /// Reads a body, or what a patch makes of an object, and checks it against the schema. Unknown and repeated fields
    /// become warnings or a refusal; values of a wrong type are left out and become faults.
    fn read(&self, mut value: Value, duplicates: &[String], source: Source) -> Result<Reading, Refusal> {
        if !value.is_object() {
            return Err(Refusal::bad_request("the object provided is unrecognized: it must be a JSON object"));
        }
        self.check_type(&value)?;
        let Findings { unknown, faults } = self.schema.check(&mut value);
        let mut warnings = self.meet(&unknown, duplicates, source)?;
        if !value.is_object() {
            return Err(self.invalid(&faults));
        }
        let managed_fields_emptied = value.pointer("/metadata/managedFields") == Some(&Value::Array(Vec::new()));
        let mut object = Object::from_value(value)
            .map_err(|error| Refusal::bad_request(format!("the object provided cannot be read: {error}")))?;
        object.api_version = self.resource.api_version();
        self.resource.kind.clone_into(&mut object.kind);
        if managed_fields_emptied {
            // The other spelling of "none", which is not lost between here and where it is told from absence.
            object.metadata.managed_fields = vec![json!({})];
        }
        warnings.extend(metadata::drop_repeated_owners(&mut object.metadata));
        Ok(Reading { object, warnings, faults })
    }

    /// `apiVersion` and `kind` may be left out, but not be others.
    fn check_type(&self, value: &Value) -> Result<(), Refusal> {
        let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
        let (found, expected) = (text("apiVersion"), self.resource.api_version());
        if !found.is_empty() && found != expected {
            return Err(Refusal::bad_request(format!(
                "the API version in the data ({found}) does not match the expected API version ({expected})"
            )));
        }
        let (found, expected) = (text("kind"), self.resource.kind);
        if !found.is_empty() && found != expected {
            return Err(Refusal::bad_request(format!(
                "the kind in the data ({found}) does not match the expected kind ({expected})"
            )));
        }
        Ok(())
    }

    /// What `fieldValidation` makes of unknown and repeated fields.
    fn meet(&self, unknown: &[String], duplicates: &[String], source: Source) -> Result<Vec<String>, Refusal> {
        let unknown = unknown.iter().map(|path| format!("unknown field \"{path}\""));
        let repeated = duplicates.iter().map(|path| format!("duplicate field \"{path}\""));
        let texts: Vec<String> = unknown.chain(repeated).collect();
        match self.validation {
            _ if texts.is_empty() => Ok(texts),
            FieldValidation::Ignore => Ok(Vec::new()),
            FieldValidation::Warn => Ok(texts),
            FieldValidation::Strict => {
                let why = format!("strict decoding error: {}", texts.join(", "));
                let (kind, version) = (self.resource.kind, self.resource.version);
                Err(match source {
                    Source::Patch => self.unpatchable(&why),
                    Source::Body => Refusal::bad_request(format!(
                        "{kind} in version \"{version}\" cannot be handled as a {kind}: {why}"
                    )),
                })
            }
        }
    }

    /// 422: it is the patch that leads to something that cannot be.
    fn unpatchable(&self, why: &str) -> Refusal {
        let path = Path::new("patch");
        self.invalid(&[Fault { path, fault_type: FaultType::Invalid, message: format!("Invalid value: {why}") }])
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
        let mut causes: Vec<Cause> = of_types.iter().map(Cause::from).collect();
        let of_kind = match decided {
            Err(refusal) if refusal.reason == Reason::Invalid => refusal.details.causes,
            _ => Vec::new(),
        };
        let others = of_metadata.iter().map(Cause::from).chain(of_kind);
        causes.extend(others.filter(|cause| !of_types.iter().any(|fault| fault.path.covers(&cause.field))));
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

/// An object as far as it could be read.
struct Reading {
    object: Object,
    warnings: Vec<String>,
    /// What could not be, for its type.
    faults: Vec<Fault>,
}

/// Where an object to be checked comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// From a body that describes it.
    Body,
    /// From a patch of the present one.
    Patch,
}

#[cfg(test)]
mod tests;
