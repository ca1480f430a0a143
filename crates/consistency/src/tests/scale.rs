//! The work of a check is proportional to the number of objects.

use super::fixture::{Fixture, Span, allocation, claim, healthy, name, pool};
use crate::Inventory;

/// Returns a store with a pool with `count` single-address allocations.
fn of_size(count: u32) -> Fixture {
    let mut store = healthy();
    let taken = count.to_string();
    let free = (u32::from(u16::MAX) + 1 - count).to_string();
    let hosts = pool("hosts", None, "10.1.0.0/16", ["65536", &taken, &free], Some(17));
    store.pools.push(hosts);
    let first = 0x0a01_0000_u128;
    let span = |space, first, last, holder| Span { space, first, last, holder };
    store.spans.push(span("root/platform/IPv4", first, first + 0xffff, "ippools/platform//hosts".to_owned()));
    for number in 0..count {
        let label = format!("c{number}");
        let (name, block) = (name(&label), format!("10.1.{}.{}/32", number >> 8, number & 0xff));
        let (address, holder) = (first + u128::from(number), format!("ipallocations/platform/default/{name}"));
        store.allocations.push(allocation(&name, Some(&label), "hosts", &block));
        store.claims.push(claim(&label, &name, "hosts", &block));
        store.spans.push(span("pool/platform/hosts", address, address, holder));
    }
    store
}

#[test]
fn spans_are_compared_only_with_blocks_of_equal_start() {
    let store = of_size(2_000);
    let comparison = store.compare(Inventory::of_store());
    assert_eq!(comparison.looked_at, store.spans.iter().filter(|span| span.space.starts_with("pool/")).count());
    let findings = comparison.finish();
    assert_eq!(findings.faults(), 0, "{}", findings.to_jsonl());
}
