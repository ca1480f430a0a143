//! Child pools: the capacity of their parents, and the order of deletion.

use kube::api::DeleteParams;
use serde_json::json;
use testkit::{allocated_cidr, at, claim, pool, refusal};

use super::support::{ServerFixture, assert_refused, condition, text};

/// A server with four pools, each inside the previous one.
async fn four_levels() -> ServerFixture {
    let front = ServerFixture::open().await;
    front.pool(pool("region").cidr("10.0.0.0/8")).await;
    front.pool(pool("zone").parent("region").length(12)).await;
    front.pool(pool("rack").parent("zone").length(16)).await;
    front.pool(pool("host").parent("rack").length(20)).await;
    front
}

async fn refused_delete(front: &ServerFixture, name: &str) -> kube::core::Status {
    refusal(front.pools.delete(name, &DeleteParams::default()).await)
}

#[tokio::test]
async fn four_pool_levels_can_be_nested() {
    let front = four_levels().await;
    for (name, parent, cidr) in
        [("zone", "region", "10.0.0.0/12"), ("rack", "zone", "10.0.0.0/16"), ("host", "rack", "10.0.0.0/20")]
    {
        let pool = front.pools.get(name).await.unwrap();
        let status = &pool.data["status"];
        assert_eq!((allocated_cidr(&pool), text(status, "/phase")), (cidr, "Ready"));
        assert_eq!(text(status, "/ipFamily"), "IPv4", "{name} inherits the family");
        assert_eq!(condition(status, "Allocated"), ("True", "AllocationSucceeded"));
        let conditions = status["conditions"].as_array().unwrap();
        let allocated = conditions.iter().find(|condition| condition["type"] == "Allocated").unwrap();
        assert!(text(allocated, "/message").contains(parent), "the message names the parent: {allocated}");
    }
    assert_eq!(front.addresses("region").await, (1 << 24, 1 << 20, (1 << 24) - (1 << 20)));
    assert_eq!(front.addresses("zone").await, (1 << 20, 1 << 16, (1 << 20) - (1 << 16)));
    assert_eq!(front.addresses("rack").await, (1 << 16, 1 << 12, (1 << 16) - (1 << 12)));
    assert_eq!(front.block(claim("a").pool("host").length(24)).await, "10.0.0.0/24");
    assert_eq!(front.addresses("host").await, (4096, 256, 3840));
    assert_eq!(front.addresses("rack").await.1, 4096, "a claim in the child does not change the parent");
    assert_eq!(front.block(claim("b").pool("rack").length(20)).await, "10.0.16.0/20", "the child's block is in use");
}

#[tokio::test]
async fn pool_filled_by_children_is_fully_carved() {
    let front = ServerFixture::open().await;
    front.pool(pool("root").cidr("10.0.0.0/23")).await;
    front.pool(pool("left").parent("root").length(24)).await;
    front.pool(pool("right").parent("root").length(24)).await;
    let metric = async |state: &str| {
        let text = front.get("/metrics").await.text();
        let name = format!("ipam_pool_addresses{{scope=\"platform\",pool=\"root\",state=\"{state}\"}} ");
        let line = text.lines().find_map(|line| line.strip_prefix(&name)).unwrap_or_else(|| panic!("{name} in {text}"));
        line.parse::<f64>().unwrap().to_string()
    };
    let status = front.status("root").await;
    assert_eq!((text(&status, "/phase"), condition(&status, "Ready")), ("Exhausted", ("False", "FullyCarved")));
    assert_eq!((&status["utilizationPercent"], &status["capacity"]["available"]), (&json!(100), &json!(0)));
    assert_eq!(
        (metric("carved").await, metric("total").await, metric("free").await),
        ("512".to_owned(), "512".to_owned(), "0".to_owned())
    );

    front.delete_pool("right").await;
    assert_eq!(condition(&front.status("root").await, "Ready"), ("True", "AddressesAvailable"));
    assert_eq!(metric("carved").await, "256");
    front.claim(claim("a").pool("root").length(24)).await;
    let status = front.status("root").await;
    assert_eq!((text(&status, "/phase"), condition(&status, "Ready")), ("Exhausted", ("False", "PoolExhausted")));
    front.claim(claim("b").pool("left").length(24)).await;
    assert_eq!(condition(&front.status("left").await, "Ready"), ("False", "PoolExhausted"));
}

#[tokio::test]
async fn pools_in_use_cannot_be_deleted() {
    let front = four_levels().await;
    front.claim(claim("a").pool("host").length(24)).await;
    front.claim(claim("b").pool("host").length(24)).await;
    let before = front.everything().await;
    for (name, words) in [
        ("region", ["1 active allocation(s)", "held by IPPool zone"].as_slice()),
        ("zone", &["1 active allocation(s)", "held by IPPool rack"]),
        ("rack", &["1 active allocation(s)", "held by IPPool host"]),
        ("host", &["2 active allocation(s)", "held by IPClaim default/a, held by IPClaim default/b"]),
    ] {
        assert_refused(&refused_delete(&front, name).await, 409, "Conflict", words);
    }
    assert_eq!(front.everything().await, before, "a rejected delete changes nothing");

    front.delete_claim("a").await;
    assert_refused(&refused_delete(&front, "host").await, 409, "Conflict", &["1 active allocation(s)"]);
    front.delete_claim("b").await;
    for (name, parent) in [("host", "rack"), ("rack", "zone"), ("zone", "region")] {
        front.delete_pool(name).await;
        assert_eq!(front.addresses(parent).await.1, 0, "{name} releases its block");
    }
    front.delete_pool("region").await;
    assert_eq!(front.everything().await, json!([[], [], []]));
}

#[tokio::test]
async fn pool_delete_error_counts_holders_and_names_first() {
    let front = ServerFixture::open().await;
    front.pool(pool("root").cidr("10.0.0.0/16")).await;
    for name in ["child-a", "child-b"] {
        front.pool(pool(name).parent("root").length(24)).await;
    }
    for index in 0..21 {
        front.claim(claim(&format!("claim-{index:02}")).pool("root").length(28)).await;
    }
    let status = refused_delete(&front, "root").await;
    let first = "held by IPPool child-a, held by IPPool child-b, held by IPClaim default/claim-00, held by others";
    assert_refused(&status, 409, "Conflict", &["23 active allocation(s)", first]);
}

#[tokio::test]
async fn retained_allocation_blocks_pool_deletion() {
    let front = ServerFixture::open().await;
    front.pool(pool("root").cidr("10.0.0.0/16")).await;
    let claim = front.claim(claim("a").pool("root").length(24).retain()).await;
    let allocation = at(&claim, "/status/boundAllocationRef/name").as_str().unwrap().to_owned();
    front.delete_claim("a").await;
    let holder = format!("held by IPAllocation default/{allocation} (retained from IPClaim a)");
    assert_refused(&refused_delete(&front, "root").await, 409, "Conflict", &["1 active allocation(s)", &holder]);
    front.allocations.delete(&allocation, &DeleteParams::default()).await.unwrap();
    front.delete_pool("root").await;
}
