//! Claims with a pool selector: the choice among the matching pools.

use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use testkit::{allocated_cidr, at, claim, pool};

use super::support::{ServerFixture, assert_causes, assert_refused};

/// Creates a claim; returns the pool that serves it, and the block.
async fn served(front: &ServerFixture, claim: testkit::Claim) -> (String, String) {
    let bound = front.claim(claim).await;
    (at(&bound, "/status/poolRef/name").as_str().unwrap().to_owned(), allocated_cidr(&bound).to_owned())
}

fn pair(pool: &str, block: &str) -> (String, String) {
    (pool.to_owned(), block.to_owned())
}

#[tokio::test]
async fn matching_pools_are_tried_in_name_order() {
    let front = ServerFixture::open().await;
    for (name, cidr) in [("c", "10.3.0.0/31"), ("a", "10.1.0.0/31"), ("b", "10.2.0.0/31")] {
        front.pool(pool(name).cidr(cidr).label("tier", "edge")).await;
    }
    front.pool(pool("0-other").cidr("10.9.0.0/16").label("tier", "core")).await;
    for (name, expected) in [
        ("one", pair("a", "10.1.0.0/32")),
        ("two", pair("a", "10.1.0.1/32")),
        ("three", pair("b", "10.2.0.0/32")),
        ("four", pair("b", "10.2.0.1/32")),
        ("five", pair("c", "10.3.0.0/32")),
    ] {
        assert_eq!(served(&front, claim(name).select("tier", "edge").length(32)).await, expected);
    }
    front.delete_claim("two").await;
    assert_eq!(served(&front, claim("six").select("tier", "edge").length(32)).await, pair("a", "10.1.0.1/32"));
}

#[tokio::test]
async fn pools_that_cannot_satisfy_claim_are_skipped() {
    let front = ServerFixture::open().await;
    front.pool(pool("a-full").cidr("10.1.0.0/32").label("tier", "edge")).await;
    front.claim(claim("filler").pool("a-full").length(32)).await;
    front.pool(pool("b-six").cidr("2001:db8::/64").label("tier", "edge")).await;
    front.pool(pool("c-bounded").cidr("10.2.0.0/16").bounds(20, 24).label("tier", "edge")).await;
    front.pool(pool("d-small").cidr("10.3.0.0/30").label("tier", "edge")).await;
    front.pool(pool("e-good").cidr("10.4.0.0/16").label("tier", "edge")).await;
    let edge = |name: &str| claim(name).select("tier", "edge");
    assert_eq!(served(&front, edge("v4").family("IPv4").length(28)).await, pair("e-good", "10.4.0.0/28"));
    assert_eq!(served(&front, edge("v4-host").family("IPv4").length(32)).await, pair("d-small", "10.3.0.0/32"));
    assert_eq!(served(&front, edge("v6").family("IPv6").length(80)).await, pair("b-six", "2001:db8::/80"));
    assert_eq!(served(&front, edge("exact").address("10.4.0.64/28")).await, pair("e-good", "10.4.0.64/28"));
    assert_eq!(served(&front, edge("bounded").family("IPv4").length(24)).await, pair("c-bounded", "10.2.0.0/24"));
}

#[tokio::test]
async fn selector_matches_child_pools() {
    let front = ServerFixture::open().await;
    front.pool(pool("root").cidr("10.0.0.0/8")).await;
    front.pool(pool("child").parent("root").length(16).label("tier", "edge")).await;
    front.pool(pool("grandchild").parent("child").length(24).label("depth", "2")).await;
    assert_eq!(served(&front, claim("a").select("tier", "edge").length(28)).await, pair("child", "10.0.1.0/28"));
    assert_eq!(served(&front, claim("b").select("depth", "2").length(28)).await, pair("grandchild", "10.0.0.0/28"));
    assert_eq!(front.addresses("root").await.1, 1 << 16);
}

#[tokio::test]
async fn selector_requires_every_label_and_expression() {
    let front = ServerFixture::open().await;
    front.pool(pool("a").cidr("10.1.0.0/16").label("tier", "edge").label("site", "ams")).await;
    front.pool(pool("b").cidr("10.2.0.0/16").label("tier", "edge").label("site", "fra")).await;
    front.pool(pool("c").cidr("10.3.0.0/16").label("tier", "core")).await;
    let expression =
        |key: &str, operator: &str, values: Value| json!({ "key": key, "operator": operator, "values": values });
    for (index, (selector, expected)) in [
        (json!({ "matchLabels": { "tier": "edge", "site": "fra" } }), "b"),
        (json!({ "matchExpressions": [expression("site", "In", json!(["fra", "lon"]))] }), "b"),
        (json!({ "matchExpressions": [expression("site", "NotIn", json!(["ams"])), expression("site", "Exists", json!([]))] }), "b"),
        (json!({ "matchExpressions": [{ "key": "site", "operator": "DoesNotExist" }] }), "c"),
        (json!({ "matchExpressions": [expression("site", "NotIn", json!(["ams", "fra"]))] }), "c"),
        (json!({ "matchLabels": { "tier": "edge" }, "matchExpressions": [{ "key": "site", "operator": "Exists" }] }), "a"),
    ]
    .into_iter()
    .enumerate()
    {
        let (pool, _) = served(&front, claim(&format!("c{index}")).length(28).spec("poolSelector", selector.clone())).await;
        assert_eq!(pool, expected, "{selector}");
    }
}

#[tokio::test]
async fn least_utilized_pool_is_chosen() {
    let front = ServerFixture::open().await;
    for (name, cidr) in [("a", "10.1.0.0/24"), ("b", "10.2.0.0/24"), ("c", "10.3.0.0/16")] {
        front.pool(pool(name).cidr(cidr).strategy("LeastUtilized").label("tier", "edge")).await;
    }
    let spread = |name: &str, length| claim(name).select("tier", "edge").length(length);
    assert_eq!(served(&front, spread("one", 25)).await, pair("a", "10.1.0.0/25"), "the name decides a tie");
    assert_eq!(served(&front, spread("two", 26)).await, pair("b", "10.2.0.0/26"));
    assert_eq!(served(&front, spread("three", 17)).await, pair("c", "10.3.0.0/17"));
    assert_eq!(
        served(&front, spread("four", 26)).await,
        pair("b", "10.2.0.64/26"),
        "the share counts, not the size: b has 3/4 free"
    );
    assert_eq!(served(&front, spread("five", 26)).await, pair("a", "10.1.0.128/26"), "all are half full");
    front.delete_claim("three").await;
    assert_eq!(served(&front, spread("six", 26)).await, pair("c", "10.3.0.0/26"), "c is empty again");
}

#[tokio::test]
async fn ip_family_is_required_if_both_families_match() {
    let front = ServerFixture::open().await;
    front.pool(pool("a-six").cidr("2001:d00::/24").label("tier", "edge")).await;
    front.pool(pool("b-four").cidr("10.1.0.0/16").label("tier", "edge").label("site", "ams")).await;
    let edge = |name: &str| claim(name).select("tier", "edge");
    let status = front.refused_claim(edge("open").length(28)).await;
    assert_refused(&status, 422, "Invalid", &["say which", "a-six", "b-four"]);
    assert_causes(&status, &[("FieldValueRequired", "spec.ipFamily")]);
    let status = front.refused_claim(edge("open")).await;
    assert_causes(&status, &[("FieldValueRequired", "spec.ipFamily")]);

    assert_eq!(served(&front, edge("four").length(28).family("IPv4")).await, pair("b-four", "10.1.0.0/28"));
    assert_eq!(served(&front, edge("six").length(28).family("IPv6")).await, pair("a-six", "2001:d00::/28"));
    assert_eq!(served(&front, edge("exact").address("10.1.0.99")).await, pair("b-four", "10.1.0.99/32"));
    assert_eq!(served(&front, edge("long").length(64)).await, pair("a-six", "2001:d10::/64"), "no IPv4 block is a /64");
    let narrower = edge("narrower").select("site", "ams").length(28);
    assert_eq!(served(&front, narrower).await, pair("b-four", "10.1.0.16/28"), "one family matches");
}

#[tokio::test]
async fn selector_without_match_is_bad_request() {
    let front = ServerFixture::open().await;
    front.pool(pool("a").cidr("10.1.0.0/16").label("tier", "edge")).await;
    let status = front.refused_claim(claim("x").select("tier", "core").length(28)).await;
    assert_refused(&status, 400, "BadRequest", &["no IPPool matches spec.poolSelector"]);
    assert_causes(&status, &[("NoPoolMatch", "spec.poolSelector")]);
    assert_eq!(front.addresses("a").await.1, 0);
}

#[tokio::test]
async fn claim_is_507_if_all_matching_pools_are_full() {
    let front = ServerFixture::open().await;
    for (name, cidr) in [("a", "10.1.0.0/32"), ("b", "10.2.0.0/32")] {
        front.pool(pool(name).cidr(cidr).label("tier", "edge")).await;
        front.claim(claim(name).select("tier", "edge").length(32)).await;
    }
    let status = front.refused_claim(claim("x").select("tier", "edge").length(32)).await;
    assert_refused(&status, 507, "InsufficientStorage", &["exhausted", "/32"]);
    assert_causes(&status, &[("Pool", ""), ("PoolExhausted", "spec.prefixLength")]);
}

#[tokio::test]
async fn selector_uses_current_pool_labels() {
    let front = ServerFixture::open().await;
    front.pool(pool("a").cidr("10.1.0.0/16").label("tier", "edge")).await;
    front.pool(pool("b").cidr("10.2.0.0/16")).await;
    let relabel = async |pool: &str, tier: Value| {
        let patch = json!({ "metadata": { "labels": { "tier": tier } } });
        front.pools.patch(pool, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    };
    assert_eq!(served(&front, claim("x").select("tier", "edge").length(28)).await.0, "a");
    relabel("a", Value::Null).await;
    relabel("b", json!("edge")).await;
    assert_eq!(served(&front, claim("y").select("tier", "edge").length(28)).await.0, "b");
    front.delete_claim("x").await;
    assert_eq!(front.addresses("a").await.1, 0, "the block returns to its pool");
}
