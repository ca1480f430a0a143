//! The capacity in a pool's status: saturating counts, exact strings, and the percentage.

use std::ops::RangeInclusive;

use futures::future::join_all;
use kube::api::DeleteParams;
use serde_json::{Value, json};
use testkit::{at, claim, pool};

use super::support::{ALLOCATIONS, CLAIMS, POOLS, ServerFixture, assert_disjoint, body, condition, revision, text};

const EVERY_V6_ADDRESS: &str = "340282366920938463463374607431768211456";

/// Returns total, allocated and available as exact strings, and checks that the numeric counts agree.
fn exact(status: &Value) -> [&str; 3] {
    ["total", "allocated", "available"].map(|name| {
        let exact = status["capacity"]["exact"][name].as_str().unwrap_or_else(|| panic!("no exact {name} in {status}"));
        let saturated = exact.parse::<i64>().unwrap_or(i64::MAX).min((1 << 53) - 1);
        assert_eq!(status["capacity"][name], json!(saturated), "{name} saturates");
        exact
    })
}

fn used(status: &Value) -> (&Value, &Value) {
    (&status["utilizationPercent"], &status["largestFreePrefix"])
}

#[tokio::test]
async fn ipv4_pool_capacity_is_exact() {
    let front = ServerFixture::open().await;
    front.pool(pool("root").cidr("10.0.0.0/24")).await;
    for (name, length, allocated, percent, largest) in [
        ("a", 32, 1, 0, json!(25)),
        ("b", 31, 3, 1, json!(25)),
        ("c", 25, 131, 51, json!(26)),
        ("d", 26, 195, 76, json!(27)),
        ("e", 27, 227, 88, json!(28)),
        ("f", 28, 243, 94, json!(29)),
        ("g", 29, 251, 98, json!(30)),
        ("h", 30, 255, 99, json!(32)),
        ("i", 32, 256, 100, Value::Null),
    ] {
        front.claim(claim(name).pool("root").length(length)).await;
        let status = front.status("root").await;
        let (total, taken, free) = ("256", allocated.to_string(), (256 - allocated).to_string());
        assert_eq!(exact(&status), [total, &taken, &free], "after {name}");
        assert_eq!(used(&status), (&json!(percent), &largest), "after {name}");
    }
    for (name, allocated) in [("c", 128), ("a", 127), ("i", 126), ("h", 122), ("b", 120)] {
        front.delete_claim(name).await;
        assert_eq!(front.addresses("root").await, (256, allocated, 256 - allocated), "without {name}");
    }
}

#[tokio::test]
async fn ipv6_pool_capacity_saturates_and_exact_does_not() {
    let front = ServerFixture::open().await;
    front.pool(pool("root").cidr("2001:db8::/64")).await;
    assert_eq!(exact(&front.status("root").await), ["18446744073709551616", "0", "18446744073709551616"]);
    front.claim(claim("half").pool("root").length(65)).await;
    let status = front.status("root").await;
    assert_eq!(exact(&status), ["18446744073709551616", "9223372036854775808", "9223372036854775808"]);
    assert_eq!(used(&status), (&json!(50), &json!(65)));
    front.claim(claim("one").pool("root").length(128)).await;
    let status = front.status("root").await;
    assert_eq!(exact(&status), ["18446744073709551616", "9223372036854775809", "9223372036854775807"]);
    assert_eq!(status["capacity"]["available"], json!((1_u64 << 53) - 1), "2^53-1 is the limit of exact doubles");
    assert_eq!(used(&status), (&json!(50), &json!(66)));
    front.delete_claim("half").await;
    assert_eq!(exact(&front.status("root").await), ["18446744073709551616", "1", "18446744073709551615"]);
}

#[tokio::test]
async fn whole_ipv6_space_can_be_one_pool() {
    let front = ServerFixture::open().await;
    front.pool(pool("all").cidr("::/0")).await;
    let status = front.status("all").await;
    assert_eq!(exact(&status), [EVERY_V6_ADDRESS, "0", EVERY_V6_ADDRESS]);
    assert_eq!(used(&status), (&json!(0), &json!(0)));
    assert_eq!(front.block(claim("low").pool("all").length(1)).await, "::/1");
    assert_eq!(used(&front.status("all").await), (&json!(50), &json!(1)));
    assert_eq!(front.block(claim("high").pool("all").length(1)).await, "8000::/1");
    let status = front.status("all").await;
    assert_eq!(exact(&status), [EVERY_V6_ADDRESS, EVERY_V6_ADDRESS, "0"]);
    assert_eq!((used(&status), text(&status, "/phase")), ((&json!(100), &Value::Null), "Exhausted"));
}

#[tokio::test]
async fn utilization_is_100_only_without_free_address() {
    let front = ServerFixture::open().await;
    front.pool(pool("all").cidr("::/0")).await;
    for length in 1..=128 {
        front.claim(claim(&format!("c{length}")).pool("all").length(length)).await;
    }
    let status = front.status("all").await;
    assert_eq!(exact(&status), [EVERY_V6_ADDRESS, "340282366920938463463374607431768211455", "1"]);
    assert_eq!(used(&status), (&json!(99), &json!(128)));
    assert_eq!((text(&status, "/phase"), condition(&status, "Ready").0), ("Ready", "True"));
    let last = front.block(claim("last").pool("all").length(128)).await;
    assert_eq!(last, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128");
    assert_eq!(used(&front.status("all").await), (&json!(100), &Value::Null));
}

#[tokio::test]
async fn whole_ipv4_space_can_be_one_pool() {
    let front = ServerFixture::open().await;
    front.pool(pool("all").cidr("0.0.0.0/0")).await;
    assert_eq!(front.addresses("all").await, (1 << 32, 0, 1 << 32));
    front.claim(claim("one").pool("all").address("255.255.255.255")).await;
    let status = front.status("all").await;
    assert_eq!(exact(&status), ["4294967296", "1", "4294967295"]);
    assert_eq!(used(&status), (&json!(0), &json!(1)));
}

#[tokio::test]
async fn pools_of_one_or_two_addresses_are_counted() {
    let front = ServerFixture::open().await;
    for (name, cidr, length, total) in [
        ("a", "10.0.0.0/31", 31, 2),
        ("b", "10.0.0.8/32", 32, 1),
        ("c", "2001:db8::/127", 127, 2),
        ("d", "2001:db8::8/128", 128, 1),
    ] {
        front.pool(pool(name).cidr(cidr)).await;
        assert_eq!(front.addresses(name).await, (total, 0, total));
        assert_eq!(front.block(claim(name).pool(name).length(length)).await, cidr);
        assert_eq!(front.addresses(name).await, (total, total, 0));
        front.delete_claim(name).await;
        assert_eq!(used(&front.status(name).await), (&json!(0), &json!(length)));
    }
}

#[tokio::test]
async fn child_pools_count_as_allocated_in_parent() {
    let front = ServerFixture::open().await;
    front.pool(pool("root").cidr("2001:db8::/32")).await;
    front.pool(pool("child").parent("root").length(33)).await;
    front.pool(pool("grandchild").parent("child").length(34)).await;
    front.claim(claim("a").pool("root").length(128)).await;
    let total = (1_u128 << 96).to_string();
    let (half, free) = (((1_u128 << 95) + 1).to_string(), ((1_u128 << 95) - 1).to_string());
    assert_eq!(exact(&front.status("root").await), [&total, &half, &free]);
    let (child, quarter) = ((1_u128 << 95).to_string(), (1_u128 << 94).to_string());
    assert_eq!(exact(&front.status("child").await), [&child, &quarter, &quarter]);
    front.delete_pool("grandchild").await;
    front.delete_pool("child").await;
    assert_eq!(exact(&front.status("root").await)[1], "1");
}

#[tokio::test]
async fn allocation_strategies_choose_different_blocks() {
    let front = ServerFixture::open().await;
    for (name, cidr, strategy) in [
        ("first", "10.1.0.0/24", "FirstFit"),
        ("best", "10.2.0.0/24", "BestFit"),
        ("least", "10.3.0.0/24", "LeastUtilized"),
    ] {
        front.pool(pool(name).cidr(cidr).strategy(strategy)).await;
        let network = cidr.trim_end_matches("0/24");
        // A /26 at 0 and a /27 at 224 stay free.
        for (index, block) in ["64/26", "128/26", "192/27"].iter().enumerate() {
            front.claim(claim(&format!("{name}-{index}")).pool(name).address(&format!("{network}{block}"))).await;
        }
        let expected = if strategy == "BestFit" { "224/28" } else { "0/28" };
        assert_eq!(front.block(claim(name).pool(name).length(28)).await, format!("{network}{expected}"), "{strategy}");
    }
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
