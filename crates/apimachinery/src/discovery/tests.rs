//! Tests of the discovery documents.

use super::*;
use crate::fixture;

fn discovery() -> Discovery {
    Discovery::new(&fixture::registry())
}

#[test]
fn group_list_has_versions_and_preferred_version() {
    let list = discovery().api_group_list();
    let version = json!({"groupVersion": "store.example.com/v1alpha1", "version": "v1alpha1"});
    let group = json!({"name": "store.example.com", "versions": [version], "preferredVersion": version});
    assert_eq!(list, json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": [group]}));
    let mut alone = discovery().api_group("store.example.com").unwrap();
    assert_eq!(alone["kind"], "APIGroup");
    assert_eq!(alone["apiVersion"], "v1");
    for key in ["kind", "apiVersion"] {
        alone.as_object_mut().unwrap().remove(key);
    }
    assert_eq!(alone, group);
}

#[test]
fn resource_list_includes_subresources() {
    let list = discovery().api_resource_list("store.example.com", "v1alpha1").unwrap();
    assert_eq!(list["groupVersion"], "store.example.com/v1alpha1");
    assert_eq!(
        list["resources"],
        json!([
            {
                "name": "shelves", "singularName": "shelf", "namespaced": false, "kind": "Shelf",
                "verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
                "shortNames": ["sh"], "categories": ["store"], "storageVersionHash": "gmr8jLI62yk=",
            },
            {
                "name": "shelves/status", "singularName": "", "namespaced": false, "kind": "Shelf",
                "verbs": ["get", "patch", "update"],
            },
            {
                "name": "books", "singularName": "book", "namespaced": true, "kind": "Book",
                "verbs": ["delete", "deletecollection", "get", "list", "patch", "watch"],
                "storageVersionHash": "VDPcHFOHB+Y=",
            },
            {
                "name": "books/status", "singularName": "", "namespaced": true, "kind": "Book",
                "verbs": ["get", "patch", "update"],
            },
        ])
    );
}

#[test]
fn aggregated_discovery_includes_all_resources() {
    let document = discovery().aggregated(DiscoveryFormat::AggregatedV2);
    let group = &document["items"][0];
    assert_eq!(group["metadata"], json!({"name": "store.example.com", "creationTimestamp": null}));
    assert_eq!(group["versions"][0]["version"], "v1alpha1");
    assert_eq!(group["versions"][0]["freshness"], "Current");
    let kind = json!({"group": "store.example.com", "version": "v1alpha1", "kind": "Book"});
    assert_eq!(
        group["versions"][0]["resources"][1],
        json!({
            "resource": "books", "responseKind": kind, "scope": "Namespaced", "singularResource": "book",
            "verbs": ["delete", "deletecollection", "get", "list", "patch", "watch"],
            "subresources": [{"subresource": "status", "responseKind": kind, "verbs": ["get", "patch", "update"]}],
        })
    );
    let shelf = &group["versions"][0]["resources"][0];
    assert_eq!((&shelf["scope"], &shelf["shortNames"]), (&json!("Cluster"), &json!(["sh"])));
}

#[test]
fn aggregated_formats_differ_only_in_api_version() {
    let mut v2 = discovery().aggregated(DiscoveryFormat::AggregatedV2);
    let v2beta1 = discovery().aggregated(DiscoveryFormat::AggregatedV2Beta1);
    assert_eq!(v2["apiVersion"], "apidiscovery.k8s.io/v2");
    assert_eq!(v2beta1["apiVersion"], "apidiscovery.k8s.io/v2beta1");
    v2["apiVersion"] = v2beta1["apiVersion"].clone();
    assert_eq!(v2, v2beta1);
    assert_eq!(discovery().aggregated(DiscoveryFormat::Legacy), discovery().api_group_list());
}

#[test]
fn core_group_without_kinds_lists_v1() {
    let discovery = discovery();
    assert_eq!(
        discovery.core(DiscoveryFormat::Legacy),
        json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []})
    );
    assert_eq!(
        discovery.core(DiscoveryFormat::AggregatedV2),
        json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": []})
    );
    assert_eq!(discovery.core_resource_list()["resources"], json!([]));
}

#[test]
fn core_group_is_not_in_the_group_list() {
    let discovery = Discovery::new(&fixture::registry_of_groups());
    let names = |list: &Value| list["groups"].as_array().unwrap().iter().map(|g| g["name"].clone()).collect::<Vec<_>>();
    assert_eq!(names(&discovery.api_group_list()), ["store.example.com", "ask.example.com"]);
    assert_eq!(discovery.api_group(""), None, "the core group is not in the list of groups");
    let core = discovery.core_resource_list();
    assert_eq!((&core["groupVersion"], &core["resources"][0]["name"]), (&json!("v1"), &json!("rooms")));
    assert_eq!(core["resources"].as_array().unwrap().len(), 3, "with its two subresources: {core}");
    let aggregated = discovery.core(DiscoveryFormat::AggregatedV2);
    assert_eq!(aggregated["items"][0]["metadata"]["name"], "");
    let room = &aggregated["items"][0]["versions"][0]["resources"][0];
    assert_eq!(room["responseKind"], json!({"group": "", "version": "v1", "kind": "Room"}));
    assert_eq!(room["subresources"][1]["verbs"], json!(["update"]));
    let items = discovery.aggregated(DiscoveryFormat::AggregatedV2)["items"].clone();
    assert_eq!(items.as_array().unwrap().len(), 2, "the core is at /api");
    let question = &discovery.api_resource_list("ask.example.com", "v2").unwrap()["resources"];
    assert_eq!(
        question,
        &json!([{
            "name": "questions", "singularName": "question", "namespaced": false, "kind": "Question", "verbs": ["create"],
        }])
    );
    assert!(discovery.api_resource_list("ask.example.com", "v1").is_none());
}

#[test]
fn versions_are_sorted_by_preference() {
    let of = |version: &'static str| Resource { version, plural: "questions", kind: "Question", ..fixture::shelf() };
    let registry = fixture::registry_of_groups().with_virtual_resources(["v2alpha1", "v1", "v2", "v1beta1"].map(of));
    let discovery = Discovery::new(&registry);
    let names =
        |versions: &Value| versions.as_array().unwrap().iter().map(|v| v["version"].clone()).collect::<Vec<_>>();
    let wanted = ["v2", "v1", "v1beta1", "v2alpha1", "v1alpha1"];
    let group = discovery.api_group("store.example.com").unwrap();
    assert_eq!(
        (names(&group["versions"]), &group["preferredVersion"]["version"]),
        (wanted.map(Value::from).to_vec(), &json!("v2"))
    );
    let aggregated = &discovery.aggregated(DiscoveryFormat::AggregatedV2)["items"];
    assert_eq!(names(&aggregated[0]["versions"]), wanted);
    assert_eq!(names(&aggregated[1]["versions"]), ["v2"], "versions of other groups are separate");
}
