//! Dump of the allocator state as text. Two states are equal if their dumps are equal.

use std::fmt::Write as _;

use address::{Count, Prefix, Strategy};

use super::{AllocatorState, Pool};

impl AllocatorState {
    /// Returns the state of every pool and index, including a map of single addresses. Pools may have at most 256
    /// addresses.
    pub(crate) fn debug_dump(&self) -> String {
        let mut text = format!("stale {:?}\n", self.stale_statuses);
        for (scope, tenant) in &self.tenants {
            let _ = writeln!(text, "{scope} roots {:?}", tenant.roots);
            for (name, pool) in &tenant.pools {
                let _ = writeln!(text, "{name} {}", pool.debug_dump());
            }
        }
        text
    }
}

impl Pool {
    fn debug_dump(&self) -> String {
        let Self {
            object,
            scope,
            parent,
            policy,
            free,
            allocations,
            children,
            carved,
            stored_summary,
            status_dirty,
            ..
        } = self;
        let counts = (free.allocated(), free.free(), free.largest_free(), self.unknown_holders, self.understood);
        let block = free.pool();
        let next = |strategy| {
            (block.length()..=block.family().bits()).map(|length| free.find_free(length, strategy)).collect::<Vec<_>>()
        };
        let found = (next(Strategy::FirstFit), next(Strategy::BestFit));
        assert!(free.total() <= Count::new(256), "too large to be looked at address by address");
        let single = |address| Prefix::new(block.family(), address, block.family().bits()).expect("an address");
        let map: String = (block.first()..=block.last())
            .map(|address| if free.is_free(single(address)) { '.' } else { '#' })
            .collect();
        format!(
            "{scope:?} {parent:?} {policy:?} {allocations} {children} {carved} {stored_summary:?} {status_dirty} {counts:?} {found:?} {map} {object:?}"
        )
    }
}
