//! Types of `meta/v1` to which kinds and operations refer, under their names in Kubernetes. None has a
//! group-version-kind, because kube-apiserver would report a conflict with its own.

use serde_json::{Map, Value, json};

use super::{described, reference, type_meta};
use crate::meta_schema::object_meta_schema;

/// Component name of a type of `meta/v1`.
pub(super) fn name(kind: &str) -> String {
    format!("io.k8s.apimachinery.pkg.apis.meta.v1.{kind}")
}

/// All schemas by component name.
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

/// Types of responses.
fn answers() -> Vec<(String, Value)> {
    let list_meta = object(
        "ListMeta is the metadata of a list.",
        json!({
            "continue": text("Set if there are more objects: pass it as query parameter `continue` to get the next page. Opaque to clients."),
            "remainingItemCount": int64("Number of objects after those in this page, if known."),
            "resourceVersion": text("Revision of the state in this list. A watch from this version receives all later changes."),
            "selfLink": text("Deprecated; never set."),
        }),
    );
    let cause = object(
        "StatusCause is one cause of an error.",
        json!({
            "field": text("Path of the field, such as `spec.ranges[0].start`."),
            "message": text("Human-readable description."),
            "reason": text("Machine-readable type of the error."),
        }),
    );
    let details = object(
        "StatusDetails names the object and the causes of a Status.",
        json!({
            "causes": {
                "description": "Causes of the error.",
                "type": "array",
                "items": reference(&name("StatusCause")),
                "x-kubernetes-list-type": "atomic",
            },
            "group": text("API group of the object."),
            "kind": text("Resource or kind of the object."),
            "name": text("Name of the object."),
            "retryAfterSeconds": int32("Seconds after which the client may retry the request."),
            "uid": text("Uid of the object."),
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
        "Status is the response to a request that returns no object.",
        json!({
            "code": int32("HTTP status code; absent for success."),
            "details": described("Object and causes.", &name("StatusDetails")),
            "message": text("Human-readable description."),
            "metadata": described("Empty, or a continue token of a list.", &name("ListMeta")),
            "reason": text("Machine-readable reason of an error."),
            "status": text("`Success` or `Failure`."),
        }),
    );
    add_properties(&mut schema, type_meta());
    schema
}

fn watch_event() -> Value {
    let object_text = "The new state of the object; its last state for DELETED; a Status for ERROR.";
    let mut schema = object(
        "WatchEvent is one event of a watch.",
        json!({
            "object": {"description": object_text, "type": "object"},
            "type": text("Type of the event: ADDED, MODIFIED, DELETED, BOOKMARK or ERROR."),
        }),
    );
    schema["required"] = json!(["type", "object"]);
    schema
}

/// Types of requests.
fn options() -> Vec<(String, Value)> {
    let preconditions = object(
        "Preconditions of a deletion. If they are not met, nothing is deleted.",
        json!({
            "resourceVersion": text("Required resourceVersion of the object."),
            "uid": text("Required uid of the object."),
        }),
    );
    let patch = json!({
        "description": "Patch is a change of an object, in the format of the Content-Type.",
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
        "DeleteOptions are the options of a deletion.",
        json!({
            "dryRun": {
                "description": "With `All`, the request is validated but nothing is persisted.",
                "type": "array",
                "items": {"type": "string"},
                "x-kubernetes-list-type": "atomic",
            },
            "gracePeriodSeconds": int64("Accepted without effect: no kind has a grace period."),
            "orphanDependents": {
                "description": "Deprecated: use propagationPolicy. If true, dependents are kept.",
                "type": "boolean",
            },
            "preconditions": described("Preconditions of the deletion.", &name("Preconditions")),
            "propagationPolicy": text("Treatment of dependents: `Orphan`, `Background` or `Foreground`."),
        }),
    );
    add_properties(&mut schema, type_meta());
    schema
}

/// `ObjectMeta` and the types of its fields.
fn object_metadata() -> Vec<(String, Value)> {
    let mut owner = object(
        "OwnerReference refers to an owner of the object.",
        json!({
            "apiVersion": text("Group and version of the owner."),
            "blockOwnerDeletion": {
                "description": "If true, foreground deletion of the owner waits until this object is deleted.",
                "type": "boolean",
            },
            "controller": {"description": "True if the owner is the managing controller.", "type": "boolean"},
            "kind": text("Kind of the owner."),
            "name": text("Name of the owner."),
            "uid": text("Uid of the owner."),
        }),
    );
    owner["required"] = json!(["apiVersion", "kind", "name", "uid"]);
    owner["x-kubernetes-map-type"] = json!("atomic");
    let managed = object(
        "ManagedFieldsEntry is the set of fields that one manager owns.",
        json!({
            "apiVersion": text("Group and version in which the fields were set."),
            "fieldsType": text("Format of fieldsV1; always `FieldsV1`."),
            "fieldsV1": described("Set of fields.", &name("FieldsV1")),
            "manager": text("Name of the manager."),
            "operation": text("Type of the operation: `Apply` or `Update`."),
            "subresource": text("Subresource through which the fields were set; empty for the main resource."),
            "time": described("Time at which the set last changed.", &name("Time")),
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

/// The schema of metadata, with references to the types that have their own component.
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
