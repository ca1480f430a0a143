//! The free space of a pool: which blocks can be handed out, and how full the pool is.
//!
//! The free space is all there is: taken blocks are its complement and are not remembered one by
//! one, so the caller decides what may be given back. Looking and changing are separate steps, so
//! that a decision can be made before anything happens.
//!
//! Every call costs O(prefix lengths) look-ups in ordered sets, whatever the pool's size and
//! however full it is. Memory follows fragmentation: a densely filled pool is a few free blocks, a
//! checkerboard one for each taken block. A taken block in the middle of nowhere has a free block
//! beside it for every halving that led there, which in IPv6 can be dozens.

use core::cmp::Ordering;
use core::error::Error;
use core::fmt;

use crate::block::Block;
use crate::buddies::Buddies;
use crate::{Count, Prefix};

/// The addresses of one pool that are free.
#[derive(Clone, Debug)]
pub struct FreeSpace {
    pool: Prefix,
    buddies: Buddies,
    /// Kept in step with `buddies`, so that capacity need not be added up.
    free: Count,
}

/// Which free block to choose inside one pool. Both are deterministic: they depend on what is free
/// now, and on nothing else of the pool's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Strategy {
    /// The lowest free address where an aligned block of the length fits.
    FirstFit,
    /// From the smallest free aligned region that is large enough; the lowest on a tie.
    BestFit,
}

impl FreeSpace {
    /// A pool of which everything is free.
    pub fn new(pool: Prefix) -> FreeSpace {
        FreeSpace { pool, buddies: Buddies::new(), free: pool.size() }
    }

    /// The block that the pool consists of.
    pub fn pool(&self) -> Prefix {
        self.pool
    }

    /// The block of this prefix length to hand out next, or `None` when none is free. A length
    /// shorter than the pool's or longer than the family's addresses has no block.
    ///
    /// Changes nothing: the block is still to be taken.
    pub fn find(&self, length: u8, strategy: Strategy) -> Option<Prefix> {
        let depth = length.checked_sub(self.pool.length())?;
        if length > self.pool.family().bits() {
            return None;
        }
        let mut lowest = self.buddies.lowest_by_depth(depth);
        let around = match strategy {
            Strategy::FirstFit => lowest.min_by_key(|block| block.descendants(depth).0)?,
            Strategy::BestFit => lowest.next_back()?,
        };
        let (number, _) = around.descendants(depth);
        Some(Block { depth, number }.prefix_in(self.pool))
    }

    /// Whether the block is inside the pool and every address of it is free.
    pub fn is_free(&self, block: Prefix) -> bool {
        Block::locate(self.pool, block).is_some_and(|block| self.buddies.free_around(block).is_some())
    }

    /// Takes exactly this block.
    ///
    /// # Errors
    /// When the block is not inside the pool, or not entirely free; then nothing changes.
    pub fn take(&mut self, block: Prefix) -> Result<(), TakeError> {
        let place = Block::locate(self.pool, block).ok_or(TakeError::Outside)?;
        let around = self.buddies.free_around(place).ok_or(TakeError::Taken)?;
        self.buddies.take(place, around);
        self.free = self.free.checked_sub(block.size()).expect("a block that was free is counted as free");
        Ok(())
    }

    /// Gives back a block, every address of which is taken. It need not have been taken at once:
    /// the parts or the whole of what was taken may be given back.
    ///
    /// # Errors
    /// When the block is not inside the pool, or an address of it is free; then nothing changes.
    pub fn release(&mut self, block: Prefix) -> Result<(), ReleaseError> {
        let place = Block::locate(self.pool, block).ok_or(ReleaseError::Outside)?;
        if self.buddies.touches_free(place) {
            return Err(ReleaseError::NotTaken);
        }
        self.buddies.release(place);
        self.free =
            self.free.checked_add(block.size()).expect("disjoint blocks of one pool add up to no more than the pool");
        Ok(())
    }

    /// How many addresses the pool has.
    pub fn total(&self) -> Count {
        self.pool.size()
    }

    /// How many addresses are taken.
    pub fn allocated(&self) -> Count {
        self.total().checked_sub(self.free).expect("no more is free than there is")
    }

    /// How many addresses are free.
    pub fn free(&self) -> Count {
        self.free
    }

    /// The prefix length of the largest free aligned block; `None` when nothing is free.
    pub fn largest_free(&self) -> Option<u8> {
        let largest = self.buddies.lowest_by_depth(u8::MAX).next()?;
        Some(largest.prefix_in(self.pool).length())
    }

    /// The same after `block` will have been taken, if it can be. Nothing is copied: the cost is that of a look-up.
    pub fn largest_free_without(&self, block: Prefix) -> Option<u8> {
        let cut = Block::locate(self.pool, block).and_then(|place| Some((place, self.buddies.free_around(place)?)));
        let Some((place, around)) = cut else { return self.largest_free() };
        let depth = self.buddies.shallowest_without(place, around)?;
        Some(self.pool.length().saturating_add(depth))
    }

    /// How full the pool is, 0..=100 percent, rounded down: 100 only when nothing is free.
    pub fn utilization_percent(&self) -> u8 {
        self.allocated().percent_of(self.total())
    }

    /// Compares what share of each pool is free, exactly: `Greater` when this pool's is greater.
    pub fn free_share_cmp(&self, other: &FreeSpace) -> Ordering {
        // Both shares with the larger pool's size as the denominator. No share exceeds one, so no
        // numerator exceeds that size.
        let (own_bits, other_bits) = (self.pool.host_bits(), other.pool.host_bits());
        let own = self.free.times_power_of_two(other_bits.saturating_sub(own_bits));
        let others = other.free.times_power_of_two(own_bits.saturating_sub(other_bits));
        own.cmp(&others)
    }
}

/// Why a block cannot be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakeError {
    /// The block is not inside the pool.
    Outside,
    /// At least one address of the block is taken.
    Taken,
}

impl fmt::Display for TakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TakeError::Outside => "the block is not inside the pool",
            TakeError::Taken => "the block is not entirely free",
        })
    }
}

impl Error for TakeError {}

/// Why a block cannot be given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReleaseError {
    /// The block is not inside the pool.
    Outside,
    /// At least one address of the block is free already.
    NotTaken,
}

impl fmt::Display for ReleaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ReleaseError::Outside => "the block is not inside the pool",
            ReleaseError::NotTaken => "the block is not entirely taken",
        })
    }
}

impl Error for ReleaseError {}
