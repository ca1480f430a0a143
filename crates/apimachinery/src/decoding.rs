//! A request body decoded and checked against the schema. Needs no server state, so it runs concurrently, one task per
//! request.

use serde_json::Value;

use crate::{
    body::Decoded,
    field::{FieldError, FieldErrorType, Path},
    metadata,
    object::Object,
    options::FieldValidation,
    resource::Resource,
    schema::{CheckResult, Schema},
    status_error::StatusError,
};

/// A decoded object.
#[derive(Clone, Debug)]
pub struct DecodedObject {
    /// The object, without unknown fields and without values of a wrong type.
    pub object: Object,
    /// For the `Warning` header.
    pub warnings: Vec<String>,
    /// Errors of values that were dropped because of their type or number.
    pub errors: Vec<FieldError>,
    /// The kind in the body, if it is not the kind of the request.
    pub mismatch: Option<KindMismatch>,
}

/// A kind that differs from the one of the request.
#[derive(Clone, Debug)]
pub struct KindMismatch {
    /// The group.
    pub group: String,
    /// The kind.
    pub kind: String,
    /// Field errors on `kind` and `apiVersion`.
    pub errors: Vec<FieldError>,
}

/// Parameters for decoding a body.
#[derive(Clone, Copy, Debug)]
pub struct ObjectDecoder<'a> {
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
enum InputKind {
    /// A body with the whole object.
    Body,
    /// The result of a patch on the current object.
    Patch,
}

impl KindMismatch {
    /// True if the API version differs, in which case the fields of the kind are unknown.
    pub fn is_version_mismatch(&self) -> bool {
        self.errors.iter().any(|error| error.path.as_str() == "apiVersion")
    }
}

impl InputKind {
    /// Warning about repeated owner references, worded as Kubernetes does.
    fn duplicate_owner_warning(self, uids: &[String]) -> String {
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

impl ObjectDecoder<'_> {
    /// Decodes a body that contains an object.
    pub fn decode_body(&self, body: Decoded) -> Result<DecodedObject, StatusError> {
        self.decode(body.value, &body.duplicates, InputKind::Body)
    }

    /// Decodes the result of a patch. `duplicates` are the paths that the patch repeats.
    pub(crate) fn decode_patched(&self, value: Value, duplicates: &[String]) -> Result<DecodedObject, StatusError> {
        if !value.is_object() {
            return Err(self.invalid_patch_error("the result of the patch is not an object"));
        }
        self.decode(value, duplicates, InputKind::Patch)
    }

    /// Decodes an object. Unknown and repeated fields become warnings or an API error; values of a wrong type are
    /// dropped and become field errors.
    fn decode(&self, mut value: Value, duplicates: &[String], input: InputKind) -> Result<DecodedObject, StatusError> {
        if !value.is_object() {
            return Err(StatusError::bad_request("the object provided is unrecognized: it must be a JSON object"));
        }
        let mismatch = self.check_gvk(&value, input)?;
        let CheckResult { unknown, errors } = self.schema.check(&mut value);
        if let Some(fault) = errors.iter().find(|fault| is_type_meta_or_metadata(fault)) {
            return Err(self.decoding_error(&fault.to_string(), input));
        }
        // The fields of another kind are unknown, so none are reported.
        let unknown = if mismatch.is_none() { unknown } else { Vec::new() };
        let mut warnings = self.apply_field_validation(&unknown, duplicates, input)?;
        let mut object = Object::from_value(value).map_err(|error| self.decoding_error(&error.to_string(), input))?;
        object.api_version = self.resource.api_version();
        self.resource.kind.clone_into(&mut object.kind);
        let repeated = metadata::dedup_owner_references(&mut object.metadata);
        if !repeated.is_empty() {
            warnings.push(input.duplicate_owner_warning(&repeated));
        }
        Ok(DecodedObject { object, warnings, errors, mismatch })
    }

    /// Compares `apiVersion` and `kind` with those expected. A body may omit them, but a patch may not remove them.
    fn check_gvk(&self, value: &Value, input: InputKind) -> Result<Option<KindMismatch>, StatusError> {
        let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
        let is_gone = |name: &&str| value.get(name).is_none_or(|value| value.is_null() || value == "");
        let removed = ["kind", "apiVersion"].into_iter().find(is_gone).filter(|_| input == InputKind::Patch);
        if let Some(name) = removed {
            return Err(self.invalid_patch_error(&format!("the patch removes {name}")));
        }
        let (found, expected) = (text("apiVersion"), self.resource.api_version());
        let is_other = |found: &str, expected: &str| !found.is_empty() && found != expected;
        if is_other(found, &expected) && input == InputKind::Body {
            return Err(StatusError::bad_request(format!(
                "the API version in the data ({found}) does not match the expected API version ({expected})"
            )));
        }
        let all = [("kind", self.resource.kind), ("apiVersion", expected.as_str())];
        let others = all.into_iter().filter(|(name, expected)| is_other(text(name), expected));
        let errors: Vec<FieldError> = others
            .map(|(name, expected)| FieldError::invalid(Path::new(name), text(name), &format!("must be {expected}")))
            .collect();
        let group = found.rsplit_once('/').map_or("", |(group, _)| group).to_owned();
        Ok((!errors.is_empty()).then(|| KindMismatch { group, kind: text("kind").to_owned(), errors }))
    }

    /// Applies `fieldValidation` to unknown and repeated fields: returns warnings, or an API error if strict.
    fn apply_field_validation(
        &self,
        unknown: &[String],
        duplicates: &[String],
        input: InputKind,
    ) -> Result<Vec<String>, StatusError> {
        let unknown = unknown.iter().map(|path| format!("unknown field \"{path}\""));
        let repeated = duplicates.iter().map(|path| format!("duplicate field \"{path}\""));
        let texts: Vec<String> = unknown.chain(repeated).collect();
        match self.validation {
            _ if texts.is_empty() => Ok(texts),
            FieldValidation::Ignore => Ok(Vec::new()),
            FieldValidation::Warn => Ok(texts),
            FieldValidation::Strict => {
                Err(self.decoding_error(&format!("strict decoding error: {}", texts.join(", ")), input))
            }
        }
    }

    /// API error for an object that cannot be decoded.
    fn decoding_error(&self, why: &str, input: InputKind) -> StatusError {
        let (kind, version) = (self.resource.kind, self.resource.version);
        match input {
            InputKind::Patch => self.invalid_patch_error(why),
            InputKind::Body => StatusError::bad_request(format!(
                "{kind} in version \"{version}\" cannot be handled as a {kind}: {why}"
            )),
        }
    }

    /// 422 on the field `patch`.
    fn invalid_patch_error(&self, why: &str) -> StatusError {
        let path = Path::new("patch");
        let error = FieldError { path, error_type: FieldErrorType::Invalid, message: format!("Invalid value: {why}") };
        StatusError::invalid(self.resource.group, self.resource.kind, self.name, &[error])
    }
}

/// True if this error prevents all further processing: it is in `apiVersion`, `kind` or `metadata`. A list that is too
/// long does not.
fn is_type_meta_or_metadata(error: &FieldError) -> bool {
    let is_there =
        || ["apiVersion", "kind", "metadata"].iter().any(|top| Path::new(*top).is_prefix_of(error.path.as_str()));
    error.error_type != FieldErrorType::TooMany && is_there()
}
