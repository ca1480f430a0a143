//! A random number generator with a seed.

use rand::{Rng as _, SeedableRng as _, rngs::SmallRng, seq::IndexedRandom as _};

/// A random number generator.
pub struct Rng(SmallRng);

impl Rng {
    /// A generator with this seed.
    pub fn new(seed: u64) -> Self {
        Self(SmallRng::seed_from_u64(seed))
    }

    /// Returns a random number in `0..count`.
    pub fn below(&mut self, count: u32) -> u32 {
        self.0.random_range(0..count)
    }

    /// Returns a random index in `0..count`.
    pub fn index(&mut self, count: usize) -> usize {
        self.0.random_range(0..count)
    }

    /// Returns true with a probability of `percent` percent.
    pub fn chance(&mut self, percent: u32) -> bool {
        self.below(100) < percent
    }

    /// Returns a random element. Panics if there is none.
    pub fn one<T: Copy>(&mut self, of: &[T]) -> T {
        *of.choose(&mut self.0).expect("the slice is not empty")
    }
}
