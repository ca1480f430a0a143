//! The document of a group and version in `OpenAPI` v3: what kubectl explains and validates with,
//! and what kube-apiserver publishes beside its own. [`v2`] and [`v2_protobuf`] say the same to
//! older clients.
//!
//! kube-apiserver merges it with the documents of other servers, so a careless one breaks tools far
//! away: component names have no `/`, shared `meta/v1` types carry no group-version-kind, nothing
//! is `nullable`, every reference resolves, and a PATCH names exactly the formats that are
//! accepted. The tests hold it to that.

mod gnostic;
mod meta;
mod paths;
mod v2;

use serde_json::{Map, Value, json};

pub use self::{gnostic::encode as v2_protobuf, v2::v2};
use crate::kind::{Registry, Resource, Verb};

/// `GET /openapi/v3`: where the documents are, each by the end of its path and its hash.
pub fn v3_root<'a>(documents: impl IntoIterator<Item = (&'a str, &'a str)>) -> Value {
    let paths = documents.into_iter().map(|(place, hash)| {
        let url = format!("/openapi/v3/{place}?hash={hash}");
        (place.to_owned(), json!({"serverRelativeURL": url}))
    });
    json!({"paths": paths.collect::<Map<_, _>>()})
}

/// Where the kinds of a group and version are: `apis/G/V`, and `api/V` those of the core group.
pub fn place(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}

/// `GET /openapi/v3/apis/G/V`: the whole document of a group and version.
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

/// The name of a kind's component in Kubernetes' style, such as
/// `com.miloapis.ipam.v1alpha1.IPPool`. Kubernetes' own have the names that they have there.
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

/// A reference to a type of `meta/v1` with a description of its own, which a plain `$ref` could not
/// have.
fn described(description: &str, component: &str) -> Value {
    json!({"description": description, "allOf": [reference(component)]})
}

fn group_version_kind(resource: &Resource, suffix: &str) -> Value {
    json!({"group": resource.group, "version": resource.version, "kind": format!("{}{suffix}", resource.kind)})
}

/// The kind's own schema, and what all objects have.
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
        "description": "The objects.",
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

/// What every top-level type begins with.
fn type_meta() -> Map<String, Value> {
    let texts = [
        ("apiVersion", "Group and version of this representation. The server may change it to the latest it knows."),
        ("kind", "The kind of this representation, in CamelCase. It cannot be changed."),
    ];
    let property = |description: &str| json!({"type": "string", "description": description});
    texts.into_iter().map(|(name, description)| (name.to_owned(), property(description))).collect()
}

#[cfg(test)]
mod tests;
