//! Deletes: preconditions, response bodies, propagation policies, and delete collection.

use http::Method;
use serde_json::{Value, json};
use testkit::{Answer, claim, pool};

use crate::support::{API, CLAIMS, POOLS, ServerFixture, assert_refused, body, failure, names, revision, text};

const CLAIM: &str = "/apis/ipam.miloapis.com/v1alpha1/namespaces/default/ipclaims/a";

async fn with_claim() -> ServerFixture {
    let front = ServerFixture::open().await;
    front.pool(pool("root").cidr("10.0.0.0/16")).await;
    front.claim(claim("a").pool("root").length(24)).await;
    front
}

async fn delete(front: &ServerFixture, path: &str, options: Value) -> Answer {
    front.http.send_json(Method::DELETE, path, &options).await.unwrap()
}

#[tokio::test]
async fn delete_response_names_the_deleted_object() {
    let front = with_claim().await;
    let uid = front.claims.get("a").await.unwrap().metadata.uid.unwrap();
    let answer = front.send(Method::DELETE, CLAIM, &[("content-type", "application/json")], "").await;
    let expected = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
        "details": { "name": "a", "group": "ipam.miloapis.com", "kind": "ipclaims", "uid": uid },
    });
    assert_eq!(body(&answer, 200), expected);
    let again = failure(&front.send(Method::DELETE, CLAIM, &[], "").await);
    assert_refused(&again, 404, "NotFound", &["ipclaims.ipam.miloapis.com \"a\" not found"]);
    let details = again.details.unwrap();
    assert_eq!(
        (details.name.as_str(), details.group.as_str(), details.kind.as_str()),
        ("a", "ipam.miloapis.com", "ipclaims")
    );
}

#[tokio::test]
async fn delete_with_failed_precondition_is_rejected() {
    let front = with_claim().await;
    let before = body(&front.get(CLAIM).await, 200);
    for wrong in [
        json!({ "uid": "11111111-2222-3333-4444-555555555555" }),
        json!({ "resourceVersion": "1" }),
        json!({ "uid": before["metadata"]["uid"], "resourceVersion": "1" }),
    ] {
        let status = failure(&delete(&front, CLAIM, json!({ "preconditions": wrong })).await);
        assert_refused(&status, 409, "Conflict", &["recondition"]);
    }
    assert_eq!(body(&front.get(CLAIM).await, 200), before);
    let right = json!({ "uid": before["metadata"]["uid"], "resourceVersion": before["metadata"]["resourceVersion"] });
    body(
        &delete(&front, CLAIM, json!({ "kind": "DeleteOptions", "apiVersion": "v1", "preconditions": right })).await,
        200,
    );
}

#[tokio::test]
async fn delete_options_are_accepted_in_query_and_body() {
    let front = with_claim().await;
    for (query, options) in [
        ("", json!({ "propagationPolicy": "Background" })),
        ("", json!({ "kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1" })),
        ("", json!({ "kind": "DeleteOptions", "apiVersion": "ipam.miloapis.com/v1alpha1", "gracePeriodSeconds": 30 })),
        ("?propagationPolicy=Foreground", json!({})),
        ("", json!({ "propagationPolicy": "Orphan" })),
    ] {
        let answer = delete(&front, &format!("{CLAIM}{query}"), options.clone()).await;
        assert_eq!(answer.status, 200, "{query} {options}: {}", answer.text());
        front.gone(CLAIM).await;
        assert_eq!(
            front.addresses("root").await.1,
            0,
            "{query} {options}: its block is free, and no allocation is left"
        );
        front.claim(claim("a").pool("root").length(24)).await;
    }
    for (query, options) in [
        ("?propagationPolicy=Sideways", json!(null)),
        ("", json!({ "propagationPolicy": "Sideways" })),
        ("", json!({ "propagationPolicy": "Orphan", "orphanDependents": true })),
    ] {
        let body = if options.is_null() { String::new() } else { options.to_string() };
        let status = failure(
            &front
                .send(Method::DELETE, &format!("{CLAIM}{query}"), &[("content-type", "application/json")], body)
                .await,
        );
        assert_refused(&status, 422, "Invalid", &["propagationPolicy"]);
    }
    assert_eq!(front.get(CLAIM).await.status, 200);
}

#[tokio::test]
async fn watch_gets_one_deleted_event_with_new_revision() {
    let front = with_claim().await;
    let last = body(&front.get(CLAIM).await, 200);
    let from = revision(&body(&front.get(CLAIMS).await, 200));
    let mut watch = front.watch(&format!("{CLAIMS}?watch=true&resourceVersion={from}")).await;
    front.delete_claim("a").await;
    let gone = watch.expect("DELETED", "a").await;
    assert!(revision(&gone) > from);
    assert_eq!(
        (&gone["status"]["allocatedCIDR"], &gone["metadata"]["uid"]),
        (&last["status"]["allocatedCIDR"], &last["metadata"]["uid"])
    );
}

#[tokio::test]
async fn delete_collection_honors_selectors() {
    let front = with_claim().await;
    for (index, tier) in ["edge", "core", "edge", "core"].into_iter().enumerate() {
        front.claim(claim(&format!("c{index}")).pool("root").length(24).label("tier", tier)).await;
    }
    front.namespace("other").await;
    front.claim_in("other", claim("c0").pool("root").length(24).label("tier", "edge")).await;

    let answer = body(&front.send(Method::DELETE, &format!("{CLAIMS}?labelSelector=tier%3Dedge"), &[], "").await, 200);
    assert_eq!((text(&answer, "/kind"), names(&answer)), ("IPClaimList", vec!["c0", "c2"]));
    assert_eq!(names(&body(&front.get(CLAIMS).await, 200)), ["a", "c1", "c3"]);
    assert_eq!(front.addresses("root").await.1, 4 * 256, "every block is released");
    let by_field = front.send(Method::DELETE, &format!("{CLAIMS}?fieldSelector=metadata.name%3Dc1"), &[], "").await;
    assert_eq!(names(&body(&by_field, 200)), ["c1"]);
    body(&front.send(Method::DELETE, CLAIMS, &[], "").await, 200);
    assert_eq!(
        names(&body(&front.get(&format!("{API}/ipclaims")).await, 200)),
        ["c0"],
        "the other namespace is unchanged"
    );
}

#[tokio::test]
async fn delete_collection_honors_finalizers() {
    let front = with_claim().await;
    front.claim(claim("held").pool("root").length(24).finalizer("example.com/hold")).await;
    body(&front.send(Method::DELETE, CLAIMS, &[], "").await, 200);
    let left = body(&front.get(CLAIMS).await, 200);
    assert_eq!((names(&left), text(&left, "/items/0/status/phase")), (vec!["held"], "Releasing"));
    assert_eq!(front.addresses("root").await.1, 256);
}

#[tokio::test]
async fn delete_collection_does_not_delete_objects_in_use() {
    let front = with_claim().await;
    front.pool(pool("idle").cidr("172.16.0.0/16")).await;
    let answer = front.send(Method::DELETE, POOLS, &[], "").await;
    assert_refused(&failure(&answer), 409, "Conflict", &["active allocation(s)"]);
    assert!(front.pools.get_opt("root").await.unwrap().is_some());
    let allocations = front.send(Method::DELETE, crate::support::ALLOCATIONS, &[], "").await;
    assert_refused(&failure(&allocations), 422, "Invalid", &["managed by its owning IPClaim"]);
    assert_eq!(front.addresses("root").await.1, 256);
    let everywhere = front.send(Method::DELETE, &format!("{API}/ipclaims"), &[], "").await;
    assert_eq!(failure(&everywhere).code, 405, "only the collection of one namespace can be deleted");
}
