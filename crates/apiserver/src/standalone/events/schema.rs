//! What an event looks like.

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

/// The schema of events as a view shows them.
pub fn of(view: Option<&View>) -> Value {
    let name = |stored: &'static str| view.map_or(stored, |view| view.name(stored));
    let fields = properties().into_iter().map(|(stored, schema)| (name(stored).to_owned(), schema));
    json!({
        "type": "object",
        "description": "Event tells something about an object. It is kept for an hour after it was last written; of each namespace no more than so many are kept, the latest.",
        "properties": fields.collect::<Map<String, Value>>(),
    })
}

/// The fields by their names as they are stored.
fn properties() -> [(&'static str, Value); 14] {
    [
        ("action", text("What was done or failed, in a word.")),
        ("count", integer("How often this was seen, of events without eventTime.")),
        ("eventTime", micro_time("When this was first seen. Events without it are of the older way of telling.")),
        ("firstTimestamp", time("When this was first seen, of events without eventTime.")),
        ("involvedObject", reference("The object that this is about.")),
        ("lastTimestamp", time("When this was last seen, of events without eventTime.")),
        ("message", text("What happened, for people. Of events with eventTime at most 1024 characters.")),
        ("reason", text("Why this is told, in a word.")),
        ("related", reference("Another object that has to do with it.")),
        ("reportingComponent", text("Who tells this, such as example.com/controller.")),
        ("reportingInstance", text("Which of several that are called so.")),
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
            "fieldPath": text("The part of the object."),
            "kind": text("Kind of the object."),
            "name": text("Name of the object."),
            "namespace": text("Namespace of the object; empty if it is in none. The event is in the same, or in default."),
            "resourceVersion": text("Version of the object that this is about."),
            "uid": text("Uid of the object."),
        },
    })
}

fn series() -> Value {
    json!({
        "type": "object",
        "description": "How this went on, of events with eventTime; absent: it was seen once.",
        "properties": {
            "count": integer("How often this was seen."),
            "lastObservedTime": micro_time("When this was last seen."),
        },
    })
}

fn source() -> Value {
    json!({
        "type": "object",
        "description": "Who tells this, of events without eventTime.",
        "properties": {
            "component": text("The component."),
            "host": text("The machine that it runs on."),
        },
    })
}
