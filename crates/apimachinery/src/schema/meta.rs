//! The schema of `meta.k8s.io/v1 ObjectMeta`, with the markers that clients merge by.

use serde_json::{Value, json};

use crate::limits::{ANNOTATIONS_MAX, FINALIZERS_MAX, LABELS_MAX, MANAGERS_MAX, OWNERS_MAX};

/// The schema of metadata, as it is published and checked.
pub fn object_meta_schema() -> Value {
    let text = |description: &str| json!({"type": "string", "description": description});
    let time = |description: &str| json!({"type": "string", "format": "date-time", "description": description});
    let texts = |description: &str, max: usize| {
        json!({
            "type": "object", "additionalProperties": {"type": "string"}, "maxProperties": max,
            "description": description,
        })
    };
    json!({
        "type": "object",
        "description": "Metadata that every object has: its name, its version, and who relates to it.",
        "properties": {
            "annotations": texts("Free-form text by key, for tools. Not for selection. All together at most 256 KiB.", ANNOTATIONS_MAX),
            "creationTimestamp": time("When the object was created. Set by the server."),
            "deletionGracePeriodSeconds": {
                "type": "integer", "format": "int64",
                "description": "Seconds that the object has to end by itself. Set by the server; always 0 here.",
            },
            "deletionTimestamp": time("When the deletion began that the finalizers hold up. Set by the server."),
            "finalizers": {
                "type": "array", "items": {"type": "string"}, "maxItems": FINALIZERS_MAX, "x-kubernetes-list-type": "set",
                "description": "Who must agree before the object goes. Each removes its own entry.",
            },
            "generateName": text("The beginning of the name that the server makes when no name is given."),
            "generation": {
                "type": "integer", "format": "int64",
                "description": "Counts the changes of the desired state. Set by the server.",
            },
            "labels": texts("Short text by key, for selection.", LABELS_MAX),
            "managedFields": {
                "type": "array", "items": managed_fields_schema(), "maxItems": MANAGERS_MAX,
                "x-kubernetes-list-type": "atomic",
                "description": "Who set which field. Kept by the server.",
            },
            "name": text("The name, unique among the objects of its kind in its namespace. Cannot be changed."),
            "namespace": text("The namespace in which the name is unique. Cannot be changed."),
            "ownerReferences": {
                "type": "array", "items": owner_reference_schema(), "maxItems": OWNERS_MAX,
                "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["uid"],
                "description": "The objects that this one depends on.",
            },
            "resourceVersion": text("The version of the object, opaque to clients: what an update names to be refused if the object has changed since, and where a watch goes on."),
            "selfLink": text("Obsolete; accepted and dropped."),
            "uid": text("Identifies this incarnation of the name, for ever. Set by the server."),
        },
    })
}

fn owner_reference_schema() -> Value {
    json!({
        "type": "object",
        "description": "An object that another depends on.",
        "required": ["apiVersion", "kind", "name", "uid"],
        "x-kubernetes-map-type": "atomic",
        "properties": {
            "apiVersion": {"type": "string", "description": "Group and version of the owner."},
            "blockOwnerDeletion": {"type": "boolean", "description": "Whether a deletion of the owner in the foreground waits for this object."},
            "controller": {"type": "boolean", "description": "Whether the owner is the managing controller."},
            "kind": {"type": "string", "description": "Kind of the owner."},
            "name": {"type": "string", "description": "Name of the owner."},
            "uid": {"type": "string", "description": "Uid of the owner."},
        },
    })
}

fn managed_fields_schema() -> Value {
    json!({
        "type": "object",
        "description": "The fields that one manager set through one version of the API.",
        "properties": {
            "apiVersion": {"type": "string", "description": "Group and version through which they were set."},
            "fieldsType": {"type": "string", "description": "The format of fieldsV1: FieldsV1."},
            "fieldsV1": {
                "type": "object", "x-kubernetes-preserve-unknown-fields": true,
                "description": "The set of fields.",
            },
            "manager": {"type": "string", "description": "The name of the manager."},
            "operation": {"type": "string", "description": "Apply or Update."},
            "subresource": {"type": "string", "description": "The subresource through which they were set."},
            "time": {"type": "string", "format": "date-time", "description": "When the set last changed."},
        },
    })
}
