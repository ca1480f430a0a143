//! The free blocks of a pool as a buddy allocator: an ordered set of free blocks per depth.
//!
//! Every free address is in exactly one free block, and two buddies are never both free, because they are merged into
//! their parent. The free blocks therefore depend only on the free addresses, not on the order of operations.
//! Preconditions: blocks are inside the pool; `allocate` requires a free block, `release` an allocated one.
//! `free_space` checks them and tracks addresses and counts.

use alloc::vec::Vec;

use crate::block::Block;
use crate::block_set::BlockSet;

/// The free blocks of one pool.
#[derive(Clone, Debug)]
pub(crate) struct BuddyAllocator {
    /// Indexed by depth. Only as long as the greatest depth at which a block was ever free, so that a pool without
    /// small blocks needs little memory.
    free: Vec<BlockSet>,
}

impl BuddyAllocator {
    /// Creates a pool that is one free block.
    pub(crate) fn new() -> BuddyAllocator {
        let mut buddies = BuddyAllocator { free: Vec::new() };
        buddies.insert(Block::POOL);
        buddies
    }

    /// Returns the lowest free block of each depth up to `deepest`, the largest block first.
    pub(crate) fn lowest_by_depth(&self, deepest: u8) -> impl DoubleEndedIterator<Item = Block> + use<'_> {
        (0..=deepest).zip(&self.free).filter_map(|(depth, set)| {
            let index = set.first()?;
            Some(Block { depth, index })
        })
    }

    /// Returns the free block that contains `block` (or is `block`).
    pub(crate) fn enclosing_free(&self, block: Block) -> Option<Block> {
        (0..=block.depth).map(|depth| block.ancestor(depth)).find(|ancestor| self.contains(*ancestor))
    }

    /// Returns the depth of the largest free block that remains after `block` is cut out of the free block `enclosing`.
    pub(crate) fn min_free_depth_without(&self, block: Block, enclosing: Block) -> Option<u8> {
        // The largest half that stays free is the first one: the buddy one depth below `enclosing`.
        let half = (block != enclosing).then(|| enclosing.depth.saturating_add(1));
        let others = (0..=u8::MAX).zip(&self.free).find(|(depth, set)| {
            set.first().is_some_and(|first| *depth != enclosing.depth || first != enclosing.index || set.has_two())
        });
        half.into_iter().chain(others.map(|(depth, _)| depth)).min()
    }

    /// True if any address of the block is free.
    pub(crate) fn overlaps_free(&self, block: Block) -> bool {
        self.enclosing_free(block).is_some() || self.contains_free(block)
    }

    /// Allocates `block`, which is inside the free block `enclosing`. The rest of `enclosing` stays free as smaller blocks.
    pub(crate) fn allocate(&mut self, block: Block, enclosing: Block) {
        self.remove(enclosing);
        let mut rest = block;
        while rest != enclosing {
            self.insert(rest.buddy());
            rest = rest.ancestor(rest.depth.saturating_sub(1));
        }
    }

    /// Frees the block and merges it with its free buddies.
    pub(crate) fn release(&mut self, block: Block) {
        let mut whole = block;
        while let Some(parent) = whole.parent()
            && self.remove(whole.buddy())
        {
            whole = parent;
        }
        self.insert(whole);
    }

    /// True if a smaller block inside `block` is free.
    fn contains_free(&self, block: Block) -> bool {
        (0..=u8::MAX)
            .zip(&self.free)
            .skip(usize::from(block.depth).saturating_add(1))
            .any(|(depth, set)| set.intersects(block.descendants(depth)))
    }

    fn contains(&self, block: Block) -> bool {
        self.free.get(usize::from(block.depth)).is_some_and(|set| set.contains(block.index))
    }

    fn insert(&mut self, block: Block) {
        let depth = usize::from(block.depth);
        while self.free.len() <= depth {
            let missing = u8::try_from(self.free.len()).expect("a depth is at most 128");
            self.free.push(BlockSet::for_depth(missing));
        }
        self.free[depth].insert(block.index);
    }

    fn remove(&mut self, block: Block) -> bool {
        self.free.get_mut(usize::from(block.depth)).is_some_and(|set| set.remove(block.index))
    }
}
