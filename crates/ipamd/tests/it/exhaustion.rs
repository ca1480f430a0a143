//! An exhausted pool: the error for a claim, the pool's status, and its recovery.

use serde_json::{Value, json};
use testkit::{claim, pool};

use super::support::{CLAIMS, ServerFixture, assert_causes, assert_refused, condition, failure, text};

/// A server with a pool of four addresses, each taken by a claim that is named after its last byte.
async fn full_pool() -> ServerFixture {
    let front = ServerFixture::open().await;
    front.pool(pool("tiny").cidr("192.0.2.0/30")).await;
    for index in 0..4 {
        assert_eq!(
            front.block(claim(&format!("c{index}")).pool("tiny").length(32)).await,
            format!("192.0.2.{index}/32")
        );
    }
    front
}

#[tokio::test]
async fn claim_on_full_pool_is_507() {
    let front = full_pool().await;
    let before = front.everything().await;
    let answer = front.post(CLAIMS, claim("late").pool("tiny").length(32)).await;
    let status = failure(&answer);
    assert_refused(&status, 507, "InsufficientStorage", &["exhausted", "tiny", "/32"]);
    assert_causes(&status, &[("PoolExhausted", "spec.prefixLength"), ("Pool", "")]);
    assert_eq!(front.everything().await, before, "a rejected claim changes nothing");
}

#[tokio::test]
async fn full_pool_status_is_exhausted() {
    let front = full_pool().await;
    let status = front.status("tiny").await;
    assert_eq!(text(&status, "/phase"), "Exhausted");
    assert_eq!(condition(&status, "Ready"), ("False", "PoolExhausted"));
    assert_eq!(condition(&status, "Allocated").0, "True");
    assert_eq!(status["utilizationPercent"], 100);
    assert_eq!(status.get("largestFreePrefix"), None, "absent when nothing is free");
    assert_eq!(status["capacity"]["available"], 0);
}

#[tokio::test]
async fn pool_with_one_free_address_is_ready() {
    let front = full_pool().await;
    front.delete_claim("c2").await;
    let status = front.status("tiny").await;
    assert_eq!((text(&status, "/phase"), condition(&status, "Ready").0), ("Ready", "True"));
    assert_eq!((&status["utilizationPercent"], &status["largestFreePrefix"]), (&json!(75), &json!(32)));
    assert_eq!(front.block(claim("again").pool("tiny").length(32)).await, "192.0.2.2/32");
    assert_eq!(text(&front.status("tiny").await, "/phase"), "Exhausted");
}

#[tokio::test]
async fn exhausted_error_reports_largest_free_block() {
    let front = full_pool().await;
    front.delete_claim("c1").await;
    front.delete_claim("c2").await;
    let refused = front.refused_claim(claim("pair").pool("tiny").length(31)).await;
    assert_refused(&refused, 507, "InsufficientStorage", &["exhausted", "tiny", "/31", "/32"]);
    let causes = refused.details.iter().flat_map(|details| &details.causes);
    let facts: Vec<_> = causes.skip(1).map(|cause| (cause.reason.as_str(), cause.message.as_str())).collect();
    assert_eq!(facts, [("LargestFree", "32"), ("Pool", "tiny")]);
    front.delete_claim("c3").await;
    assert_eq!(front.block(claim("pair").pool("tiny").length(31)).await, "192.0.2.2/31", "released neighbors merge");
}

#[tokio::test]
async fn rejected_claim_name_can_be_used_again() {
    let front = full_pool().await;
    assert_eq!(front.refused_claim(claim("late").pool("tiny").length(32)).await.code, 507);
    front.delete_claim("c0").await;
    assert_eq!(front.block(claim("late").pool("tiny").length(32)).await, "192.0.2.0/32");
}

#[tokio::test]
async fn watch_reports_pool_exhaustion_and_recovery() {
    let front = ServerFixture::open().await;
    front.pool(pool("tiny").cidr("192.0.2.0/31")).await;
    let list: Value = front.get(super::support::POOLS).await.json().unwrap();
    let from = text(&list, "/metadata/resourceVersion");
    let mut watch = front.watch(&format!("{}?watch=true&resourceVersion={from}", super::support::POOLS)).await;
    front.claim(claim("a").pool("tiny").length(32)).await;
    front.claim(claim("b").pool("tiny").length(32)).await;
    front.delete_claim("a").await;
    for (phase, allocated) in [("Ready", 1), ("Exhausted", 2), ("Ready", 1)] {
        let pool = watch.expect("MODIFIED", "tiny").await;
        assert_eq!(
            (text(&pool, "/status/phase"), &pool["status"]["capacity"]["allocated"]),
            (phase, &json!(allocated))
        );
    }
}

#[tokio::test]
async fn dry_run_claim_on_full_pool_is_507() {
    let front = full_pool().await;
    let answer = front.post(&format!("{CLAIMS}?dryRun=All"), claim("late").pool("tiny").length(32)).await;
    assert_refused(&failure(&answer), 507, "InsufficientStorage", &["exhausted"]);
}
