//! Patches and replaces: each media type, resourceVersion as a precondition, and requests that change nothing.

use http::Method;
use serde_json::{Value, json};
use testkit::{claim, pool};

use crate::support::{CLAIMS, POOLS, ServerFixture, assert_causes, assert_refused, body, failure, revision, text};

const CLAIM: &str = "/apis/ipam.miloapis.com/v1alpha1/namespaces/default/ipclaims/a";

async fn with_claim() -> ServerFixture {
    let front = ServerFixture::open().await;
    front.pool(pool("root").cidr("10.0.0.0/16")).await;
    front.claim(claim("a").pool("root").length(24).label("x", "1")).await;
    front
}

async fn claim_now(front: &ServerFixture) -> Value {
    body(&front.get(CLAIM).await, 200)
}

#[tokio::test]
async fn merge_patch_merges_and_null_removes() {
    let front = with_claim().await;
    let before = claim_now(&front).await;
    let patch = json!({ "metadata": { "labels": { "x": null, "y": "2" }, "annotations": { "note": "here" } } });
    let after = body(&front.patch(CLAIM, "merge", &patch).await, 200);
    assert_eq!(after["metadata"]["labels"], json!({ "y": "2" }));
    assert!(revision(&after) > revision(&before));
    assert_eq!((&after["metadata"]["generation"], &after["metadata"]["uid"]), (&json!(1), &before["metadata"]["uid"]));
    assert_eq!((&after["spec"], &after["status"]), (&before["spec"], &before["status"]));
}

#[tokio::test]
async fn json_patch_is_ordered_and_atomic() {
    let front = with_claim().await;
    let patch = json!([
        { "op": "test", "path": "/metadata/labels/x", "value": "1" },
        { "op": "replace", "path": "/metadata/labels/x", "value": "2" },
        { "op": "add", "path": "/metadata/annotations", "value": { "a/b": "c" } },
        { "op": "copy", "from": "/metadata/labels/x", "path": "/metadata/labels/y" },
    ]);
    let after = body(&front.patch(CLAIM, "json", &patch).await, 200);
    assert_eq!(
        (&after["metadata"]["labels"], &after["metadata"]["annotations"]),
        (&json!({ "x": "2", "y": "2" }), &json!({ "a/b": "c" }))
    );
    for (patch, code) in [
        (
            json!([{ "op": "replace", "path": "/metadata/labels/x", "value": "3" }, { "op": "test", "path": "/metadata/labels/y", "value": "9" }]),
            422,
        ),
        (json!([{ "op": "remove", "path": "/metadata/labels/missing" }]), 422),
        (json!({ "op": "remove" }), 400),
        (json!([{ "op": 1, "path": "/metadata" }]), 400),
        (json!([{ "op": "invent", "path": "/metadata" }]), 422),
        (json!([{ "path": "/metadata" }]), 422),
    ] {
        let status = failure(&front.patch(CLAIM, "json", &patch).await);
        assert_eq!(status.code, code, "{patch}: {}", status.message);
    }
    let many: Vec<_> = (0..10_001).map(|_| json!({ "op": "test", "path": "/kind", "value": "IPClaim" })).collect();
    assert_refused(&failure(&front.patch(CLAIM, "json", &json!(many)).await), 413, "RequestEntityTooLarge", &[]);
    assert_eq!(claim_now(&front).await, after, "a rejected patch changes nothing");
}

#[tokio::test]
async fn resource_version_in_patch_is_a_precondition() {
    let front = with_claim().await;
    let stale = text(&claim_now(&front).await, "/metadata/resourceVersion").to_owned();
    let fresh = body(&front.patch(CLAIM, "merge", &json!({ "metadata": { "labels": { "x": "2" } } })).await, 200);
    for (kind, patch) in [
        ("merge", json!({ "metadata": { "resourceVersion": stale, "labels": { "x": "3" } } })),
        (
            "json",
            json!([{ "op": "replace", "path": "/metadata/resourceVersion", "value": stale }, { "op": "add", "path": "/metadata/labels/x", "value": "3" }]),
        ),
    ] {
        let status = failure(&front.patch(CLAIM, kind, &patch).await);
        assert_refused(
            &status,
            409,
            "Conflict",
            &[
                "Operation cannot be fulfilled on ipclaims.ipam.miloapis.com \"a\": the object has been modified; please apply your changes to the latest version and try again",
            ],
        );
    }
    assert_eq!(claim_now(&front).await, fresh);
    let locked =
        json!({ "metadata": { "resourceVersion": fresh["metadata"]["resourceVersion"], "labels": { "x": "3" } } });
    assert_eq!(text(&body(&front.patch(CLAIM, "merge", &locked).await, 200), "/metadata/labels/x"), "3");
}

#[tokio::test]
async fn unsupported_patch_types_are_415() {
    let front = with_claim().await;
    for media in ["application/strategic-merge-patch+json", "application/json", "text/plain"] {
        let answer = front.send(Method::PATCH, CLAIM, &[("content-type", media)], "{}").await;
        assert_refused(
            &failure(&answer),
            415,
            "UnsupportedMediaType",
            &["application/merge-patch+json", "application/json-patch+json"],
        );
    }
}

#[tokio::test]
async fn no_op_patch_keeps_resource_version_and_sends_no_event() {
    let front = with_claim().await;
    let before = claim_now(&front).await;
    let from = revision(&body(&front.get(CLAIMS).await, 200));
    let mut watch = front.watch(&format!("{CLAIMS}?watch=true&resourceVersion={from}")).await;
    for (kind, patch) in [
        ("merge", json!({})),
        ("merge", json!({ "metadata": { "labels": { "x": "1" } } })),
        ("merge", json!({ "spec": { "prefixLength": 24 } })),
        ("json", json!([])),
        ("json", json!([{ "op": "replace", "path": "/metadata/labels/x", "value": "1" }])),
    ] {
        assert_eq!(body(&front.patch(CLAIM, kind, &patch).await, 200), before, "{patch}");
    }
    let replaced = front.http.send_json(Method::PUT, CLAIM, &before).await.unwrap();
    assert_eq!(body(&replaced, 200), before);
    front.patch(CLAIM, "merge", &json!({ "metadata": { "labels": { "x": "2" } } })).await;
    assert_eq!(
        text(&watch.expect("MODIFIED", "a").await, "/metadata/labels/x"),
        "2",
        "the first event is of the first change"
    );
}

#[tokio::test]
async fn invalid_patches_are_rejected() {
    let front = with_claim().await;
    let before = claim_now(&front).await;
    for (patch, codes) in [
        (json!([]), [400, 400]),
        (json!("text"), [400, 400]),
        (json!({ "spec": { "prefixLength": "wide" } }), [422, 400]),
        (json!({ "metadata": { "labels": ["x"] } }), [422, 400]),
        (json!({ "spec": null }), [422, 422]),
        (json!({ "metadata": { "labels": { "no spaces": "x" } } }), [422, 422]),
        (json!({ "apiVersion": "v2" }), [400, 422]),
        (json!({ "kind": "IPPool" }), [400, 422]),
    ] {
        let status = failure(&front.patch(CLAIM, "merge", &patch).await);
        assert!(codes.contains(&status.code), "{patch}: {status:?}");
    }
    let broken = front.send(Method::PATCH, CLAIM, &[("content-type", "application/merge-patch+json")], "{\"a\":").await;
    assert_eq!(failure(&broken).code, 400);
    let missing = front.patch(&format!("{CLAIMS}/missing"), "merge", &json!({})).await;
    assert_refused(&failure(&missing), 404, "NotFound", &["ipclaims.ipam.miloapis.com \"missing\" not found"]);
    let forced = front.patch(&format!("{CLAIM}?force=true"), "merge", &json!({})).await;
    assert_refused(&failure(&forced), 422, "Invalid", &["force"]);
    assert_eq!(claim_now(&front).await, before);
}

#[tokio::test]
async fn replace_requires_current_resource_version() {
    let front = with_claim().await;
    let before = claim_now(&front).await;
    let put = async |body: &Value| front.http.send_json(Method::PUT, CLAIM, body).await.unwrap();
    let mut changed = before.clone();
    changed["metadata"]["labels"]["x"] = "2".into();
    let fresh = body(&put(&changed).await, 200);
    assert_eq!((text(&fresh, "/metadata/labels/x"), revision(&fresh) > revision(&before)), ("2", true));
    assert_refused(&failure(&put(&changed).await), 409, "Conflict", &["the object has been modified"]);
    changed["metadata"]["resourceVersion"].take();
    let unversioned = failure(&put(&changed).await);
    assert_refused(&unversioned, 422, "Invalid", &["metadata.resourceVersion", "must be specified for an update"]);
    assert_causes(&unversioned, &[("FieldValueInvalid", "metadata.resourceVersion")]);
    let mut stranger = fresh.clone();
    stranger["metadata"]["name"] = "missing".into();
    let missing = front.http.send_json(Method::PUT, &format!("{CLAIMS}/missing"), &stranger).await.unwrap();
    assert_refused(&failure(&missing), 404, "NotFound", &[]);
    let created = front.post(CLAIMS, fresh.clone()).await;
    assert!([400, 409, 422].contains(&failure(&created).code), "a create with a resourceVersion is rejected");
    assert_eq!(claim_now(&front).await, fresh);
}

#[tokio::test]
async fn status_subresource_writes_only_status() {
    let front = with_claim().await;
    let before = claim_now(&front).await;
    let status = format!("{CLAIM}/status");
    assert_eq!(body(&front.get(&status).await, 200), before);
    let patch = json!({ "metadata": { "labels": { "x": "9" } }, "spec": { "reclaimPolicy": "Retain" } });
    let answer = front.patch(&status, "merge", &patch).await;
    assert!(answer.status.as_u16() < 500, "{}", answer.text());
    let after = claim_now(&front).await;
    assert_eq!(
        (&after["spec"], &after["metadata"]["labels"]),
        (&before["spec"], &before["metadata"]["labels"]),
        "only a status is taken there"
    );
    assert_eq!(after["metadata"]["generation"], before["metadata"]["generation"]);
    assert_eq!(failure(&front.get(&format!("{POOLS}/missing/status")).await).code, 404);
}

#[tokio::test]
async fn concurrent_patches_of_different_fields_all_apply() {
    const PATCHES: usize = 30;
    let front = with_claim().await;
    let patches: Vec<_> =
        (0..PATCHES).map(|index| json!({ "metadata": { "labels": { format!("l{index}"): "x" } } })).collect();
    let answers = futures::future::join_all(patches.iter().map(|patch| front.patch(CLAIM, "merge", patch))).await;
    for answer in answers {
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    assert_eq!(claim_now(&front).await["metadata"]["labels"].as_object().unwrap().len(), PATCHES + 1);
}
