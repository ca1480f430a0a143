//! The pools, and the blocks taken from them.

use std::{collections::BTreeMap, ops::Range};

use crate::{
    block::{self, Block},
    findings::{Check, Findings},
    names::{self, Name},
    objects,
    sum::Sum,
};

/// A pool. It may be known only from the references of other objects.
#[derive(Debug)]
pub struct Pool {
    pub scope: Box<str>,
    pub name: Box<str>,
    pub exists: bool,
    pub block: Option<Block>,
    pub parent: Option<u32>,
    /// The shortest and the longest length that may be allocated.
    pub bounds: (Option<i64>, Option<i64>),
    pub capacity: Option<objects::Capacity>,
    pub largest_free: Option<i64>,
    /// True if the store has the span of this root pool.
    pub is_guarded: bool,
}

/// Pools by number.
#[derive(Default)]
pub struct Pools {
    list: Vec<Pool>,
    places: BTreeMap<(Box<str>, Box<str>), u32>,
}

/// A block taken from a pool. There is one per allocation, so it is kept small: 40 bytes.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    /// The first address as bytes, because a `u128` would be aligned to 16 bytes.
    first: [u8; 16],
    pub holder: Holder,
    pub pool: u32,
    pub length: u8,
    /// The family of the block, which may differ from the pool's if the data is inconsistent.
    pub is_v6: bool,
    /// The references to the block that were found.
    pub seen: Seen,
}

/// The references to a block.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// The allocation names a claim.
    pub is_claimed: bool,
    /// A claim is bound to the allocation.
    pub is_confirmed: bool,
    /// The store has a span for the block.
    pub is_guarded: bool,
}

/// The holder of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// An allocation with a hash name.
    Hash {
        /// The number of its namespace.
        namespace: u32,
        /// The hash in two parts of 32 bits.
        name: [u32; 2],
    },
    /// An allocation with another name.
    Text {
        /// The number of its namespace.
        namespace: u32,
        /// The index of the name.
        name: u32,
    },
    /// A child pool, by its number.
    Pool(u32),
}

impl Holder {
    /// Returns the holder for an allocation.
    pub fn allocation(namespace: u32, name: Name) -> Self {
        match name {
            // Both halves fit in 32 bits.
            Name::Hash(hash) => Self::Hash { namespace, name: [(hash >> 32) as u32, (hash & 0xffff_ffff) as u32] },
            Name::Text(name) => Self::Text { namespace, name },
        }
    }

    /// Returns the namespace and the name of an allocation; `None` for a child pool.
    pub fn as_allocation(self) -> Option<(u32, Name)> {
        match self {
            Self::Hash { namespace, name: [high, low] } => {
                Some((namespace, Name::Hash(u64::from(high) << 32 | u64::from(low))))
            }
            Self::Text { namespace, name } => Some((namespace, Name::Text(name))),
            Self::Pool(_) => None,
        }
    }
}

impl Taken {
    /// Creates the record of a taken block.
    pub fn new(pool: u32, block: Block, holder: Holder, is_claimed: bool) -> Self {
        Self {
            first: block.first.to_be_bytes(),
            holder,
            pool,
            length: block.length,
            is_v6: block.is_v6,
            seen: Seen { is_claimed, ..Seen::default() },
        }
    }

    /// Returns the block.
    pub fn block(&self) -> Block {
        Block { is_v6: self.is_v6, first: self.first(), length: self.length }
    }

    /// Returns the sort key. Blocks with equal keys begin at the same address and are sorted by length, the largest
    /// block first.
    pub fn place(&self) -> (u32, bool, u128) {
        (self.pool, self.is_v6, self.first())
    }

    /// Returns the first address.
    pub fn first(&self) -> u128 {
        u128::from_be_bytes(self.first)
    }
}

impl Pools {
    /// Returns the number of a pool, which is assigned on first use.
    pub fn number(&mut self, scope: &str, name: &str) -> u32 {
        let next = u32::try_from(self.list.len()).unwrap_or(u32::MAX);
        let number = *self.places.entry((scope.into(), name.into())).or_insert(next);
        if number == next {
            self.list.push(Pool {
                scope: scope.into(),
                name: name.into(),
                exists: false,
                block: None,
                parent: None,
                bounds: (None, None),
                capacity: None,
                largest_free: None,
                is_guarded: false,
            });
        }
        number
    }

    /// Returns the number of a pool; `None` if it is unknown.
    pub fn find(&self, scope: &str, name: &str) -> Option<u32> {
        self.places.get(&(scope.into(), name.into())).copied()
    }

    /// Returns the pool with a number.
    pub fn get(&self, number: u32) -> &Pool {
        &self.list[number as usize]
    }

    /// Returns the pool with a number, for changes.
    pub fn get_mut(&mut self, number: u32) -> &mut Pool {
        &mut self.list[number as usize]
    }

    /// Returns all pools with their numbers.
    pub fn all(&self) -> impl Iterator<Item = (u32, &Pool)> {
        (0..).zip(&self.list)
    }
}

impl Pool {
    /// Returns the display name.
    pub fn label(&self) -> String {
        names::path(&self.scope, "", &self.name)
    }

    /// True if the pool's bounds allow a length.
    pub fn hands_out(&self, length: u8) -> bool {
        let (shortest, longest) = self.bounds;
        let length = i64::from(length);
        shortest.is_none_or(|shortest| shortest <= length) && longest.is_none_or(|longest| length <= longest)
    }
}

/// Returns the store key of a pool.
pub fn key(pool: &Pool) -> String {
    format!("ippools/{}//{}", pool.scope, pool.name)
}

/// Returns the blocks of one pool; `taken` is sorted by pool.
pub fn of_pool(taken: &[Taken], pool: u32) -> &[Taken] {
    let start = taken.partition_point(|one| one.pool < pool);
    let behind = taken.partition_point(|one| one.pool <= pool);
    &taken[start..behind]
}

/// Returns the indexes of the blocks of a pool that begin at an address: usually one.
pub fn range_at(taken: &[Taken], pool: u32, is_v6: bool, first: u128) -> Range<usize> {
    let place = (pool, is_v6, first);
    let start = taken.partition_point(|one| one.place() < place);
    start..taken.partition_point(|one| one.place() <= place)
}

/// Checks that the root pools of each scope and family do not overlap.
pub fn check_roots(pools: &Pools, findings: &mut Findings) {
    let roots = pools.all().filter(|(_, pool)| pool.exists && pool.parent.is_none());
    let mut roots: Vec<(&Pool, Block)> = roots.filter_map(|(_, pool)| Some((pool, pool.block?))).collect();
    roots.sort_by(|(one, a), (other, b)| {
        (&one.scope, a.is_v6, a.first, a.length).cmp(&(&other.scope, b.is_v6, b.first, b.length))
    });
    let mut widest: Option<(&Pool, Block)> = None;
    for (pool, block) in roots {
        let same_line = widest.filter(|(other, range)| other.scope == pool.scope && range.is_v6 == block.is_v6);
        if let Some((other, range)) = same_line.filter(|(_, range)| block.first <= range.last()) {
            let message = format!("{block} overlaps with {}, which is {range}", other.label());
            findings.add(Check::Roots, pool.label(), message);
        }
        if same_line.is_none_or(|(_, range)| range.last() < block.last()) {
            widest = Some((pool, block));
        }
    }
}

/// Compares the status of a pool with the blocks taken from it, which are in address order.
pub fn check_status(pool: &Pool, block: Block, taken: &[Taken], findings: &mut Findings) {
    let sizes = taken.iter().map(|taken| Sum::power_of_two(taken.block().host_bits()));
    let allocated = sizes.fold(Sum::default(), Sum::plus);
    check_capacity(pool, block, allocated, findings);
    let largest = largest_free(block, taken).map(|host_bits| i64::from(block::bits(block.is_v6) - host_bits));
    if pool.largest_free != largest {
        let text = |length: Option<i64>| length.map_or_else(|| "absent".to_owned(), |length| length.to_string());
        let message = format!(
            "status.largestFreePrefix {}, the largest free block makes it {}",
            text(pool.largest_free),
            text(largest)
        );
        findings.add(Check::LargestFree, pool.label(), message);
    }
}

fn check_capacity(pool: &Pool, block: Block, allocated: Sum, findings: &mut Findings) {
    let capacity = pool.capacity.as_ref();
    let exact = capacity.and_then(|capacity| capacity.exact.as_ref());
    let total = Sum::power_of_two(block.host_bits());
    let shown = [
        (capacity.and_then(|it| it.total), exact.and_then(|it| it.total.as_deref())),
        (capacity.and_then(|it| it.allocated), exact.and_then(|it| it.allocated.as_deref())),
        (capacity.and_then(|it| it.available), exact.and_then(|it| it.available.as_deref())),
    ];
    let due = [
        ("total", format!("{block} has"), Some(total)),
        ("allocated", "allocations and child pools add up to".to_owned(), Some(allocated)),
        // The sum exceeds the total only if blocks overlap or are outside the pool, which is reported separately.
        ("available", "what is not taken adds up to".to_owned(), total.minus(allocated)),
    ];
    for ((rounded, exact), (field, words, due)) in shown.into_iter().zip(due) {
        let Some(due) = due else { continue };
        if exact != Some(due.to_string().as_str()) {
            let exact = exact.unwrap_or("absent");
            findings.add(
                Check::Capacity,
                pool.label(),
                format!("status.capacity.exact.{field} {exact}, {words} {due}"),
            );
        }
        if rounded != Some(due.safe_integer()) {
            let rounded = rounded.map_or_else(|| "absent".to_owned(), |number| number.to_string());
            let message = format!("status.capacity.{field} {rounded}, {words} {}", due.safe_integer());
            findings.add(Check::Capacity, pool.label(), message);
        }
    }
}

/// Returns the host bits of the largest free block of a pool.
fn largest_free(pool: Block, taken: &[Taken]) -> Option<u8> {
    let mut largest = None;
    // The first address after the blocks so far; `None` after the last address of the family.
    let mut next = Some(pool.first);
    let inside = taken.iter().map(Taken::block).filter(|block| pool.contains(*block));
    for block in inside {
        let Some(first) = next else { break };
        if first < block.first {
            largest = largest.max(Some(block::largest_aligned(first, block.first - 1)));
        }
        next = block.last().checked_add(1).map(|behind| behind.max(first));
    }
    match next {
        Some(first) if first <= pool.last() => largest.max(Some(block::largest_aligned(first, pool.last()))),
        _ => largest,
    }
}
