//! Each test introduces one fault.

use std::time::Duration;

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::fixture::{Fixture, allocation, claim, healthy, name, pool};
use crate::{Check, Inventory, limits::PROBLEMS_PER_CHECK_MAX};

/// Changes a consistent store and compares the findings.
#[expect(clippy::needless_pass_by_value, reason = "reads as a table")]
fn check(change: impl FnOnce(&mut Fixture), expected: Expect) {
    let mut fixture = healthy();
    change(&mut fixture);
    let findings = fixture.check();
    let found = Check::ALL.into_iter().flat_map(|check| {
        let outcome = findings.of(check);
        let skipped = outcome.skipped.iter().map(move |reason| format!("{} skipped: {reason}\n", check.id()));
        let problems = outcome.problems.iter();
        problems.map(move |it| format!("{} {}: {}\n", check.id(), it.object, it.message)).chain(skipped)
    });
    expected.assert_eq(&found.collect::<String>());
}

fn set(object: &mut Value, pointer: &str, value: impl Into<Value>) {
    *object.pointer_mut(pointer).unwrap() = value.into();
}

#[test]
fn healthy_store_passes() {
    check(|_| (), expect![""]);
    let findings = healthy().check();
    assert_eq!((findings.faults(), findings.notes()), (0, 0));
    expect![[r"
        checked at revision 1909: 3 pools, 2 claims, 3 allocations, 1 namespace

          C1  no two allocations or child pools of one pool overlap                ok
          C2  every allocation and child pool lies inside its pool                 ok
          C3  root pools do not overlap                                            ok
          C4  capacity = sum of what is taken, for every pool, exactly             ok
          C5  every Bound claim has its allocation, with the same block and pool   ok
          C6  every allocation has its claim, or is Retained                       ok
          C7  allocation names follow from their claims                            ok
          C8  every namespace in use exists                                        ok
          C9  lengths within the pool's bounds (a later change of bounds may break this; a note, no fault)   ok
          C10 largestFreePrefix is right                                           ok
          S1  the data file passes SQLite's integrity check                        ok
          S2  the store's spans are those that the objects hold                    ok

        0 faults, 0 notes, 0.4 s
    "]]
    .assert_eq(&findings.to_text(Some(1_909), Duration::from_millis(430)));
    let of_objects = healthy().check_in(Inventory::of_objects());
    assert!(!of_objects.to_text(Some(1), Duration::ZERO).contains("S1"), "there is no store to look at");
    assert_eq!(findings.to_jsonl(), "");
}

#[test]
fn c1_overlapping_blocks_are_found() {
    check(
        |store| {
            store.allocations.push(allocation(&name("b"), Some("b"), "eu", "10.0.0.128/25"));
            store.claims.push(claim("b", &name("b"), "eu", "10.0.0.128/25"));
        },
        expect![[r"
            C1 ipallocation default/alloc-d2d9d39bc4b54c72: holds 10.0.0.128/25 of pool eu, and ipallocation default/alloc-82b3ade9d00cd164 holds 10.0.0.0/24
            C4 eu: status.capacity.exact.allocated 320, allocations and child pools add up to 448
            C4 eu: status.capacity.allocated 320, allocations and child pools add up to 448
            C4 eu: status.capacity.exact.available 3776, what is not taken adds up to 3648
            C4 eu: status.capacity.available 3776, what is not taken adds up to 3648
            S2 ipallocation default/alloc-d2d9d39bc4b54c72: holds 10.0.0.128/25 of pool eu, and the store has no span for it
        "]],
    );
}

#[test]
fn c1_child_pool_over_an_allocation_is_found() {
    check(
        |store| set(&mut store.allocations[2], "/status/allocatedCIDR", "10.0.15.0/24"),
        expect![[r"
        C1 ipallocation default/alloc-6d8685aa1a4a6211: holds 10.0.15.0/24 of pool corp, and eu holds 10.0.0.0/20
        S2 ipallocations/platform/default/alloc-6d8685aa1a4a6211: the store has 10.0.16.0 to 10.0.16.255 in pool/platform/corp, and the object does not hold that
        S2 ipallocation default/alloc-6d8685aa1a4a6211: holds 10.0.15.0/24 of pool corp, and the store has no span for it
    "]],
    );
}

#[test]
fn c2_blocks_outside_their_pool_are_found() {
    check(
        |store| set(&mut store.pools[1], "/status/allocatedCIDR", "10.0.8.0/21"),
        expect![[r"
        C2 ipallocation default/alloc-82b3ade9d00cd164: holds 10.0.0.0/24, which is outside pool eu (10.0.8.0/21)
        C2 ipallocation default/alloc-60ac3cfdd52479c2: holds 10.0.1.0/26, which is outside pool eu (10.0.8.0/21)
        C4 eu: status.capacity.exact.total 4096, 10.0.8.0/21 has 2048
        C4 eu: status.capacity.total 4096, 10.0.8.0/21 has 2048
        C4 eu: status.capacity.exact.available 3776, what is not taken adds up to 1728
        C4 eu: status.capacity.available 3776, what is not taken adds up to 1728
        C4 corp: status.capacity.exact.allocated 4352, allocations and child pools add up to 2304
        C4 corp: status.capacity.allocated 4352, allocations and child pools add up to 2304
        C4 corp: status.capacity.exact.available 61184, what is not taken adds up to 63232
        C4 corp: status.capacity.available 61184, what is not taken adds up to 63232
        S2 ippools/platform//eu: the store has 10.0.0.0 to 10.0.15.255 in pool/platform/corp, and the object does not hold that
        S2 eu: holds 10.0.8.0/21 of pool corp, and the store has no span for it
    "]],
    );
    check(
        |store| set(&mut store.allocations[0], "/spec/poolRef/name", "lost"),
        expect![[r#"
        C2 ipallocation default/alloc-82b3ade9d00cd164: holds 10.0.0.0/24 of pool lost, which does not exist
        C4 eu: status.capacity.exact.allocated 320, allocations and child pools add up to 64
        C4 eu: status.capacity.allocated 320, allocations and child pools add up to 64
        C4 eu: status.capacity.exact.available 3776, what is not taken adds up to 4032
        C4 eu: status.capacity.available 3776, what is not taken adds up to 4032
        C5 ipclaim default/web: has its block of pool "eu", and its ipallocation default/alloc-82b3ade9d00cd164 of pool "lost"
        S2 ipallocations/platform/default/alloc-82b3ade9d00cd164: the store has 10.0.0.0 to 10.0.0.255 in pool/platform/eu, and the object does not hold that
        S2 ipallocation default/alloc-82b3ade9d00cd164: holds 10.0.0.0/24 of pool lost, and the store has no span for it
    "#]],
    );
}

#[test]
fn c3_overlapping_root_pools_are_found() {
    check(
        |store| store.pools.push(pool("more", None, "10.0.128.0/17", ["32768", "0", "32768"], Some(17))),
        expect![[r"
            C3 more: 10.0.128.0/17 overlaps with corp, which is 10.0.0.0/16
            S2 more: is the root pool 10.0.128.0/17, and the store has no span for it
        "]],
    );
}

#[test]
fn c4_wrong_capacity_is_found() {
    check(
        |store| set(&mut store.pools[1], "/status/capacity/exact/allocated", "576"),
        expect![[r"
        C4 eu: status.capacity.exact.allocated 576, allocations and child pools add up to 320
    "]],
    );
    check(
        |store| set(&mut store.pools[2], "/status/capacity/exact/total", "340282366920938463463374607431768211455"),
        expect![[r"
        C4 six: status.capacity.exact.total 340282366920938463463374607431768211455, ::/0 has 340282366920938463463374607431768211456
    "]],
    );
    check(
        |store| set(&mut store.pools[0], "/status/capacity/available", 5),
        expect![[r"
        C4 corp: status.capacity.available 5, what is not taken adds up to 61184
    "]],
    );
    check(
        |store| set(&mut store.pools[0], "/status/capacity", Value::Null),
        expect![[r"
        C4 corp: status.capacity.exact.total absent, 10.0.0.0/16 has 65536
        C4 corp: status.capacity.total absent, 10.0.0.0/16 has 65536
        C4 corp: status.capacity.exact.allocated absent, allocations and child pools add up to 4352
        C4 corp: status.capacity.allocated absent, allocations and child pools add up to 4352
        C4 corp: status.capacity.exact.available absent, what is not taken adds up to 61184
        C4 corp: status.capacity.available absent, what is not taken adds up to 61184
    "]],
    );
}

#[test]
fn c5_claim_without_its_allocation_is_found() {
    check(
        |store| drop(store.allocations.remove(1)),
        expect![[r"
        C4 eu: status.capacity.exact.allocated 320, allocations and child pools add up to 256
        C4 eu: status.capacity.allocated 320, allocations and child pools add up to 256
        C4 eu: status.capacity.exact.available 3776, what is not taken adds up to 3840
        C4 eu: status.capacity.available 3776, what is not taken adds up to 3840
        C5 ipclaim default/dns: is bound to ipallocation alloc-60ac3cfdd52479c2, which holds no block
        S2 ipallocations/platform/default/alloc-60ac3cfdd52479c2: the store has 10.0.1.0 to 10.0.1.63 in pool/platform/eu, and the object does not hold that
    "]],
    );
    check(
        |store| set(&mut store.claims[0], "/status/allocatedCIDR", "10.0.2.0/24"),
        expect![[r"
        C5 ipclaim default/web: has 10.0.2.0/24, and its ipallocation default/alloc-82b3ade9d00cd164 holds 10.0.0.0/24
    "]],
    );
    check(
        |store| set(&mut store.claims[0], "/status/poolRef/name", "corp"),
        expect![[r#"
        C5 ipclaim default/web: has its block of pool "corp", and its ipallocation default/alloc-82b3ade9d00cd164 of pool "eu"
    "#]],
    );
    check(
        |store| set(&mut store.claims[0], "/status/boundAllocationRef", Value::Null),
        expect![[r"
        C5 ipclaim default/web: is bound, and status.boundAllocationRef names no allocation
        C6 ipallocation default/alloc-82b3ade9d00cd164: holds 10.0.0.0/24 for a claim that does not exist or is not bound to it
    "]],
    );
}

#[test]
fn c6_allocation_without_its_claim_is_found() {
    check(
        |store| drop(store.claims.remove(0)),
        expect![[r"
        C6 ipallocation default/alloc-82b3ade9d00cd164: holds 10.0.0.0/24 for a claim that does not exist or is not bound to it
    "]],
    );
    check(
        |store| set(&mut store.claims[0], "/status/phase", "Pending"),
        expect![[r"
        C6 ipallocation default/alloc-82b3ade9d00cd164: holds 10.0.0.0/24 for a claim that does not exist or is not bound to it
    "]],
    );
    check(
        |store| set(&mut store.allocations[2], "/status/phase", "Ready"),
        expect![[r"
        C6 ipallocation default/alloc-6d8685aa1a4a6211: has no spec.claimRef, and its phase is Ready
    "]],
    );
    check(
        |store| set(&mut store.allocations[0], "/status/phase", "Retained"),
        expect![[r"
        C6 ipallocation default/alloc-82b3ade9d00cd164: its phase is Retained, and spec.claimRef names web
    "]],
    );
}

#[test]
fn c7_name_not_derived_from_claim_is_found() {
    check(
        |store| {
            set(&mut store.allocations[0], "/metadata/name", "renamed");
            set(&mut store.claims[0], "/status/boundAllocationRef/name", "renamed");
            store.spans[2].holder = "ipallocations/platform/default/renamed".to_owned();
        },
        expect![[r"
            C7 ipallocation default/renamed: the allocation of ipclaim default/web is called alloc-82b3ade9d00cd164
            C7 ipclaim default/web: is bound to ipallocation renamed; its own is called alloc-82b3ade9d00cd164
        "]],
    );
}

#[test]
fn c8_missing_namespace_is_found() {
    check(
        |store| set(&mut store.namespaces[0], "/metadata/name", "other"),
        expect![[r"
        C8 namespace default: does not exist, and 2 claims and 3 allocations are in it
    "]],
    );
}

#[test]
fn c8_is_skipped_without_namespaces() {
    check(
        |store| store.namespaces.clear(),
        expect![[r"
        C8 skipped: there are no Namespaces here; they belong to the cluster around the service
    "]],
    );
}

#[test]
fn c9_length_outside_the_bounds_is_a_note() {
    let mut store = healthy();
    set(&mut store.pools[1], "/spec/allocation/minPrefixLength", 25);
    let findings = store.check();
    assert_eq!((findings.faults(), findings.notes()), (0, 1));
    check(
        |store| set(&mut store.pools[1], "/spec/allocation/minPrefixLength", 25),
        expect![[r"
        C9 ipallocation default/alloc-82b3ade9d00cd164: holds 10.0.0.0/24, which pool eu would not hand out today
    "]],
    );
}

#[test]
fn c10_wrong_largest_free_block_is_found() {
    check(
        |store| set(&mut store.pools[0], "/status/largestFreePrefix", 18),
        expect![[r"
        C10 corp: status.largestFreePrefix 18, the largest free block makes it 17
    "]],
    );
    check(
        |store| set(&mut store.pools[2], "/status/largestFreePrefix", Value::Null),
        expect![[r"
        C10 six: status.largestFreePrefix absent, the largest free block makes it 0
    "]],
    );
}

#[test]
fn s2_spans_that_differ_are_found() {
    check(
        |store| drop(store.spans.remove(2)),
        expect![[r"
        S2 ipallocation default/alloc-82b3ade9d00cd164: holds 10.0.0.0/24 of pool eu, and the store has no span for it
    "]],
    );
    check(
        |store| drop(store.spans.remove(4)),
        expect![[r"
        S2 corp: is the root pool 10.0.0.0/16, and the store has no span for it
    "]],
    );
    check(
        |store| store.spans[3].last += 1,
        expect![[r"
        S2 ipallocations/platform/default/alloc-60ac3cfdd52479c2: the store has 10.0.1.0 to 10.0.1.64 in pool/platform/eu, and the object does not hold that
        S2 ipallocation default/alloc-60ac3cfdd52479c2: holds 10.0.1.0/26 of pool eu, and the store has no span for it
    "]],
    );
    check(
        |store| store.spans[3].holder = "ipallocations/platform/default/other".to_owned(),
        expect![[r"
        S2 ipallocations/platform/default/other: the store has 10.0.1.0 to 10.0.1.63 in pool/platform/eu, and the object does not hold that
        S2 ipallocation default/alloc-60ac3cfdd52479c2: holds 10.0.1.0/26 of pool eu, and the store has no span for it
    "]],
    );
    check(
        |store| store.spans[0].space = "nonsense",
        expect![[r"
        S2 ippools/platform//eu: the store has 10.0.0.0 to 10.0.15.255 in nonsense, and the object does not hold that
        S2 eu: holds 10.0.0.0/20 of pool corp, and the store has no span for it
    "]],
    );
}

#[test]
fn objects_that_cannot_be_read_are_faults() {
    check(
        |store| {
            set(&mut store.pools[2], "/status", 5);
            store.claims.push(json!([]));
        },
        expect![[r"
            C2 ippool six: cannot be read: invalid type: integer `5`, expected struct PoolStatus at line 1 column 124
            C5 ipclaim (no name): cannot be read: invalid length 0, expected struct Object with 3 elements at line 1 column 2
            S2 ippools/platform//six: the store has 0.0.0.0 to ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff in root/platform/IPv6, and the object does not hold that
        "]],
    );
}

#[test]
fn faults_beyond_the_limit_are_counted() {
    let mut store = healthy();
    let more = PROBLEMS_PER_CHECK_MAX + 7;
    for index in 0..more {
        let label = format!("p{index}");
        store.pools.push(pool(&label, None, "10.1.0.0/32", ["1", "0", "1"], Some(32)));
    }
    let findings = store.check();
    assert_eq!(findings.of(Check::Roots).count, more as u64 - 1);
    let text = findings.to_text(Some(1), Duration::ZERO);
    assert!(text.contains("106 FAULTS") && text.contains("\n      and 6 more\n"), "{text}");
    let last = findings.to_jsonl().lines().rfind(|line| line.contains("C3")).map(str::to_owned).unwrap();
    assert_eq!(last, r#"{"check":"C3","severity":"fault","message":"further ones are not shown","more":6}"#);
}
