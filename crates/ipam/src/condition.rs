//! Conditions, and who may write which part of a status.
//!
//! The service owns every field of a status but the conditions of other types than its own two: those are for
//! controllers and tools of the users, and survive whatever the service does. A write of a status that carries other
//! values of what the service owns is refused rather than corrected: a client that holds an outdated status must read
//! again before it writes.

use apimachinery::{
    field::{Fault, Path},
    object::Object,
    refusal::Refusal,
    time::Time,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::spec;

/// The condition that says whether there is a block.
pub const ALLOCATED: &str = "Allocated";
/// The condition that says whether the object can be used.
pub const READY: &str = "Ready";

/// One aspect of an object's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What aspect. Allocated and Ready are set by the service, other types are free for use.
    #[serde(rename = "type")]
    pub condition_type: String,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// The generation of the object that the condition was set for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// When the status last changed.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub last_transition_time: Time,
    /// One word on why, for programs.
    pub reason: String,
    /// A sentence on why, for people.
    pub message: String,
}

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not.
    False,
    /// Nobody knows.
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

/// Sets the condition of this type among `conditions`. Its transition time moves only with its status.
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

/// The conditions of an object that a dry run leaves without a block.
pub(crate) fn pending(why: &Refusal, now: Time) -> Vec<Value> {
    let reason = why.details.causes.first().map_or("PoolNotFound", |cause| cause.reason.as_str());
    let mut conditions = Vec::with_capacity(2);
    for condition_type in [ALLOCATED, READY] {
        set(&mut conditions, condition_type, ConditionStatus::False, (reason, &why.message), now);
    }
    conditions
}

/// A status as JSON, with these conditions: they are moved into it, not copied.
pub(crate) fn status_with(conditions: Vec<Value>, status: &impl Serialize) -> Value {
    let mut value = serde_json::to_value(status).expect("a status has only strings for keys");
    value["conditions"] = Value::Array(conditions);
    value
}

/// The conditions in a stored status, whoever wrote them.
pub(crate) fn in_status(status: &Value) -> Vec<Value> {
    status["conditions"].as_array().cloned().unwrap_or_default()
}

/// What is wrong with a status that a user wrote through `/status` in place of that of `old`. The block may be spelled in
/// any way; it is kept in the service's own.
pub(crate) fn check_status_write(old: &Object, new: &mut Object) -> Vec<Fault> {
    let block = |object: &Object| spec::stored_block(object.text("/status/allocatedCIDR"));
    let is_same = block(old).is_some_and(|held| block(new) == Some(held));
    if let Some(status) = new.fields.get_mut("status").filter(|_| is_same) {
        status["allocatedCIDR"] = old.field("status")["allocatedCIDR"].clone();
    }
    let (old, new) = (old.field("status"), new.field("status"));
    let path = Path::new("status");
    let mut faults = Vec::new();
    compare_owned(&path, old, new, &mut faults);
    let path = path.child("conditions");
    let (old, new) = (in_status(old), in_status(new));
    for condition_type in [ALLOCATED, READY] {
        if find(&old, condition_type) != find(&new, condition_type) {
            faults.push(owned(path.key(condition_type)));
        }
    }
    for (idx, condition) in new.iter().enumerate() {
        for name in ["type", "status"] {
            if condition[name].as_str().unwrap_or_default().is_empty() {
                faults.push(Fault::required(path.index(idx).child(name), ""));
            }
        }
    }
    faults
}

/// One fault for each leaf that differs, conditions aside.
fn compare_owned(path: &Path, old: &Value, new: &Value, faults: &mut Vec<Fault>) {
    let names = |value: &Value| value.as_object().into_iter().flat_map(Map::keys).cloned().collect::<Vec<_>>();
    let mut all = names(old);
    all.extend(names(new));
    all.sort_unstable();
    all.dedup();
    all.retain(|name| name != "conditions" && old.get(name) != new.get(name));
    for name in all {
        let (old, new) = (&old[&name], &new[&name]);
        if old.is_object() || new.is_object() {
            compare_owned(&path.child(&name), old, new, faults);
        } else {
            faults.push(owned(path.child(&name)));
        }
    }
}

fn find<'a>(conditions: &'a [Value], condition_type: &str) -> Option<&'a Value> {
    conditions.iter().find(|condition| condition["type"] == condition_type)
}

fn owned(path: Path) -> Fault {
    Fault::forbidden(path, "is set by the service")
}
