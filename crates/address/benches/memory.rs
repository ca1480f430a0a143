//! Benchmark of the memory per allocation of the free space of a pool.
//!
//! `cargo bench -p address` prints a table of the bytes that are requested from the allocator and in use when the pool
//! is filled. The allocator's own overhead per request is not included. `time` measures time.

mod scenarios;

use std::alloc::System;

use cap::Cap;

use scenarios::{SCENARIOS, Scenario};

/// Counts the bytes in use; there is no limit.
#[global_allocator]
static COUNTING: Cap<System> = Cap::new(System, usize::MAX);

fn main() {
    // `cargo test --all-targets` runs this as well, without optimization, where it is not useful.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    println!("Memory held by a pool's free space\n");
    println!("| blocks | pattern | taken | bytes | bytes per allocation |");
    println!("|---|---|--:|--:|--:|");
    for scenario in SCENARIOS {
        println!("{}", row(scenario));
    }
}

fn row(scenario: &Scenario) -> String {
    let before = COUNTING.allocated();
    let mut pool = scenario.empty();
    scenario.fill(&mut pool);
    let bytes = COUNTING.allocated() - before + size_of_val(&pool);
    let title = scenario.title();
    if scenario.allocations == 0 {
        return format!("{title}| {bytes} | – |");
    }
    let hundredths = bytes * 100 / scenario.allocations as usize;
    let (whole, fraction) = (hundredths / 100, hundredths % 100);
    format!("{title}| {bytes} | {whole}.{fraction:02} |")
}
