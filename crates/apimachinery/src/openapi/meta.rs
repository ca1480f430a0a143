//! The types of `meta/v1` that the kinds and their operations refer to, under the names that
//! Kubernetes gave them. None carries a group-version-kind: they are not ours, and kube-apiserver
//! would take a second one for a conflict.

use serde_json::{Map, Value, json};

use super::{described, reference, type_meta};
use crate::schema::object_meta_schema;

/// The name of the component for a type of `meta/v1`.
pub(super) fn name(kind: &str) -> String {
    format!("io.k8s.apimachinery.pkg.apis.meta.v1.{kind}")
}

/// All of them, by name.
pub(super) fn schemas() -> Map<String, Value> {
    let mut all = Map::new();
    all.extend(answers());
    all.extend(options());
    all.extend(object_metadata());
    all
}

fn component(kind: &str, schema: Value) -> (String, Value) {
    (name(kind), schema)
}

/// What the server answers beside objects.
fn answers() -> Vec<(String, Value)> {
    let list_meta = object(
        "ListMeta is the metadata of a list.",
        json!({
            "continue": text("Set when there is more: hand it back as the query parameter `continue`. Its content means nothing to clients."),
            "remainingItemCount": int64("How many objects come after those in this list, where that is known."),
            "resourceVersion": text("The revision of the state that this list shows. Watch from it to see what changes after."),
            "selfLink": text("No longer set."),
        }),
    );
    let cause = object(
        "StatusCause is one cause of a failure.",
        json!({
            "field": text("The path of the field at fault, such as `spec.ranges[0].start`."),
            "message": text("What is wrong, for people."),
            "reason": text("What kind of fault it is, for programs."),
        }),
    );
    let details = object(
        "StatusDetails says what a Status is about.",
        json!({
            "causes": {
                "description": "What led to the failure, one by one.",
                "type": "array",
                "items": reference(&name("StatusCause")),
                "x-kubernetes-list-type": "atomic",
            },
            "group": text("The API group."),
            "kind": text("The resource or the kind."),
            "name": text("The name of the object."),
            "retryAfterSeconds": int32("The same request may succeed after this many seconds."),
            "uid": text("The uid of the object."),
        }),
    );
    vec![
        component("ListMeta", list_meta),
        component("StatusCause", cause),
        component("StatusDetails", details),
        component("Status", status()),
        component("WatchEvent", watch_event()),
    ]
}

fn status() -> Value {
    let mut schema = object(
        "Status is the answer where there is no object to answer with.",
        json!({
            "code": int32("The HTTP status code; absent in a success."),
            "details": described("What it is about.", &name("StatusDetails")),
            "message": text("What happened, for people."),
            "metadata": described("Empty, or where to continue a list.", &name("ListMeta")),
            "reason": text("Why it failed, for programs."),
            "status": text("`Success` or `Failure`."),
        }),
    );
    add_properties(&mut schema, type_meta());
    schema
}

fn watch_event() -> Value {
    let object_text = "The object: its new state; for DELETED its last one; for ERROR a Status.";
    let mut schema = object(
        "WatchEvent is one event of a watch.",
        json!({
            "object": {"description": object_text, "type": "object"},
            "type": text("ADDED, MODIFIED, DELETED, BOOKMARK or ERROR."),
        }),
    );
    schema["required"] = json!(["type", "object"]);
    schema
}

/// What clients send beside objects.
fn options() -> Vec<(String, Value)> {
    let preconditions = object(
        "Preconditions must hold, or nothing is deleted.",
        json!({
            "resourceVersion": text("The object's revision must be this one."),
            "uid": text("The object's uid must be this one."),
        }),
    );
    let patch = json!({
        "description": "Patch says how to change an object, in the format that the Content-Type names.",
        "type": "object",
    });
    vec![
        component("DeleteOptions", delete_options()),
        component("Preconditions", preconditions),
        component("Patch", patch),
    ]
}

fn delete_options() -> Value {
    let mut schema = object(
        "DeleteOptions says how to delete.",
        json!({
            "dryRun": {
                "description": "With `All` everything is checked and nothing is persisted.",
                "type": "array",
                "items": {"type": "string"},
                "x-kubernetes-list-type": "atomic",
            },
            "gracePeriodSeconds": int64("Accepted, and without effect: no kind here is deleted gracefully."),
            "orphanDependents": {
                "description": "Deprecated: use propagationPolicy. Whether objects that this one owns stay.",
                "type": "boolean",
            },
            "preconditions": described("What must hold for the deletion to go ahead.", &name("Preconditions")),
            "propagationPolicy": text("What happens to objects that this one owns: `Orphan`, `Background` or `Foreground`."),
        }),
    );
    add_properties(&mut schema, type_meta());
    schema
}

/// `ObjectMeta` and what it consists of.
fn object_metadata() -> Vec<(String, Value)> {
    let mut owner = object(
        "OwnerReference names an object that owns this one.",
        json!({
            "apiVersion": text("Group and version of the owner."),
            "blockOwnerDeletion": {
                "description": "Whether a deletion of the owner in the foreground waits for this object.",
                "type": "boolean",
            },
            "controller": {"description": "Whether the owner is the managing controller.", "type": "boolean"},
            "kind": text("Kind of the owner."),
            "name": text("Name of the owner."),
            "uid": text("Uid of the owner."),
        }),
    );
    owner["required"] = json!(["apiVersion", "kind", "name", "uid"]);
    owner["x-kubernetes-map-type"] = json!("atomic");
    let managed = object(
        "ManagedFieldsEntry says which fields one manager has set.",
        json!({
            "apiVersion": text("Group and version in which the fields are named."),
            "fieldsType": text("The format of fieldsV1: `FieldsV1`."),
            "fieldsV1": described("The fields.", &name("FieldsV1")),
            "manager": text("Who set them."),
            "operation": text("How: `Apply` or `Update`."),
            "subresource": text("Through which subresource; empty for the main one."),
            "time": described("When they were last changed.", &name("Time")),
        }),
    );
    let fields = json!({
        "description": "FieldsV1 is a set of fields as a tree: `f:<name>` is a field, `k:<keys>` an item of a list by its \
                        keys, `v:<value>` an item by its value.",
        "type": "object",
    });
    let time = json!({
        "description": "Time is a point in time (RFC 3339).",
        "type": "string",
        "format": "date-time",
    });
    vec![
        component("ObjectMeta", object_meta()),
        component("OwnerReference", owner),
        component("ManagedFieldsEntry", managed),
        component("FieldsV1", fields),
        component("Time", time),
    ]
}

/// The schema by which metadata is checked, with references in place of what has a component of its
/// own.
fn object_meta() -> Value {
    let mut schema = object_meta_schema();
    let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
    for (property, value) in properties.into_iter().flatten() {
        let (place, kind) = match property.as_str() {
            "creationTimestamp" | "deletionTimestamp" => (Some(value), "Time"),
            "ownerReferences" => (value.get_mut("items"), "OwnerReference"),
            "managedFields" => (value.get_mut("items"), "ManagedFieldsEntry"),
            _ => continue,
        };
        if let Some(place) = place {
            *place = match place.get("description").and_then(Value::as_str) {
                Some(description) => described(description, &name(kind)),
                None => reference(&name(kind)),
            };
        }
    }
    schema
}

fn object(description: &str, properties: Value) -> Value {
    let mut schema = json!({"description": description, "type": "object"});
    schema["properties"] = properties;
    schema
}

fn add_properties(schema: &mut Value, more: Map<String, Value>) {
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        properties.extend(more);
    }
}

fn text(description: &str) -> Value {
    json!({"description": description, "type": "string"})
}

fn int32(description: &str) -> Value {
    json!({"description": description, "type": "integer", "format": "int32"})
}

fn int64(description: &str) -> Value {
    json!({"description": description, "type": "integer", "format": "int64"})
}
