//! Single addresses, and claims for a specific address or block.

use testkit::{claim, pool};

use super::support::{ServerFixture, assert_causes, assert_refused, causes};

#[tokio::test]
async fn every_ipv4_address_including_network_and_broadcast_is_allocated() {
    let front = ServerFixture::open().await;
    front.pool(pool("hosts").cidr("192.0.2.0/29").default_length(32)).await;
    for index in 0..8 {
        assert_eq!(front.block(claim(&format!("h{index}")).pool("hosts")).await, format!("192.0.2.{index}/32"));
    }
    assert_eq!(front.refused_claim(claim("late").pool("hosts")).await.code, 507);
}

#[tokio::test]
async fn every_ipv6_address_is_allocated() {
    let front = ServerFixture::open().await;
    front.pool(pool("hosts").cidr("2001:db8::/126").bounds(128, 128)).await;
    for index in 0..4 {
        let expected = if index == 0 { "2001:db8::/128".to_owned() } else { format!("2001:db8::{index}/128") };
        assert_eq!(front.block(claim(&format!("h{index}")).pool("hosts")).await, expected);
    }
    assert_eq!(front.refused_claim(claim("late").pool("hosts")).await.code, 507);
}

#[tokio::test]
async fn pool_of_one_address_can_be_allocated() {
    let front = ServerFixture::open().await;
    for (name, cidr) in [("four", "198.51.100.7/32"), ("six", "2001:db8::7/128")] {
        let length = if name == "four" { 32 } else { 128 };
        front.pool(pool(name).cidr(cidr)).await;
        assert_eq!(front.block(claim(name).pool(name).length(length)).await, cidr);
        front.delete_claim(name).await;
        assert_eq!(front.block(claim(name).pool(name).address(cidr)).await, cidr);
    }
}

#[tokio::test]
async fn requested_address_is_allocated() {
    let front = ServerFixture::open().await;
    front.pool(pool("four").cidr("192.0.2.0/24")).await;
    front.pool(pool("six").cidr("2001:db8::/64")).await;
    for (name, pool, address, block) in [
        ("plain", "four", "192.0.2.77", "192.0.2.77/32"),
        ("first", "four", "192.0.2.0", "192.0.2.0/32"),
        ("last", "four", "192.0.2.255", "192.0.2.255/32"),
        ("cidr", "four", "192.0.2.128/26", "192.0.2.128/26"),
        ("plain-six", "six", "2001:db8::abcd", "2001:db8::abcd/128"),
        ("last-six", "six", "2001:db8::ffff:ffff:ffff:ffff", "2001:db8::ffff:ffff:ffff:ffff/128"),
        ("cidr-six", "six", "2001:db8:0:0:8000::/65", "2001:db8:0:0:8000::/65"),
    ] {
        if name == "cidr-six" {
            front.delete_claim("last-six").await;
        }
        assert_eq!(front.block(claim(name).pool(pool).address(address)).await, block);
    }
    assert_eq!(front.block(claim("next").pool("four").length(32)).await, "192.0.2.1/32", "first fit goes around them");
    assert_eq!(front.addresses("four").await, (256, 68, 188));
}

#[tokio::test]
async fn taken_address_is_rejected_and_names_holder() {
    let front = ServerFixture::open().await;
    front.pool(pool("root").cidr("192.0.2.0/24")).await;
    front.claim(claim("holder").pool("root").address("192.0.2.64/28")).await;
    let before = front.everything().await;
    for address in
        ["192.0.2.64", "192.0.2.79", "192.0.2.64/28", "192.0.2.72/29", "192.0.2.64/26", "192.0.2.0/25", "192.0.2.0/24"]
    {
        let status = front.refused_claim(claim("late").pool("root").address(address)).await;
        assert_refused(&status, 422, "Invalid", &[address, "IPPool \"root\"", "held by IPClaim default/holder"]);
        assert_causes(&status, &[("AddressTaken", "spec.address"), ("HeldBy", "spec.address")]);
    }
    assert_eq!(front.everything().await, before);
    front.claim(claim("below").pool("root").address("192.0.2.63")).await;
    front.claim(claim("above").pool("root").address("192.0.2.80")).await;
    front.delete_claim("holder").await;
    assert_eq!(front.block(claim("late").pool("root").address("192.0.2.79")).await, "192.0.2.79/32");
}

#[tokio::test]
async fn address_outside_the_pool_is_invalid() {
    let front = ServerFixture::open().await;
    front.pool(pool("four").cidr("192.0.2.0/24")).await;
    front.pool(pool("six").cidr("2001:db8::/64")).await;
    for (pool, address) in [
        ("four", "192.0.3.0"),
        ("four", "192.0.1.255"),
        ("four", "192.0.2.0/23"),
        ("four", "0.0.0.0/1"),
        ("four", "2001:db8::1"),
        ("six", "2001:db8:0:1::"),
        ("six", "192.0.2.1"),
    ] {
        let status = front.refused_claim(claim("a").pool(pool).address(address)).await;
        assert_refused(&status, 422, "Invalid", &["spec.address"]);
        let only = ("FieldValueInvalid", "spec.address");
        assert!(causes(&status).iter().all(|cause| *cause == only), "{address} in {pool}: {status:?}");
    }
    assert_eq!(front.addresses("four").await.1, 0);
}

#[tokio::test]
async fn address_and_prefix_length_must_agree() {
    let front = ServerFixture::open().await;
    front.pool(pool("root").cidr("192.0.2.0/24")).await;
    let ask = |address: &str, length| claim("a").pool("root").address(address).length(length);
    for (address, length) in [("192.0.2.0/28", 27), ("192.0.2.0/28", 32), ("192.0.2.0/32", 28)] {
        let status = front.refused_claim(ask(address, length)).await;
        assert_refused(&status, 422, "Invalid", &["prefixLength"]);
    }
    for (address, length, block) in [("192.0.2.16/28", 28, "192.0.2.16/28"), ("192.0.2.5", 32, "192.0.2.5/32")] {
        assert_eq!(front.block(ask(address, length)).await, block);
        front.delete_claim("a").await;
    }
}

#[tokio::test]
async fn address_with_prefix_length_is_the_first_of_the_block() {
    let front = ServerFixture::open().await;
    front.pool(pool("four").cidr("10.45.0.0/16")).await;
    front.pool(pool("six").cidr("2001:db8::/32")).await;
    let ask = |pool: &str, address: &str, length| claim("a").pool(pool).address(address).length(length);
    for (pool, address, length, block) in
        [("four", "10.45.5.0", 24, "10.45.5.0/24"), ("six", "2001:DB8:5::", 48, "2001:db8:5::/48")]
    {
        assert_eq!(front.block(ask(pool, address, length)).await, block);
        front.delete_claim("a").await;
    }
    for (asked, words) in [
        (ask("four", "10.45.5.7", 24), ["10.45.5.0/24 for the block", "for the address 10.45.5.7"]),
        (claim("a").pool("four").address("10.45.5.7/24"), ["10.45.5.0/24 for the block", "10.45.5.7 for the address"]),
    ] {
        let status = front.refused_claim(asked).await;
        assert_refused(&status, 422, "Invalid", &words);
        assert_eq!(causes(&status), [("FieldValueInvalid", "spec.address")]);
    }
    let status = front.refused_claim(ask("four", "10.45.5.0", 64)).await;
    assert_eq!(causes(&status), [("FieldValueInvalid", "spec.prefixLength")], "{}", status.message);
}

#[tokio::test]
async fn requested_address_must_satisfy_pool_bounds() {
    let front = ServerFixture::open().await;
    front.pool(pool("root").cidr("192.0.2.0/24").bounds(26, 30)).await;
    for address in ["192.0.2.1", "192.0.2.0/25", "192.0.2.0/31"] {
        let status = front.refused_claim(claim("a").pool("root").address(address)).await;
        assert_refused(&status, 422, "Invalid", &["26", "30"]);
    }
    assert_eq!(front.block(claim("a").pool("root").address("192.0.2.64/30")).await, "192.0.2.64/30");
}

#[tokio::test]
async fn address_inside_child_pool_cannot_be_claimed_from_parent() {
    let front = ServerFixture::open().await;
    front.pool(pool("root").cidr("192.0.2.0/24")).await;
    front.pool(pool("child").parent("root").cidr("192.0.2.128/25")).await;
    let status = front.refused_claim(claim("a").pool("root").address("192.0.2.200")).await;
    assert_refused(&status, 422, "Invalid", &["192.0.2.200", "held by IPPool child"]);
    assert_eq!(front.block(claim("a").pool("child").address("192.0.2.200")).await, "192.0.2.200/32");
}
