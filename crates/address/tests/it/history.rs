//! Property tests: after each random operation the free space equals the reference model.
//!
//! The pools have every integer width that the implementation distinguishes, and are at the ends of the address space
//! as often as in the middle.

use address::{Family, FreeSpace, Prefix};
use proptest::prelude::*;

use crate::model::{History, Step, cmp_free_ratio, run_both};

fn step() -> impl Strategy<Value = Step> {
    let numbers = (any::<u8>(), any::<u8>(), any::<u8>(), any::<u8>(), any::<u128>());
    numbers
        .prop_map(|(kind, length, index, flipped_bit, bits)| Step::from_numbers(kind, length, index, flipped_bit, bits))
}

/// Generates pools with `depth` halvings to a single address, at either end of the address space or anywhere.
fn pool(family: Family, depth: impl Strategy<Value = u8>) -> impl Strategy<Value = Prefix> {
    let bits = prop_oneof![Just(0), Just(u128::MAX), any::<u128>()];
    (bits, depth).prop_map(move |(bits, depth)| {
        let number = bits.checked_shr(u32::from(128 - family.bits() + depth)).unwrap_or(0);
        let first = number.checked_shl(depth.into()).unwrap_or(0);
        Prefix::new(family, first, family.bits() - depth).expect("shifted into place")
    })
}

fn history(pool: impl Strategy<Value = Prefix>, steps: usize) -> impl Strategy<Value = History> {
    (pool, prop::collection::vec(step(), 0..=steps)).prop_map(|(pool, steps)| History { pool, steps })
}

fn any_history(steps: usize) -> impl Strategy<Value = History> {
    prop_oneof![history(pool(Family::V4, 0..=32_u8), steps), history(pool(Family::V6, 0..=128_u8), steps),]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    // Small pools fill up, so that many allocated and free blocks are adjacent.
    #[test]
    fn small_ipv4_pools_equal_model(history in history(pool(Family::V4, 0..=7_u8), 200)) {
        history.check();
    }

    #[test]
    fn small_ipv6_pools_equal_model(history in history(pool(Family::V6, 0..=7_u8), 200)) {
        history.check();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]

    #[test]
    fn ipv4_pools_equal_model(history in history(pool(Family::V4, 8..=32_u8), 60)) {
        history.check();
    }

    #[test]
    fn ipv6_pools_equal_model(history in history(pool(Family::V6, 8..=128_u8), 40)) {
        history.check();
    }

    #[test]
    fn pool_of_all_ipv4_equals_model(history in history(pool(Family::V4, Just(32)), 60)) {
        history.check();
    }

    #[test]
    fn pool_of_all_ipv6_equals_model(history in history(pool(Family::V6, Just(128)), 40)) {
        history.check();
    }
}

proptest! {
    #[test]
    fn free_ratios_of_random_pools_compare_exactly(one in any_history(20), other in any_history(20)) {
        let (one, one_model) = run_both(&one);
        let (other, other_model) = run_both(&other);
        let expected = cmp_free_ratio(&one_model, &other_model);
        prop_assert_eq!(one.cmp_free_ratio(&other), expected);
        prop_assert_eq!(other.cmp_free_ratio(&one), expected.reverse());
    }
}

/// Ratios that differ by one address in 2^128, which rounding would hide.
#[test]
fn free_ratios_that_differ_by_one_address_compare_exactly() {
    use std::cmp::Ordering::{Equal, Greater, Less};
    for (one, one_taken, other, other_taken, expected) in [
        ("::/0", "", "0.0.0.0/32", "", Equal),
        ("::/0", "::/0", "10.0.0.0/8", "10.0.0.0/8", Equal),
        ("::/0", "::/0", "10.0.0.0/8", "", Less),
        ("::/0", "::/1", "10.0.0.0/8", "10.0.0.0/9", Equal),
        ("::/0", "::1/128", "0.0.0.0/0", "", Less),
        ("::/0", "::1/128", "0.0.0.0/0", "0.0.0.0/32", Greater),
        ("::/0", "::1/128", "::/1", "::1/128", Greater),
        ("::/64", "::/65", "10.0.0.0/31", "10.0.0.0/32", Equal),
    ] {
        let pool = |block: &str, taken: &str| {
            let mut pool = FreeSpace::new(block.parse().unwrap());
            if !taken.is_empty() {
                pool.allocate(taken.parse().unwrap()).unwrap();
            }
            pool
        };
        let (one_pool, other_pool) = (pool(one, one_taken), pool(other, other_taken));
        let case = format!("{one} without {one_taken}, {other} without {other_taken}");
        assert_eq!(one_pool.cmp_free_ratio(&other_pool), expected, "{case}");
        assert_eq!(other_pool.cmp_free_ratio(&one_pool), expected.reverse(), "{case}");
    }
}
