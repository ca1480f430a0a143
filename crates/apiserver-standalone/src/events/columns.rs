//! The columns of `kubectl get events`, for both versions (`printEvent` of kube-apiserver).

use apimachinery::{
    object::Object,
    resource::{Cell, Column},
    time::Time,
};
use serde_json::Value;

use super::{
    super::resources::{NAME, text},
    field, inner,
};

pub(super) const COLUMNS: &[Column] = &[
    text("Last Seen", Cell::Since(last_seen)),
    text("Type", Cell::Pointer("/type")),
    text("Reason", Cell::Pointer("/reason")),
    text("Object", Cell::Computed(object)),
    wide(text("Subobject", Cell::Computed(|event| inner(event, "involvedObject", "fieldPath").into()))),
    wide(text("Source", Cell::Computed(reporter))),
    text("Message", Cell::Computed(|event| super::text(event, "message").trim().into())),
    wide(text("First Seen", Cell::Since(first_seen))),
    wide(text("Count", Cell::Computed(count))),
    wide(NAME),
];

const fn wide(column: Column) -> Column {
    Column { priority: 1, ..column }
}

fn time(value: &Value) -> Option<Time> {
    value.as_str()?.parse().ok()
}

pub(super) fn first_seen(event: &Object) -> Option<Time> {
    time(field(event, "firstTimestamp")).or_else(|| time(field(event, "eventTime")))
}

pub(super) fn last_seen(event: &Object) -> Option<Time> {
    match field(event, "series") {
        Value::Null => time(field(event, "lastTimestamp")).or_else(|| first_seen(event)),
        series => time(&series["lastObservedTime"]),
    }
}

fn object(event: &Object) -> Value {
    let (kind, name) = (inner(event, "involvedObject", "kind").to_lowercase(), inner(event, "involvedObject", "name"));
    if name.is_empty() { kind.into() } else { format!("{kind}/{name}").into() }
}

/// The reporting component; also the value of the field selector `source`.
pub(super) fn source(event: &Object) -> &str {
    match inner(event, "source", "component") {
        "" => super::text(event, "reportingComponent"),
        component => component,
    }
}

fn reporter(event: &Object) -> Value {
    let instance = match inner(event, "source", "host") {
        "" => super::text(event, "reportingInstance"),
        host => host,
    };
    let component = source(event);
    if instance.is_empty() { component.into() } else { format!("{component}, {instance}").into() }
}

/// The number of occurrences. An event of the newer version without a series has none.
fn count(event: &Object) -> Value {
    let count = match field(event, "series") {
        Value::Null => field(event, "count").as_i64().filter(|count| *count != 0).unwrap_or(1),
        series => series["count"].as_i64().unwrap_or_default(),
    };
    count.to_string().into()
}
