//! Tests of the Swagger 2.0 document.

use std::collections::BTreeSet;

use super::*;
use crate::{fixture, openapi::v3, patch::PATCH_TYPES};

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

fn document() -> Value {
    v2(&[v3(&fixture::registry(), "store.example.com", "v1alpha1")])
}

fn names(map: &Value) -> BTreeSet<&str> {
    map.as_object().unwrap().keys().map(String::as_str).collect()
}

/// All schemas of a document.
fn schemas(document: &Value) -> Vec<&Value> {
    let mut found: Vec<&Value> = document["definitions"].as_object().unwrap().values().collect();
    for (_, operation) in operations(document) {
        found.extend(operation["parameters"].as_array().unwrap().iter().filter_map(|it| it.get("schema")));
        found.extend(operation["responses"].as_object().unwrap().values().filter_map(|it| it.get("schema")));
    }
    let mut index = 0;
    while let Some(schema) = found.get(index).copied() {
        found.extend(["items", "additionalProperties"].iter().filter_map(|word| schema.get(word)));
        found.extend(schema.get("properties").and_then(Value::as_object).into_iter().flat_map(Map::values));
        found.extend(schema.get("allOf").and_then(Value::as_array).into_iter().flatten());
        index += 1;
    }
    found
}

fn operations(document: &Value) -> Vec<(String, &Value)> {
    let items = document["paths"].as_object().unwrap().iter();
    let methods = items.flat_map(|(path, item)| {
        item.as_object().unwrap().iter().map(move |(method, operation)| (format!("{method} {path}"), operation))
    });
    methods.filter(|(name, _)| !name.starts_with("parameters ")).collect()
}

#[test]
fn document_has_only_paths_of_its_group() {
    let document = document();
    assert_eq!(names(&document), BTreeSet::from(["definitions", "info", "paths", "swagger"]));
    assert_eq!(document["swagger"], "2.0");
    assert_eq!(document["info"], json!({"title": "store.example.com", "version": "v1alpha1"}));
    assert_eq!(names(&document["paths"]), names(&v3(&fixture::registry(), "store.example.com", "v1alpha1")["paths"]));
    for path in names(&document["paths"]) {
        assert!(path.starts_with("/apis/store.example.com/v1alpha1/"), "{path}");
    }
}

#[test]
fn definitions_equal_v3_components() {
    let document = document();
    let definitions = names(&document["definitions"]);
    assert_eq!(definitions, names(&v3(&fixture::registry(), "store.example.com", "v1alpha1")["components"]["schemas"]));
    assert!(definitions.contains(format!("{META}.ObjectMeta").as_str()), "Terraform looks for this name");
    assert!(definitions.iter().all(|name| !name.contains('/')), "{definitions:?}");
}

#[test]
fn only_kinds_have_a_group_version_kind() {
    const GVK: &str = "x-kubernetes-group-version-kind";
    let document = document();
    for (name, definition) in document["definitions"].as_object().unwrap() {
        let kind = name.strip_prefix("com.example.store.v1alpha1.");
        let expected = kind.map(|kind| json!([{"group": "store.example.com", "version": "v1alpha1", "kind": kind}]));
        assert_eq!(definition.get(GVK), expected.as_ref(), "{name}");
    }
    for (name, operation) in operations(&document) {
        assert!(operation[GVK].is_object(), "{name}");
    }
}

#[test]
fn references_resolve_without_all_of() {
    let document = document();
    let mut used = BTreeSet::new();
    for schema in schemas(&document) {
        assert!(schema.get("allOf").is_none(), "{schema}");
        let Some(reference) = schema.get("$ref") else { continue };
        let pointer = reference.as_str().unwrap().strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{pointer}");
        assert!(names(schema).is_subset(&BTreeSet::from(["$ref", "description"])), "{schema}");
        used.insert(pointer.strip_prefix("/definitions/").unwrap());
    }
    // Swagger has one schema per response, here the list. WatchEvent is defined nevertheless.
    used.insert("io.k8s.apimachinery.pkg.apis.meta.v1.WatchEvent");
    assert_eq!(used, names(&document["definitions"]), "all definitions are used");
    let metadata = &document["definitions"]["com.example.store.v1alpha1.Shelf"]["properties"]["metadata"];
    let text = "Standard object metadata.";
    assert_eq!(*metadata, json!({"$ref": format!("#/definitions/{META}.ObjectMeta"), "description": text}));
}

#[test]
fn only_swagger_keywords_are_used() {
    let known: BTreeSet<&str> = SCHEMA_WORDS.into_iter().chain(["$ref"]).collect();
    let document = document();
    for schema in schemas(&document) {
        for word in names(schema) {
            assert!(word.starts_with("x-") || known.contains(word), "{word} in {schema}");
        }
        assert!(schema.get("type").is_none_or(Value::is_string), "{schema}");
    }
    let operation_words = BTreeSet::from([
        "consumes",
        "description",
        "operationId",
        "parameters",
        "produces",
        "responses",
        "tags",
        "x-kubernetes-action",
        "x-kubernetes-group-version-kind",
    ]);
    for (name, operation) in operations(&document) {
        assert!(names(operation).is_subset(&operation_words), "{name}: {operation}");
        for parameter in operation["parameters"].as_array().unwrap() {
            let words = match parameter["in"].as_str().unwrap() {
                "body" => BTreeSet::from(["in", "name", "required", "schema"]),
                _ => BTreeSet::from(["description", "in", "name", "required", "type"]),
            };
            assert!(names(parameter).is_subset(&words), "{name}: {parameter}");
            assert!(parameter["in"] == "body" || parameter["type"].is_string(), "{name}: {parameter}");
        }
        for (code, response) in operation["responses"].as_object().unwrap() {
            assert!(names(response).is_subset(&BTreeSet::from(["description", "schema"])), "{name} {code}: {response}");
        }
    }
}

#[test]
fn unsupported_keywords_are_dropped() {
    let theirs = json!({
        "description": "A choice.",
        "nullable": true,
        "oneOf": [{"required": ["a"]}],
        "x-kubernetes-list-type": "map",
        "properties": {
            "oneOf": {"type": "string", "anyOf": [{}], "pattern": "^a", "default": {"nullable": true}},
            "list": {"type": "array", "items": {"$ref": "#/components/schemas/a.B"}},
            "map": {"additionalProperties": {"type": "integer", "deprecated": true}},
            "open": {"additionalProperties": true},
        },
    });
    let ours = json!({
        "description": "A choice.",
        "x-kubernetes-list-type": "map",
        "properties": {
            "oneOf": {"type": "string", "pattern": "^a", "default": {"nullable": true}},
            "list": {"type": "array", "items": {"$ref": "#/definitions/a.B"}},
            "map": {"additionalProperties": {"type": "integer"}},
            "open": {"additionalProperties": true},
        },
    });
    assert_eq!(schema(&theirs), ours);
}

#[test]
fn patch_consumes_exactly_the_accepted_types() {
    let document = document();
    let mut patches = 0;
    for (name, operation) in operations(&document).iter().filter(|(name, _)| name.starts_with("patch ")) {
        let consumed: BTreeSet<&str> =
            operation["consumes"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        assert_eq!(consumed, PATCH_TYPES.iter().copied().collect(), "{name}");
        let parameters: Vec<&str> =
            operation["parameters"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
        assert_eq!(parameters, ["dryRun", "fieldManager", "fieldValidation", "force", "body"], "{name}");
        patches += 1;
    }
    assert_eq!(patches, 4);
}

#[test]
fn bodies_and_responses_are_converted() {
    let document = document();
    let shelves = &document["paths"]["/apis/store.example.com/v1alpha1/shelves"];
    let body = shelves["post"]["parameters"].as_array().unwrap().last().unwrap();
    let shelf = json!({"$ref": "#/definitions/com.example.store.v1alpha1.Shelf"});
    assert_eq!(*body, json!({"name": "body", "in": "body", "required": true, "schema": shelf}));
    assert_eq!(shelves["post"]["consumes"], json!(["application/json", "application/yaml"]));
    assert_eq!(shelves["post"]["responses"]["201"], json!({"description": "Created", "schema": shelf}));
    let list = json!({"$ref": "#/definitions/com.example.store.v1alpha1.ShelfList"});
    assert_eq!(shelves["get"]["responses"]["200"], json!({"description": "OK", "schema": list}));
    assert!(shelves["get"].get("consumes").is_none());
    let produced = json!(["application/json", "application/json;stream=watch", "application/yaml"]);
    assert_eq!(shelves["get"]["produces"], produced);
    let one = &document["paths"]["/apis/store.example.com/v1alpha1/shelves/{name}"];
    assert_eq!(one["parameters"][0]["type"], "string");
    assert_eq!(one["parameters"][0]["required"], true);
}

#[test]
fn several_groups_are_merged() {
    let mut other = v3(&fixture::registry(), "store.example.com", "v1alpha1");
    other["paths"] = json!({"/apis/b/v1/things": {}});
    let document = v2(&[v3(&fixture::registry(), "store.example.com", "v1alpha1"), other]);
    assert_eq!(
        document["paths"].as_object().unwrap().len(),
        v3(&fixture::registry(), "store.example.com", "v1alpha1")["paths"].as_object().unwrap().len() + 1
    );
    assert_eq!(v2(&[])["definitions"], json!({}));
}
