//! Dry runs, and fields and objects of the service that users cannot change.

use http::Method;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use testkit::{claim, pool, refusal};

use super::support::{CLAIMS, POOLS, ServerFixture, assert_refused, body, failure, revision, text};

const DRY: &str = "dryRun=All";

/// A server with a pool that has a claim, a retained block and a child pool.
async fn in_use() -> ServerFixture {
    let front = ServerFixture::open().await;
    front.pool(pool("root").cidr("10.0.0.0/16")).await;
    front.claim(claim("a").pool("root").length(24)).await;
    front.claim(claim("kept").pool("root").length(24).retain()).await;
    front.delete_claim("kept").await;
    front.pool(pool("child").parent("root").length(24)).await;
    front
}

/// Asserts that a dry run has changed no object and not the store's revision.
async fn assert_no_effect(front: &ServerFixture, before: &(Value, u64)) {
    assert_eq!(&state(front).await, before, "a dry run changes nothing");
}

/// Every object, and the store's revision.
async fn state(front: &ServerFixture) -> (Value, u64) {
    let pools = body(&front.get(POOLS).await, 200);
    (front.everything().await, revision(&pools))
}

#[tokio::test]
async fn dry_run_claim_returns_the_next_block() {
    let front = in_use().await;
    let before = state(&front).await;
    for round in 0..2 {
        let answer = front.post(&format!("{CLAIMS}?{DRY}"), claim("b").pool("root").length(24)).await;
        let dry = body(&answer, 201);
        assert_eq!(
            (text(&dry, "/status/phase"), text(&dry, "/status/allocatedCIDR")),
            ("Bound", "10.0.3.0/24"),
            "round {round}"
        );
        assert_eq!(dry["metadata"].get("resourceVersion"), None, "nothing was created");
        assert_eq!((text(&dry, "/metadata/uid").len(), text(&dry, "/metadata/creationTimestamp").len()), (36, 20));
        let warning = answer.header("warning").expect("it says that it was a dry run");
        assert!(warning.starts_with("299 - \"") && warning.to_lowercase().contains("dry run"), "{warning}");
        assert_no_effect(&front, &before).await;
    }
    assert_eq!(front.block(claim("b").pool("root").length(24)).await, "10.0.3.0/24", "and the real one gets it");
}

#[tokio::test]
async fn dry_run_creates_are_validated_like_creates() {
    let front = in_use().await;
    let before = state(&front).await;
    let claims = format!("{CLAIMS}?{DRY}");
    assert_refused(&failure(&front.post(&claims, claim("a").pool("root").length(24)).await), 409, "AlreadyExists", &[]);
    assert_refused(
        &failure(&front.post(&claims, claim("b").pool("root").address("10.0.0.1")).await),
        422,
        "Invalid",
        &["held by IPClaim"],
    );
    let pools = format!("{POOLS}?{DRY}");
    assert_refused(&failure(&front.post(&pools, pool("q").cidr("10.0.0.0/8")).await), 422, "Invalid", &["root"]);
    for (made, cidr) in
        [(pool("p").cidr("172.16.0.0/12"), "172.16.0.0/12"), (pool("p").parent("root").length(20), "10.0.16.0/20")]
    {
        let dry = body(&front.post(&pools, made).await, 201);
        assert_eq!((text(&dry, "/status/allocatedCIDR"), text(&dry, "/status/phase")), (cidr, "Ready"));
        assert_eq!(dry["metadata"].get("resourceVersion"), None);
    }
    let bad = failure(&front.post(&format!("{POOLS}?dryRun=Some"), pool("p").cidr("172.16.0.0/12")).await);
    assert_refused(&bad, 422, "Invalid", &["dryRun"]);
    assert_no_effect(&front, &before).await;
}

#[tokio::test]
async fn dry_run_updates_and_deletes_change_nothing() {
    let front = in_use().await;
    front.pool(pool("idle").cidr("172.16.0.0/16")).await;
    let before = state(&front).await;
    let current = body(&front.get(&format!("{CLAIMS}/a")).await, 200);

    let relabel = json!({ "metadata": { "labels": { "x": "y" } } });
    let patched = body(&front.patch(&format!("{CLAIMS}/a?{DRY}"), "merge", &relabel).await, 200);
    assert_eq!((text(&patched, "/metadata/labels/x"), revision(&patched)), ("y", revision(&current)));
    let mut replaced = current.clone();
    replaced["spec"]["reclaimPolicy"] = "Retain".into();
    let replaced = front.http.send_json(Method::PUT, &format!("{CLAIMS}/a?{DRY}"), &replaced).await.unwrap();
    assert_eq!(text(&body(&replaced, 200), "/spec/reclaimPolicy"), "Retain");
    for path in [format!("{CLAIMS}/a?{DRY}"), format!("{POOLS}/idle?{DRY}"), format!("{CLAIMS}?{DRY}")] {
        let answer = front.send(Method::DELETE, &path, &[], "").await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    }
    let options = json!({ "kind": "DeleteOptions", "apiVersion": "v1", "dryRun": ["All"] });
    assert_eq!(front.http.send_json(Method::DELETE, &format!("{CLAIMS}/a"), &options).await.unwrap().status, 200);
    let held = failure(&front.send(Method::DELETE, &format!("{POOLS}/root?{DRY}"), &[], "").await);
    assert_refused(&held, 409, "Conflict", &["active allocation(s)"]);
    assert_no_effect(&front, &before).await;
}

#[tokio::test]
async fn dry_runs_send_no_watch_events() {
    let front = in_use().await;
    let (_, from) = state(&front).await;
    let mut claims = front.watch(&format!("{CLAIMS}?watch=true&resourceVersion={from}")).await;
    let mut pools = front.watch(&format!("{POOLS}?watch=true&resourceVersion={from}")).await;
    front.post(&format!("{CLAIMS}?{DRY}"), claim("dry").pool("root").length(24)).await;
    front.send(Method::DELETE, &format!("{CLAIMS}/a?{DRY}"), &[], "").await;
    front.claim(claim("wet").pool("root").length(24)).await;
    claims.expect("ADDED", "wet").await;
    let pool = pools.expect("MODIFIED", "root").await;
    assert_eq!(pool["status"]["capacity"]["allocated"], 4 * 256, "one change, of the real claim");
}

#[tokio::test]
async fn pool_in_use_cannot_be_deleted() {
    let front = in_use().await;
    let before = state(&front).await;
    let refused =
        |answer: testkit::Answer| assert_refused(&failure(&answer), 409, "Conflict", &["3 active allocation(s)"]);
    refused(front.send(Method::DELETE, &format!("{POOLS}/root"), &[], "").await);
    refused(front.send(Method::DELETE, &format!("{POOLS}/root?propagationPolicy=Foreground"), &[], "").await);
    refused(front.send(Method::DELETE, &format!("{POOLS}/root?gracePeriodSeconds=0"), &[], "").await);
    assert_eq!(state(&front).await, before);
}

#[tokio::test]
async fn status_in_main_resource_write_is_ignored() {
    let front = in_use().await;
    let mut lying: Value = pool("new").cidr("172.16.0.0/16").into();
    lying["status"] = json!({ "phase": "Error", "allocatedCIDR": "1.0.0.0/8", "capacity": { "total": 1 } });
    let created = body(&front.post(POOLS, lying).await, 201);
    assert_eq!((text(&created, "/status/phase"), text(&created, "/status/allocatedCIDR")), ("Ready", "172.16.0.0/16"));
    for (path, status) in [
        (format!("{POOLS}/root"), json!({ "capacity": { "allocated": 0 }, "phase": "Pending" })),
        (format!("{CLAIMS}/a"), json!({ "allocatedCIDR": "10.0.9.0/24", "phase": "Pending" })),
    ] {
        let before = body(&front.get(&path).await, 200);
        let patched = body(&front.patch(&path, "merge", &json!({ "status": status })).await, 200);
        assert_eq!(patched, before, "a status in {path} is silently kept as it was");
        let mut replaced = before.clone();
        replaced["status"] = status;
        let answer = front.http.send_json(Method::PUT, &path, &replaced).await.unwrap();
        assert_eq!(body(&answer, 200), before);
    }
}

#[tokio::test]
async fn name_and_uid_are_immutable() {
    let front = in_use().await;
    let before = state(&front).await;
    let current = body(&front.get(&format!("{CLAIMS}/a")).await, 200);
    for (field, value, code) in [("name", "b", 400), ("uid", "11111111-2222-3333-4444-555555555555", 409)] {
        let mut changed = current.clone();
        changed["metadata"][field] = value.into();
        let status = failure(&front.http.send_json(Method::PUT, &format!("{CLAIMS}/a"), &changed).await.unwrap());
        assert_eq!(status.code, code, "{field}: {}", status.message);
    }
    let renamed = refusal(
        front.claims.patch("a", &PatchParams::default(), &Patch::Merge(json!({ "metadata": { "name": "b" } }))).await,
    );
    assert!([400, 422].contains(&renamed.code), "{renamed:?}");
    assert_eq!(state(&front).await, before);
}
