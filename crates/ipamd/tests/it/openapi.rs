//! The OpenAPI documents, which kubectl uses for validation, patches and `explain`.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::{ServerFixture, body, text};

const DOCUMENT: &str = "/openapi/v3/apis/ipam.miloapis.com/v1alpha1";

async fn document() -> Value {
    body(&ServerFixture::open().await.get(DOCUMENT).await, 200)
}

/// The documents of all API versions in the index.
async fn all_documents(front: &ServerFixture) -> Vec<Value> {
    let index = body(&front.get("/openapi/v3").await, 200);
    let mut documents = Vec::new();
    for entry in index["paths"].as_object().unwrap().values() {
        documents.push(body(&front.get(text(entry, "/serverRelativeURL")).await, 200));
    }
    documents
}

/// All nodes of a document, the root first.
fn nodes(document: &Value) -> Vec<&Value> {
    let mut all = vec![document];
    let mut index = 0;
    while let Some(node) = all.get(index).copied() {
        match node {
            Value::Array(items) => all.extend(items),
            Value::Object(fields) => all.extend(fields.values()),
            _ => {}
        }
        index += 1;
    }
    all
}

/// Resolves a reference, including one that is the only item of an `allOf`.
fn resolve<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    let reference = schema.get("$ref").or_else(|| schema.pointer("/allOf/0/$ref")).and_then(Value::as_str);
    reference.map_or(schema, |reference| {
        let pointer = reference.strip_prefix('#').unwrap_or_else(|| panic!("{reference} is not in this document"));
        document.pointer(pointer).unwrap_or_else(|| panic!("{reference} does not resolve"))
    })
}

/// Returns the schema of a kind, found by its group, version and kind as kubectl does.
fn schema_of<'a>(document: &'a Value, kind: &str) -> &'a Value {
    let wanted = json!({ "group": "ipam.miloapis.com", "version": "v1alpha1", "kind": kind });
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let found: Vec<_> =
        schemas.values().filter(|schema| schema["x-kubernetes-group-version-kind"] == json!([wanted])).collect();
    assert_eq!(found.len(), 1, "one schema says that it is {kind}");
    found[0]
}

/// Returns the schema at a path of fields; array items are entered without a path element.
fn at<'a>(document: &'a Value, kind: &str, path: &str) -> &'a Value {
    path.split('.').fold(schema_of(document, kind), |schema, field| {
        let schema = resolve(document, schema);
        let object = schema.get("items").map_or(schema, |items| resolve(document, items));
        let properties = &object["properties"];
        properties.get(field).unwrap_or_else(|| panic!("{kind} {path}: no {field} in {properties}"))
    })
}

#[tokio::test]
async fn openapi_index_urls_contain_the_document_hash() {
    let front = ServerFixture::open().await;
    let index = body(&front.get("/openapi/v3").await, 200);
    let url = text(&index, "/paths/apis~1ipam.miloapis.com~1v1alpha1/serverRelativeURL").to_owned();
    let hash = url.strip_prefix(&format!("{DOCUMENT}?hash=")).unwrap();
    let answer = front.get(&url).await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, Some("application/json")));
    assert_eq!(answer.header("etag"), Some(format!("\"{hash}\"").as_str()));
    assert!(answer.header("cache-control").unwrap().contains("immutable"));
    let plain = front.get(&format!("{DOCUMENT}?timeout=32s")).await;
    assert_eq!((plain.status.as_u16(), &plain.body), (200, &answer.body));
    let stale = front.get(&format!("{DOCUMENT}?hash=0000")).await;
    assert_eq!((stale.status.as_u16(), stale.header("location")), (301, Some(url.as_str())));
    assert_eq!(front.get("/openapi/v3/apis/missing.example.com/v1").await.status, 404);
}

#[tokio::test]
async fn every_openapi_reference_resolves() {
    let document = document().await;
    assert!(text(&document, "/openapi").starts_with("3.0"));
    let references: BTreeSet<_> = nodes(&document).into_iter().filter_map(|node| node.get("$ref")?.as_str()).collect();
    assert!(references.len() > 5, "{references:?}");
    for reference in references {
        assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
        assert!(!reference.contains("~1"), "{reference}: some parsers cannot follow an escaped slash");
    }
}

#[tokio::test]
async fn patch_operations_have_what_kubectl_needs() {
    let document = document().await;
    for (path, kind) in [
        ("/apis/ipam.miloapis.com/v1alpha1/ippools/{name}", "IPPool"),
        ("/apis/ipam.miloapis.com/v1alpha1/namespaces/{namespace}/ipclaims/{name}", "IPClaim"),
        ("/apis/ipam.miloapis.com/v1alpha1/namespaces/{namespace}/ipallocations/{name}", "IPAllocation"),
    ] {
        let item = &document["paths"][path];
        let patch = &item["patch"];
        let group_version_kind = json!({ "group": "ipam.miloapis.com", "version": "v1alpha1", "kind": kind });
        assert_eq!(patch["x-kubernetes-group-version-kind"], group_version_kind, "{path}");
        let parameters = [&patch["parameters"], &item["parameters"]];
        let parameters: BTreeSet<_> = parameters
            .into_iter()
            .filter_map(Value::as_array)
            .flatten()
            .map(|parameter| text(resolve(&document, parameter), "/name"))
            .collect();
        for parameter in ["dryRun", "fieldManager", "fieldValidation", "force"] {
            assert!(parameters.contains(parameter), "{path}: {parameter} is missing in {parameters:?}");
        }
        let media: BTreeSet<_> =
            patch["requestBody"]["content"].as_object().unwrap().keys().map(String::as_str).collect();
        assert!(
            media.contains("application/json-patch+json") && media.contains("application/merge-patch+json"),
            "{media:?}"
        );
        assert!(!media.contains("application/strategic-merge-patch+json"), "only what is served is listed");
    }
}

#[tokio::test]
async fn operation_ids_are_unique_and_actions_are_named() {
    let document = document().await;
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in
            item.as_object().unwrap().iter().filter(|(_, operation)| operation.get("operationId").is_some())
        {
            assert!(ids.insert(text(operation, "/operationId")), "{path} {method}: {operation}");
            assert!(
                operation.get("x-kubernetes-action").is_some() || path.trim_end_matches('/').ends_with("v1alpha1"),
                "{path} {method}"
            );
        }
    }
    assert!(ids.len() >= 30, "{ids:?}");
}

#[tokio::test]
async fn every_field_has_a_description() {
    let document = document().await;
    for (kind, path) in [
        ("IPPool", "spec.cidr"),
        ("IPPool", "spec.ipFamily"),
        ("IPPool", "spec.parentPoolRef.name"),
        ("IPPool", "spec.prefixLength"),
        ("IPPool", "spec.allocation.minPrefixLength"),
        ("IPPool", "spec.allocation.maxPrefixLength"),
        ("IPPool", "spec.allocation.defaultPrefixLength"),
        ("IPPool", "spec.allocation.strategy"),
        ("IPPool", "spec.visibility"),
        ("IPPool", "status.capacity.exact.available"),
        ("IPPool", "status.utilizationPercent"),
        ("IPPool", "status.largestFreePrefix"),
        ("IPPool", "status.conditions.reason"),
        ("IPClaim", "spec.poolRef.name"),
        ("IPClaim", "spec.poolRef.projectRef.name"),
        ("IPClaim", "spec.poolSelector.matchLabels"),
        ("IPClaim", "spec.poolSelector.matchExpressions.operator"),
        ("IPClaim", "spec.address"),
        ("IPClaim", "spec.reclaimPolicy"),
        ("IPClaim", "spec.ownerRef.kind"),
        ("IPClaim", "status.boundAllocationRef.name"),
        ("IPAllocation", "spec.claimRef.name"),
        ("IPAllocation", "spec.purpose"),
        ("IPAllocation", "status.allocatedCIDR"),
        ("IPClaim", "metadata.finalizers"),
    ] {
        let schema = at(&document, kind, path);
        let described = text(schema, "/description").len().max(text(resolve(&document, schema), "/description").len());
        assert!(described > 5, "{kind} {path} has no description: {schema}");
    }
}

#[tokio::test]
async fn list_map_keys_are_required_or_have_a_default() {
    let front = ServerFixture::open().await;
    let mut keys_seen = 0;
    for document in all_documents(&front).await {
        for list in nodes(&document).into_iter().filter(|node| node["x-kubernetes-list-map-keys"].is_array()) {
            let items = resolve(&document, &list["items"]);
            for key in list["x-kubernetes-list-map-keys"].as_array().unwrap() {
                let is_required = items["required"].as_array().is_some_and(|required| required.contains(key));
                let default = &items["properties"][key.as_str().unwrap()]["default"];
                assert!(is_required || !default.is_null(), "{key} of {list}");
                keys_seen += 1;
            }
        }
    }
    assert!(keys_seen > 1, "conditions and owners have keys");
}

#[tokio::test]
async fn schemas_have_no_patch_strategies() {
    let front = ServerFixture::open().await;
    for document in all_documents(&front).await {
        for node in nodes(&document) {
            let fields = node.as_object().into_iter().flatten();
            let strategies: Vec<_> = fields.filter(|(name, _)| name.starts_with("x-kubernetes-patch-")).collect();
            assert!(strategies.is_empty(), "{strategies:?}");
        }
    }
}

#[tokio::test]
async fn schema_declares_list_map_keys_and_enums() {
    let document = document().await;
    let conditions = at(&document, "IPPool", "status.conditions");
    assert_eq!(
        (text(conditions, "/x-kubernetes-list-type"), &conditions["x-kubernetes-list-map-keys"]),
        ("map", &json!(["type"]))
    );
    for (path, values) in [
        ("spec.allocation.strategy", ["FirstFit", "BestFit", "LeastUtilized"].as_slice()),
        ("spec.visibility", &["platform", "consumer", "shared"]),
    ] {
        let schema = resolve(&document, at(&document, "IPPool", path));
        let listed: BTreeSet<_> = schema["enum"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        assert_eq!(listed, values.iter().copied().collect(), "{path}");
    }
}

#[tokio::test]
async fn swagger_v2_equals_openapi_v3() {
    let front = ServerFixture::open().await;
    let (v3, v2) = (document().await, body(&front.get("/openapi/v2").await, 200));
    let all = all_documents(&front).await;
    let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    let of_all = |pointer: &str| all.iter().flat_map(|v3| names(v3.pointer(pointer).unwrap())).collect::<BTreeSet<_>>();
    assert_eq!(text(&v2, "/swagger"), "2.0");
    assert_eq!(names(&v2["paths"]), of_all("/paths"));
    assert_eq!(names(&v2["definitions"]), of_all("/components/schemas"));
    for node in nodes(&v2["definitions"]).into_iter().filter(|node| node.is_object()) {
        for word in ["oneOf", "anyOf", "allOf", "not", "nullable"] {
            // This also rejects fields with such a name, of which there are none.
            assert!(node.get(word).is_none(), "{word} in {node}");
        }
        if let Some(reference) = node.get("$ref").and_then(Value::as_str) {
            assert!(v2.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
        }
    }
    for kind in ["IPPool", "IPClaim", "IPAllocation"] {
        let definition = &v2["definitions"][format!("com.miloapis.ipam.v1alpha1.{kind}")];
        let wanted = json!([{ "group": "ipam.miloapis.com", "version": "v1alpha1", "kind": kind }]);
        assert_eq!(definition["x-kubernetes-group-version-kind"], wanted);
        assert_eq!(
            definition["properties"]["spec"],
            schema_of(&v3, kind)["properties"]["spec"],
            "the specs of {kind} differ"
        );
    }
    let asked = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
    let protobuf = front.get_as("/openapi/v2", asked).await;
    let sent = protobuf.header("content-type");
    assert_eq!(sent, Some("application/com.github.proto-openapi.spec.v2.v1.0+protobuf"));
    assert!(protobuf.body.windows(40).any(|bytes| bytes == b"com.miloapis.ipam.v1alpha1.IPAllocationL"));
}
