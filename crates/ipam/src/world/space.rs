//! The named spaces in which the store lets nothing overlap, and what is held in them.

use address::{Family, Prefix};
use apimachinery::{
    command::{ObjectKey, Scope},
    kind::Span,
    refusal::Occupied,
};

use super::Pool;

/// A space in which the store lets nothing overlap, taken apart.
pub(super) enum Space<'t> {
    /// What a pool hands out.
    Pool {
        /// The pool's tenant.
        scope: &'t str,
        /// The pool.
        name: &'t str,
    },
    /// The root pools of a tenant, in one family.
    Roots,
}

impl<'t> Space<'t> {
    /// Reads the name of a space.
    pub(super) fn parse(text: &'t str) -> Option<Self> {
        let mut parts = text.splitn(3, '/');
        match (parts.next()?, parts.next()?, parts.next()?) {
            ("pool", scope, name) => Some(Self::Pool { scope, name }),
            ("root", _, _) => Some(Self::Roots),
            _ => None,
        }
    }
}

/// The name of the space of what a pool hands out.
pub(crate) fn space_of_pool(scope: &Scope, name: &str) -> String {
    format!("pool/{}/{name}", scope.as_str())
}

/// The name of the space of a tenant's root pools.
pub(crate) fn space_of_roots(scope: &Scope, family: Family) -> String {
    format!("root/{}/{family}", scope.as_str())
}

/// What an object holds when it holds `block` in `space`.
pub(crate) fn span(space: String, block: Prefix, holder: &ObjectKey) -> Span {
    Span { space, first: block.first(), last: block.last(), holder: holder.to_text() }
}

/// What stands in the way of a request for `block` of a pool.
pub(crate) fn occupied(pool: &Pool, block: Prefix) -> Occupied {
    Occupied { space: space_of_pool(&pool.scope, pool.name()), first: block.first(), last: block.last() }
}

/// The fewest blocks that together are the addresses from the first to the last: at most two of each length.
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

/// The block from the first to the last address, if they are the ends of one.
pub(super) fn block_between(family: Family, first: u128, last: u128) -> Option<Prefix> {
    let host_bits = 128 - last.checked_sub(first)?.leading_zeros();
    let length = family.bits().checked_sub(u8::try_from(host_bits).ok()?)?;
    Prefix::new(family, first, length).ok().filter(|block| block.last() == last)
}
