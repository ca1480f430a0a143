//! API errors: the reason why a request failed, and its encoding as `meta.k8s.io/v1 Status`.
//!
//! The whole project uses one closed list of reasons; a new reason is added only if clients act differently on it.

use std::{collections::BTreeSet, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    field::FieldError,
    limits::{CAUSES_BYTES_MAX, CAUSES_MAX, MESSAGE_BYTES_MAX, QUOTED_BYTES_MAX},
    object::Object,
    resource::group_resource,
};

/// The reason of an API error, on which clients branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StatusReason {
    /// 400: the request is malformed.
    BadRequest,
    /// 401: the caller is not authenticated.
    Unauthorized,
    /// 403: the caller is not authorized.
    Forbidden,
    /// 404: the object does not exist.
    NotFound,
    /// 405: the resource does not support this verb.
    MethodNotAllowed,
    /// 406: no representation that the client accepts.
    NotAcceptable,
    /// 409: an object of this name exists.
    AlreadyExists,
    /// 409: the current state of the object, or of related objects, does not allow the request. Not used for a create,
    /// because clients then assume a stale version of an existing object.
    Conflict,
    /// 410: the requested history has been compacted.
    Expired,
    /// 413: larger than a limit.
    RequestEntityTooLarge,
    /// 415: the format of the body is not supported.
    UnsupportedMediaType,
    /// 422: field errors.
    Invalid,
    /// 429: retry later.
    TooManyRequests,
    /// 500: an internal error.
    InternalError,
    /// 503: temporarily unavailable, for example during startup or shutdown.
    ServiceUnavailable,
    /// 504: the time limit of the request is exceeded.
    Timeout,
    /// 507: no free block of the requested length.
    InsufficientStorage,
}

impl StatusReason {
    /// The HTTP status code.
    pub fn code(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::NotAcceptable => 406,
            Self::AlreadyExists | Self::Conflict => 409,
            Self::Expired => 410,
            Self::RequestEntityTooLarge => 413,
            Self::UnsupportedMediaType => 415,
            Self::Invalid => 422,
            Self::TooManyRequests => 429,
            Self::InternalError => 500,
            Self::ServiceUnavailable => 503,
            Self::Timeout => 504,
            Self::InsufficientStorage => 507,
        }
    }

    /// The spelling in a Status.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "BadRequest",
            Self::Unauthorized => "Unauthorized",
            Self::Forbidden => "Forbidden",
            Self::NotFound => "NotFound",
            Self::MethodNotAllowed => "MethodNotAllowed",
            Self::NotAcceptable => "NotAcceptable",
            Self::AlreadyExists => "AlreadyExists",
            Self::Conflict => "Conflict",
            Self::Expired => "Expired",
            Self::RequestEntityTooLarge => "RequestEntityTooLarge",
            Self::UnsupportedMediaType => "UnsupportedMediaType",
            Self::Invalid => "Invalid",
            Self::TooManyRequests => "TooManyRequests",
            Self::InternalError => "InternalError",
            Self::ServiceUnavailable => "ServiceUnavailable",
            Self::Timeout => "Timeout",
            Self::InsufficientStorage => "InsufficientStorage",
        }
    }
}

/// One cause of an API error.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cause {
    /// Type of the cause, such as `FieldValueInvalid`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Human-readable description.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Path of the field.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field: String,
}

/// Structured part of a Status.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Details {
    /// Name of the object.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// API group of the object.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// Plural resource; for [`StatusReason::Invalid`] the kind.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Uid of the object.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// The causes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Cause>,
    /// Seconds after which the client should retry; 0: do not retry.
    #[serde(skip_serializing_if = "is_zero")]
    pub retry_after_seconds: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde requires")]
fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// An API error. [`StatusError::to_status`] is its form on the wire.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct StatusError {
    /// The reason.
    pub reason: StatusReason,
    /// Human-readable: the request, why it failed, and possibly what would work.
    pub message: String,
    /// Object and causes.
    pub details: Box<Details>,
    /// Values for the `Warning` header from before the failure.
    pub warnings: Vec<String>,
    /// The numbers that the request needed and that others hold, until [`StatusError::with_holders`] adds the holders.
    pub occupied: Option<Box<OccupiedRange>>,
    /// Another object because of which the request failed, if an event about that object should be recorded
    /// ([`crate::kind::Kind::event_for_error`]).
    pub regarding: Option<Arc<Object>>,
}

/// Numbers of a space that a request needed and of which others hold some or all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OccupiedRange {
    /// The space.
    pub space: String,
    /// The first number.
    pub first: u128,
    /// The last number.
    pub last: u128,
}

impl StatusError {
    /// Creates an API error without details.
    pub fn new(reason: StatusReason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            details: Box::default(),
            warnings: Vec::new(),
            occupied: None,
            regarding: None,
        }
    }

    /// 400.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusReason::BadRequest, message)
    }

    /// 404: `ippools.ipam.miloapis.com "x" not found`.
    pub fn not_found(group: &str, plural: &str, name: &str) -> Self {
        Self::new(StatusReason::NotFound, format!("{} \"{name}\" not found", group_resource(plural, group)))
            .with_details(group, plural, name)
    }

    /// 409: an object of this name exists.
    pub fn already_exists(group: &str, plural: &str, name: &str) -> Self {
        Self::new(StatusReason::AlreadyExists, format!("{} \"{name}\" already exists", group_resource(plural, group)))
            .with_details(group, plural, name)
    }

    /// 409: `Operation cannot be fulfilled on ippools.ipam.miloapis.com "x": <why>`.
    pub fn conflict(group: &str, plural: &str, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {} \"{name}\": {why}", group_resource(plural, group));
        Self::new(StatusReason::Conflict, message).with_details(group, plural, name)
    }

    /// 422: `IPPool.ipam.miloapis.com "x" is invalid: <errors>`. The message omits duplicates, the causes do not.
    pub fn invalid(group: &str, kind: &str, name: &str, errors: &[FieldError]) -> Self {
        Self::invalid_for(group, kind, name, errors.iter().map(Cause::from).collect())
    }

    /// 422 from causes, some of which may come from another API error. Keeps [`CAUSES_MAX`] causes and states the
    /// number of the others.
    pub fn invalid_for(group: &str, kind: &str, name: &str, mut causes: Vec<Cause>) -> Self {
        let more = causes.len().saturating_sub(CAUSES_MAX);
        causes.truncate(CAUSES_MAX);
        let mut seen = BTreeSet::new();
        let texts = causes
            .iter()
            .map(|cause| format!("{}: {}", cause.field, cause.message))
            .filter(|text| seen.insert(text.clone()));
        let more = (more > 0).then(|| format!("and {more} more"));
        let texts: Vec<String> = texts.chain(more).collect();
        let list = match texts.as_slice() {
            [only] => only.clone(),
            several => format!("[{}]", several.join(", ")),
        };
        let message = format!("{} \"{name}\" is invalid: {list}", group_resource(kind, group));
        let mut refusal = Self::new(StatusReason::Invalid, message).with_details(group, kind, name);
        refusal.details.causes = causes;
        refusal
    }

    /// Sets the object in the details: group, plural resource (or kind) and name.
    #[must_use]
    pub fn with_details(mut self, group: &str, kind: &str, name: &str) -> Self {
        group.clone_into(&mut self.details.group);
        kind.clone_into(&mut self.details.kind);
        name.clone_into(&mut self.details.name);
        self
    }

    /// Adds a cause.
    #[must_use]
    pub fn with_cause(mut self, error: &FieldError) -> Self {
        self.details.causes.push(Cause::from(error));
        self
    }

    /// Sets the numbers that the request needed and that others hold. [`StatusError::with_holders`] adds the holders
    /// later, because a decision has no access to them.
    #[must_use]
    pub fn occupied(mut self, occupied: OccupiedRange) -> Self {
        self.occupied = Some(Box::new(occupied));
        self
    }

    /// Adds the holders of the needed numbers: one cause each, on the field of the first cause, and in the message.
    #[must_use]
    pub fn with_holders(mut self, holders: &[String]) -> Self {
        if holders.is_empty() {
            return self;
        }
        let field = self.details.causes.first().map(|cause| cause.field.clone()).unwrap_or_default();
        let texts: Vec<String> = holders.iter().map(|holder| format!("held by {holder}")).collect();
        let list = texts.join(", ");
        let causes =
            texts.into_iter().map(|message| Cause { reason: "HeldBy".to_owned(), message, field: field.clone() });
        self.details.causes.extend(causes);
        if self.reason == StatusReason::Invalid {
            let Details { group, kind, name, causes, .. } = *self.details;
            return Self::invalid_for(&group, &kind, &name, causes).with_warnings(self.warnings);
        }
        self.message = format!("{}; {list}", self.message);
        self
    }

    /// Inserts earlier warnings before its own.
    #[must_use]
    pub fn with_warnings(mut self, warnings: Vec<String>) -> Self {
        self.warnings.splice(..0, warnings);
        self
    }

    /// Sets the other object because of which the request failed.
    #[must_use]
    pub fn regarding(mut self, object: &Arc<Object>) -> Self {
        self.regarding = Some(Arc::clone(object));
        self
    }

    /// Sets the seconds after which the client may retry.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.details.retry_after_seconds = seconds;
        self
    }

    /// Encodes the error as a Status. All size limits are applied here: the JSON stays below 64 KiB, even if it quotes
    /// long strings of the request.
    pub fn to_status(&self) -> Status {
        let details = (*self.details != Details::default()).then(|| self.details.bounded());
        Status {
            kind: "Status".to_owned(),
            api_version: "v1".to_owned(),
            metadata: serde_json::Map::new(),
            status: "Failure".to_owned(),
            message: bounded(&self.message, MESSAGE_BYTES_MAX),
            reason: self.reason.as_str().to_owned(),
            details,
            code: self.reason.code(),
        }
    }
}

impl Details {
    /// Returns the details within the limits.
    fn bounded(&self) -> Self {
        let mut room = CAUSES_BYTES_MAX;
        let causes = self.causes.iter().take(CAUSES_MAX).map(|cause| Cause {
            reason: bounded(&cause.reason, QUOTED_BYTES_MAX),
            message: bounded(&cause.message, 4 * QUOTED_BYTES_MAX),
            field: bounded(&cause.field, 4 * QUOTED_BYTES_MAX),
        });
        let fits = |cause: &Cause| {
            let bytes = [&cause.reason, &cause.message, &cause.field].map(|text| json_bytes(text)).iter().sum();
            room.checked_sub(bytes).is_some_and(|left| {
                room = left;
                true
            })
        };
        Self {
            name: bounded(&self.name, QUOTED_BYTES_MAX),
            group: bounded(&self.group, QUOTED_BYTES_MAX),
            kind: bounded(&self.kind, QUOTED_BYTES_MAX),
            uid: bounded(&self.uid, QUOTED_BYTES_MAX),
            causes: causes.take_while(fits).collect(),
            retry_after_seconds: self.retry_after_seconds,
        }
    }
}

/// Truncates a text to `json_bytes_max` bytes of JSON, and then appends how many bytes are omitted.
fn bounded(text: &str, json_bytes_max: usize) -> String {
    let mut bytes = 0;
    let end = text.char_indices().find(|(_, character)| {
        bytes += json_bytes_of(*character);
        bytes > json_bytes_max
    });
    match end {
        None => text.to_owned(),
        Some((end, _)) => format!("{}... ({} more bytes)", &text[..end], text.len() - end),
    }
}

fn json_bytes(text: &str) -> usize {
    text.chars().map(json_bytes_of).sum()
}

/// Length of a character in a JSON string, in bytes.
fn json_bytes_of(character: char) -> usize {
    match character {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        '\0'..='\u{1f}' => 6,
        other => other.len_utf8(),
    }
}

impl From<&FieldError> for Cause {
    fn from(error: &FieldError) -> Self {
        Self {
            reason: error.error_type.as_str().to_owned(),
            message: error.message.clone(),
            field: error.path.to_string(),
        }
    }
}

/// `meta.k8s.io/v1 Status` on the wire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Always `Status`.
    pub kind: String,
    /// Always `v1`.
    pub api_version: String,
    /// Empty, or `continue` of a list.
    #[serde(default)]
    pub metadata: serde_json::Map<String, serde_json::Value>,
    /// `Success` or `Failure`.
    pub status: String,
    /// Human-readable description.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Machine-readable reason.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Object and causes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Details>,
    /// HTTP status code; 0 and omitted for success.
    #[serde(default, skip_serializing_if = "is_zero_code")]
    pub code: u16,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde requires")]
fn is_zero_code(n: &u16) -> bool {
    *n == 0
}

impl Status {
    /// The response to a completed delete.
    pub fn success(details: Details) -> Self {
        Self {
            kind: "Status".to_owned(),
            api_version: "v1".to_owned(),
            metadata: serde_json::Map::new(),
            status: "Success".to_owned(),
            message: String::new(),
            reason: String::new(),
            details: Some(details),
            code: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::{FieldErrorType, Path};

    #[test]
    fn message_omits_duplicate_errors_and_causes_keep_them() {
        let error = |field: &str| FieldError::required(Path::new(field), "");
        let invalid = |errors: &[FieldError]| {
            let refusal = StatusError::invalid("g", "K", "n", errors);
            (refusal.message, refusal.details.causes.len())
        };
        let once = "K.g \"n\" is invalid: a: Required value";
        assert_eq!(invalid(&[error("a")]), (once.to_owned(), 1));
        assert_eq!(invalid(&[error("a"), error("a")]), (once.to_owned(), 2));
        let both = "K.g \"n\" is invalid: [a: Required value, b: Required value]";
        assert_eq!(invalid(&[error("a"), error("b"), error("a")]), (both.to_owned(), 3));
    }

    #[test]
    fn holders_are_added_to_message_and_causes() {
        let holders = ["A x/a", "B b", "others"].map(str::to_owned);
        let taken = FieldError {
            path: Path::new("a"),
            error_type: FieldErrorType::Other("Taken"),
            message: "taken".to_owned(),
        };
        let warned = |refusal: StatusError| refusal.with_warnings(vec!["w".to_owned()]);
        let invalid = warned(StatusError::invalid("g", "K", "n", std::slice::from_ref(&taken))).with_holders(&holders);
        let message = "K.g \"n\" is invalid: [a: taken, a: held by A x/a, a: held by B b, a: held by others]";
        let conflict = warned(StatusError::conflict("g", "ks", "n", "in use")).with_holders(&holders);
        let in_use = "Operation cannot be fulfilled on ks.g \"n\": in use; held by A x/a, held by B b, held by others";
        for (refusal, reason, message, field) in
            [(invalid, StatusReason::Invalid, message, "a"), (conflict, StatusReason::Conflict, in_use, "")]
        {
            assert_eq!((refusal.reason, refusal.message.as_str(), refusal.warnings.len()), (reason, message, 1));
            let last = refusal.details.causes.last().unwrap();
            let words = (last.reason.as_str(), last.message.as_str(), last.field.as_str());
            assert_eq!(words, ("HeldBy", "held by others", field));
        }
        let unnamed = StatusError::invalid("g", "K", "n", &[taken]);
        assert_eq!(unnamed.clone().with_holders(&[]), unnamed);
    }

    #[test]
    fn status_size_is_bounded() {
        for text in ["x", "\u{1}", "\"", "é\n"] {
            let long = text.repeat(50_000);
            let cause = Cause { reason: long.clone(), message: long.clone(), field: long.clone() };
            let few = StatusError::invalid_for(&long, &long, &long, vec![cause; 10]);
            let many =
                (0..5_000).map(|n| FieldError::invalid(Path::new(format!("{n}{text}")), text.repeat(500), "why"));
            let many = StatusError::invalid("g", "K", "n", &many.collect::<Vec<_>>());
            assert_eq!(many.details.causes.len(), CAUSES_MAX);
            assert!(many.message.ends_with(", and 4900 more]"), "{:.50}", many.message);
            for refusal in [few, many, StatusError::bad_request(long)] {
                let status = serde_json::to_vec_pretty(&refusal.to_status()).unwrap();
                assert!(status.len() < 64 * 1024, "{} bytes of {text:?}", status.len());
            }
        }
    }
}
