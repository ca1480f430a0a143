//! The reference model of the free space, and random operations that compare it with the real one.
//!
//! The [`Model`] keeps the allocated prefixes in a list and searches it for every query; its sums are big integers. The
//! property tests and the fuzz target both run a [`History`]: a sequence of steps, after each of which all observable
//! values must be equal. The model is slow, and shares only [`Prefix`] and [`Family`] with the code that it checks.

use std::cmp::{Ordering, Reverse};

use address::{AllocateError, Family, FreeSpace, Prefix, ReleaseError, Strategy};
use num_bigint::BigUint;

/// A pool and a sequence of operations.
#[derive(Clone, Debug)]
pub struct History {
    /// The block of the pool.
    pub pool: Prefix,
    /// The operations, in order.
    pub steps: Vec<Step>,
}

/// One operation. Numbers are arbitrary and mapped to the valid range on use.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// Allocates the block that the strategy finds.
    Claim { length: u8, strategy: Strategy },
    /// Allocates this block, which may be free or not, or outside the pool.
    Take { length: u8, place: Place },
    /// Releases this block, which may be allocated or not.
    Release { length: u8, place: Place },
    /// Releases one of the allocated blocks.
    ReleaseTaken { index: u8 },
}

/// The position of a block.
#[derive(Clone, Copy, Debug)]
pub enum Place {
    /// Anywhere in the pool, or directly outside.
    At(u128),
    /// Near an allocated block: one bit of its address is flipped (or none).
    Near { index: u8, flipped_bit: u8 },
}

impl Step {
    /// Creates a step from five numbers. Every step is reachable, and every combination is valid.
    pub fn from_numbers(kind: u8, length: u8, index: u8, flipped_bit: u8, bits: u128) -> Step {
        let place = match kind & 8 {
            0 => Place::Near { index, flipped_bit },
            _ => Place::At(bits),
        };
        match kind % 6 {
            0 => Step::Claim { length, strategy: Strategy::FirstFit },
            1 => Step::Claim { length, strategy: Strategy::BestFit },
            2 | 3 => Step::Take { length, place },
            4 => Step::Release { length, place },
            _ => Step::ReleaseTaken { index },
        }
    }
}

impl History {
    /// Runs the steps on both and compares them after each step.
    pub fn check(&self) {
        let mut real = FreeSpace::new(self.pool);
        let mut model = Model::new(self.pool);
        compare(&real, &model);
        for step in &self.steps {
            model.run(*step, &mut real);
            compare(&real, &model);
        }
    }
}

/// The allocated blocks of a pool, unordered.
#[derive(Clone, Debug)]
pub struct Model {
    pool: Prefix,
    taken: Vec<Prefix>,
}

impl Model {
    /// Creates a pool without allocations.
    pub fn new(pool: Prefix) -> Model {
        let taken = Vec::new();
        Model { pool, taken }
    }

    /// Runs one step on both; both must return the same result.
    fn run(&mut self, step: Step, real: &mut FreeSpace) {
        match step {
            Step::Claim { length, strategy } => {
                if let Some(block) = real.find_free(self.length(length), strategy) {
                    assert_eq!(self.allocate_both(block, real), Ok(()), "take {block}, which was found");
                }
            }
            Step::Take { length, place } => {
                let block = self.block(length, place);
                let _ = self.allocate_both(block, real);
            }
            Step::Release { length, place } => {
                let block = self.block(length, place);
                assert_eq!(real.release(block), self.release(block), "release {block}");
            }
            Step::ReleaseTaken { index } => {
                if let Some(block) = self.nth_allocated(index) {
                    assert_eq!(real.release(block), Ok(()), "release {block}, which is taken");
                    assert_eq!(self.release(block), Ok(()), "{block} is taken");
                }
            }
        }
    }

    /// Allocates the block in both, and checks the prediction of `largest_free_without`.
    fn allocate_both(&mut self, block: Prefix, real: &mut FreeSpace) -> Result<(), AllocateError> {
        let foretold = real.largest_free_without(block);
        let taken = real.allocate(block);
        assert_eq!(taken, self.allocate(block), "take {block}");
        assert_eq!(real.largest_free(), foretold, "the largest free block without {block}");
        taken
    }

    fn allocate(&mut self, block: Prefix) -> Result<(), AllocateError> {
        if !self.pool.contains(block) {
            return Err(AllocateError::Outside);
        }
        if self.taken.iter().any(|taken| taken.overlaps(block)) {
            return Err(AllocateError::NotFree);
        }
        self.taken.push(block);
        Ok(())
    }

    fn release(&mut self, block: Prefix) -> Result<(), ReleaseError> {
        if !self.pool.contains(block) {
            return Err(ReleaseError::Outside);
        }
        if !free_regions(block, &self.taken).is_empty() {
            return Err(ReleaseError::NotAllocated);
        }
        let before = std::mem::take(&mut self.taken);
        self.taken = before.into_iter().flat_map(|taken| without(taken, block)).collect();
        Ok(())
    }

    /// Maps a number to a length from the pool's to the family's longest. Lengths near either end get a quarter of the
    /// values each, because with a uniform choice among 129 lengths the whole pool would rarely be allocated.
    fn length(&self, drawn: u8) -> u8 {
        let (shortest, longest) = (self.pool.length(), self.pool.family().bits());
        let depths = longest - shortest + 1;
        let few = depths.min(4);
        match drawn % 4 {
            0 => shortest + drawn / 4 % few,
            1 => longest - drawn / 4 % few,
            _ => shortest + drawn % depths,
        }
    }

    fn block(&self, length: u8, place: Place) -> Prefix {
        let family = self.pool.family();
        let length = self.length(length);
        let within = self.pool.last() - self.pool.first();
        let address = match place {
            // One bit more than the pool has: every second such block is in the pool's buddy.
            Place::At(bits) => (self.pool.first() ^ (bits & (within << 1 | 1))) & family_mask(family),
            Place::Near { index, flipped_bit } => {
                let near = self.nth_allocated(index).map_or(self.pool.first(), Prefix::first);
                let flipped = 1_u128.checked_shl((flipped_bit % 130).into()).unwrap_or(0);
                near ^ (flipped & within)
            }
        };
        aligned(family, address, length)
    }

    fn nth_allocated(&self, index: u8) -> Option<Prefix> {
        let len = self.taken.len().max(1);
        self.taken.get(usize::from(index) % len).copied()
    }

    fn find_free(&self, length: u8, strategy: Strategy, regions: &[Prefix]) -> Option<Prefix> {
        let large_enough = regions.iter().filter(|region| region.length() <= length);
        let region = match strategy {
            Strategy::FirstFit => large_enough.min_by_key(|region| region.first()),
            Strategy::BestFit => large_enough.min_by_key(|region| (Reverse(region.length()), region.first())),
        }?;
        (length <= self.pool.family().bits()).then(|| aligned(self.pool.family(), region.first(), length))
    }
}

/// Compares all observable values of the real free space with the model.
fn compare(real: &FreeSpace, model: &Model) {
    let pool = model.pool;
    assert_eq!(real.pool(), pool);
    let regions = free_regions(pool, &model.taken);
    compare_capacity(real, model, &regions);
    for length in 0..=pool.family().bits() + 1 {
        for strategy in [Strategy::FirstFit, Strategy::BestFit] {
            assert_eq!(
                real.find_free(length, strategy),
                model.find_free(length, strategy, &regions),
                "find /{length} by {strategy:?} with {:?} taken",
                model.taken
            );
        }
    }
    for block in interesting_blocks(model, &regions) {
        let free = pool.contains(block) && !model.taken.iter().any(|taken| taken.overlaps(block));
        assert_eq!(real.is_free(block), free, "is {block} free");
    }
}

fn compare_capacity(real: &FreeSpace, model: &Model, regions: &[Prefix]) {
    let total = size(model.pool);
    let allocated: BigUint = model.taken.iter().map(|taken| size(*taken)).sum();
    let free = &total - &allocated;
    assert_eq!(real.total().to_string(), total.to_string());
    assert_eq!(real.allocated().to_string(), allocated.to_string());
    assert_eq!(real.free().to_string(), free.to_string());
    assert_eq!(
        BigUint::from(real.utilization_percent()),
        &allocated * 100_u8 / &total,
        "utilization with {allocated} of {total} taken"
    );
    assert_eq!(real.largest_free(), regions.iter().map(|region| region.length()).min());
}

/// Returns every free region and allocated block, and blocks around and inside each.
fn interesting_blocks(model: &Model, regions: &[Prefix]) -> Vec<Prefix> {
    let mut blocks = vec![model.pool];
    for block in regions.iter().chain(&model.taken) {
        blocks.push(*block);
        blocks.extend(halves(*block).into_iter().flatten());
        if let Some(length) = block.length().checked_sub(1) {
            blocks.push(aligned(block.family(), block.first(), length));
        }
    }
    blocks
}

/// Compares the free ratios of two pools with cross-multiplied big integers.
pub fn cmp_free_ratio(one: &Model, other: &Model) -> Ordering {
    let free =
        |model: &Model| -> BigUint { size(model.pool) - model.taken.iter().map(|taken| size(*taken)).sum::<BigUint>() };
    (free(one) * size(other.pool)).cmp(&(free(other) * size(one.pool)))
}

/// Runs the same operations on both.
pub fn run_both(history: &History) -> (FreeSpace, Model) {
    let mut real = FreeSpace::new(history.pool);
    let mut model = Model::new(history.pool);
    for step in &history.steps {
        model.run(*step, &mut real);
    }
    (real, model)
}

/// Returns the largest aligned free blocks inside `block`, by halving it recursively.
fn free_regions(block: Prefix, taken: &[Prefix]) -> Vec<Prefix> {
    let inside: Vec<Prefix> = taken.iter().copied().filter(|taken| taken.overlaps(block)).collect();
    if inside.is_empty() {
        return vec![block];
    }
    if inside.iter().any(|taken| taken.contains(block)) {
        return Vec::new();
    }
    let halves = halves(block).expect("a single address that is not free is taken");
    halves.into_iter().flat_map(|half| free_regions(half, &inside)).collect()
}

/// Returns the remainder of `taken` without `block`.
fn without(taken: Prefix, block: Prefix) -> Vec<Prefix> {
    if block.contains(taken) {
        return Vec::new();
    }
    if !taken.overlaps(block) {
        return vec![taken];
    }
    let halves = halves(taken).expect("a block with another inside it has halves");
    halves.into_iter().flat_map(|half| without(half, block)).collect()
}

fn halves(block: Prefix) -> Option<[Prefix; 2]> {
    (block.length() < block.family().bits())
        .then(|| [block.first(), block.last()].map(|address| aligned(block.family(), address, block.length() + 1)))
}

fn size(block: Prefix) -> BigUint {
    BigUint::from(block.last() - block.first()) + 1_u8
}

fn aligned(family: Family, address: u128, length: u8) -> Prefix {
    let host_bits = u32::from(family.bits() - length);
    let first = (address.checked_shr(host_bits)).and_then(|network| network.checked_shl(host_bits)).unwrap_or(0);
    Prefix::new(family, first, length).expect("the address is the family's, and aligned")
}

fn family_mask(family: Family) -> u128 {
    match family {
        Family::V4 => u128::from(u32::MAX),
        Family::V6 => u128::MAX,
    }
}
