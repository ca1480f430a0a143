//! Conditions, and validation of writes to the status subresource.
//!
//! The service owns every status field except conditions of other types than its own two. Those belong to users'
//! controllers and tools, and the service preserves them. A status write that changes a field owned by the service is
//! rejected, not corrected: a client with an outdated status must read the object again first.

use apimachinery::{
    field::{FieldError, Path},
    object::Object,
    status_error::StatusError,
    time::Time,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::spec;

/// Condition type: the object has a block.
pub const ALLOCATED: &str = "Allocated";
/// Condition type: the object can be used.
pub const READY: &str = "Ready";

/// One aspect of the state of an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// The type of the condition. Allocated and Ready are set by the service; other types may be used by clients.
    #[serde(rename = "type")]
    pub condition_type: String,
    /// The status of the condition: True, False or Unknown.
    pub status: ConditionStatus,
    /// The generation of the object for which the condition was set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The time at which the status last changed.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub last_transition_time: Time,
    /// A machine-readable reason for the last change, in CamelCase.
    pub reason: String,
    /// A human-readable message with details.
    pub message: String,
}

/// The status of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConditionStatus {
    /// The condition is met.
    True,
    /// The condition is not met.
    False,
    /// It is not known whether the condition is met.
    Unknown,
}

impl ConditionStatus {
    fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// Sets the condition of this type in `conditions`. `lastTransitionTime` changes only with the status.
pub(crate) fn set(
    conditions: &mut Vec<Value>,
    condition_type: &str,
    status: ConditionStatus,
    (reason, message): (&str, &str),
    now: Time,
) {
    let old = conditions.iter().position(|condition| condition["type"] == condition_type);
    let since = old
        .map(|idx| &conditions[idx])
        .filter(|condition| condition["status"] == status.as_str())
        .and_then(|condition| condition["lastTransitionTime"].as_str().map(str::to_owned))
        .unwrap_or_else(|| now.to_string());
    let condition = json!({
        "type": condition_type,
        "status": status.as_str(),
        "lastTransitionTime": since,
        "reason": reason,
        "message": message,
    });
    match old {
        Some(idx) => conditions[idx] = condition,
        None => conditions.push(condition),
    }
}

/// Returns the conditions of an object that a dry run leaves without a block.
pub(crate) fn pending(why: &StatusError, now: Time) -> Vec<Value> {
    let reason = why.details.causes.first().map_or("PoolNotFound", |cause| cause.reason.as_str());
    let mut conditions = Vec::with_capacity(2);
    for condition_type in [ALLOCATED, READY] {
        set(&mut conditions, condition_type, ConditionStatus::False, (reason, &why.message), now);
    }
    conditions
}

/// Serializes a status with these conditions, which are moved, not copied.
pub(crate) fn status_with(conditions: Vec<Value>, status: &impl Serialize) -> Value {
    let mut value = serde_json::to_value(status).expect("a status has only strings for keys");
    value["conditions"] = Value::Array(conditions);
    value
}

/// Returns all conditions of a stored status.
pub(crate) fn in_status(status: &Value) -> Vec<Value> {
    status["conditions"].as_array().cloned().unwrap_or_default()
}

/// Returns the field errors of a write to `/status` that replaces the status of `old`. `allocatedCIDR` may be spelled
/// differently; the service's spelling is kept.
pub(crate) fn check_status_write(old: &Object, new: &mut Object) -> Vec<FieldError> {
    let block = |object: &Object| spec::stored_block(object.text("/status/allocatedCIDR"));
    let is_same = block(old).is_some_and(|held| block(new) == Some(held));
    if let Some(status) = new.fields.get_mut("status").filter(|_| is_same) {
        status["allocatedCIDR"] = old.field("status")["allocatedCIDR"].clone();
    }
    let (old, new) = (old.field("status"), new.field("status"));
    let path = Path::new("status");
    let mut errors = Vec::new();
    compare_owned(&path, old, new, &mut errors);
    let path = path.child("conditions");
    let (old, new) = (in_status(old), in_status(new));
    for condition_type in [ALLOCATED, READY] {
        if find(&old, condition_type) != find(&new, condition_type) {
            errors.push(owned(path.key(condition_type)));
        }
    }
    for (idx, condition) in new.iter().enumerate() {
        for name in ["type", "status"] {
            if condition[name].as_str().unwrap_or_default().is_empty() {
                errors.push(FieldError::required(path.index(idx).child(name), ""));
            }
        }
    }
    errors
}

/// Adds a field error for each leaf that differs, except conditions.
fn compare_owned(path: &Path, old: &Value, new: &Value, errors: &mut Vec<FieldError>) {
    let names = |value: &Value| value.as_object().into_iter().flat_map(Map::keys).cloned().collect::<Vec<_>>();
    let mut all = names(old);
    all.extend(names(new));
    all.sort_unstable();
    all.dedup();
    all.retain(|name| name != "conditions" && old.get(name) != new.get(name));
    for name in all {
        let (old, new) = (&old[&name], &new[&name]);
        if old.is_object() || new.is_object() {
            compare_owned(&path.child(&name), old, new, errors);
        } else {
            errors.push(owned(path.child(&name)));
        }
    }
}

fn find<'a>(conditions: &'a [Value], condition_type: &str) -> Option<&'a Value> {
    conditions.iter().find(|condition| condition["type"] == condition_type)
}

fn owned(path: Path) -> FieldError {
    FieldError::forbidden(path, "is set by the service")
}
