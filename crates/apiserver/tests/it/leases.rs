//! Leases, which controllers use for leader election.

use http::Method;
use serde_json::{Value, json};

use crate::test_server::{Client, Setup, TestServer, Who, revision};

const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/attic/leases";

async fn standalone() -> TestServer {
    TestServer::set_up(Setup::standalone()).await
}

fn lease(holder: &str) -> Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "lock", "namespace": "attic"},
        "spec": {
            "holderIdentity": holder, "leaseDurationSeconds": 15, "acquireTime": "2026-01-01T00:00:00.000000Z",
            "renewTime": "2026-01-01T00:00:01.500000Z", "leaseTransitions": 0,
        },
    })
}

#[tokio::test]
async fn lease_update_with_an_old_version_is_a_conflict() {
    let server = standalone().await;
    let created = server.create(LEASES, &lease("one")).await;
    assert_eq!((&created["spec"], &created["metadata"]["generation"]), (&lease("one")["spec"], &Value::Null));
    let path = format!("{LEASES}/lock");
    let replace = async |holder: &str, version: Option<u64>| {
        let mut body = lease(holder);
        body["metadata"]["resourceVersion"] = version.map(|version| version.to_string()).into();
        server.client.send(Method::PUT, &path, &body).await
    };
    let renewed = replace("two", Some(revision(&created))).await;
    assert_eq!((renewed.status, &renewed.json()["spec"]["holderIdentity"]), (200, &json!("two")));
    assert_eq!(replace("three", Some(revision(&created))).await.status, 409, "another candidate was faster");
    let blind = replace("three", None).await;
    let message = "leases.coordination.k8s.io \"lock\" is invalid: metadata.resourceVersion: Invalid value: 0: must be \
                   specified for an update";
    assert_eq!((blind.status, &blind.json()["message"]), (422, &json!(message)));
    let accept = [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")];
    let table = server.get_with(LEASES, &accept).await.json();
    let columns: Vec<_> = table["columnDefinitions"].as_array().unwrap().iter().map(|c| c["name"].clone()).collect();
    assert_eq!(columns, ["Name", "Holder", "Age"]);
    assert_eq!(table["rows"][0]["cells"][1], "two");
}

/// Go clients, and with them every informer of leases, cannot parse other times.
#[tokio::test]
async fn times_of_leases_have_six_digits_after_the_second() {
    let server = standalone().await;
    let created = |time: &str| {
        let mut body = lease("one");
        body["spec"]["renewTime"] = json!(time);
        let server = &server;
        async move { server.client.send(Method::POST, &format!("{LEASES}?dryRun=All"), &body).await }
    };
    for time in ["2026-01-01T00:00:01.000000Z", "2026-01-01T00:00:01.123456+01:00"] {
        assert_eq!(created(time).await.status, 201, "{time}");
    }
    for time in ["2026-01-01T00:00:01Z", "2026-01-01T00:00:01.12345Z", "2026-01-01T00:00:01.1234567Z", ".123456Z", ""] {
        let refused = created(time).await;
        let cause = &refused.json()["details"]["causes"][0];
        assert_eq!((refused.status, &cause["field"]), (422, &json!("spec.renewTime")), "{time}");
        assert!(cause["message"].as_str().unwrap().contains("six digits after the second"), "{cause}");
    }
}

#[tokio::test]
async fn replacing_a_missing_lease_creates_it() {
    let server = standalone().await;
    let path = format!("{LEASES}/lock");
    let mut gone = lease("one");
    gone["metadata"]["uid"] = json!("f3b0a3a4-0000-4000-8000-000000000000");
    assert_eq!(server.client.send(Method::PUT, &path, &gone).await.status, 409, "it was deleted in the meantime");
    let visitor = Client::connect_as(Who::Visitor, server.address, true).await;
    let rules = |verbs: &[&str]| {
        json!({
            "metadata": {"name": "leases"},
            "rules": [{"verbs": verbs, "apiGroups": ["coordination.k8s.io"], "resources": ["leases"]}],
        })
    };
    let binding = json!({
        "metadata": {"name": "leases"}, "roleRef": {"kind": "Role", "name": "leases"},
        "subjects": [{"kind": "User", "name": "visitor"}],
    });
    let rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/attic";
    server.create(&format!("{rbac}/roles"), &rules(&["update"])).await;
    server.create(&format!("{rbac}/rolebindings"), &binding).await;
    assert_eq!(visitor.send(Method::PUT, &path, &lease("one")).await.status, 403, "it may only update");
    server.patch(&format!("{rbac}/roles/leases"), &rules(&["update", "create"])).await;
    assert_eq!(visitor.send(Method::PUT, &path, &lease("one")).await.status, 201);
    let nowhere = "/apis/coordination.k8s.io/v1/namespaces/cellar/leases/lock";
    let mut homeless = lease("one");
    homeless["metadata"]["namespace"] = json!("cellar");
    let refused = server.client.send(Method::PUT, nowhere, &homeless).await;
    assert_eq!((refused.status, &refused.json()["message"]), (404, &json!("namespaces \"cellar\" not found")));
}

#[tokio::test]
async fn invalid_leases_report_all_field_errors() {
    let server = standalone().await;
    let mut bad = lease("one");
    bad["spec"]["leaseDurationSeconds"] = json!(0);
    bad["spec"]["leaseTransitions"] = json!(-1);
    let refused = server.client.send(Method::POST, LEASES, &bad).await;
    let message = "Lease.coordination.k8s.io \"lock\" is invalid: [spec.leaseDurationSeconds: Invalid value: 0: must be \
                   greater than 0, spec.leaseTransitions: Invalid value: -1: must be greater than or equal to 0]";
    assert_eq!((refused.status, &refused.json()["message"]), (422, &json!(message)));
}
