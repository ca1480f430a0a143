//! Child pools: carving, inheritance, the parent's capacity, and the order of deletion.

use kube::api::{DeleteParams, PostParams};
use serde_json::{Value, json};
use testkit::{allocated_cidr, at, claim, pool, refusal};

use super::support::{ServerFixture, assert_causes, assert_refused, causes, condition, text};

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
async fn child_pool_inherits_ip_family() {
    let front = ServerFixture::open().await;
    front.pool(pool("a").cidr("2001:db8::/32")).await;
    front.pool(pool("b").parent("a").length(40)).await;
    front.pool(pool("c").parent("b").length(48)).await;
    front.pool(pool("d").parent("c").length(56)).await;
    assert_eq!(text(&front.status("d").await, "/ipFamily"), "IPv6");
    assert_eq!(front.block(claim("x").pool("d").length(64).family("IPv6")).await, "2001:db8::/64");
}

#[tokio::test]
async fn child_pool_can_request_exact_cidr() {
    let front = ServerFixture::open().await;
    front.pool(pool("root").cidr("10.0.0.0/8")).await;
    let exact = front.pool(pool("exact").parent("root").cidr("10.64.0.0/12")).await;
    assert_eq!(allocated_cidr(&exact), "10.64.0.0/12");
    assert_eq!(front.addresses("root").await.1, 1 << 20);
    let agreed = front.pool(pool("agreed").parent("root").cidr("10.80.0.0/12").length(12)).await;
    assert_eq!(allocated_cidr(&agreed), "10.80.0.0/12");

    let refuse = async |child: testkit::Pool| front.refused_pool(child.parent("root")).await;
    for overlapping in ["10.64.0.0/12", "10.64.0.0/16", "10.64.0.0/11"] {
        let status = refuse(pool("p").cidr(overlapping)).await;
        assert_refused(&status, 422, "Invalid", &[overlapping, "held by IPPool exact"]);
        assert!(causes(&status).contains(&("AddressTaken", "spec.cidr")), "{status:?}");
    }
    for outside in ["11.0.0.0/12", "2001:db8::/64"] {
        let status = refuse(pool("p").cidr(outside)).await;
        assert_refused(&status, 422, "Invalid", &["spec.cidr"]);
        assert_eq!(causes(&status), [("FieldValueInvalid", "spec.cidr")]);
    }
    let disagreeing = refuse(pool("p").cidr("10.96.0.0/12").length(13)).await;
    assert_refused(&disagreeing, 422, "Invalid", &["spec.prefixLength"]);
    assert_eq!(front.addresses("root").await.1, 2 << 20);
    assert_eq!(front.block(claim("a").pool("root").length(10)).await, "10.0.0.0/10");
    assert_eq!(front.block(claim("b").pool("root").length(10)).await, "10.128.0.0/10", "outside the children");
}

#[tokio::test]
async fn child_pool_length_must_satisfy_parent_bounds() {
    let front = ServerFixture::open().await;
    front.pool(pool("root").cidr("10.0.0.0/8").bounds(16, 24)).await;
    for length in [15, 25] {
        let status = front.refused_pool(pool("p").parent("root").length(length)).await;
        assert_refused(&status, 422, "Invalid", &["prefixLength", "16", "24"]);
        assert_causes(&status, &[("FieldValueInvalid", "spec.prefixLength")]);
    }
    front.pool(pool("p").parent("root").length(16)).await;
}

#[tokio::test]
async fn parent_pool_must_exist_and_have_space() {
    let front = ServerFixture::open().await;
    let orphan = front.refused_pool(pool("p").parent("missing").length(24)).await;
    assert!([400, 404, 422].contains(&orphan.code), "{orphan:?}");
    assert!(orphan.message.contains("IPPool \"missing\" not found"), "{}", orphan.message);

    front.pool(pool("root").cidr("10.0.0.0/30")).await;
    front.pool(pool("left").parent("root").length(31)).await;
    front.pool(pool("right").parent("root").length(31)).await;
    let full = front.refused_pool(pool("p").parent("root").length(31)).await;
    assert_refused(&full, 507, "InsufficientStorage", &["exhausted", "root", "31"]);
    assert_causes(&full, &[("PoolExhausted", "spec.prefixLength"), ("Pool", "")]);
    assert!(front.pools.get_opt("p").await.unwrap().is_none());
    assert_eq!(text(&front.status("root").await, "/phase"), "Exhausted");
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

#[tokio::test]
async fn block_of_deleted_child_pool_is_reused() {
    let front = ServerFixture::open().await;
    front.pool(pool("root").cidr("10.0.0.0/8")).await;
    for name in ["one", "two", "three"] {
        let child = front.pool(pool(name).parent("root").length(9)).await;
        assert_eq!(allocated_cidr(&child), "10.0.0.0/9");
        assert_eq!(front.addresses("root").await, (1 << 24, 1 << 23, 1 << 23));
        front.delete_pool(name).await;
        assert_eq!(front.addresses("root").await, (1 << 24, 0, 1 << 24));
    }
}

#[tokio::test]
async fn pool_cidr_parent_and_length_are_immutable() {
    let front = four_levels().await;
    front.pool(pool("other").cidr("172.16.0.0/12")).await;
    let before = front.everything().await;
    for (name, field, value) in [
        ("region", "cidr", json!("11.0.0.0/8")),
        ("region", "cidr", Value::Null),
        ("region", "ipFamily", json!("IPv6")),
        ("zone", "parentPoolRef", json!({ "name": "other" })),
        ("zone", "prefixLength", json!(13)),
    ] {
        let mut changed = front.pools.get(name).await.unwrap();
        changed.data["spec"][field] = value;
        let status = refusal(front.pools.replace(name, &PostParams::default(), &changed).await);
        assert_refused(&status, 422, "Invalid", &[&format!("spec.{field}"), "is immutable"]);
        let path = format!("spec.{field}");
        assert!(
            causes(&status).iter().any(|(cause, at)| *cause == "FieldValueForbidden" && at.starts_with(&path)),
            "{status:?}"
        );
    }
    assert_eq!(front.everything().await, before);
}
