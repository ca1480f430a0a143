//! The free space against the slow model: the property tests' histories, chosen by libFuzzer.
//!
//! `cargo +nightly fuzz run free_space` in the root of the repository. The model and what is compared are the
//! property tests' own; here is only how bytes become a history.
#![no_main]

use address::{Family, Prefix};
use libfuzzer_sys::fuzz_target;

#[path = "../../crates/address/tests/model/mod.rs"]
mod model;

use model::{History, Step};

/// The model goes through all it knows at every step; longer histories would only be slow.
const STEPS_MAX: usize = 64;
const STEP_BYTES: usize = 8;

fuzz_target!(|bytes: &[u8]| {
    if let Some((pool, rest)) = pool(bytes) {
        let steps = rest.chunks_exact(STEP_BYTES).take(STEPS_MAX).map(step);
        let history = History {
            pool,
            steps: steps.collect(),
        };
        history.check();
    }
});

/// The first two bytes choose a pool: its family and length, and where it lies.
fn pool(bytes: &[u8]) -> Option<(Prefix, &[u8])> {
    let (&[length, place], rest) = bytes.split_first_chunk()?;
    let family = if place & 1 == 0 {
        Family::V4
    } else {
        Family::V6
    };
    let length = length % (family.bits() + 1);
    let network = spread(place >> 1)
        .checked_shr(u32::from(128 - length))
        .unwrap_or(0);
    let first = network
        .checked_shl(u32::from(family.bits() - length))
        .unwrap_or(0);
    let pool = Prefix::new(family, first, length).expect("shifted into place");
    Some((pool, rest))
}

fn step(bytes: &[u8]) -> Step {
    let low = bytes[4..]
        .iter()
        .fold(0, |low, byte| low << 8 | u128::from(*byte));
    // The four bytes reach both ends of a wide pool, and between.
    let bits = low | low.reverse_bits();
    Step::from_numbers(bytes[0], bytes[1], bytes[2], bytes[3], bits)
}

/// Seven bits over the whole width: all zeros and all ones stay what they are.
fn spread(bits: u8) -> u128 {
    u128::MAX / 127 * u128::from(bits) | if bits == 127 { u128::MAX } else { 0 }
}
