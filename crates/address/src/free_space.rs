//! The free space of a pool: which blocks can be allocated, and the utilization.
//!
//! Only free blocks are stored. Allocated blocks are the complement and are not recorded individually, so the caller
//! decides which blocks may be freed. Searching and allocating are separate calls, so that a caller can decide before
//! it changes anything.
//!
//! Every call takes O(prefix length) look-ups in ordered sets, regardless of the size and the utilization of the pool.
//! Memory depends on fragmentation: a densely filled pool has few free blocks; a checkerboard pattern has one per
//! allocated block. A single allocated block in an otherwise free pool leaves one free block per halving, which can be
//! dozens in IPv6.

use core::cmp::Ordering;
use core::error::Error;
use core::fmt;

use crate::block::Block;
use crate::buddy_allocator::BuddyAllocator;
use crate::{Count, Prefix};

/// The free addresses of one pool.
#[derive(Clone, Debug)]
pub struct FreeSpace {
    pool: Prefix,
    buddies: BuddyAllocator,
    /// The sum of the sizes of the free blocks.
    free: Count,
}

/// The rule that selects a free block inside one pool. Both strategies are deterministic: they depend only on the
/// current free addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Strategy {
    /// The lowest free address at which an aligned block of the requested length fits.
    FirstFit,
    /// From the smallest free aligned region that is large enough; on a tie, the lowest one.
    BestFit,
}

impl FreeSpace {
    /// Creates a pool in which every address is free.
    pub fn new(pool: Prefix) -> FreeSpace {
        FreeSpace { pool, buddies: BuddyAllocator::new(), free: pool.size() }
    }

    /// Returns the block of the pool.
    pub fn pool(&self) -> Prefix {
        self.pool
    }

    /// Returns the next block of this prefix length to allocate; `None` if none is free. A length that is shorter than
    /// the pool's or longer than the family's addresses has no block.
    ///
    /// Does not allocate the block.
    pub fn find_free(&self, length: u8, strategy: Strategy) -> Option<Prefix> {
        let depth = length.checked_sub(self.pool.length())?;
        if length > self.pool.family().bits() {
            return None;
        }
        let mut lowest = self.buddies.lowest_by_depth(depth);
        let enclosing = match strategy {
            Strategy::FirstFit => lowest.min_by_key(|block| block.descendants(depth).0)?,
            Strategy::BestFit => lowest.next_back()?,
        };
        let (index, _) = enclosing.descendants(depth);
        Some(Block { depth, index }.to_prefix(self.pool))
    }

    /// True if the block is inside the pool and every address of it is free.
    pub fn is_free(&self, block: Prefix) -> bool {
        Block::from_prefix(self.pool, block).is_some_and(|block| self.buddies.enclosing_free(block).is_some())
    }

    /// Allocates exactly this block.
    ///
    /// # Errors
    /// If the block is outside the pool or not entirely free; nothing changes then.
    pub fn allocate(&mut self, block: Prefix) -> Result<(), AllocateError> {
        let place = Block::from_prefix(self.pool, block).ok_or(AllocateError::Outside)?;
        let enclosing = self.buddies.enclosing_free(place).ok_or(AllocateError::NotFree)?;
        self.buddies.allocate(place, enclosing);
        self.free = self.free.checked_sub(block.size()).expect("a block that was free is counted as free");
        Ok(())
    }

    /// Frees a block of which every address is allocated. It may be a part of an allocated block, or several adjacent
    /// ones.
    ///
    /// # Errors
    /// If the block is outside the pool, or an address of it is free; nothing changes then.
    pub fn release(&mut self, block: Prefix) -> Result<(), ReleaseError> {
        let place = Block::from_prefix(self.pool, block).ok_or(ReleaseError::Outside)?;
        if self.buddies.overlaps_free(place) {
            return Err(ReleaseError::NotAllocated);
        }
        self.buddies.release(place);
        self.free =
            self.free.checked_add(block.size()).expect("disjoint blocks of one pool add up to no more than the pool");
        Ok(())
    }

    /// Returns the number of addresses of the pool.
    pub fn total(&self) -> Count {
        self.pool.size()
    }

    /// Returns the number of allocated addresses.
    pub fn allocated(&self) -> Count {
        self.total().checked_sub(self.free).expect("at most the whole pool is free")
    }

    /// Returns the number of free addresses.
    pub fn free(&self) -> Count {
        self.free
    }

    /// Returns the prefix length of the largest free aligned block; `None` if no address is free.
    pub fn largest_free(&self) -> Option<u8> {
        let largest = self.buddies.lowest_by_depth(u8::MAX).next()?;
        Some(largest.to_prefix(self.pool).length())
    }

    /// Returns `largest_free` as it would be after allocating `block`. If `block` cannot be allocated, the result is
    /// the current value. Costs one look-up; nothing is copied.
    pub fn largest_free_without(&self, block: Prefix) -> Option<u8> {
        let cut =
            Block::from_prefix(self.pool, block).and_then(|place| Some((place, self.buddies.enclosing_free(place)?)));
        let Some((place, enclosing)) = cut else { return self.largest_free() };
        let depth = self.buddies.min_free_depth_without(place, enclosing)?;
        Some(self.pool.length().saturating_add(depth))
    }

    /// Returns the utilization, 0..=100 percent, rounded down: 100 only if no address is free.
    pub fn utilization_percent(&self) -> u8 {
        self.allocated().percent_of(self.total())
    }

    /// Compares the exact ratios of free addresses of two pools: `Greater` if this pool's ratio is greater.
    pub fn cmp_free_ratio(&self, other: &FreeSpace) -> Ordering {
        // Both ratios are scaled to the size of the larger pool. A ratio is at most 1, so neither numerator exceeds
        // that size, and neither product exceeds 2^128.
        let (own_bits, other_bits) = (self.pool.host_bits(), other.pool.host_bits());
        let own = self.free.times_power_of_two(other_bits.saturating_sub(own_bits));
        let others = other.free.times_power_of_two(own_bits.saturating_sub(other_bits));
        own.cmp(&others)
    }
}

/// The reason why a block cannot be allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllocateError {
    /// The block is outside the pool.
    Outside,
    /// At least one address of the block is allocated.
    NotFree,
}

impl fmt::Display for AllocateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AllocateError::Outside => "the block is not inside the pool",
            AllocateError::NotFree => "the block is not entirely free",
        })
    }
}

impl Error for AllocateError {}

/// The reason why a block cannot be freed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReleaseError {
    /// The block is outside the pool.
    Outside,
    /// At least one address of the block is free already.
    NotAllocated,
}

impl fmt::Display for ReleaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ReleaseError::Outside => "the block is not inside the pool",
            ReleaseError::NotAllocated => "the block is not entirely taken",
        })
    }
}

impl Error for ReleaseError {}
