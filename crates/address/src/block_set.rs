//! An ordered set of block numbers of one depth, stored in the smallest sufficient integer type.
//!
//! A block number at depth `d` has `d` bits, so the depth determines the integer type: 4 bytes are enough for all of
//! IPv4 and for the usual `/64`s of an IPv6 `/32`.

use alloc::collections::BTreeSet;

/// Numbers of blocks of one depth.
#[derive(Clone, Debug)]
pub(crate) enum BlockSet {
    Narrow(BTreeSet<u32>),
    Middle(BTreeSet<u64>),
    Wide(BTreeSet<u128>),
}

impl BlockSet {
    /// Creates an empty set for numbers of `depth` bits.
    pub(crate) fn for_depth(depth: u8) -> BlockSet {
        match depth {
            0..=32 => BlockSet::Narrow(BTreeSet::new()),
            33..=64 => BlockSet::Middle(BTreeSet::new()),
            _ => BlockSet::Wide(BTreeSet::new()),
        }
    }

    /// Returns the lowest number.
    pub(crate) fn first(&self) -> Option<u128> {
        match self {
            BlockSet::Narrow(set) => set.first().map(|&index| index.into()),
            BlockSet::Middle(set) => set.first().map(|&index| index.into()),
            BlockSet::Wide(set) => set.first().copied(),
        }
    }

    /// True if the set has at least two numbers.
    pub(crate) fn has_two(&self) -> bool {
        match self {
            BlockSet::Narrow(set) => set.len() > 1,
            BlockSet::Middle(set) => set.len() > 1,
            BlockSet::Wide(set) => set.len() > 1,
        }
    }

    pub(crate) fn contains(&self, index: u128) -> bool {
        match self {
            BlockSet::Narrow(set) => set.contains(&to_u32(index)),
            BlockSet::Middle(set) => set.contains(&to_u64(index)),
            BlockSet::Wide(set) => set.contains(&index),
        }
    }

    /// True if the set has a number in the range (both ends included).
    pub(crate) fn intersects(&self, (first, last): (u128, u128)) -> bool {
        match self {
            BlockSet::Narrow(set) => set.range(to_u32(first)..=to_u32(last)).next().is_some(),
            BlockSet::Middle(set) => set.range(to_u64(first)..=to_u64(last)).next().is_some(),
            BlockSet::Wide(set) => set.range(first..=last).next().is_some(),
        }
    }

    pub(crate) fn insert(&mut self, index: u128) {
        match self {
            BlockSet::Narrow(set) => set.insert(to_u32(index)),
            BlockSet::Middle(set) => set.insert(to_u64(index)),
            BlockSet::Wide(set) => set.insert(index),
        };
    }

    /// Removes a number; false if it was not in the set.
    pub(crate) fn remove(&mut self, index: u128) -> bool {
        match self {
            BlockSet::Narrow(set) => set.remove(&to_u32(index)),
            BlockSet::Middle(set) => set.remove(&to_u64(index)),
            BlockSet::Wide(set) => set.remove(&index),
        }
    }
}

fn to_u32(index: u128) -> u32 {
    u32::try_from(index).expect("a block number has no more bits than its depth, here 32")
}

fn to_u64(index: u128) -> u64 {
    u64::try_from(index).expect("a block number has no more bits than its depth, here 64")
}
