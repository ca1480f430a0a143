//! What a caller wants an object to be, as far as it can be told from the body alone: read, checked against the schema,
//! not yet decided. It needs nothing that changes, so that it is made where requests come in, side by side.

use serde_json::Value;

use crate::{
    field::{Fault, FaultType, Path},
    kind::Resource,
    metadata,
    object::Object,
    options::FieldValidation,
    refusal::Refusal,
    schema::{Decoded, Findings, Schema},
};

/// An object as far as it could be read.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The object, without unknown fields and without values of a wrong type.
    pub object: Object,
    /// For the `Warning` header.
    pub warnings: Vec<String>,
    /// What could not be read, for its type.
    pub faults: Vec<Fault>,
}

/// What a body is read by.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    /// The kind that it must be of.
    pub resource: &'a Resource,
    /// The schema of that kind.
    pub schema: &'a Schema,
    /// The name of the object, for refusals.
    pub name: &'a str,
    /// How unknown and repeated fields are met.
    pub validation: FieldValidation,
}

/// Where an object comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// From a body that describes it.
    Body,
    /// From a patch of the present one.
    Patch,
}

impl Reader<'_> {
    /// Reads a body that describes an object.
    pub fn body(&self, body: Decoded) -> Result<Draft, Refusal> {
        self.read(body.value, &body.duplicates, Source::Body)
    }

    /// Reads what a patch made of an object. `duplicates` are the fields that the patch repeats.
    pub(crate) fn patched(&self, value: Value, duplicates: &[String]) -> Result<Draft, Refusal> {
        if !value.is_object() {
            return Err(self.unpatchable("the patch leaves something that is not an object"));
        }
        self.read(value, duplicates, Source::Patch)
    }

    /// Unknown and repeated fields become warnings or a refusal; values of a wrong type are left out and become faults.
    fn read(&self, mut value: Value, duplicates: &[String], source: Source) -> Result<Draft, Refusal> {
        if !value.is_object() {
            return Err(Refusal::bad_request("the object provided is unrecognized: it must be a JSON object"));
        }
        self.check_type(&value)?;
        let Findings { unknown, faults } = self.schema.check(&mut value);
        let mut warnings = self.meet(&unknown, duplicates, source)?;
        let mut object = Object::from_value(value)
            .map_err(|error| Refusal::bad_request(format!("the object provided cannot be read: {error}")))?;
        object.api_version = self.resource.api_version();
        self.resource.kind.clone_into(&mut object.kind);
        warnings.extend(metadata::drop_repeated_owners(&mut object.metadata));
        Ok(Draft { object, warnings, faults })
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
        let fault = Fault { path, fault_type: FaultType::Invalid, message: format!("Invalid value: {why}") };
        Refusal::invalid(self.resource.group, self.resource.kind, self.name, &[fault])
    }
}
