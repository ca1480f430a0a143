//! Discovery, aggregated and unaggregated; content types are compared byte for byte, because old clients do so.

use kube::discovery::Discovery;
use serde_json::{Value, json};
use testkit::Answer;

use crate::support::{API, ServerFixture, body, failure, text};

const ALL_VERBS: [&str; 8] = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

fn aggregated(version: &str) -> String {
    format!("application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList")
}

fn content_type(answer: &Answer) -> &str {
    answer.header("content-type").unwrap()
}

fn entry<'a>(resources: &'a Value, key: &str, name: &str) -> &'a Value {
    let found = resources.as_array().unwrap().iter().find(|resource| resource[key] == name);
    found.unwrap_or_else(|| panic!("{name} is missing in {resources}"))
}

#[tokio::test]
async fn api_group_is_listed() {
    let front = ServerFixture::open().await;
    let version = json!({ "groupVersion": "ipam.miloapis.com/v1alpha1", "version": "v1alpha1" });
    for path in ["/apis", "/apis/"] {
        let answer = front.get(path).await;
        assert_eq!(content_type(&answer), "application/json");
        let list = body(&answer, 200);
        assert_eq!((text(&list, "/kind"), text(&list, "/apiVersion")), ("APIGroupList", "v1"));
        let group = entry(&list["groups"], "name", "ipam.miloapis.com");
        assert_eq!((&group["versions"], &group["preferredVersion"]), (&json!([version]), &version));
    }
    let group = body(&front.get("/apis/ipam.miloapis.com").await, 200);
    assert_eq!((text(&group, "/kind"), text(&group, "/name")), ("APIGroup", "ipam.miloapis.com"));
    assert_eq!((&group["versions"], &group["preferredVersion"]), (&json!([version]), &version));
}

#[tokio::test]
async fn api_resources_are_listed_with_verbs() {
    let front = ServerFixture::open().await;
    let answer = front.get(API).await;
    assert_eq!(content_type(&answer), "application/json");
    let list = body(&answer, 200);
    assert_eq!((text(&list, "/kind"), text(&list, "/groupVersion")), ("APIResourceList", "ipam.miloapis.com/v1alpha1"));
    let without_writes: Vec<_> = ALL_VERBS.into_iter().filter(|verb| !["create", "update"].contains(verb)).collect();
    for (plural, kind, short, namespaced, verbs) in [
        ("ippools", "IPPool", "ippool", false, ALL_VERBS.as_slice()),
        ("ipclaims", "IPClaim", "ipclaim", true, &ALL_VERBS),
        ("ipallocations", "IPAllocation", "ipalloc", true, &without_writes),
    ] {
        let resource = entry(&list["resources"], "name", plural);
        assert_eq!((text(resource, "/kind"), text(resource, "/singularName")), (kind, kind.to_lowercase().as_str()));
        assert_eq!((&resource["namespaced"], &resource["verbs"]), (&json!(namespaced), &json!(verbs)), "{plural}");
        assert!(resource["shortNames"].as_array().unwrap().contains(&json!(short)), "{resource}");
        assert_eq!(resource["categories"], json!(["ipam"]));
        let status = entry(&list["resources"], "name", &format!("{plural}/status"));
        assert_eq!((&status["kind"], &status["singularName"]), (&json!(kind), &json!("")));
        assert_eq!((&status["namespaced"], &status["verbs"]), (&json!(namespaced), &json!(["get", "patch", "update"])));
    }
}

#[tokio::test]
async fn aggregated_discovery_is_served_as_v2_and_v2beta1() {
    let front = ServerFixture::open().await;
    for version in ["v2", "v2beta1"] {
        let answer = front.get_as("/apis", &aggregated(version)).await;
        assert_eq!(content_type(&answer), aggregated(version), "old clients compare this string");
        let list = body(&answer, 200);
        assert_eq!(text(&list, "/apiVersion"), format!("apidiscovery.k8s.io/{version}"));
        assert_eq!(text(&list, "/kind"), "APIGroupDiscoveryList");
        let group = list["items"]
            .as_array()
            .unwrap()
            .iter()
            .find(|item| item["metadata"]["name"] == "ipam.miloapis.com")
            .unwrap();
        let served = &group["versions"][0];
        assert_eq!((text(served, "/version"), text(served, "/freshness")), ("v1alpha1", "Current"));
        for (plural, kind, scope) in [
            ("ippools", "IPPool", "Cluster"),
            ("ipclaims", "IPClaim", "Namespaced"),
            ("ipallocations", "IPAllocation", "Namespaced"),
        ] {
            let resource = entry(&served["resources"], "resource", plural);
            let response = json!({ "group": "ipam.miloapis.com", "version": "v1alpha1", "kind": kind });
            assert_eq!((&resource["responseKind"], text(resource, "/scope")), (&response, scope));
            assert_eq!(text(resource, "/singularResource"), kind.to_lowercase());
            assert_eq!(resource["categories"], json!(["ipam"]));
            let status = entry(&resource["subresources"], "subresource", "status");
            assert_eq!((&status["responseKind"], &status["verbs"]), (&response, &json!(["get", "patch", "update"])));
        }
    }
}

#[tokio::test]
async fn discovery_format_is_negotiated_by_accept() {
    let front = ServerFixture::open().await;
    let (v2, beta) = (aggregated("v2"), aggregated("v2beta1"));
    for (accept, expected) in [
        (format!("{v2},{beta},application/json"), v2.as_str()),
        (format!("{beta},application/json"), &beta),
        (format!("application/json;q=0.5,{v2}"), &v2),
        (format!("{v2};profile=nopeer,{v2},application/json"), &v2),
        (format!("application/json;as=APIGroupDiscoveryList;v=v2;g=apidiscovery.k8s.io,{beta};q=0.1"), &v2),
        ("application/vnd.kubernetes.protobuf, application/json".to_owned(), "application/json"),
        ("*/*".to_owned(), "application/json"),
    ] {
        assert_eq!(content_type(&front.get_as("/apis", &accept).await), expected, "{accept}");
    }
    let refused = front.get_as("/apis", &aggregated("v9")).await;
    assert_eq!(failure(&refused).code, 406, "never 404: an old aggregator falls back on 406 only");
}

#[tokio::test]
async fn discovery_with_matching_etag_is_304() {
    let front = ServerFixture::open().await;
    let first = front.get_as("/apis", &aggregated("v2")).await;
    let tag = first.header("etag").unwrap().to_owned();
    assert!(tag.starts_with('"') && tag.ends_with('"'), "{tag}");
    assert!(first.headers.get_all("vary").iter().any(|vary| vary.to_str().unwrap().to_lowercase().contains("accept")));
    let again =
        front.send(http::Method::GET, "/apis", &[("accept", &aggregated("v2")), ("if-none-match", &tag)], "").await;
    assert_eq!((again.status.as_u16(), again.body.len()), (304, 0));
}

#[tokio::test]
async fn kube_rs_discovery_finds_all_kinds() {
    let front = ServerFixture::open().await;
    for aggregated in [false, true] {
        let discovery = Discovery::new(front.another_client());
        let discovery = if aggregated { discovery.run_aggregated().await } else { discovery.run().await }.unwrap();
        let group = discovery.get("ipam.miloapis.com").unwrap();
        let kinds: Vec<_> = group.recommended_resources().into_iter().map(|(resource, _)| resource.kind).collect();
        for kind in ["IPPool", "IPClaim", "IPAllocation"] {
            assert!(kinds.iter().any(|found| found == kind), "{kind} is missing in {kinds:?}");
        }
    }
}

#[tokio::test]
async fn version_has_the_fields_of_kube_apiserver() {
    let front = ServerFixture::open().await;
    let version = body(&front.get("/version").await, 200);
    assert_eq!(text(&version, "/major"), "1");
    let git = text(&version, "/gitVersion").strip_prefix("v1.").unwrap();
    assert!(git.split('.').next().unwrap().parse::<u32>().is_ok(), "{version}");
    for field in ["minor", "gitCommit", "gitTreeState", "buildDate", "goVersion", "compiler", "platform"] {
        assert!(version[field].is_string(), "{field} in {version}");
    }
}
