//! A block identified by its position in a pool instead of by its addresses.
//!
//! Halving a pool `depth` times gives `2^depth` blocks, numbered from the lowest address. With this numbering the
//! parent and the buddy of a block are one bit operation away, and the numbers stay small: a `/64` in a `/32` needs 32
//! bits.

use crate::{Prefix, bits};

/// The `index`-th of the `2^depth` equal blocks of a pool; `depth` is 0..=128.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) depth: u8,
    pub(crate) index: u128,
}

impl Block {
    /// The whole pool.
    pub(crate) const POOL: Block = Block { depth: 0, index: 0 };

    /// Returns the block of a prefix in the pool; `None` if the prefix is outside the pool.
    pub(crate) fn from_prefix(pool: Prefix, prefix: Prefix) -> Option<Block> {
        if !pool.contains(prefix) {
            return None;
        }
        let offset = prefix.first().checked_sub(pool.first())?;
        Some(Block {
            depth: prefix.length().checked_sub(pool.length())?,
            index: bits::shift_right(offset, prefix.host_bits()),
        })
    }

    /// Returns the absolute prefix of this block, which is a block of `pool`.
    pub(crate) fn to_prefix(self, pool: Prefix) -> Prefix {
        let length = pool.length().saturating_add(self.depth);
        let offset = bits::shift_left(self.index, pool.host_bits().saturating_sub(self.depth));
        Prefix::truncate(pool.family(), pool.first() | offset, length)
    }

    /// Returns the block of depth `depth` that contains this one. `depth` must not exceed this block's depth.
    pub(crate) fn ancestor(self, depth: u8) -> Block {
        Block { depth, index: bits::shift_right(self.index, self.depth.saturating_sub(depth)) }
    }

    /// Returns the block that contains this block and its buddy; `None` for the whole pool.
    pub(crate) fn parent(self) -> Option<Block> {
        let depth = self.depth.checked_sub(1)?;
        Some(self.ancestor(depth))
    }

    /// Returns the other half of the parent. Must not be called for the whole pool, which has no buddy.
    pub(crate) fn buddy(self) -> Block {
        Block { depth: self.depth, index: self.index ^ 1 }
    }

    /// Returns the first and the last number of the blocks of depth `depth` inside this one. `depth` must not be less
    /// than this block's depth.
    pub(crate) fn descendants(self, depth: u8) -> (u128, u128) {
        let generations = depth.saturating_sub(self.depth);
        let first = bits::shift_left(self.index, generations);
        (first, first | bits::low_ones(generations))
    }
}
