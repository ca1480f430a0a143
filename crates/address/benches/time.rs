//! Benchmark of the time to allocate and release a block, depending on the utilization of the pool.
//!
//! `cargo bench -p address` prints a table of the time of one allocation and release together (`find_free`, `allocate`,
//! `release`): the median over many short batches, so that other processes do not affect it. "Next" allocates the block
//! that the strategy finds and releases it immediately; "any" releases a random allocated block, searches for a block
//! and allocates the released one again, which accesses memory at random. "Fill" is the average time of an allocation
//! while the pool is filled. `memory` measures memory, because counting would cost time.

mod scenarios;

use std::hint::black_box;
use std::time::{Duration, Instant};

use address::{FreeSpace, Strategy};

use scenarios::{SCENARIOS, Scenario};

const BATCHES: usize = 301;
const OPERATIONS_PER_BATCH: usize = 1_000;

fn main() {
    // `cargo test --all-targets` runs this as well, without optimization, where it is not useful.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    println!("Allocate and release, ns (median of {BATCHES} batches of {OPERATIONS_PER_BATCH})\n");
    println!("| blocks | pattern | taken | next, first fit | next, best fit | any | fill |");
    println!("|---|---|--:|--:|--:|--:|--:|");
    for scenario in SCENARIOS {
        println!("{}", row(scenario));
    }
}

fn row(scenario: &Scenario) -> String {
    let mut pool = scenario.empty();
    let start = Instant::now();
    scenario.fill(&mut pool);
    let fill = start.elapsed();
    let first_fit = next(&mut pool, scenario.length, Strategy::FirstFit);
    let best_fit = next(&mut pool, scenario.length, Strategy::BestFit);
    let title = scenario.title();
    if scenario.allocations == 0 {
        return format!("{title}| {first_fit} | {best_fit} | – | – |");
    }
    let any = any(&mut pool, scenario);
    let fill = fill.as_nanos() / u128::from(scenario.allocations);
    format!("{title}| {first_fit} | {best_fit} | {any} | {fill} |")
}

fn next(pool: &mut FreeSpace, length: u8, strategy: Strategy) -> u128 {
    median_ns(|_| {
        let block = pool.find_free(length, strategy).expect("the pools have room");
        pool.allocate(block).expect("what is found is free");
        pool.release(block).expect("what was taken can be released");
    })
}

fn any(pool: &mut FreeSpace, scenario: &Scenario) -> u128 {
    median_ns(|operation| {
        // Multiples of a large prime are spread over the pool.
        let number = (operation as u64 * 2_654_435_761) % u64::from(scenario.allocations);
        let number = u32::try_from(number).expect("a remainder is below its divisor");
        let block = scenario.taken(pool, number);
        pool.release(block).expect("the block is taken");
        black_box(pool.find_free(scenario.length, Strategy::FirstFit));
        pool.allocate(block).expect("the block was just released");
    })
}

/// Returns the time of one call in nanoseconds.
fn median_ns(mut operation: impl FnMut(usize)) -> u128 {
    let mut batches: Vec<Duration> = (0..BATCHES)
        .map(|batch| {
            let start = Instant::now();
            for number in 0..OPERATIONS_PER_BATCH {
                operation(batch * OPERATIONS_PER_BATCH + number);
            }
            start.elapsed()
        })
        .collect();
    batches.sort();
    batches[BATCHES / 2].as_nanos() / OPERATIONS_PER_BATCH as u128
}
