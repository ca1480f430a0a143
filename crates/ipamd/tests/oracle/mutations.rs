//! Wrong or unusual values for the fields of an object of any kind.

use serde_json::{Value, json};

use crate::compared_kind::{ComparedKind, Mutation, Specs};

/// The label of an object with `generateName`.
pub const GENERATED_NAME: &str = "generated name";

/// Returns the oddities of identity and metadata, then those of the subject.
pub fn all(specs: &'static dyn Specs) -> Vec<Mutation> {
    let subject: &dyn ComparedKind = specs;
    let foreign_fields = json!([{
        "manager": "x", "operation": "Update", "apiVersion": subject.api_version(), "fieldsType": "FieldsV1",
        "fieldsV1": { "f:metadata": { "f:labels": { "f:tier": {} } } }, "time": "2020-01-01T00:00:00Z",
    }]);
    let nameless_owner = json!([{ "apiVersion": "v1", "kind": "ConfigMap", "name": "", "uid": "" }]);
    let mut all = vec![
        ("bad name", "/metadata/name", json!("No_Name")),
        ("name with a slash", "/metadata/name", json!("a/b")),
        ("long name", "/metadata/name", json!("n".repeat(260))),
        ("bad label key", "/metadata/labels", json!({ "-bad-": "x" })),
        ("bad label value", "/metadata/labels", json!({ "tier": "not good" })),
        ("label of a wrong type", "/metadata/labels", json!({ "tier": 1 })),
        ("bad annotation key", "/metadata/annotations", json!({ "a b": "x" })),
        ("bad finalizer", "/metadata/finalizers", json!(["not good"])),
        ("short finalizer", "/metadata/finalizers", json!(["hold"])),
        ("bad owner", "/metadata/ownerReferences", nameless_owner),
        ("two controllers", "/metadata/ownerReferences", json!([owner("x", true), owner("y", true)])),
        ("repeated owner", "/metadata/ownerReferences", json!([owner("x", false), owner("x", false)])),
        ("own uid", "/metadata/uid", json!("11111111-1111-4111-8111-111111111111")),
        ("own resourceVersion", "/metadata/resourceVersion", json!("1")),
        ("own generation", "/metadata/generation", json!(17)),
        ("own creationTimestamp", "/metadata/creationTimestamp", json!("2020-01-01T00:00:00Z")),
        ("own deletionTimestamp", "/metadata/deletionTimestamp", json!("2020-01-01T00:00:00Z")),
        ("own managedFields", "/metadata/managedFields", foreign_fields),
        ("bad managedFields", "/metadata/managedFields", json!([{ "manager": "x", "operation": "Change" }])),
        ("unknown metadata", "/metadata/colour", json!("red")),
        ("other namespace", "/metadata/namespace", json!("elsewhere")),
        (GENERATED_NAME, "/metadata/generateName", json!("made-")),
        ("no name", "/metadata/name", Value::Null),
        ("other kind", "/kind", json!("Thing")),
        ("other version", "/apiVersion", json!(subject.other_version())),
        ("no kind", "/kind", Value::Null),
        ("unknown field", "/spec/unknown", json!({ "x": 1 })),
        ("unknown field on top", "/extra", json!(true)),
    ];
    all.extend(specs.mutations());
    all
}

/// Returns an owner reference.
pub fn owner(name: &str, controller: bool) -> Value {
    let mut owner = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": "22222222-2222-4222-8222-222222222222",
    });
    if controller {
        owner["controller"] = true.into();
    }
    owner
}
