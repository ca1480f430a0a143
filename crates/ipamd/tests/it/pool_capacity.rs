//! The status of pools under concurrent writes.

use std::ops::RangeInclusive;

use futures::future::join_all;
use kube::api::DeleteParams;
use serde_json::{Value, json};
use testkit::{at, claim, pool};

use super::support::{ALLOCATIONS, CLAIMS, POOLS, ServerFixture, assert_disjoint, body, revision, text};

/// Returns total, allocated and available as exact strings, and checks that the numeric counts agree.
fn exact(status: &Value) -> [&str; 3] {
    ["total", "allocated", "available"].map(|name| {
        let exact = status["capacity"]["exact"][name].as_str().unwrap_or_else(|| panic!("no exact {name} in {status}"));
        let saturated = exact.parse::<i64>().unwrap_or(i64::MAX).min((1 << 53) - 1);
        assert_eq!(status["capacity"][name], json!(saturated), "{name} saturates");
        exact
    })
}

/// Makes concurrent claims, a child pool, deletes and a retained block; returns the range of revisions.
async fn busy_hour(front: &ServerFixture) -> RangeInclusive<u64> {
    front.pool(pool("root").cidr("10.0.0.0/20")).await;
    let from = revision(&body(&front.get(POOLS).await, 200));
    // The second wave reuses the connections of the first, so that its requests arrive at the same time.
    for wave in ["a", "b"] {
        join_all((0..40).map(|index| front.claim(claim(&format!("{wave}{index}")).pool("root").length(30)))).await;
    }
    front.pool(pool("child").parent("root").length(26)).await;
    let kept = front.claim(claim("kept").pool("child").length(28).retain()).await;
    join_all(["kept", "a1", "a2", "a3"].map(|name| front.delete_claim(name))).await;
    let kept = at(&kept, "/status/boundAllocationRef/name").as_str().unwrap();
    front.allocations.delete(kept, &DeleteParams::default()).await.unwrap();
    front.delete_pool("child").await;
    from..=revision(&body(&front.get(POOLS).await, 200))
}

#[tokio::test]
async fn pool_capacity_matches_allocations_at_every_revision() {
    let front = ServerFixture::open().await;
    let revisions = busy_hour(&front).await;
    for revision in revisions {
        let then = async |path: &str| {
            let list = front.get(&format!("{path}?resourceVersion={revision}&resourceVersionMatch=Exact")).await;
            body(&list, 200)["items"].as_array().unwrap().clone()
        };
        let (pools, claims, allocations) = (then(POOLS).await, then(CLAIMS).await, then(ALLOCATIONS).await);
        for pool in &pools {
            let name = text(pool, "/metadata/name");
            let taken = allocations.iter().filter(|allocation| text(allocation, "/spec/poolRef/name") == name);
            let carved = pools.iter().filter(|child| text(child, "/spec/parentPoolRef/name") == name);
            let blocks = taken.chain(carved).map(|object| text(object, "/status/allocatedCIDR"));
            let held = assert_disjoint(text(pool, "/status/allocatedCIDR"), blocks);
            assert_eq!(exact(&pool["status"])[1], held.to_string(), "{name} at revision {revision}");
        }
        let owned = allocations.iter().filter(|allocation| !text(allocation, "/spec/claimRef/name").is_empty());
        assert_eq!(owned.count(), claims.len(), "claims and allocations differ at {revision}");
    }
}

#[tokio::test]
async fn watch_reports_pool_exhaustion_and_recovery() {
    let front = ServerFixture::open().await;
    front.pool(pool("tiny").cidr("192.0.2.0/31")).await;
    let list: Value = front.get(POOLS).await.json().unwrap();
    let from = text(&list, "/metadata/resourceVersion");
    let mut watch = front.watch(&format!("{POOLS}?watch=true&resourceVersion={from}")).await;
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
