//! The pools of both benchmarks: how they are filled, and with how many allocations.
//!
//! The patterns are extremes. First fit fills a pool densely if all claims have one length. In a checkerboard every
//! second block is free, so that no two can be merged. Scattered blocks are allocated at random positions, as by claims
//! for exact addresses: each has free neighbors of many lengths, which needs the most memory.

use address::{FreeSpace, Prefix, Strategy};

/// A pool, the length of its claims, and its allocations.
pub struct Scenario {
    pub pool: &'static str,
    pub length: u8,
    pub pattern: Pattern,
    pub allocations: u32,
}

#[derive(Clone, Copy, Debug)]
pub enum Pattern {
    Dense,
    Checkerboard,
    Scattered,
}

/// The scenarios of both benchmarks, in the order of their tables.
pub const SCENARIOS: &[Scenario] = {
    use Pattern::{Checkerboard, Dense, Scattered};
    &[
        scenario("10.0.0.0/8", 32, Dense, 0),
        scenario("10.0.0.0/8", 32, Dense, 1_000),
        scenario("10.0.0.0/8", 32, Dense, 1_000_000),
        scenario("10.0.0.0/8", 32, Dense, 16_000_000),
        scenario("10.0.0.0/8", 32, Checkerboard, 1_000_000),
        scenario("10.0.0.0/8", 32, Checkerboard, 8_388_608),
        scenario("10.0.0.0/8", 32, Scattered, 1_000_000),
        scenario("2001:db8::/32", 64, Dense, 1_000_000),
        scenario("2001:db8::/32", 64, Checkerboard, 1_000_000),
        scenario("2001:db8::/32", 64, Scattered, 1_000_000),
        scenario("2001:db8::/64", 128, Scattered, 1_000_000),
        scenario("2001:db8::/32", 128, Scattered, 100_000),
    ]
};

const fn scenario(pool: &'static str, length: u8, pattern: Pattern, allocations: u32) -> Scenario {
    Scenario { pool, length, pattern, allocations }
}

impl Scenario {
    /// Creates the pool, entirely free.
    pub fn empty(&self) -> FreeSpace {
        FreeSpace::new(self.pool.parse().expect("a scenario names a prefix"))
    }

    /// Creates the allocations of the scenario.
    pub fn fill(&self, pool: &mut FreeSpace) {
        for number in 0..self.allocations {
            let block = match self.pattern {
                // As claims do; with one length this gives the dense pattern.
                Pattern::Dense => {
                    pool.find_free(self.length, Strategy::FirstFit).expect("the pool has room for the scenario")
                }
                Pattern::Checkerboard | Pattern::Scattered => self.taken(pool, number),
            };
            pool.allocate(block).expect("the block is free");
        }
    }

    /// Returns the block of the allocation with this number, counted from zero.
    pub fn taken(&self, pool: &FreeSpace, number: u32) -> Prefix {
        let pool = pool.pool();
        let blocks_bits = self.length - pool.length();
        let number = match self.pattern {
            Pattern::Dense => u128::from(number),
            Pattern::Checkerboard => u128::from(number) * 2,
            Pattern::Scattered => scattered(number.into(), blocks_bits),
        };
        let offset = number << (pool.family().bits() - self.length);
        Prefix::new(pool.family(), pool.first() | offset, self.length)
            .expect("the offset is inside the pool and aligned")
    }

    /// Returns the first columns of a table row.
    pub fn title(&self) -> String {
        format!("| /{} in {} | {:?} | {} ", self.length, self.pool, self.pattern, thousands(self.allocations))
    }
}

fn thousands(number: u32) -> String {
    match (number / 1_000_000, number / 1_000 % 1_000, number % 1_000) {
        (0, 0, ones) => format!("{ones}"),
        (0, thousands, ones) => format!("{thousands},{ones:03}"),
        (millions, thousands, ones) => format!("{millions},{thousands:03},{ones:03}"),
    }
}

/// Returns a pseudo-random number of `bits` bits. Every step is a bijection, so different numbers give different
/// results.
fn scattered(number: u128, bits: u8) -> u128 {
    let mask = u128::MAX >> (128 - bits);
    (0..3).fold(number, |mixed, _| {
        let multiplied = mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835) & mask;
        multiplied ^ (multiplied >> (bits / 2))
    })
}
