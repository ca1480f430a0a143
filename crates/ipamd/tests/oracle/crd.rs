//! The CRD of one of our kinds.

use apimachinery::resource::{Cell, Resource};
use serde_json::{Value, json};

/// Returns a CRD with which kube-apiserver serves the resource with this schema. A column that our server computes shows
/// `.status.phase` there.
pub fn crd(resource: &Resource, schema: Value) -> Value {
    let columns = resource.columns.iter().filter(|column| !matches!(column.cell, Cell::Name));
    let columns = columns.map(|column| {
        let path = match column.cell {
            Cell::Age => ".metadata.creationTimestamp".to_owned(),
            Cell::Pointer(pointer) => pointer.replace('/', "."),
            _ => ".status.phase".to_owned(),
        };
        json!({
            "name": column.name, "type": column.column_type, "jsonPath": path, "description": column.description,
            "priority": column.priority,
        })
    });
    let selectable = resource.selectable_fields.iter().map(|field| json!({ "jsonPath": format!(".{field}") }));
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("{}.{}", resource.plural, resource.group) },
        "spec": {
            "group": resource.group,
            "scope": if resource.namespaced { "Namespaced" } else { "Cluster" },
            "names": {
                "kind": resource.kind, "plural": resource.plural, "singular": resource.singular,
                "shortNames": resource.short_names, "categories": resource.categories,
            },
            "versions": [{
                "name": resource.version, "served": true, "storage": true,
                "schema": { "openAPIV3Schema": schema },
                "subresources": { "status": {} },
                "additionalPrinterColumns": columns.collect::<Vec<_>>(),
                "selectableFields": selectable.collect::<Vec<_>>(),
            }],
        },
    })
}
