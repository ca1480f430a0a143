//! The schema of `meta.k8s.io/v1 ObjectMeta`, with list and map markers for merging.

use serde_json::{Value, json};

use crate::limits::{ANNOTATIONS_MAX, FINALIZERS_MAX, LABELS_MAX, MANAGERS_MAX, OWNERS_MAX};

/// The schema of metadata, both published and used for checks.
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
        "description": "Standard metadata of an object: its name, version, labels, owners and others.",
        "properties": {
            "annotations": texts("Free-form text by key, for tools. Selectors do not match annotations. At most 256 KiB in total.", ANNOTATIONS_MAX),
            "creationTimestamp": time("Time of creation. Set by the server."),
            "deletionGracePeriodSeconds": {
                "type": "integer", "format": "int64",
                "description": "Grace period of the deletion in seconds. Set by the server; always 0.",
            },
            "deletionTimestamp": time("Time at which deletion was requested. The object is deleted when its finalizers are removed. Set by the server."),
            "finalizers": {
                "type": "array", "items": {"type": "string"}, "maxItems": FINALIZERS_MAX, "x-kubernetes-list-type": "set",
                "description": "Must be empty before the object is deleted. Each component removes its own entry after its cleanup.",
            },
            "generateName": text("Prefix of the name that the server generates if name is empty."),
            "generation": {
                "type": "integer", "format": "int64",
                "description": "Number of changes of the desired state. Set by the server.",
            },
            "labels": texts("Short text by key, for label selectors.", LABELS_MAX),
            "managedFields": {
                "type": "array", "items": managed_fields_schema(), "maxItems": MANAGERS_MAX,
                "x-kubernetes-list-type": "atomic",
                "description": "Field ownership by manager. Maintained by the server.",
            },
            "name": text("Name, unique among the objects of the resource in the namespace. Immutable."),
            "namespace": text("Namespace in which the name is unique. Immutable."),
            "ownerReferences": {
                "type": "array", "items": owner_reference_schema(), "maxItems": OWNERS_MAX,
                "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["uid"],
                "description": "Objects that own this one. When all owners are deleted, the garbage collector deletes this object.",
            },
            "resourceVersion": text("Version of the object, opaque to clients. An update with an outdated version is rejected; a watch can start from a version."),
            "selfLink": text("Deprecated; accepted and dropped."),
            "uid": text("Unique id of this object; a later object of the same name has another. Set by the server."),
        },
    })
}

fn owner_reference_schema() -> Value {
    json!({
        "type": "object",
        "description": "Reference to an owner of the object.",
        "required": ["apiVersion", "kind", "name", "uid"],
        "x-kubernetes-map-type": "atomic",
        "properties": {
            "apiVersion": {"type": "string", "description": "Group and version of the owner."},
            "blockOwnerDeletion": {"type": "boolean", "description": "If true, foreground deletion of the owner waits until this object is deleted."},
            "controller": {"type": "boolean", "description": "True if the owner is the managing controller."},
            "kind": {"type": "string", "description": "Kind of the owner."},
            "name": {"type": "string", "description": "Name of the owner."},
            "uid": {"type": "string", "description": "Uid of the owner."},
        },
    })
}

fn managed_fields_schema() -> Value {
    json!({
        "type": "object",
        "description": "Fields that one manager owns in one API version.",
        "properties": {
            "apiVersion": {"type": "string", "description": "Group and version in which the fields were set."},
            "fieldsType": {"type": "string", "description": "Format of fieldsV1; always FieldsV1."},
            "fieldsV1": {
                "type": "object", "x-kubernetes-preserve-unknown-fields": true,
                "description": "Set of fields, in the format FieldsV1.",
            },
            "manager": {"type": "string", "description": "Name of the manager."},
            "operation": {"type": "string", "description": "Type of the operation: Apply or Update."},
            "subresource": {"type": "string", "description": "Subresource through which the fields were set."},
            "time": {"type": "string", "format": "date-time", "description": "Time at which the set last changed."},
        },
    })
}
