//! Chance, from a seed.

use rand::{Rng as _, SeedableRng as _, rngs::SmallRng, seq::IndexedRandom as _};

/// What is drawn from.
pub struct Dice(SmallRng);

impl Dice {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Self(SmallRng::seed_from_u64(seed))
    }

    /// A number from 0 to below `count`.
    pub fn below(&mut self, count: u32) -> u32 {
        self.0.random_range(0..count)
    }

    /// The same as an index.
    pub fn index(&mut self, count: usize) -> usize {
        self.0.random_range(0..count)
    }

    /// Yes, in so many of a hundred cases.
    pub fn chance(&mut self, percent: u32) -> bool {
        self.below(100) < percent
    }

    /// One of these.
    pub fn one<T: Copy>(&mut self, of: &[T]) -> T {
        *of.choose(&mut self.0).expect("there is one")
    }
}
