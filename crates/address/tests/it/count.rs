//! Counts: exact up to 2^128, compared with big integers.

use address::{Count, Family};
use num_bigint::BigUint;
use proptest::prelude::*;

fn big(count: Count) -> BigUint {
    count.to_string().parse().expect("a count prints as digits")
}

/// The values at which a carry or an overflow occurs, and their neighbors.
fn counts() -> Vec<Count> {
    let powers = (0..=128).filter_map(|length| Count::from_prefix_length(Family::V6, length));
    let one = Count::new(1);
    let mut counts = vec![Count::ZERO, Count::new(100), Count::new(u128::MAX)];
    for power in powers {
        counts.push(power);
        counts.extend(power.checked_add(one));
        counts.extend(power.checked_sub(one));
    }
    counts
}

#[test]
fn size_of_every_prefix_length_is_a_power_of_two() {
    for family in [Family::V4, Family::V6] {
        for length in 0..=family.bits() {
            let size = Count::from_prefix_length(family, length).expect("in range");
            assert_eq!(big(size), BigUint::from(2_u8).pow(u32::from(family.bits() - length)));
        }
        assert_eq!(Count::from_prefix_length(family, family.bits() + 1), None);
    }
    assert_eq!(Count::from_prefix_length(Family::V6, 0), Some(Count::MAX));
    assert_eq!(Count::from_prefix_length(Family::V6, 128), Some(Count::new(1)));
}

#[test]
fn add_and_sub_are_exact_or_none() {
    for one in counts() {
        for other in counts() {
            check_arithmetic(one, other);
        }
    }
}

#[track_caller]
fn check_arithmetic(one: Count, other: Count) {
    let (big_one, big_other) = (big(one), big(other));
    assert_eq!(one.cmp(&other), big_one.cmp(&big_other), "{one} and {other}");
    let sum = Some(&big_one + &big_other).filter(|sum| *sum <= big(Count::MAX));
    assert_eq!(one.checked_add(other).map(big), sum, "{one} + {other}");
    let difference = (big_one >= big_other).then(|| &big_one - &big_other);
    assert_eq!(one.checked_sub(other).map(big), difference, "{one} - {other}");
    if big_other != BigUint::ZERO {
        let percent = (&big_one * 100_u8 / &big_other).min(BigUint::from(100_u8));
        assert_eq!(BigUint::from(one.percent_of(other)), percent, "{one} of {other}");
    }
}

#[test]
fn counts_are_displayed_as_decimal_numbers() {
    assert_eq!(Count::ZERO.to_string(), "0");
    assert_eq!(Count::new(u128::MAX).to_string(), "340282366920938463463374607431768211455");
    assert_eq!(Count::MAX.to_string(), "340282366920938463463374607431768211456");
    assert_eq!(format!("{:>4}|{:<4}|", Count::new(7), Count::new(7)), "   7|7   |");
    assert_eq!(format!("{:>41}|", Count::MAX), "  340282366920938463463374607431768211456|");
}

#[test]
fn to_safe_integer_is_capped_at_2_pow_53_minus_1() {
    let greatest = (1_i64 << 53) - 1;
    let limit = 1_u128 << 53;
    for (count, expected) in [
        (Count::ZERO, 0),
        (Count::new(limit - 2), greatest - 1),
        (Count::new(limit - 1), greatest),
        (Count::new(limit), greatest),
        (Count::new(1 << 63), greatest),
        (Count::new((1 << 64) + 1), greatest),
        (Count::new(u128::MAX), greatest),
        (Count::MAX, greatest),
    ] {
        assert_eq!(count.to_safe_integer(), expected, "{count}");
    }
}

#[test]
fn percent_of_is_100_only_for_the_total() {
    for total in counts().into_iter().filter(|total| *total != Count::ZERO) {
        assert_eq!(Count::ZERO.percent_of(total), 0, "none of {total}");
        assert_eq!(total.percent_of(total), 100, "all of {total}");
        let but_one = total.checked_sub(Count::new(1)).expect("not zero");
        assert!(but_one.percent_of(total) < 100, "all but one of {total}");
    }
    assert_eq!(Count::MAX.percent_of(Count::ZERO), 0);
    assert_eq!(Count::ZERO.percent_of(Count::ZERO), 0);
}

fn any_count() -> impl Strategy<Value = Count> {
    (any::<u128>(), 0..128_u32).prop_map(|(bits, shift)| Count::new(bits >> shift))
}

proptest! {
    #[test]
    fn random_arithmetic_equals_big_integers(one in any_count(), other in any_count()) {
        check_arithmetic(one, other);
    }
}
