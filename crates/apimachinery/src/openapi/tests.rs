//! Tests of the OpenAPI v3 document.

use std::collections::BTreeSet;

use super::*;
use crate::{fixture, patch::PATCH_TYPES};

fn document() -> Value {
    v3(&fixture::registry(), "store.example.com", "v1alpha1")
}

/// Visits all values with their keys.
fn walk<'a>(value: &'a Value, visit: &mut impl FnMut(&'a str, &'a Value)) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                visit(key, value);
                walk(value, visit);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| walk(item, visit)),
        _ => {}
    }
}

/// All operations with path and method.
fn operations(document: &Value) -> Vec<(&str, &str, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    paths
        .iter()
        .flat_map(|(path, item)| item.as_object().unwrap().iter().map(move |(method, it)| (path.as_str(), method, it)))
        .filter(|(_, method, _)| *method != "parameters")
        .map(|(path, method, operation)| (path, method.as_str(), operation))
        .collect()
}

#[test]
fn references_resolve_and_all_components_are_used() {
    let document = document();
    let mut used = BTreeSet::new();
    walk(&document, &mut |key, value| {
        if key == "$ref" {
            let pointer = value.as_str().unwrap().strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{pointer} does not resolve");
            used.insert(pointer.rsplit('/').next().unwrap().to_owned());
        }
    });
    let all: BTreeSet<String> = document["components"]["schemas"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(used, all);
}

#[test]
fn reference_has_no_sibling_keywords() {
    let document = document();
    walk(&document, &mut |_, value| {
        if let Some(map) = value.as_object().filter(|map| map.contains_key("$ref")) {
            assert_eq!(map.len(), 1, "{value}: keywords beside a reference are ignored");
        }
    });
}

#[test]
fn components_have_the_names_of_kubernetes() {
    let document = document();
    let names: Vec<&str> = document["components"]["schemas"].as_object().unwrap().keys().map(String::as_str).collect();
    for name in ["Shelf", "ShelfList", "Book", "BookList"] {
        assert!(names.contains(&format!("com.example.store.v1alpha1.{name}").as_str()), "{name}");
    }
    for name in ["ObjectMeta", "ListMeta", "Status", "DeleteOptions", "OwnerReference", "ManagedFieldsEntry", "Time"] {
        assert!(names.contains(&format!("io.k8s.apimachinery.pkg.apis.meta.v1.{name}").as_str()), "{name}");
    }
    assert!(names.iter().all(|name| !name.contains('/')));
}

#[test]
fn group_version_kind_is_a_list_on_kinds_and_an_object_on_operations() {
    const GVK: &str = "x-kubernetes-group-version-kind";
    let document = document();
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        if name.starts_with("com.example.") {
            let kind = name.rsplit('.').next().unwrap();
            assert_eq!(schema[GVK], json!([{"group": "store.example.com", "version": "v1alpha1", "kind": kind}]));
        } else {
            walk(schema, &mut |key, _| assert_ne!(key, GVK, "in {name}"));
            assert!(schema.get(GVK).is_none(), "{name}");
        }
    }
    for (path, method, operation) in operations(&document) {
        let kind = if path.contains("shelves") { "Shelf" } else { "Book" };
        let expected = json!({"group": "store.example.com", "version": "v1alpha1", "kind": kind});
        assert_eq!(operation[GVK], expected, "{method} {path}");
    }
}

#[test]
fn operations_match_verbs_and_have_unique_ids() {
    let document = document();
    let listed: Vec<String> = operations(&document)
        .into_iter()
        .map(|(path, method, operation)| {
            let text = |key: &str| operation[key].as_str().unwrap().to_owned();
            format!("{method} {path} {} {}", text("x-kubernetes-action"), text("operationId"))
        })
        .collect();
    expect_test::expect![[r"
        get /apis/store.example.com/v1alpha1/books list listStoreExampleComV1alpha1BookForAllNamespaces
        delete /apis/store.example.com/v1alpha1/namespaces/{namespace}/books deletecollection deleteStoreExampleComV1alpha1CollectionNamespacedBook
        get /apis/store.example.com/v1alpha1/namespaces/{namespace}/books list listStoreExampleComV1alpha1NamespacedBook
        delete /apis/store.example.com/v1alpha1/namespaces/{namespace}/books/{name} delete deleteStoreExampleComV1alpha1NamespacedBook
        get /apis/store.example.com/v1alpha1/namespaces/{namespace}/books/{name} get readStoreExampleComV1alpha1NamespacedBook
        patch /apis/store.example.com/v1alpha1/namespaces/{namespace}/books/{name} patch patchStoreExampleComV1alpha1NamespacedBook
        get /apis/store.example.com/v1alpha1/namespaces/{namespace}/books/{name}/status get readStoreExampleComV1alpha1NamespacedBookStatus
        patch /apis/store.example.com/v1alpha1/namespaces/{namespace}/books/{name}/status patch patchStoreExampleComV1alpha1NamespacedBookStatus
        put /apis/store.example.com/v1alpha1/namespaces/{namespace}/books/{name}/status put replaceStoreExampleComV1alpha1NamespacedBookStatus
        delete /apis/store.example.com/v1alpha1/shelves deletecollection deleteStoreExampleComV1alpha1CollectionShelf
        get /apis/store.example.com/v1alpha1/shelves list listStoreExampleComV1alpha1Shelf
        post /apis/store.example.com/v1alpha1/shelves post createStoreExampleComV1alpha1Shelf
        delete /apis/store.example.com/v1alpha1/shelves/{name} delete deleteStoreExampleComV1alpha1Shelf
        get /apis/store.example.com/v1alpha1/shelves/{name} get readStoreExampleComV1alpha1Shelf
        patch /apis/store.example.com/v1alpha1/shelves/{name} patch patchStoreExampleComV1alpha1Shelf
        put /apis/store.example.com/v1alpha1/shelves/{name} put replaceStoreExampleComV1alpha1Shelf
        get /apis/store.example.com/v1alpha1/shelves/{name}/status get readStoreExampleComV1alpha1ShelfStatus
        patch /apis/store.example.com/v1alpha1/shelves/{name}/status patch patchStoreExampleComV1alpha1ShelfStatus
        put /apis/store.example.com/v1alpha1/shelves/{name}/status put replaceStoreExampleComV1alpha1ShelfStatus
    "]]
    .assert_eq(&(listed.join("\n") + "\n"));
    let ids: BTreeSet<&str> = listed.iter().filter_map(|line| line.rsplit(' ').next()).collect();
    assert_eq!(ids.len(), listed.len());
}

#[test]
fn path_parameters_are_declared() {
    let document = document();
    for (path, item) in document["paths"].as_object().unwrap() {
        let mut named: Vec<&str> =
            path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
        let mut declared: Vec<&str> = item
            .get("parameters")
            .and_then(Value::as_array)
            .map_or(Vec::new(), |all| all.iter().map(|parameter| parameter["name"].as_str().unwrap()).collect());
        named.sort_unstable();
        declared.sort_unstable();
        assert_eq!(declared, named, "{path}");
    }
}

#[test]
fn patch_operations_list_media_types_and_parameters() {
    let document = document();
    let patches: Vec<_> = operations(&document).into_iter().filter(|(_, method, _)| *method == "patch").collect();
    assert_eq!(patches.len(), 4);
    for (path, _, patch) in patches {
        let types: BTreeSet<&str> =
            patch["requestBody"]["content"].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(types, PATCH_TYPES.iter().copied().collect(), "{path}");
        let parameters: Vec<&str> = patch["parameters"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|parameter| parameter["in"] == "query")
            .map(|parameter| parameter["name"].as_str().unwrap())
            .collect();
        assert_eq!(parameters, ["dryRun", "fieldManager", "fieldValidation", "force"], "{path}");
    }
}

#[test]
fn list_operation_has_watch_and_paging_parameters() {
    let document = document();
    let list = &document["paths"]["/apis/store.example.com/v1alpha1/books"]["get"];
    let names: Vec<&str> =
        list["parameters"].as_array().unwrap().iter().map(|parameter| parameter["name"].as_str().unwrap()).collect();
    for name in ["limit", "continue", "watch", "allowWatchBookmarks", "sendInitialEvents", "labelSelector"] {
        assert!(names.contains(&name), "{name}");
    }
    assert!(list["responses"]["200"]["content"].get("application/json;stream=watch").is_some());
}

#[test]
fn kinds_have_descriptions_and_metadata() {
    let document = document();
    let shelf = &document["components"]["schemas"]["com.example.store.v1alpha1.Shelf"];
    assert_eq!(shelf["description"], "A shelf.");
    assert_eq!(shelf["properties"]["spec"]["properties"]["colour"]["description"], "Its colour.");
    for key in ["apiVersion", "kind"] {
        assert_eq!(shelf["properties"][key]["type"], "string");
    }
    let metadata = "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
    assert_eq!(shelf["properties"]["metadata"]["allOf"], json!([{"$ref": metadata}]));
}

#[test]
fn every_component_has_description_and_type() {
    let document = document();
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        assert!(schema["description"].as_str().is_some_and(|text| !text.is_empty()), "{name}");
        assert!(schema["type"].is_string(), "{name}");
        for (property, value) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            assert!(value.get("type").is_some() || value.get("allOf").is_some(), "{name}.{property}");
        }
    }
}

#[test]
fn object_meta_refers_to_component_types() {
    let document = document();
    let meta = &document["components"]["schemas"]["io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"]["properties"];
    let prefix = "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1";
    for (place, kind) in [
        (&meta["ownerReferences"]["items"], "OwnerReference"),
        (&meta["managedFields"]["items"], "ManagedFieldsEntry"),
        (&meta["creationTimestamp"], "Time"),
    ] {
        let reference = place.get("$ref").or_else(|| place.pointer("/allOf/0/$ref"));
        assert_eq!(reference, Some(&json!(format!("{prefix}.{kind}"))), "{place}");
    }
}

#[test]
fn document_has_no_nullable_and_no_null() {
    let document = document();
    walk(&document, &mut |key, value| {
        assert_ne!(key, "nullable");
        assert!(!value.is_null(), "{key}");
    });
}

#[test]
fn root_document_has_urls_with_hashes() {
    assert_eq!(
        v3_root([("apis/store.example.com/v1alpha1", "AB12")]),
        json!({"paths": {"apis/store.example.com/v1alpha1":
            {"serverRelativeURL": "/openapi/v3/apis/store.example.com/v1alpha1?hash=AB12"}}})
    );
}
