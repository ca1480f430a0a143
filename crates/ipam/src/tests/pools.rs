//! IPPools.

use std::sync::Arc;

use apimachinery::command::Write;
use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::harness::{Server, claim, pool, show, show_refusal};
use crate::AllocatorState;

/// Creates the pool `new` on a server with the pools `root` (10.0.0.0/16) and `six` (2001:db8::/32).
fn check(spec: Value, expect: Expect) {
    let mut server = Server::with_pool("root", "10.0.0.0/16");
    server.create(pool("six"), json!({"cidr": "2001:db8::/32"})).unwrap();
    expect.assert_eq(&show(&server.create(pool("new"), spec)));
}

#[test]
fn root_pool_requires_cidr_and_forbids_length() {
    check(
        json!({"cidr": "192.168.0.0/24"}),
        expect![[r#"
        Ready 192.168.0.0/24
    "#]],
    );
    check(
        json!({"cidr": "2001:db9::/32", "ipFamily": "IPv6"}),
        expect![[r#"
        Ready 2001:db9::/32
    "#]],
    );
    check(
        json!({}),
        expect![[r#"
        422 Invalid: IPPool.ipam.miloapis.com "new" is invalid: spec.cidr: Required value: a root pool needs a block; a child pool needs parentPoolRef
        - FieldValueRequired spec.cidr: Required value: a root pool needs a block; a child pool needs parentPoolRef
    "#]],
    );
    check(
        Value::Null,
        expect![[r#"
        422 Invalid: IPPool.ipam.miloapis.com "new" is invalid: spec.cidr: Required value: a root pool needs a block; a child pool needs parentPoolRef
        - FieldValueRequired spec.cidr: Required value: a root pool needs a block; a child pool needs parentPoolRef
    "#]],
    );
    check(
        json!({"cidr": ""}),
        expect![[r#"
        422 Invalid: IPPool.ipam.miloapis.com "new" is invalid: spec.cidr: Required value: a root pool needs a block; a child pool needs parentPoolRef
        - FieldValueRequired spec.cidr: Required value: a root pool needs a block; a child pool needs parentPoolRef
    "#]],
    );
    check(
        json!({"cidr": "192.168.0.0/24", "prefixLength": 24}),
        expect![[r#"
        422 Invalid: IPPool.ipam.miloapis.com "new" is invalid: spec.prefixLength: Forbidden: is only for child pools: the length of a root pool is part of spec.cidr
        - FieldValueForbidden spec.prefixLength: Forbidden: is only for child pools: the length of a root pool is part of spec.cidr
    "#]],
    );
    check(
        json!({"cidr": "192.168.0.0/24", "ipFamily": "IPv6"}),
        expect![[r#"
        422 Invalid: IPPool.ipam.miloapis.com "new" is invalid: spec.ipFamily: Invalid value: "IPv6": does not agree with spec.cidr, which is IPv4
        - FieldValueInvalid spec.ipFamily: Invalid value: "IPv6": does not agree with spec.cidr, which is IPv4
    "#]],
    );
}

#[test]
fn malformed_cidr_error_states_the_cause() {
    for (cidr, detail) in [
        ("10.0.0.0", "there is no prefix length;"),
        ("/8", "there is no address;"),
        ("10.0.0/8", "not an IP address;"),
        ("10.0.0.0/33", "the prefix length is too long for IPv4;"),
        ("10.0.0.0/08", "the prefix length is not a plain decimal number;"),
        ("10.0.0.010/32", "an IPv4 octet has a leading zero;"),
        ("fe80::%eth0/64", "an address here has no zone;"),
        ("::ffff:10.0.0.0/104", "an IPv4-mapped IPv6 address;"),
    ] {
        let refused = Server::with_pool("root", "10.0.0.0/16").create(pool("new"), json!({"cidr": cidr}));
        let expected = format!("spec.cidr: Invalid value: \"{cidr}\": invalid CIDR: {detail}");
        assert!(show(&refused).contains(&expected), "{}", show(&refused));
    }
}

#[test]
fn malformed_cidr_is_rejected_on_spec_cidr() {
    for cidr in ["010.0.0.0/8", "fe80::%eth0/64", "::ffff:10.0.0.0/104", "10.0.0.0", "10.0.0.0/33", "10.0.0/8", "x"] {
        let mut server = Server::new();
        let refusal = server.create(pool("p"), json!({"cidr": cidr})).unwrap_err();
        assert_eq!(refusal.details.causes[0].reason, "FieldValueInvalid", "{cidr}");
        assert_eq!(refusal.details.causes[0].field, "spec.cidr", "{cidr}");
    }
}

#[test]
fn host_bits_are_cleared_with_a_warning() {
    check(
        json!({"cidr": "192.168.0.7/24"}),
        expect![[r#"
        Ready 192.168.0.0/24
        warning: spec.cidr: 192.168.0.7/24 has bits set beyond its prefix length; the pool is 192.168.0.0/24
    "#]],
    );
    check(
        json!({"parentPoolRef": {"name": "root"}, "cidr": "10.0.7.1/24"}),
        expect![[r#"
        Ready 10.0.7.0/24
        warning: spec.cidr: 10.0.7.1/24 has bits set beyond its prefix length; the pool is 10.0.7.0/24
    "#]],
    );
}

#[test]
fn child_pool_requires_parent_and_length_or_cidr() {
    let parent = json!({"name": "root"});
    check(
        json!({"parentPoolRef": parent, "prefixLength": 24}),
        expect![[r#"
        Ready 10.0.0.0/24
    "#]],
    );
    check(
        json!({"parentPoolRef": parent, "cidr": "10.0.8.0/24"}),
        expect![[r#"
        Ready 10.0.8.0/24
    "#]],
    );
    check(
        json!({"parentPoolRef": parent, "cidr": "10.0.8.0/24", "prefixLength": 24}),
        expect![[r#"
        Ready 10.0.8.0/24
    "#]],
    );
    check(
        json!({"parentPoolRef": parent}),
        expect![[r#"
        422 Invalid: IPPool.ipam.miloapis.com "new" is invalid: spec.prefixLength: Required value: a child pool needs a length, or a cidr
        - FieldValueRequired spec.prefixLength: Required value: a child pool needs a length, or a cidr
    "#]],
    );
    check(
        json!({"parentPoolRef": parent, "cidr": "10.0.8.0/24", "prefixLength": 25}),
        expect![[r#"
        422 Invalid: IPPool.ipam.miloapis.com "new" is invalid: spec.prefixLength: Invalid value: 25: does not agree with spec.cidr, which is 10.0.8.0/24
        - FieldValueInvalid spec.prefixLength: Invalid value: 25: does not agree with spec.cidr, which is 10.0.8.0/24
    "#]],
    );
    check(
        json!({"parentPoolRef": parent, "cidr": "10.1.8.0/24"}),
        expect![[r#"
        422 Invalid: IPPool.ipam.miloapis.com "new" is invalid: spec.cidr: Invalid value: "10.1.8.0/24": must be inside IPPool "root", which is 10.0.0.0/16
        - FieldValueInvalid spec.cidr: Invalid value: "10.1.8.0/24": must be inside IPPool "root", which is 10.0.0.0/16
    "#]],
    );
    check(
        json!({"parentPoolRef": parent, "cidr": "2001:db8::/48"}),
        expect![[r#"
            422 Invalid: IPPool.ipam.miloapis.com "new" is invalid: spec.cidr: Invalid value: "2001:db8::/48": address family IPv6 does not match IPPool "root", which has IPv4 addresses
            - FieldValueInvalid spec.cidr: Invalid value: "2001:db8::/48": address family IPv6 does not match IPPool "root", which has IPv4 addresses
        "#]],
    );
    check(
        json!({"parentPoolRef": parent, "prefixLength": 24, "ipFamily": "IPv4"}),
        expect![[r#"
        422 Invalid: IPPool.ipam.miloapis.com "new" is invalid: spec.ipFamily: Forbidden: a child pool inherits its family from its parent
        - FieldValueForbidden spec.ipFamily: Forbidden: a child pool inherits its family from its parent
    "#]],
    );
    check(
        json!({"parentPoolRef": {"name": ""}, "prefixLength": 24}),
        expect![[r#"
        422 Invalid: IPPool.ipam.miloapis.com "new" is invalid: spec.parentPoolRef.name: Required value
        - FieldValueRequired spec.parentPoolRef.name: Required value
    "#]],
    );
    check(
        json!({"parentPoolRef": {"name": "nowhere"}, "prefixLength": 24}),
        expect![[r#"
        400 BadRequest: IPPool "nowhere" not found
        - PoolNotFound spec.parentPoolRef.name: IPPool "nowhere" not found
    "#]],
    );
}

#[test]
fn child_pool_length_is_between_parent_and_family_length() {
    let parent = json!({"name": "root"});
    for (length, accepted) in [(-1, false), (0, false), (15, false), (16, false), (17, true), (32, true), (33, false)] {
        let mut server = Server::with_pool("root", "10.0.0.0/16");
        let answer = server.create(pool("new"), json!({"parentPoolRef": parent, "prefixLength": length}));
        assert_eq!(answer.is_ok(), accepted, "{length}");
    }
    check(
        json!({"parentPoolRef": parent, "prefixLength": 16}),
        expect![[r#"
        422 Invalid: IPPool.ipam.miloapis.com "new" is invalid: spec.prefixLength: Invalid value: 16: prefixLength /16 is outside the bounds of IPPool "root" (10.0.0.0/16): /17 to /32
        - FieldValueInvalid spec.prefixLength: Invalid value: 16: prefixLength /16 is outside the bounds of IPPool "root" (10.0.0.0/16): /17 to /32
    "#]],
    );
    check(
        json!({"parentPoolRef": parent, "prefixLength": 33}),
        expect![[r#"
        422 Invalid: IPPool.ipam.miloapis.com "new" is invalid: spec.prefixLength: Invalid value: 33: prefixLength /33 is outside the bounds of IPPool "root" (10.0.0.0/16): /17 to /32
        - FieldValueInvalid spec.prefixLength: Invalid value: 33: prefixLength /33 is outside the bounds of IPPool "root" (10.0.0.0/16): /17 to /32
    "#]],
    );
    check(
        json!({"parentPoolRef": parent, "prefixLength": 0}),
        expect![[r#"
        422 Invalid: IPPool.ipam.miloapis.com "new" is invalid: spec.prefixLength: Invalid value: 0: must be greater than 0
        - FieldValueInvalid spec.prefixLength: Invalid value: 0: must be greater than 0
    "#]],
    );
    check(
        json!({"parentPoolRef": parent, "prefixLength": 4_294_967_320_i64}),
        expect![[r#"
            422 Invalid: IPPool.ipam.miloapis.com "new" is invalid: spec.prefixLength: Invalid value: "integer": spec.prefixLength in body must be of type int32: "integer"
            - FieldValueTypeInvalid spec.prefixLength: Invalid value: "integer": spec.prefixLength in body must be of type int32: "integer"
        "#]],
    );
    check(
        json!({"parentPoolRef": {"name": "six"}, "prefixLength": 128}),
        expect![[r#"
        Ready 2001:db8::/128
    "#]],
    );
}

#[test]
fn child_pools_inherit_the_family_at_any_depth() {
    let mut server = Server::with_pool("six", "2001:db8::/32");
    server.create(pool("a"), json!({"parentPoolRef": {"name": "six"}, "prefixLength": 48})).unwrap();
    server.create(pool("b"), json!({"parentPoolRef": {"name": "a"}, "prefixLength": 56})).unwrap();
    server.create(pool("c"), json!({"parentPoolRef": {"name": "b"}, "prefixLength": 64})).unwrap();
    let deepest = server.get(&pool("c"));
    assert_eq!(deepest.text("/status/ipFamily"), "IPv6");
    assert_eq!(deepest.text("/status/allocatedCIDR"), "2001:db8::/64");
    assert!(deepest.field("spec").get("ipFamily").is_none(), "inherited, not copied");
}

#[test]
fn contradicting_allocation_bounds_are_rejected() {
    let policy = |policy: Value| json!({"cidr": "192.168.0.0/24", "allocation": policy});
    check(
        policy(json!({"minPrefixLength": 26, "maxPrefixLength": 30, "defaultPrefixLength": 28})),
        expect![[r#"
        Ready 192.168.0.0/24
    "#]],
    );
    check(
        policy(json!({"minPrefixLength": 30, "maxPrefixLength": 26})),
        expect![[r#"
        422 Invalid: IPPool.ipam.miloapis.com "new" is invalid: spec.allocation.minPrefixLength: Invalid value: 30: must be at most maxPrefixLength, which is 26
        - FieldValueInvalid spec.allocation.minPrefixLength: Invalid value: 30: must be at most maxPrefixLength, which is 26
    "#]],
    );
    check(
        policy(json!({"minPrefixLength": 26, "defaultPrefixLength": 25})),
        expect![[r#"
            422 Invalid: IPPool.ipam.miloapis.com "new" is invalid: spec.allocation.defaultPrefixLength: Invalid value: 25: must be at least minPrefixLength, which is 26
            - FieldValueInvalid spec.allocation.defaultPrefixLength: Invalid value: 25: must be at least minPrefixLength, which is 26
        "#]],
    );
    check(
        policy(json!({"maxPrefixLength": 26, "defaultPrefixLength": 27})),
        expect![[r#"
            422 Invalid: IPPool.ipam.miloapis.com "new" is invalid: spec.allocation.defaultPrefixLength: Invalid value: 27: must be at most maxPrefixLength, which is 26
            - FieldValueInvalid spec.allocation.defaultPrefixLength: Invalid value: 27: must be at most maxPrefixLength, which is 26
        "#]],
    );
    check(
        policy(json!({"defaultPrefixLength": 33})),
        expect![[r#"
        422 Invalid: IPPool.ipam.miloapis.com "new" is invalid: spec.allocation.defaultPrefixLength: Invalid value: 33: must be at most 32 for IPv4
        - FieldValueInvalid spec.allocation.defaultPrefixLength: Invalid value: 33: must be at most 32 for IPv4
    "#]],
    );
    check(
        policy(json!({"minPrefixLength": 0, "maxPrefixLength": 33, "defaultPrefixLength": -1})),
        expect![[r#"
        422 Invalid: IPPool.ipam.miloapis.com "new" is invalid: [spec.allocation.minPrefixLength: Invalid value: 0: must be greater than 0, spec.allocation.maxPrefixLength: Invalid value: 33: must be at most 32 for IPv4, spec.allocation.defaultPrefixLength: Invalid value: -1: must be greater than 0]
        - FieldValueInvalid spec.allocation.minPrefixLength: Invalid value: 0: must be greater than 0
        - FieldValueInvalid spec.allocation.maxPrefixLength: Invalid value: 33: must be at most 32 for IPv4
        - FieldValueInvalid spec.allocation.defaultPrefixLength: Invalid value: -1: must be greater than 0
    "#]],
    );
    // The family of a child pool is known only from its parent.
    let long = json!({"maxPrefixLength": 64});
    check(
        json!({"parentPoolRef": {"name": "six"}, "prefixLength": 48, "allocation": long}),
        expect![[r#"
        Ready 2001:db8::/48
    "#]],
    );
    check(
        json!({"parentPoolRef": {"name": "root"}, "prefixLength": 12, "allocation": long}),
        expect![[r#"
        422 Invalid: IPPool.ipam.miloapis.com "new" is invalid: [spec.allocation.maxPrefixLength: Invalid value: 64: must be at most 32 for IPv4, spec.prefixLength: Invalid value: 12: prefixLength /12 is outside the bounds of IPPool "root" (10.0.0.0/16): /17 to /32]
        - FieldValueInvalid spec.allocation.maxPrefixLength: Invalid value: 64: must be at most 32 for IPv4
        - FieldValueInvalid spec.prefixLength: Invalid value: 12: prefixLength /12 is outside the bounds of IPPool "root" (10.0.0.0/16): /17 to /32
    "#]],
    );
}

#[test]
fn all_field_errors_are_reported_together() {
    let allocation = json!({"minPrefixLength": -3, "maxPrefixLength": 40});
    check(
        json!({"cidr": "10.0.0.0/8", "prefixLength": 9, "ipFamily": "IPv6", "allocation": allocation}),
        expect![[r#"
        422 Invalid: IPPool.ipam.miloapis.com "new" is invalid: [spec.allocation.minPrefixLength: Invalid value: -3: must be greater than 0, spec.allocation.maxPrefixLength: Invalid value: 40: must be at most 32 for IPv4, spec.prefixLength: Forbidden: is only for child pools: the length of a root pool is part of spec.cidr, spec.ipFamily: Invalid value: "IPv6": does not agree with spec.cidr, which is IPv4]
        - FieldValueInvalid spec.allocation.minPrefixLength: Invalid value: -3: must be greater than 0
        - FieldValueInvalid spec.allocation.maxPrefixLength: Invalid value: 40: must be at most 32 for IPv4
        - FieldValueForbidden spec.prefixLength: Forbidden: is only for child pools: the length of a root pool is part of spec.cidr
        - FieldValueInvalid spec.ipFamily: Invalid value: "IPv6": does not agree with spec.cidr, which is IPv4
    "#]],
    );
}

#[test]
fn unsupported_values_are_reported_with_other_errors() {
    check(
        json!({"cidr": "10.0.0.0/99", "prefixLength": 12, "ipFamily": "v4", "visibility": "secret", "allocation": {"strategy": "Random"}}),
        expect![[r#"
            422 Invalid: IPPool.ipam.miloapis.com "new" is invalid: [spec.allocation.strategy: Unsupported value: "Random": supported values: "FirstFit", "BestFit", "LeastUtilized", spec.ipFamily: Unsupported value: "v4": supported values: "IPv4", "IPv6", spec.visibility: Unsupported value: "secret": supported values: "platform", "consumer", "shared", spec.cidr: Invalid value: "10.0.0.0/99": invalid CIDR: the prefix length is too long for IPv4; write 0 to 32, spec.prefixLength: Forbidden: is only for child pools: the length of a root pool is part of spec.cidr]
            - FieldValueNotSupported spec.allocation.strategy: Unsupported value: "Random": supported values: "FirstFit", "BestFit", "LeastUtilized"
            - FieldValueNotSupported spec.ipFamily: Unsupported value: "v4": supported values: "IPv4", "IPv6"
            - FieldValueNotSupported spec.visibility: Unsupported value: "secret": supported values: "platform", "consumer", "shared"
            - FieldValueInvalid spec.cidr: Invalid value: "10.0.0.0/99": invalid CIDR: the prefix length is too long for IPv4; write 0 to 32
            - FieldValueForbidden spec.prefixLength: Forbidden: is only for child pools: the length of a root pool is part of spec.cidr
        "#]],
    );
}

#[test]
fn impossible_bounds_of_the_parent_are_explained() {
    let mut server = Server::with_pool("address", "10.0.0.1/32");
    let bounds = json!({"minPrefixLength": 24, "maxPrefixLength": 24});
    server.create(pool("whole"), json!({"cidr": "10.1.0.0/24", "allocation": bounds})).unwrap();
    let mut refused = |parent: &str, rest: Value| {
        let mut spec = rest;
        spec["parentPoolRef"] = json!({"name": parent});
        show(&server.create(pool("a"), spec))
    };
    expect![[r#"
        422 Invalid: IPPool.ipam.miloapis.com "a" is invalid: spec.prefixLength: Invalid value: 32: nothing can be carved from IPPool "address" (10.0.0.1/32): it is a single address; name a larger parent, or claim the address itself
        - FieldValueInvalid spec.prefixLength: Invalid value: 32: nothing can be carved from IPPool "address" (10.0.0.1/32): it is a single address; name a larger parent, or claim the address itself
    "#]].assert_eq(&refused("address", json!({"prefixLength": 32})));
    expect![[r#"
        422 Invalid: IPPool.ipam.miloapis.com "a" is invalid: spec.cidr: Invalid value: "10.0.0.1/32": nothing can be carved from IPPool "address" (10.0.0.1/32): it is a single address; name a larger parent, or claim the address itself
        - FieldValueInvalid spec.cidr: Invalid value: "10.0.0.1/32": nothing can be carved from IPPool "address" (10.0.0.1/32): it is a single address; name a larger parent, or claim the address itself
    "#]].assert_eq(&refused("address", json!({"cidr": "10.0.0.1/32"})));
    expect![[r#"
        422 Invalid: IPPool.ipam.miloapis.com "a" is invalid: spec.prefixLength: Invalid value: 25: nothing can be carved from IPPool "whole" (10.1.0.0/24): its allocation.maxPrefixLength is 24; raise that to 25 or more, or name another parent
        - FieldValueInvalid spec.prefixLength: Invalid value: 25: nothing can be carved from IPPool "whole" (10.1.0.0/24): its allocation.maxPrefixLength is 24; raise that to 25 or more, or name another parent
    "#]].assert_eq(&refused("whole", json!({"prefixLength": 25})));
}

#[test]
fn parent_bounds_apply_to_child_pools() {
    let mut server = Server::new();
    let allocation = json!({"minPrefixLength": 20, "maxPrefixLength": 24});
    server.create(pool("root"), json!({"cidr": "10.0.0.0/16", "allocation": allocation})).unwrap();
    let child = |length| json!({"parentPoolRef": {"name": "root"}, "prefixLength": length});
    expect![[r#"
        422 Invalid: IPPool.ipam.miloapis.com "large" is invalid: spec.prefixLength: Invalid value: 19: prefixLength /19 is outside the bounds of IPPool "root" (10.0.0.0/16): /20 to /24
        - FieldValueInvalid spec.prefixLength: Invalid value: 19: prefixLength /19 is outside the bounds of IPPool "root" (10.0.0.0/16): /20 to /24
    "#]].assert_eq(&show(&server.create(pool("large"), child(19))));
    expect![[r#"
        422 Invalid: IPPool.ipam.miloapis.com "small" is invalid: spec.prefixLength: Invalid value: 25: prefixLength /25 is outside the bounds of IPPool "root" (10.0.0.0/16): /20 to /24
        - FieldValueInvalid spec.prefixLength: Invalid value: 25: prefixLength /25 is outside the bounds of IPPool "root" (10.0.0.0/16): /20 to /24
    "#]].assert_eq(&show(&server.create(pool("small"), child(25))));
    expect![[r#"
        Ready 10.0.0.0/20
    "#]]
    .assert_eq(&show(&server.create(pool("good"), child(20))));
    let exact = json!({"parentPoolRef": {"name": "root"}, "cidr": "10.0.128.0/25"});
    expect![[r#"
        422 Invalid: IPPool.ipam.miloapis.com "exact" is invalid: spec.cidr: Invalid value: "10.0.128.0/25": prefixLength /25 is outside the bounds of IPPool "root" (10.0.0.0/16): /20 to /24
        - FieldValueInvalid spec.cidr: Invalid value: "10.0.128.0/25": prefixLength /25 is outside the bounds of IPPool "root" (10.0.0.0/16): /20 to /24
    "#]].assert_eq(&show(&server.create(pool("exact"), exact)));
}

#[test]
fn defaults_are_written_to_the_spec() {
    let mut server = Server::with_pool("root", "10.0.0.0/16");
    server.create(pool("child"), json!({"parentPoolRef": {"name": "root"}, "prefixLength": 24})).unwrap();
    assert_eq!(
        server.get(&pool("root")).field("spec"),
        &json!({"cidr": "10.0.0.0/16", "ipFamily": "IPv4", "allocation": {"strategy": "FirstFit"}})
    );
    assert_eq!(
        server.get(&pool("child")).field("spec"),
        &json!({"parentPoolRef": {"name": "root"}, "prefixLength": 24, "allocation": {"strategy": "FirstFit"}})
    );
}

#[test]
fn overlapping_root_pool_is_rejected() {
    let mut server = Server::with_pool("middle", "10.1.0.0/16");
    server.create(pool("upper"), json!({"cidr": "10.4.0.0/14"})).unwrap();
    server.create(pool("six"), json!({"cidr": "::/8"})).unwrap();
    let mut refused = |cidr: &str| show(&server.create(pool("new"), json!({"cidr": cidr})));
    expect![[r#"
        422 Invalid: IPPool.ipam.miloapis.com "new" is invalid: spec.cidr: Invalid value: "10.0.0.0/8": overlaps with IPPool "upper", which is 10.4.0.0/14; root pools must not overlap: choose a block outside it
        - PoolOverlap spec.cidr: Invalid value: "10.0.0.0/8": overlaps with IPPool "upper", which is 10.4.0.0/14; root pools must not overlap: choose a block outside it
    "#]].assert_eq(&refused("10.0.0.0/8"));
    expect![[r#"
        422 Invalid: IPPool.ipam.miloapis.com "new" is invalid: spec.cidr: Invalid value: "10.1.2.0/24": overlaps with IPPool "middle", which is 10.1.0.0/16; root pools must not overlap: choose a block outside it, or carve this one from that pool with spec.parentPoolRef
        - PoolOverlap spec.cidr: Invalid value: "10.1.2.0/24": overlaps with IPPool "middle", which is 10.1.0.0/16; root pools must not overlap: choose a block outside it, or carve this one from that pool with spec.parentPoolRef
    "#]].assert_eq(&refused("10.1.2.0/24"));
    expect![[r#"
        422 Invalid: IPPool.ipam.miloapis.com "new" is invalid: spec.cidr: Invalid value: "10.1.0.0/16": overlaps with IPPool "middle", which is 10.1.0.0/16; root pools must not overlap: choose a block outside it, or carve this one from that pool with spec.parentPoolRef
        - PoolOverlap spec.cidr: Invalid value: "10.1.0.0/16": overlaps with IPPool "middle", which is 10.1.0.0/16; root pools must not overlap: choose a block outside it, or carve this one from that pool with spec.parentPoolRef
    "#]].assert_eq(&refused("10.1.0.0/16"));
    expect![[r#"
        422 Invalid: IPPool.ipam.miloapis.com "new" is invalid: spec.cidr: Invalid value: "10.7.255.255/32": overlaps with IPPool "upper", which is 10.4.0.0/14; root pools must not overlap: choose a block outside it, or carve this one from that pool with spec.parentPoolRef
        - PoolOverlap spec.cidr: Invalid value: "10.7.255.255/32": overlaps with IPPool "upper", which is 10.4.0.0/14; root pools must not overlap: choose a block outside it, or carve this one from that pool with spec.parentPoolRef
    "#]].assert_eq(&refused("10.7.255.255/32"));
    expect![[r#"
        Ready 10.2.0.0/16
    "#]]
    .assert_eq(&refused("10.2.0.0/16"));
    let mut server = Server::with_pool("all", "0.0.0.0/0");
    server.create(pool("six"), json!({"cidr": "::/0"})).expect("the other family");
    server.create(pool("four"), json!({"cidr": "10.0.0.0/8"})).unwrap_err();
}

#[test]
fn block_of_parent_is_allocated_only_once() {
    let mut server = Server::with_pool("root", "10.0.0.0/30");
    let child = |cidr: &str| json!({"parentPoolRef": {"name": "root"}, "cidr": cidr});
    server.create(pool("a"), child("10.0.0.0/31")).unwrap();
    expect![[r#"
        422 Invalid: IPPool.ipam.miloapis.com "b" is invalid: spec.cidr: Invalid value: "10.0.0.1/32": is not entirely free in IPPool "root"; ask for another block, or give spec.prefixLength in place of spec.cidr to get the next free one
        - AddressTaken spec.cidr: Invalid value: "10.0.0.1/32": is not entirely free in IPPool "root"; ask for another block, or give spec.prefixLength in place of spec.cidr to get the next free one
    "#]].assert_eq(&show(&server.create(pool("b"), child("10.0.0.1/32"))));
    server.create(pool("c"), child("10.0.0.2/31")).unwrap();
    let next = json!({"parentPoolRef": {"name": "root"}, "prefixLength": 32});
    expect![[r#"
        507 InsufficientStorage: IPPool "root" is exhausted: no free block of length /32, no address of it is free
        - PoolExhausted spec.prefixLength: IPPool "root" is exhausted: no free block of length /32, no address of it is free
        - Pool : root
    "#]].assert_eq(&show(&server.create(pool("d"), next)));
}

#[test]
fn status_shows_remaining_capacity() {
    let mut server = Server::with_pool("root", "10.0.0.0/30");
    let status = |server: &Server, name: &str| server.get(&pool(name)).field("status").to_string();
    expect![[r#"{"allocatedCIDR":"10.0.0.0/30","capacity":{"allocated":0,"available":4,"exact":{"allocated":"0","available":"4","total":"4"},"total":4},"conditions":[{"lastTransitionTime":"2026-01-01T00:00:01Z","message":"10.0.0.0/30 is a root pool","reason":"AllocationSucceeded","status":"True","type":"Allocated"},{"lastTransitionTime":"2026-01-01T00:00:01Z","message":"the pool has free addresses","reason":"AddressesAvailable","status":"True","type":"Ready"}],"ipFamily":"IPv4","largestFreePrefix":30,"observedGeneration":1,"phase":"Ready","utilizationPercent":0}"#]].assert_eq(&status(&server, "root"));
    let child = json!({"parentPoolRef": {"name": "root"}, "prefixLength": 31});
    server.create(pool("a"), child).unwrap();
    expect![[r#"{"allocatedCIDR":"10.0.0.0/31","capacity":{"allocated":0,"available":2,"exact":{"allocated":"0","available":"2","total":"2"},"total":2},"conditions":[{"lastTransitionTime":"2026-01-01T00:00:02Z","message":"10.0.0.0/31 is carved from IPPool root","reason":"AllocationSucceeded","status":"True","type":"Allocated"},{"lastTransitionTime":"2026-01-01T00:00:02Z","message":"the pool has free addresses","reason":"AddressesAvailable","status":"True","type":"Ready"}],"ipFamily":"IPv4","largestFreePrefix":31,"observedGeneration":1,"phase":"Ready","utilizationPercent":0}"#]].assert_eq(&status(&server, "a"));
    let rest = json!({"poolRef": {"name": "root"}, "prefixLength": 31});
    server.create(claim("c"), rest).unwrap();
    expect![[r#"{"allocatedCIDR":"10.0.0.0/30","capacity":{"allocated":4,"available":0,"exact":{"allocated":"4","available":"0","total":"4"},"total":4},"conditions":[{"lastTransitionTime":"2026-01-01T00:00:01Z","message":"10.0.0.0/30 is a root pool","reason":"AllocationSucceeded","status":"True","type":"Allocated"},{"lastTransitionTime":"2026-01-01T00:00:03Z","message":"no address of the pool is free","reason":"PoolExhausted","status":"False","type":"Ready"}],"ipFamily":"IPv4","observedGeneration":1,"phase":"Exhausted","utilizationPercent":100}"#]].assert_eq(&status(&server, "root"));
    server.delete(&claim("c")).unwrap();
    expect![[r#"{"allocatedCIDR":"10.0.0.0/30","capacity":{"allocated":2,"available":2,"exact":{"allocated":"2","available":"2","total":"4"},"total":4},"conditions":[{"lastTransitionTime":"2026-01-01T00:00:01Z","message":"10.0.0.0/30 is a root pool","reason":"AllocationSucceeded","status":"True","type":"Allocated"},{"lastTransitionTime":"2026-01-01T00:00:04Z","message":"the pool has free addresses","reason":"AddressesAvailable","status":"True","type":"Ready"}],"ipFamily":"IPv4","largestFreePrefix":31,"observedGeneration":1,"phase":"Ready","utilizationPercent":50}"#]].assert_eq(&status(&server, "root"));
}

#[test]
fn capacity_is_exact_up_to_all_of_ipv6() {
    let mut server = Server::with_pool("all", "::/0");
    let status = |server: &Server| {
        let status = server.get(&pool("all")).field("status");
        format!("{} {} {}", status["capacity"], status["utilizationPercent"], status["largestFreePrefix"])
    };
    expect![[r#"{"allocated":0,"available":9007199254740991,"exact":{"allocated":"0","available":"340282366920938463463374607431768211456","total":"340282366920938463463374607431768211456"},"total":9007199254740991} 0 0"#]].assert_eq(&status(&server));
    server.settles = false;
    server.create(claim("half"), json!({"poolRef": {"name": "all"}, "prefixLength": 1})).unwrap();
    server.create(claim("one"), json!({"poolRef": {"name": "all"}, "prefixLength": 128})).unwrap();
    server.settle();
    expect![[r#"{"allocated":9007199254740991,"available":9007199254740991,"exact":{"allocated":"170141183460469231731687303715884105729","available":"170141183460469231731687303715884105727","total":"340282366920938463463374607431768211456"},"total":9007199254740991} 50 2"#]].assert_eq(&status(&server));
    server.delete(&claim("one")).unwrap();
    server.create(claim("other-half"), json!({"poolRef": {"name": "all"}, "prefixLength": 1})).unwrap();
    server.settle();
    expect![[r#"{"allocated":9007199254740991,"available":0,"exact":{"allocated":"340282366920938463463374607431768211456","available":"0","total":"340282366920938463463374607431768211456"},"total":9007199254740991} 100 null"#]].assert_eq(&status(&server));
}

#[test]
fn utilization_is_100_only_without_free_address() {
    let mut server = Server::with_pool("all", "::/0");
    server.settles = false;
    for length in (1..=128).chain([128]) {
        if length == 128 {
            server.settle();
            let status = server.get(&pool("all")).field("status");
            let shown = (&status["utilizationPercent"], &status["phase"]);
            assert_eq!(shown, (&json!(99), &json!("Ready")), "the server has room");
        }
        let name = format!("c{}", server.log.len());
        server.create(claim(&name), json!({"poolRef": {"name": "all"}, "prefixLength": length})).unwrap();
    }
    server.settle();
    let status = server.get(&pool("all")).field("status");
    assert_eq!((&status["utilizationPercent"], &status["phase"]), (&json!(100), &json!("Exhausted")));
}

/// The text of such a block looks like an IPv4-mapped address. A claim may use exactly that text, because a status
/// shows it.
#[test]
fn blocks_in_the_ipv4_mapped_range_can_be_claimed() {
    let mut server = Server::with_pool("p", "::fffe:0:0/95");
    server.create(claim("a"), json!({"poolRef": {"name": "p"}, "prefixLength": 96})).unwrap();
    let answer = server.create(claim("b"), json!({"poolRef": {"name": "p"}, "prefixLength": 104}));
    expect![[r#"
        Bound ::ffff:0.0.0.0/104
    "#]]
    .assert_eq(&show(&answer));
    server.delete(&claim("b")).unwrap();
    assert_eq!(server.get(&pool("p")).field("status")["largestFreePrefix"], 96);
    let mut again =
        |name: &str, text: &str| show(&server.create(claim(name), json!({"poolRef": {"name": "p"}, "address": text})));
    expect![[r#"
        Bound ::ffff:0.0.0.0/104
    "#]]
    .assert_eq(&again("c", "::ffff:0.0.0.0/104"));
    for other in ["::ffff:1.0.0.0", "::ffff:100:0/104"] {
        assert!(again("d", other).contains("spec.address: Invalid value"), "{other}");
    }
}

#[test]
fn immutable_fields_are_rejected_and_mutable_fields_change() {
    let mut server = Server::with_pool("root", "10.0.0.0/16");
    server.create(pool("child"), json!({"parentPoolRef": {"name": "root"}, "prefixLength": 24})).unwrap();
    let mut change = |name: &str, spec: Value| show(&server.update(&pool(name), |pool| pool.set_field("spec", spec)));
    expect![[r#"
        422 Invalid: IPPool.ipam.miloapis.com "root" is invalid: [spec.cidr: Forbidden: spec.cidr is immutable, spec.ipFamily: Forbidden: spec.ipFamily is immutable, spec.prefixLength: Forbidden: spec.prefixLength is immutable]
        - FieldValueForbidden spec.cidr: Forbidden: spec.cidr is immutable
        - FieldValueForbidden spec.ipFamily: Forbidden: spec.ipFamily is immutable
        - FieldValueForbidden spec.prefixLength: Forbidden: spec.prefixLength is immutable
    "#]].assert_eq(&change("root", json!({"cidr": "10.0.0.0/15", "ipFamily": "IPv6", "prefixLength": 3})));
    expect![[r#"
        422 Invalid: IPPool.ipam.miloapis.com "child" is invalid: [spec.parentPoolRef: Forbidden: spec.parentPoolRef is immutable, spec.prefixLength: Forbidden: spec.prefixLength is immutable]
        - FieldValueForbidden spec.parentPoolRef: Forbidden: spec.parentPoolRef is immutable
        - FieldValueForbidden spec.prefixLength: Forbidden: spec.prefixLength is immutable
    "#]].assert_eq(&change("child", json!({"parentPoolRef": {"name": "x"}, "prefixLength": 25})));
    expect![[r#"
        422 Invalid: IPPool.ipam.miloapis.com "root" is invalid: [spec.cidr: Forbidden: spec.cidr is immutable, spec.parentPoolRef: Forbidden: spec.parentPoolRef is immutable]
        - FieldValueForbidden spec.cidr: Forbidden: spec.cidr is immutable
        - FieldValueForbidden spec.parentPoolRef: Forbidden: spec.parentPoolRef is immutable
    "#]].assert_eq(&change("root", json!({"parentPoolRef": {"name": "child"}})));
    expect![[r#"
        422 Invalid: IPPool.ipam.miloapis.com "root" is invalid: spec.allocation.maxPrefixLength: Invalid value: 33: must be at most 32 for IPv4
        - FieldValueInvalid spec.allocation.maxPrefixLength: Invalid value: 33: must be at most 32 for IPv4
    "#]].assert_eq(&change("root", json!({"cidr": "10.0.0.0/16", "allocation": {"maxPrefixLength": 33}})));
    // Without the defaults, as in a manifest.
    expect![[r#"
        Ready 10.0.0.0/16
    "#]]
    .assert_eq(&change("root", json!({"cidr": "10.0.0.0/16"})));
    let mutable = json!({
        "cidr": "10.0.0.0/16",
        "visibility": "shared",
        "allocation": {"minPrefixLength": 20, "maxPrefixLength": 24, "defaultPrefixLength": 22, "strategy": "BestFit"},
    });
    expect![[r#"
        Ready 10.0.0.0/16
    "#]]
    .assert_eq(&change("root", mutable));
    let root = server.get(&pool("root"));
    assert_eq!((root.metadata.generation, &root.field("status")["observedGeneration"]), (Some(2), &json!(2)));
    let answer = server.create(claim("c"), json!({"poolRef": {"name": "root"}})).unwrap();
    assert_eq!(answer.0.text("/status/allocatedCIDR"), "10.0.4.0/22", "the new default holds");
}

#[test]
fn pool_in_use_cannot_be_deleted() {
    let mut server = Server::with_pool("root", "10.0.0.0/16");
    server.create(pool("child"), json!({"parentPoolRef": {"name": "root"}, "prefixLength": 24})).unwrap();
    expect![[r#"
        409 Conflict: Operation cannot be fulfilled on ippools.ipam.miloapis.com "root": the pool has 1 active allocation(s); delete their claims, retained allocations and child pools first
    "#]].assert_eq(&show_refusal(&server.delete(&pool("root")).unwrap_err()));
    for n in 0..4 {
        server.create(claim(&format!("c{n}")), json!({"poolRef": {"name": "root"}, "prefixLength": 32})).unwrap();
    }
    expect![[r#"
        409 Conflict: Operation cannot be fulfilled on ippools.ipam.miloapis.com "root": the pool has 5 active allocation(s); delete their claims, retained allocations and child pools first
    "#]].assert_eq(&show_refusal(&server.delete(&pool("root")).unwrap_err()));
    for n in 0..4 {
        server.delete(&claim(&format!("c{n}"))).unwrap();
    }
    server.delete(&pool("child")).unwrap();
    assert_eq!(server.get(&pool("root")).field("status")["largestFreePrefix"], 16, "the child's block is back");
    server.delete(&pool("root")).unwrap();
    server.create(pool("again"), json!({"cidr": "10.0.0.0/16"})).expect("its block is free for another pool");
}

#[test]
fn pool_with_retained_allocation_cannot_be_deleted() {
    let mut server = Server::with_pool("root", "10.0.0.0/16");
    let spec = json!({"poolRef": {"name": "root"}, "prefixLength": 32, "reclaimPolicy": "Retain"});
    server.create(claim("c"), spec).unwrap();
    let allocation = server.allocation_of(&claim("c"));
    server.delete(&claim("c")).unwrap();
    expect![[r#"
        409 Conflict: Operation cannot be fulfilled on ippools.ipam.miloapis.com "root": the pool has 1 active allocation(s); delete their claims, retained allocations and child pools first
    "#]].assert_eq(&show_refusal(&server.delete(&pool("root")).unwrap_err()));
    server.delete(&allocation).unwrap();
    server.delete(&pool("root")).unwrap();
}

#[test]
fn terminating_pool_rejects_claims_and_child_pools() {
    let mut server = Server::new();
    let finalizers = vec!["example.com/hold".to_owned()];
    server
        .create_with(pool("p"), json!({"cidr": "10.0.0.0/24"}), |meta| {
            meta.finalizers = finalizers;
        })
        .unwrap();
    server.delete(&pool("p")).unwrap();
    let child = json!({"parentPoolRef": {"name": "p"}, "prefixLength": 28});
    expect![[r#"
        422 Invalid: IPPool.ipam.miloapis.com "child" is invalid: spec.parentPoolRef.name: Invalid value: "p": the pool is being deleted and hands out nothing new; name another pool
        - PoolTerminating spec.parentPoolRef.name: Invalid value: "p": the pool is being deleted and hands out nothing new; name another pool
    "#]].assert_eq(&show(&server.create(pool("child"), child)));
    let spec = json!({"poolRef": {"name": "p"}, "prefixLength": 32});
    expect![[r#"
        422 Invalid: IPClaim.ipam.miloapis.com "c" is invalid: spec.poolRef.name: Invalid value: "p": the pool is being deleted and hands out nothing new; name another pool
        - PoolTerminating spec.poolRef.name: Invalid value: "p": the pool is being deleted and hands out nothing new; name another pool
    "#]].assert_eq(&show(&server.create(claim("c"), spec)));
    let unlabeled = json!({"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]});
    let spec = json!({"poolSelector": unlabeled, "prefixLength": 32});
    expect![[r#"
        400 BadRequest: no IPPool matches spec.poolSelector but "p", which is being deleted and hands out nothing new
        - NoPoolMatch spec.poolSelector: no IPPool matches spec.poolSelector but "p", which is being deleted and hands out nothing new
    "#]]
    .assert_eq(&show(&server.create(claim("c"), spec.clone())));
    server.create(pool("open"), json!({"cidr": "10.1.0.0/24"})).unwrap();
    let (selected, _) = server.create(claim("c"), spec).unwrap();
    assert_eq!(selected.text("/status/poolRef/name"), "open");
    let overlapping = server.create(pool("q"), json!({"cidr": "10.0.0.0/24"}));
    assert_eq!(overlapping.unwrap_err().reason.code(), 422, "a terminating pool keeps its block");
    server.update(&pool("p"), |pool| pool.metadata.finalizers.clear()).unwrap();
    server.create(pool("q"), json!({"cidr": "10.0.0.0/24"})).unwrap();
}

#[test]
fn dry_run_of_child_pool_has_a_warning() {
    let mut server = Server::with_pool("root", "10.0.0.0/16");
    let spec = json!({"parentPoolRef": {"name": "root"}, "prefixLength": 24});
    expect![[r#"
        Ready 10.0.0.0/24
        warning: dry run: 10.0.0.0/24 was not allocated, and a later request may get another block; with it, IPPool "root" would have 65280 of 65536 addresses free, largest free block /17
    "#]].assert_eq(&show(&server.dry_run(&pool("child"), spec)));
    assert_eq!(server.log.len(), 1);
}

#[test]
fn users_may_write_only_foreign_conditions_of_status() {
    let mut server = Server::with_pool("root", "10.0.0.0/30");
    let routed = json!({"type": "Routed", "status": "True", "reason": "Announced", "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z"});
    server
        .update_status(&pool("root"), |pool| {
            pool.fields["status"]["conditions"].as_array_mut().unwrap().push(routed.clone());
        })
        .unwrap();
    server.create(claim("c"), json!({"poolRef": {"name": "root"}, "prefixLength": 30})).unwrap();
    let conditions = server.get(&pool("root")).field("status")["conditions"].as_array().unwrap().clone();
    assert!(conditions.contains(&routed), "the service leaves it alone");
    assert_eq!(conditions.len(), 3);
    let answer = server.update_status(&pool("root"), |pool| {
        let status = pool.fields.get_mut("status").unwrap();
        status["phase"] = "Ready".into();
        status["capacity"]["exact"]["available"] = "4".into();
        status["largestFreePrefix"] = 30.into();
        let conditions = status["conditions"].as_array_mut().unwrap();
        conditions[1]["status"] = "True".into();
        conditions.extend([json!({"type": "Routed"}), json!({"type": "Other"})]);
    });
    expect![[r#"
        422 Invalid: IPPool.ipam.miloapis.com "root" is invalid: [status.conditions[3].status: Required value, status.conditions[3].lastTransitionTime: Required value, status.conditions[3].reason: Required value, status.conditions[3].message: Required value, status.conditions[3]: Duplicate value: {"type":"Routed"}, status.conditions[4].status: Required value, status.conditions[4].lastTransitionTime: Required value, status.conditions[4].reason: Required value, status.conditions[4].message: Required value, status.capacity.exact.available: Forbidden: is set by the service, status.largestFreePrefix: Forbidden: is set by the service, status.phase: Forbidden: is set by the service, status.conditions[Ready]: Forbidden: is set by the service]
        - FieldValueRequired status.conditions[3].status: Required value
        - FieldValueRequired status.conditions[3].lastTransitionTime: Required value
        - FieldValueRequired status.conditions[3].reason: Required value
        - FieldValueRequired status.conditions[3].message: Required value
        - FieldValueDuplicate status.conditions[3]: Duplicate value: {"type":"Routed"}
        - FieldValueRequired status.conditions[4].status: Required value
        - FieldValueRequired status.conditions[4].lastTransitionTime: Required value
        - FieldValueRequired status.conditions[4].reason: Required value
        - FieldValueRequired status.conditions[4].message: Required value
        - FieldValueForbidden status.capacity.exact.available: Forbidden: is set by the service
        - FieldValueForbidden status.largestFreePrefix: Forbidden: is set by the service
        - FieldValueForbidden status.phase: Forbidden: is set by the service
        - FieldValueForbidden status.conditions[Ready]: Forbidden: is set by the service
    "#]].assert_eq(&show(&answer));
    let answer = server.update_status(&pool("root"), |pool| drop(pool.fields.remove("status")));
    expect![[r#"
        422 Invalid: IPPool.ipam.miloapis.com "root" is invalid: [status.allocatedCIDR: Forbidden: is set by the service, status.capacity.allocated: Forbidden: is set by the service, status.capacity.available: Forbidden: is set by the service, status.capacity.exact.allocated: Forbidden: is set by the service, status.capacity.exact.available: Forbidden: is set by the service, status.capacity.exact.total: Forbidden: is set by the service, status.capacity.total: Forbidden: is set by the service, status.ipFamily: Forbidden: is set by the service, status.observedGeneration: Forbidden: is set by the service, status.phase: Forbidden: is set by the service, status.utilizationPercent: Forbidden: is set by the service, status.conditions[Allocated]: Forbidden: is set by the service, status.conditions[Ready]: Forbidden: is set by the service]
        - FieldValueForbidden status.allocatedCIDR: Forbidden: is set by the service
        - FieldValueForbidden status.capacity.allocated: Forbidden: is set by the service
        - FieldValueForbidden status.capacity.available: Forbidden: is set by the service
        - FieldValueForbidden status.capacity.exact.allocated: Forbidden: is set by the service
        - FieldValueForbidden status.capacity.exact.available: Forbidden: is set by the service
        - FieldValueForbidden status.capacity.exact.total: Forbidden: is set by the service
        - FieldValueForbidden status.capacity.total: Forbidden: is set by the service
        - FieldValueForbidden status.ipFamily: Forbidden: is set by the service
        - FieldValueForbidden status.observedGeneration: Forbidden: is set by the service
        - FieldValueForbidden status.phase: Forbidden: is set by the service
        - FieldValueForbidden status.utilizationPercent: Forbidden: is set by the service
        - FieldValueForbidden status.conditions[Allocated]: Forbidden: is set by the service
        - FieldValueForbidden status.conditions[Ready]: Forbidden: is set by the service
    "#]].assert_eq(&show(&answer));
}

#[test]
fn pool_status_is_written_once_per_batch() {
    let mut server = Server::with_pool("idle", "10.9.0.0/16");
    server.settles = false;
    server.create(pool("busy"), json!({"cidr": "10.0.0.0/16"})).unwrap();
    for n in 0..3 {
        server.create(claim(&format!("c{n}")), json!({"poolRef": {"name": "busy"}, "prefixLength": 32})).unwrap();
    }
    assert_eq!(server.settle(), ["busy"]);
    server.create(claim("x"), json!({"poolRef": {"name": "idle"}, "prefixLength": 32})).unwrap();
    server.delete(&claim("x")).unwrap();
    assert!(server.settle().is_empty(), "a claim that was created and deleted in one batch changes no status");
}

/// The number of free addresses is the same, but the largest free block is not.
#[test]
fn status_is_written_if_only_largest_free_block_changed() {
    let mut server = Server::with_pool("p", "10.0.0.0/30");
    let address = |address: &str| json!({"poolRef": {"name": "p"}, "address": address});
    server.create(claim("pair"), address("10.0.0.0/31")).unwrap();
    server.settles = false;
    server.delete(&claim("pair")).unwrap();
    server.create(claim("low"), address("10.0.0.0")).unwrap();
    server.create(claim("high"), address("10.0.0.2")).unwrap();
    assert_eq!(server.settle(), ["p"]);
    let status = server.get(&pool("p")).field("status");
    assert_eq!(status["largestFreePrefix"], 32);
}

/// The number of allocated addresses is the same, but the holders are not.
#[test]
fn status_is_written_if_only_the_holders_changed() {
    let mut server = Server::with_pool("p", "10.0.0.0/30");
    let child = |cidr: &str| json!({"parentPoolRef": {"name": "p"}, "cidr": cidr});
    server.create(pool("low"), child("10.0.0.0/31")).unwrap();
    server.create(claim("high"), json!({"poolRef": {"name": "p"}, "address": "10.0.0.2/31"})).unwrap();
    let ready = |server: &Server| server.get(&pool("p")).field("status")["conditions"][1]["reason"].clone();
    assert_eq!(ready(&server), "PoolExhausted");
    server.settles = false;
    server.delete(&claim("high")).unwrap();
    server.create(pool("high"), child("10.0.0.2/31")).unwrap();
    assert_eq!(server.settle(), ["p"]);
    assert_eq!(ready(&server), "FullyCarved");
}

#[test]
fn deleted_pool_with_outdated_status_leaves_no_state() {
    let mut server = Server::with_pool("p", "10.0.0.0/30");
    server.create(claim("c"), json!({"poolRef": {"name": "p"}, "prefixLength": 32})).unwrap();
    server.settles = false;
    server.delete(&claim("c")).unwrap();
    server.delete(&pool("p")).unwrap();
    assert!(server.settle().is_empty());
    assert_eq!(server.state.debug_dump(), AllocatorState::default().debug_dump());
}

/// The service updates the status, regardless of what increased the generation.
#[test]
fn status_is_written_if_generation_changed() {
    let mut server = Server::with_pool("p", "10.0.0.0/30");
    let old = server.objects[&pool("p")].clone();
    let mut new = (*old).clone();
    new.metadata.generation = Some(7);
    server.settles = false;
    server.commit(vec![Write { key: pool("p"), old: Some(old), new: Some(Arc::new(new)) }]);
    assert_eq!(server.settle(), ["p"]);
    assert_eq!(server.get(&pool("p")).field("status")["observedGeneration"], 7);
}
