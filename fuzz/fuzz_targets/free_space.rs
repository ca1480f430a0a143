//! Compares the free space with a slow model, for histories that libFuzzer generates.
//!
//! Run `cargo +nightly fuzz run free_space` in the root of the repository. The model and the comparison are those of the property
//! tests; this file only converts bytes to a history.
#![no_main]

use address::{Family, Prefix};
use libfuzzer_sys::fuzz_target;

#[path = "../../crates/address/tests/model/mod.rs"]
mod model;

use model::{History, Step};

/// A step of the model takes time linear in its size, so histories are short.
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

/// Decodes a pool from the first two bytes: its family, prefix length and position.
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
    // The four bytes set low and high bits, so that positions are at both ends of a wide pool and between them.
    let bits = low | low.reverse_bits();
    Step::from_numbers(bytes[0], bytes[1], bytes[2], bytes[3], bits)
}

/// Spreads seven bits over 128 bits. All zeros and all ones are kept.
fn spread(bits: u8) -> u128 {
    u128::MAX / 127 * u128::from(bits) | if bits == 127 { u128::MAX } else { 0 }
}
