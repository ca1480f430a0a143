//! `OpenAPI` v3 documents, one per group and version, which kubectl uses for explain and validation, and which
//! kube-apiserver aggregates. [`v2`] and [`v2_protobuf`] are for older clients.
//!
//! kube-apiserver merges the documents with those of other servers, so an error here breaks tools for the whole
//! cluster: component names must not contain `/`, shared `meta/v1` types have no group-version-kind, nothing is
//! `nullable`, every reference resolves, and PATCH lists exactly the accepted formats. The tests check this.

mod gnostic;
mod meta;
mod paths;
mod v2;

use serde_json::{Map, Value, json};

pub use self::{gnostic::encode as v2_protobuf, v2::v2};
use crate::{
    kind::Registry,
    resource::{Resource, Verb},
};

/// `GET /openapi/v3`: the URLs of the documents, from the end of the path and the hash of each.
pub fn v3_root<'a>(documents: impl IntoIterator<Item = (&'a str, &'a str)>) -> Value {
    let paths = documents.into_iter().map(|(place, hash)| {
        let url = format!("/openapi/v3/{place}?hash={hash}");
        (place.to_owned(), json!({"serverRelativeURL": url}))
    });
    json!({"paths": paths.collect::<Map<_, _>>()})
}

/// Path of the kinds of a group and version: `apis/G/V`, or `api/V` for the core group.
pub fn place(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}

/// `GET /openapi/v3/apis/G/V`: the document of a group and version.
pub fn v3<W>(registry: &Registry<W>, group: &str, version: &str) -> Value {
    let mut schemas = meta::schemas();
    let mut all_paths = Map::new();
    for resource in registry.resources().filter(|of| of.group == group && of.version == version) {
        schemas.insert(component_name(resource, ""), object_schema(resource));
        if resource.verbs.contains(&Verb::List) {
            schemas.insert(component_name(resource, "List"), list_schema(resource));
        }
        all_paths.extend(paths::of(resource));
    }
    let title = if group.is_empty() { "Kubernetes" } else { group };
    json!({
        "openapi": "3.0.0",
        "info": {"title": title, "version": version},
        "paths": all_paths,
        "components": {"schemas": schemas},
    })
}

/// Component name of a kind in Kubernetes' style, such as `com.miloapis.ipam.v1alpha1.IPPool`. Built-in kinds have the
/// same names as in Kubernetes.
fn component_name(resource: &Resource, suffix: &str) -> String {
    let package = match (resource.group, resource.group.strip_suffix(".k8s.io")) {
        ("", _) => "io.k8s.api.core".to_owned(),
        (_, Some(name)) if !name.contains('.') => format!("io.k8s.api.{name}"),
        (group, _) => {
            let mut labels: Vec<&str> = group.split('.').collect();
            labels.reverse();
            labels.join(".")
        }
    };
    format!("{package}.{}.{}{suffix}", resource.version, resource.kind)
}

fn reference(component: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{component}")})
}

/// A reference to a type of `meta/v1` with its own description, which a plain `$ref` cannot have.
fn described(description: &str, component: &str) -> Value {
    json!({"description": description, "allOf": [reference(component)]})
}

fn group_version_kind(resource: &Resource, suffix: &str) -> Value {
    json!({"group": resource.group, "version": resource.version, "kind": format!("{}{suffix}", resource.kind)})
}

/// The schema of a kind, with `apiVersion`, `kind` and `metadata`.
fn object_schema(resource: &Resource) -> Value {
    let mut schema = resource.schema.clone();
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        properties.extend(type_meta());
        let metadata = described("Standard object metadata.", &meta::name("ObjectMeta"));
        properties.insert("metadata".to_owned(), metadata);
    }
    schema["x-kubernetes-group-version-kind"] = json!([group_version_kind(resource, "")]);
    schema
}

fn list_schema(resource: &Resource) -> Value {
    let mut properties = type_meta();
    properties.insert("metadata".to_owned(), described("Metadata of the list.", &meta::name("ListMeta")));
    let items = json!({
        "description": "The objects of the list.",
        "type": "array",
        "items": reference(&component_name(resource, "")),
    });
    properties.insert("items".to_owned(), items);
    json!({
        "description": format!("{}List is a list of {} objects.", resource.kind, resource.kind),
        "type": "object",
        "required": ["items"],
        "properties": properties,
        "x-kubernetes-group-version-kind": [group_version_kind(resource, "List")],
    })
}

/// Properties of every top-level type.
fn type_meta() -> Map<String, Value> {
    let texts = [
        ("apiVersion", "API group and version of the object."),
        ("kind", "Kind of the object, in CamelCase. Immutable."),
    ];
    let property = |description: &str| json!({"type": "string", "description": description});
    texts.into_iter().map(|(name, description)| (name.to_owned(), property(description))).collect()
}

#[cfg(test)]
mod tests;
