//! The free blocks of a pool as a buddy system: per depth an ordered set of free blocks.
//!
//! Every free address is in exactly one free block, and no two buddies are free at once: they
//! would be their parent. So the free blocks of a pool are determined by its free addresses, and
//! by nothing else of its history. Callers pass only blocks inside the pool, and only take what is
//! free and give back what is not; addresses, counts and errors are `free_space`'s.

use alloc::vec::Vec;

use crate::block::Block;
use crate::block_set::BlockSet;

/// The free blocks of one pool.
#[derive(Clone, Debug)]
pub(crate) struct Buddies {
    /// By depth. As long as the deepest block that was ever free, not as the pool allows: a pool
    /// that was never cut finely stays small itself.
    free: Vec<BlockSet>,
}

impl Buddies {
    /// A pool that is one free block.
    pub(crate) fn new() -> Buddies {
        let mut buddies = Buddies { free: Vec::new() };
        buddies.insert(Block::POOL);
        buddies
    }

    /// The lowest free block of each depth down to `deepest`, the largest block first.
    pub(crate) fn lowest_by_depth(&self, deepest: u8) -> impl DoubleEndedIterator<Item = Block> + use<'_> {
        (0..=deepest).zip(&self.free).filter_map(|(depth, set)| {
            let number = set.first()?;
            Some(Block { depth, number })
        })
    }

    /// The free block that `block` lies in, itself perhaps.
    pub(crate) fn free_around(&self, block: Block) -> Option<Block> {
        (0..=block.depth).map(|depth| block.ancestor(depth)).find(|ancestor| self.contains(*ancestor))
    }

    /// The depth of the largest free block that is left when `block` is cut out of the free block `around` it.
    pub(crate) fn shallowest_without(&self, block: Block, around: Block) -> Option<u8> {
        // The largest of the halves that stay free is the first: the buddy one below `around`.
        let half = (block != around).then(|| around.depth.saturating_add(1));
        let others = (0..=u8::MAX).zip(&self.free).find(|(depth, set)| {
            set.first().is_some_and(|first| *depth != around.depth || first != around.number || set.has_two())
        });
        half.into_iter().chain(others.map(|(depth, _)| depth)).min()
    }

    /// Whether any address of the block is free.
    pub(crate) fn touches_free(&self, block: Block) -> bool {
        self.free_around(block).is_some() || self.has_free_inside(block)
    }

    /// Cuts `block` out of the free block `around` it; the halves not on the way stay free.
    pub(crate) fn take(&mut self, block: Block, around: Block) {
        self.remove(around);
        let mut rest = block;
        while rest != around {
            self.insert(rest.buddy());
            rest = rest.ancestor(rest.depth.saturating_sub(1));
        }
    }

    /// Makes the block free, as part of the largest free block that this completes.
    pub(crate) fn release(&mut self, block: Block) {
        let mut whole = block;
        while let Some(parent) = whole.parent()
            && self.remove(whole.buddy())
        {
            whole = parent;
        }
        self.insert(whole);
    }

    /// Whether a block smaller than `block` and inside it is free.
    fn has_free_inside(&self, block: Block) -> bool {
        (0..=u8::MAX)
            .zip(&self.free)
            .skip(usize::from(block.depth).saturating_add(1))
            .any(|(depth, set)| set.meets(block.descendants(depth)))
    }

    fn contains(&self, block: Block) -> bool {
        self.free.get(usize::from(block.depth)).is_some_and(|set| set.contains(block.number))
    }

    fn insert(&mut self, block: Block) {
        let depth = usize::from(block.depth);
        while self.free.len() <= depth {
            let missing = u8::try_from(self.free.len()).expect("a depth is at most 128");
            self.free.push(BlockSet::for_depth(missing));
        }
        self.free[depth].insert(block.number);
    }

    fn remove(&mut self, block: Block) -> bool {
        self.free.get_mut(usize::from(block.depth)).is_some_and(|set| set.remove(block.number))
    }
}
