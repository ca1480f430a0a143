//! The pools, and what is taken of them.

use std::{collections::BTreeMap, ops::Range};

use crate::{
    block::{self, Block},
    findings::{Check, Findings},
    names::{self, Name},
    objects,
    sum::Sum,
};

/// A pool, or what others say of one that does not exist.
#[derive(Debug)]
pub struct Pool {
    pub scope: Box<str>,
    pub name: Box<str>,
    pub exists: bool,
    pub block: Option<Block>,
    pub parent: Option<u32>,
    /// The shortest and the longest length that it hands out.
    pub bounds: (Option<i64>, Option<i64>),
    pub capacity: Option<objects::Capacity>,
    pub largest_free: Option<i64>,
    /// Whether the store has the span of this root pool.
    pub is_guarded: bool,
}

/// Pools by number.
#[derive(Default)]
pub struct Pools {
    list: Vec<Pool>,
    places: BTreeMap<(Box<str>, Box<str>), u32>,
}

/// A block that is taken of a pool. There is one for each allocation, so it is kept small: 40 bytes.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    /// The first address as bytes: a `u128` would be aligned to 16 of them.
    first: [u8; 16],
    pub holder: Holder,
    pub pool: u32,
    pub length: u8,
    /// Of the block, which may be another one than the pool's.
    pub is_v6: bool,
    /// What else is known of it.
    pub seen: Seen,
}

/// What was said of a block that is taken.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// By its allocation: that it is for a claim.
    pub is_claimed: bool,
    /// By a claim: that it is its own.
    pub is_confirmed: bool,
    /// By the store, in a span.
    pub is_guarded: bool,
}

/// Who has taken a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// An allocation whose name is this hash.
    Hash {
        /// Its namespace.
        namespace: u32,
        /// The parts of the hash, of 32 bits each.
        name: [u32; 2],
    },
    /// An allocation with another name.
    Text {
        /// Its namespace.
        namespace: u32,
        /// The name.
        name: u32,
    },
    /// A child pool.
    Pool(u32),
}

impl Holder {
    /// An allocation.
    pub fn allocation(namespace: u32, name: Name) -> Self {
        match name {
            // Both halves fit, by construction.
            Name::Hash(hash) => Self::Hash { namespace, name: [(hash >> 32) as u32, (hash & 0xffff_ffff) as u32] },
            Name::Text(name) => Self::Text { namespace, name },
        }
    }

    /// The namespace and the name of an allocation; `None` for a child pool.
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
    /// A block of a pool.
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

    /// The block.
    pub fn block(&self) -> Block {
        Block { is_v6: self.is_v6, first: self.first(), length: self.length }
    }

    /// By what the blocks are in order; equal ones begin together and the largest comes first.
    pub fn place(&self) -> (u32, bool, u128) {
        (self.pool, self.is_v6, self.first())
    }

    /// Its first address.
    pub fn first(&self) -> u128 {
        u128::from_be_bytes(self.first)
    }
}

impl Pools {
    /// The number of a pool, given when it is first named.
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

    /// The number of a pool that was named before.
    pub fn find(&self, scope: &str, name: &str) -> Option<u32> {
        self.places.get(&(scope.into(), name.into())).copied()
    }

    /// The pool of a number.
    pub fn get(&self, number: u32) -> &Pool {
        &self.list[number as usize]
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, number: u32) -> &mut Pool {
        &mut self.list[number as usize]
    }

    /// All pools with their numbers.
    pub fn all(&self) -> impl Iterator<Item = (u32, &Pool)> {
        (0..).zip(&self.list)
    }
}

impl Pool {
    /// Its name, as it is shown.
    pub fn label(&self) -> String {
        names::path(&self.scope, "", &self.name)
    }

    /// Whether a length is one that it hands out.
    pub fn hands_out(&self, length: u8) -> bool {
        let (shortest, longest) = self.bounds;
        let length = i64::from(length);
        shortest.is_none_or(|shortest| shortest <= length) && longest.is_none_or(|longest| length <= longest)
    }
}

/// The key under which a store keeps a pool.
pub fn key(pool: &Pool) -> String {
    format!("ippools/{}//{}", pool.scope, pool.name)
}

/// What is taken of one pool, of all that is taken in the order of pools.
pub fn of_pool(taken: &[Taken], pool: u32) -> &[Taken] {
    let start = taken.partition_point(|one| one.pool < pool);
    let behind = taken.partition_point(|one| one.pool <= pool);
    &taken[start..behind]
}

/// Where the blocks of a pool lie that begin at an address: usually one.
pub fn range_at(taken: &[Taken], pool: u32, is_v6: bool, first: u128) -> Range<usize> {
    let place = (pool, is_v6, first);
    let start = taken.partition_point(|one| one.place() < place);
    start..taken.partition_point(|one| one.place() <= place)
}

/// Root pools of one scope and family.
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

/// What a pool says of itself, against what is taken of it, in order of address.
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
        // More is taken than there is only where blocks overlap or lie outside, which is a fault of its own.
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

/// The host bits of the largest block between those that are taken.
fn largest_free(pool: Block, taken: &[Taken]) -> Option<u8> {
    let mut largest = None;
    // The first address behind what was passed; `None` behind the last of all addresses.
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
