//! The schema of events.

use apimachinery::{schema::micro_time, view::View};
use serde_json::{Map, Value, json};

fn text(description: &str) -> Value {
    json!({"type": "string", "description": description})
}

fn integer(description: &str) -> Value {
    json!({"type": "integer", "format": "int32", "description": description})
}

fn time(description: &str) -> Value {
    json!({"type": "string", "format": "date-time", "description": description})
}

/// The schema of the version that a view serves.
pub fn of(view: Option<&View>) -> Value {
    let name = |stored: &'static str| view.map_or(stored, |view| view.name(stored));
    let fields = properties().into_iter().map(|(stored, schema)| (name(stored).to_owned(), schema));
    json!({
        "type": "object",
        "description": "Event reports something about an object. It is deleted an hour after its last write; beyond a limit per namespace the oldest are deleted earlier.",
        "properties": fields.collect::<Map<String, Value>>(),
    })
}

/// The fields by their stored names.
fn properties() -> [(&'static str, Value); 14] {
    [
        ("action", text("The action that was taken or failed, in one word.")),
        ("count", integer("The number of occurrences; for events without eventTime.")),
        (
            "eventTime",
            micro_time(
                "The time of the first occurrence. Events without it use firstTimestamp, lastTimestamp and count.",
            ),
        ),
        ("firstTimestamp", time("The time of the first occurrence; for events without eventTime.")),
        ("involvedObject", reference("The object that the event is about.")),
        ("lastTimestamp", time("The time of the last occurrence; for events without eventTime.")),
        ("message", text("A description for people. At most 1024 characters in events with eventTime.")),
        ("reason", text("The reason of the event, in one word.")),
        ("related", reference("Another object that is involved.")),
        ("reportingComponent", text("The reporting component, such as example.com/controller.")),
        ("reportingInstance", text("The instance of the reporting component.")),
        ("series", series()),
        ("source", source()),
        ("type", text("Normal or Warning.")),
    ]
}

fn reference(description: &str) -> Value {
    json!({
        "type": "object", "x-kubernetes-map-type": "atomic", "description": description,
        "properties": {
            "apiVersion": text("Group and version of the object."),
            "fieldPath": text("The path of a part of the object."),
            "kind": text("Kind of the object."),
            "name": text("Name of the object."),
            "namespace": text("Namespace of the object; empty for a cluster-scoped one. The event is in the same namespace, or in default."),
            "resourceVersion": text("resourceVersion of the object."),
            "uid": text("Uid of the object."),
        },
    })
}

fn series() -> Value {
    json!({
        "type": "object",
        "description": "Further occurrences, in events with eventTime; absent after a single occurrence.",
        "properties": {
            "count": integer("The number of occurrences."),
            "lastObservedTime": micro_time("The time of the last occurrence."),
        },
    })
}

fn source() -> Value {
    json!({
        "type": "object",
        "description": "The reporting component, in events without eventTime.",
        "properties": {
            "component": text("The component."),
            "host": text("The host that the component runs on."),
        },
    })
}
