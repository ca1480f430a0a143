//! The spaces in which the store rejects overlaps, and the spans in them.

use address::{Family, Prefix};
use apimachinery::{
    command::{ObjectKey, Scope},
    kind::Span,
    status_error::OccupiedRange,
};

use super::Pool;

/// A parsed space name.
pub(super) enum Space<'t> {
    /// The space of blocks allocated from one pool.
    Pool {
        /// The tenant of the pool.
        scope: &'t str,
        /// The name of the pool.
        name: &'t str,
    },
    /// The space of the root pools of a tenant, of one family.
    Roots,
}

impl<'t> Space<'t> {
    /// Parses the name of a space; `None` if the format is unknown.
    pub(super) fn parse(text: &'t str) -> Option<Self> {
        let mut parts = text.splitn(3, '/');
        match (parts.next()?, parts.next()?, parts.next()?) {
            ("pool", scope, name) => Some(Self::Pool { scope, name }),
            ("root", _, _) => Some(Self::Roots),
            _ => None,
        }
    }
}

/// Returns the name of the space of blocks allocated from a pool.
pub(crate) fn space_of_pool(scope: &Scope, name: &str) -> String {
    format!("pool/{}/{name}", scope.as_str())
}

/// Returns the name of the space of a tenant's root pools.
pub(crate) fn space_of_roots(scope: &Scope, family: Family) -> String {
    format!("root/{}/{family}", scope.as_str())
}

/// Returns the span of `holder` for `block` in `space`.
pub(crate) fn span(space: String, block: Prefix, holder: &ObjectKey) -> Span {
    Span { space, first: block.first(), last: block.last(), holder: holder.storage_key() }
}

/// Returns the addresses of `block` in the space of `pool`, for the error of a request that needs this block and found
/// it taken.
pub(crate) fn occupied(pool: &Pool, block: Prefix) -> OccupiedRange {
    OccupiedRange { space: space_of_pool(&pool.scope, pool.name()), first: block.first(), last: block.last() }
}

/// Splits the range `first..=last` into the fewest aligned blocks, at most two of each length.
pub(super) fn blocks_of(family: Family, first: u128, last: u128) -> Vec<Prefix> {
    let mut blocks = Vec::new();
    let mut next = Some(first);
    while let Some(first) = next.filter(|first| *first <= last) {
        let fits = |length: &u8| Prefix::new(family, first, *length).is_ok_and(|block| block.last() <= last);
        let Some(block) = (0..=family.bits()).find(fits).and_then(|length| Prefix::new(family, first, length).ok())
        else {
            break;
        };
        next = block.last().checked_add(1);
        blocks.push(block);
    }
    blocks
}

/// Returns the block from `first` to `last`, if the range is an aligned block.
pub(super) fn block_between(family: Family, first: u128, last: u128) -> Option<Prefix> {
    let host_bits = 128 - last.checked_sub(first)?.leading_zeros();
    let length = family.bits().checked_sub(u8::try_from(host_bits).ok()?)?;
    Prefix::new(family, first, length).ok().filter(|block| block.last() == last)
}
