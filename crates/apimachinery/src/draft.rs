//! A request body decoded and checked against the schema. Needs no server state, so it runs concurrently, one task per
//! request.

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

/// A decoded object.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The object, without unknown fields and without values of a wrong type.
    pub object: Object,
    /// For the `Warning` header.
    pub warnings: Vec<String>,
    /// Errors of values that were dropped because of their type or number.
    pub faults: Vec<Fault>,
    /// The kind in the body, if it is not the kind of the request.
    pub other: Option<Other>,
}

/// A kind that differs from the one of the request.
#[derive(Clone, Debug)]
pub struct Other {
    /// The group.
    pub group: String,
    /// The kind.
    pub kind: String,
    /// Field errors on `kind` and `apiVersion`.
    pub faults: Vec<Fault>,
}

/// Parameters for decoding a body.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    /// The expected kind.
    pub resource: &'a Resource,
    /// The schema of that kind.
    pub schema: &'a Schema,
    /// Name of the object, for API errors.
    pub name: &'a str,
    /// Treatment of unknown and repeated fields.
    pub validation: FieldValidation,
}

/// Source of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// A body with the whole object.
    Body,
    /// The result of a patch on the current object.
    Patch,
}

impl Other {
    /// True if the API version differs, in which case the fields of the kind are unknown.
    pub fn is_of_other_version(&self) -> bool {
        self.faults.iter().any(|fault| fault.path.as_str() == "apiVersion")
    }
}

impl Source {
    /// Warning about repeated owner references, worded as Kubernetes does.
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
    /// Decodes a body that contains an object.
    pub fn body(&self, body: Decoded) -> Result<Draft, Refusal> {
        self.read(body.value, &body.duplicates, Source::Body)
    }

    /// Decodes the result of a patch. `duplicates` are the paths that the patch repeats.
    pub(crate) fn patched(&self, value: Value, duplicates: &[String]) -> Result<Draft, Refusal> {
        if !value.is_object() {
            return Err(self.unpatchable("the result of the patch is not an object"));
        }
        self.read(value, duplicates, Source::Patch)
    }

    /// Decodes an object. Unknown and repeated fields become warnings or an API error; values of a wrong type are
    /// dropped and become field errors.
    fn read(&self, mut value: Value, duplicates: &[String], source: Source) -> Result<Draft, Refusal> {
        if !value.is_object() {
            return Err(Refusal::bad_request("the object provided is unrecognized: it must be a JSON object"));
        }
        let other = self.check_type(&value, source)?;
        let Findings { unknown, faults } = self.schema.check(&mut value);
        if let Some(fault) = faults.iter().find(|fault| is_read_first(fault)) {
            return Err(self.unreadable(&fault.to_string(), source));
        }
        // The fields of another kind are unknown, so none are reported.
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

    /// Compares `apiVersion` and `kind` with those expected. A body may omit them, but a patch may not remove them.
    fn check_type(&self, value: &Value, source: Source) -> Result<Option<Other>, Refusal> {
        let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
        let is_gone = |name: &&str| value.get(name).is_none_or(|value| value.is_null() || value == "");
        let removed = ["kind", "apiVersion"].into_iter().find(is_gone).filter(|_| source == Source::Patch);
        if let Some(name) = removed {
            return Err(self.unpatchable(&format!("the patch removes {name}")));
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

    /// Applies `fieldValidation` to unknown and repeated fields: returns warnings, or an API error if strict.
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

    /// API error for an object that cannot be decoded.
    fn unreadable(&self, why: &str, source: Source) -> Refusal {
        let (kind, version) = (self.resource.kind, self.resource.version);
        match source {
            Source::Patch => self.unpatchable(why),
            Source::Body => {
                Refusal::bad_request(format!("{kind} in version \"{version}\" cannot be handled as a {kind}: {why}"))
            }
        }
    }

    /// 422 on the field `patch`.
    fn unpatchable(&self, why: &str) -> Refusal {
        let path = Path::new("patch");
        let fault = Fault { path, fault_type: FaultType::Invalid, message: format!("Invalid value: {why}") };
        Refusal::invalid(self.resource.group, self.resource.kind, self.name, &[fault])
    }
}

/// True if this error prevents all further processing: it is in `apiVersion`, `kind` or `metadata`. A list that is too
/// long does not.
fn is_read_first(fault: &Fault) -> bool {
    let is_there = || ["apiVersion", "kind", "metadata"].iter().any(|top| Path::new(*top).covers(fault.path.as_str()));
    fault.fault_type != FaultType::TooMany && is_there()
}
