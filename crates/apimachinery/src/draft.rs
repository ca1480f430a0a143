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
    /// What it says to be instead, if it says to be of another kind.
    pub other: Option<Other>,
}

/// Another kind than the one that is written.
#[derive(Clone, Debug)]
pub struct Other {
    /// Its group.
    pub group: String,
    /// Its name.
    pub kind: String,
    /// That it should be another.
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

impl Other {
    /// Whether it is of another version, so that not even its fields are known.
    pub fn is_of_other_version(&self) -> bool {
        self.faults.iter().any(|fault| fault.path.as_str() == "apiVersion")
    }
}

impl Source {
    /// The warning of owners that were named several times, in the words of Kubernetes.
    fn on_repeated_owners(self, uids: &[String]) -> String {
        let when = match self {
            Self::Body => "",
            Self::Patch => " after mutating admission happens",
        };
        format!(
            ".metadata.ownerReferences contains duplicate entries{when}; API server dedups owner references in 1.20+, and \
             may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: {}",
            uids.join(", ")
        )
    }
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
        let other = self.check_type(&value, source)?;
        let Findings { unknown, faults } = self.schema.check(&mut value);
        if let Some(fault) = faults.iter().find(|fault| is_read_first(fault)) {
            return Err(self.unreadable(&fault.to_string(), source));
        }
        // Of another kind nobody knows which fields it has.
        let unknown = if other.is_none() { unknown } else { Vec::new() };
        let mut warnings = self.meet(&unknown, duplicates, source)?;
        let mut object = Object::from_value(value).map_err(|error| self.unreadable(&error.to_string(), source))?;
        object.api_version = self.resource.api_version();
        self.resource.kind.clone_into(&mut object.kind);
        let repeated = metadata::drop_repeated_owners(&mut object.metadata);
        if !repeated.is_empty() {
            warnings.push(source.on_repeated_owners(&repeated));
        }
        Ok(Draft { object, warnings, faults, other })
    }

    /// `apiVersion` and `kind` may be left out of a body, but a patch may not take them away.
    fn check_type(&self, value: &Value, source: Source) -> Result<Option<Other>, Refusal> {
        let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
        let is_gone = |name: &&str| value.get(name).is_none_or(|value| value.is_null() || value == "");
        let removed = ["kind", "apiVersion"].into_iter().find(is_gone).filter(|_| source == Source::Patch);
        if let Some(name) = removed {
            return Err(self.unpatchable(&format!("the patch takes {name} away")));
        }
        let (found, expected) = (text("apiVersion"), self.resource.api_version());
        let is_other = |found: &str, expected: &str| !found.is_empty() && found != expected;
        if is_other(found, &expected) && source == Source::Body {
            return Err(Refusal::bad_request(format!(
                "the API version in the data ({found}) does not match the expected API version ({expected})"
            )));
        }
        let all = [("kind", self.resource.kind), ("apiVersion", expected.as_str())];
        let others = all.into_iter().filter(|(name, expected)| is_other(text(name), expected));
        let faults: Vec<Fault> = others
            .map(|(name, expected)| Fault::invalid(Path::new(name), text(name), &format!("must be {expected}")))
            .collect();
        let group = found.rsplit_once('/').map_or("", |(group, _)| group).to_owned();
        Ok((!faults.is_empty()).then(|| Other { group, kind: text("kind").to_owned(), faults }))
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
                Err(self.unreadable(&format!("strict decoding error: {}", texts.join(", ")), source))
            }
        }
    }

    /// Of what is no object of the kind.
    fn unreadable(&self, why: &str, source: Source) -> Refusal {
        let (kind, version) = (self.resource.kind, self.resource.version);
        match source {
            Source::Patch => self.unpatchable(why),
            Source::Body => {
                Refusal::bad_request(format!("{kind} in version \"{version}\" cannot be handled as a {kind}: {why}"))
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

/// Whether nothing can be done with an object before this part of it has been read. A list that is too long can be done
/// without.
fn is_read_first(fault: &Fault) -> bool {
    let is_there = || ["apiVersion", "kind", "metadata"].iter().any(|top| Path::new(*top).covers(fault.path.as_str()));
    fault.fault_type != FaultType::TooMany && is_there()
}
