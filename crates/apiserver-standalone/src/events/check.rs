//! Validation of events (`k8s.io/kubernetes/pkg/apis/core/validation/events.go`). Field errors use the names of the
//! version of the request.

use apimachinery::{
    field::{FieldError, Path},
    metadata::is_qualified_name,
    object::Object,
    view::View,
};
use jiff::Timestamp;
use serde_json::Value;

use super::super::namespace::PROTECTED;
use crate::limits::{EVENT_NOTE_BYTES_MAX, EVENT_WORD_BYTES_MAX};

const TYPES: [&str; 2] = ["Normal", "Warning"];

/// The fields that must not be set in the newer version.
const DEPRECATED: [&str; 4] = ["firstTimestamp", "lastTimestamp", "count", "source"];
/// The fields that are immutable in the newer version.
const IMMUTABLE: [&str; 13] = [
    "involvedObject",
    "reason",
    "message",
    "source",
    "firstTimestamp",
    "lastTimestamp",
    "count",
    "type",
    "eventTime",
    "action",
    "related",
    "reportingComponent",
    "reportingInstance",
];

/// An event, and the version of the request.
pub struct EventCase<'a> {
    pub event: &'a Object,
    pub view: Option<&'static View>,
}

impl EventCase<'_> {
    fn name(&self, stored: &'static str) -> &'static str {
        self.view.map_or(stored, |view| view.name(stored))
    }

    fn path(&self, stored: &'static str) -> Path {
        Path::new(self.name(stored))
    }

    fn field(&self, stored: &'static str) -> &Value {
        self.event.field(self.name(stored))
    }

    fn text(&self, stored: &'static str) -> &str {
        self.field(stored).as_str().unwrap_or_default()
    }

    /// The field errors that any event may have. An event without `eventTime` follows the rules of the older version.
    fn validate_common(&self) -> Vec<FieldError> {
        let mut errors: Vec<FieldError> = self.validate_namespace().into_iter().collect();
        if self.text("eventTime").is_empty() {
            return errors;
        }
        for (name, bytes_max) in [
            ("reportingComponent", usize::MAX),
            ("reportingInstance", EVENT_WORD_BYTES_MAX),
            ("action", EVENT_WORD_BYTES_MAX),
            ("reason", EVENT_WORD_BYTES_MAX),
        ] {
            errors.extend(self.text(name).is_empty().then(|| FieldError::required(self.path(name), "")));
            errors.extend(self.validate_length(name, bytes_max));
        }
        let component = self.text("reportingComponent");
        if !component.is_empty() {
            let unqualified = is_qualified_name(component).err();
            errors.extend(unqualified.map(|why| FieldError::invalid(self.path("reportingComponent"), component, &why)));
        }
        errors.extend(self.validate_length("message", EVENT_NOTE_BYTES_MAX));
        errors
    }

    /// Events are in the namespace of their object; those about cluster-scoped objects are in `default`.
    fn validate_namespace(&self) -> Option<FieldError> {
        let own = self.event.metadata.namespace.as_str();
        let regarded = self.field("involvedObject")["namespace"].as_str().unwrap_or_default();
        let has_time = !self.text("eventTime").is_empty();
        let agrees = match regarded {
            "" if has_time => PROTECTED.contains(&own),
            "" => own == "default",
            regarded => has_time || regarded == own,
        };
        let path = self.path("involvedObject").child("namespace");
        (!agrees).then(|| FieldError::invalid(path, regarded, "does not match event.namespace"))
    }

    fn validate_length(&self, name: &'static str, bytes_max: usize) -> Option<FieldError> {
        let detail = || format!("can have at most {bytes_max} characters");
        (self.text(name).len() > bytes_max).then(|| FieldError::invalid(self.path(name), "", &detail()))
    }

    fn validate_series(&self) -> Vec<FieldError> {
        let (path, series) = (self.path("series"), self.field("series"));
        if series.is_null() {
            return Vec::new();
        }
        let few = series["count"].as_i64().unwrap_or_default() < 2;
        let few = few.then(|| FieldError::invalid(path.child("count"), "", "should be at least 2"));
        let untimed = series["lastObservedTime"].is_null();
        let untimed = untimed.then(|| FieldError::required(path.child("lastObservedTime"), ""));
        few.into_iter().chain(untimed).collect()
    }
}

/// All field errors of a new event.
pub fn create(case: &EventCase<'_>) -> Vec<FieldError> {
    let mut errors = case.validate_common();
    if case.view.is_none() {
        return errors;
    }
    errors.extend(case.validate_series());
    if case.text("eventTime").is_empty() {
        errors.push(FieldError::required(case.path("eventTime"), ""));
    }
    let severity = case.text("type");
    if !TYPES.contains(&severity) {
        errors.push(FieldError::invalid(case.path("type"), "", &format!("has invalid value: {severity}")));
    }
    let set = DEPRECATED.into_iter().filter(|name| !is_zero_value(case.field(name)));
    errors.extend(set.map(|name| FieldError::invalid(case.path(name), "", "needs to be unset")));
    errors
}

/// All field errors of a change.
pub fn update(old: &Object, case: &EventCase<'_>) -> Vec<FieldError> {
    let mut errors = case.validate_common();
    if case.view.is_none() {
        return errors;
    }
    let old = EventCase { event: old, view: case.view };
    if !is_same(old.field("series"), case.field("series")) {
        errors.extend(case.validate_series());
    }
    let changed = IMMUTABLE.into_iter().filter(|name| !is_same(old.field(name), case.field(name)));
    errors.extend(
        changed.map(|name| FieldError::invalid(case.path(name), case.field(name).clone(), "field is immutable")),
    );
    errors
}

/// An empty string, a zero and an object of such values are equivalent to an absent field, as in Go.
fn is_zero_value(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Number(number) => number.as_i64() == Some(0),
        Value::Object(fields) => fields.values().all(is_zero_value),
        Value::Bool(_) | Value::Array(_) => false,
    }
}

/// True if two fields have the same value. The same time may be written in several ways.
fn is_same(one: &Value, other: &Value) -> bool {
    let time = |value: &Value| value.as_str().and_then(|text| text.parse::<Timestamp>().ok());
    match (one, other) {
        (Value::Object(fields), Value::Object(others)) => {
            let mut names = fields.keys().chain(others.keys());
            names.all(|name| is_same(&one[name.as_str()], &other[name.as_str()]))
        }
        (one, other) if is_zero_value(one) => is_zero_value(other),
        (one, other) => one == other || time(one).is_some_and(|one| time(other) == Some(one)),
    }
}
