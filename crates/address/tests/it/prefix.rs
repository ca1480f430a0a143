//! Prefixes: construction, and relations between blocks.

use address::{Family, Prefix, PrefixError};
use proptest::prelude::*;

fn prefix(text: &str) -> Prefix {
    text.parse().expect(text)
}

#[test]
fn only_canonical_blocks_can_be_built() {
    let (v4, v6) = (Family::V4, Family::V6);
    let all_ones = u128::from(u32::MAX);
    for (family, first, length, expected) in [
        (v4, 0, 0, Ok("0.0.0.0/0")),
        (v4, 0x0a00_0000, 8, Ok("10.0.0.0/8")),
        (v4, all_ones - 1, 31, Ok("255.255.255.254/31")),
        (v4, all_ones, 32, Ok("255.255.255.255/32")),
        (v4, 0, 33, Err(PrefixError::LengthTooLong { family: v4 })),
        (v4, all_ones + 1, 32, Err(PrefixError::AddressTooLarge { family: v4 })),
        (v4, 1 << 32, 0, Err(PrefixError::AddressTooLarge { family: v4 })),
        (v4, 1, 31, Err(PrefixError::HostBits)),
        (v4, 1 << 31, 0, Err(PrefixError::HostBits)),
        (v6, 0, 0, Ok("::/0")),
        (v6, 1 << 127, 1, Ok("8000::/1")),
        (v6, u128::MAX - 1, 127, Ok("ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe/127")),
        (v6, u128::MAX, 128, Ok("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128")),
        (v6, 0, 129, Err(PrefixError::LengthTooLong { family: v6 })),
        (v6, 1 << 127, 0, Err(PrefixError::HostBits)),
        (v6, 1, 127, Err(PrefixError::HostBits)),
    ] {
        let built = Prefix::new(family, first, length).map(|prefix| prefix.to_string());
        assert_eq!(built, expected.map(str::to_owned), "{family} {first:#x}/{length}");
    }
}

#[test]
fn prefix_errors_have_messages() {
    for (result, expected) in [
        (Prefix::new(Family::V4, 0, 33), "an IPv4 prefix length is at most 32"),
        (Prefix::new(Family::V6, 0, 129), "an IPv6 prefix length is at most 128"),
        (Prefix::new(Family::V4, 1 << 32, 32), "an IPv4 address has 32 bits"),
        (Prefix::new(Family::V4, 1, 8), "the address has bits set beyond the prefix length"),
    ] {
        assert_eq!(result.unwrap_err().to_string(), expected);
    }
}

#[test]
fn block_has_expected_last_address_and_size() {
    for (text, last, size) in [
        ("0.0.0.0/0", 0xffff_ffff, "4294967296"),
        ("10.0.0.0/8", 0x0aff_ffff, "16777216"),
        ("192.0.2.2/31", 0xc000_0203, "2"),
        ("192.0.2.2/32", 0xc000_0202, "1"),
        ("::/0", u128::MAX, "340282366920938463463374607431768211456"),
        ("8000::/1", u128::MAX, "170141183460469231731687303715884105728"),
        ("::2/127", 3, "2"),
        ("::2/128", 2, "1"),
    ] {
        let block = prefix(text);
        assert_eq!(block.last(), last, "last of {text}");
        assert_eq!(block.size().to_string(), size, "size of {text}");
    }
}

#[test]
fn contains_and_overlaps_of_block_pairs() {
    use std::cmp::Ordering::{Equal, Greater, Less};
    // Greater: the first contains the second. Less: the second contains the first. None: disjoint.
    for (one, other, expected) in [
        ("10.0.0.0/8", "10.0.0.0/8", Some(Equal)),
        ("10.0.0.0/8", "10.255.255.255/32", Some(Greater)),
        ("10.0.0.0/9", "10.0.0.0/8", Some(Less)),
        ("10.0.0.0/8", "11.0.0.0/8", None),
        ("0.0.0.0/0", "255.255.255.255/32", Some(Greater)),
        ("0.0.0.0/0", "::/0", None),
        ("0.0.0.0/32", "::/128", None),
        ("::/0", "ffff::/16", Some(Greater)),
        ("::/127", "::1/128", Some(Greater)),
        ("::/127", "::2/128", None),
    ] {
        let (one, other) = (prefix(one), prefix(other));
        let contained = (one.contains(other), other.contains(one));
        let expected_pair = match expected {
            Some(Equal) => (true, true),
            Some(Greater) => (true, false),
            Some(Less) => (false, true),
            None => (false, false),
        };
        assert_eq!(contained, expected_pair, "{one} and {other}");
        assert_eq!(one.overlaps(other), expected.is_some(), "{one} and {other}");
        assert_eq!(other.overlaps(one), expected.is_some(), "{other} and {one}");
    }
}

#[test]
fn prefixes_sort_by_family_then_first_then_length() {
    let sorted =
        ["0.0.0.0/0", "0.0.0.0/8", "10.0.0.0/8", "10.0.0.0/9", "10.0.0.0/32", "11.0.0.0/8", "::/0", "::/1", "::1/128"];
    let mut prefixes: Vec<Prefix> = sorted.iter().rev().map(|text| prefix(text)).collect();
    prefixes.sort();
    let texts: Vec<String> = prefixes.iter().map(Prefix::to_string).collect();
    assert_eq!(texts, sorted);
    assert_eq!(Family::V4.to_string(), "IPv4");
    assert_eq!(format!("{:>6}|", Family::V6), "  IPv6|");
}

/// The only range whose text cannot be parsed; see the documentation of `Prefix`'s `Display`.
#[test]
fn ipv4_mapped_block_is_displayed_but_not_parsed() {
    let block = Prefix::new(Family::V6, 0xffff_0a00_0000, 104).unwrap();
    assert_eq!(block.to_string(), "::ffff:10.0.0.0/104");
    assert!(block.to_string().parse::<Prefix>().is_err());
}

fn any_prefix() -> impl Strategy<Value = Prefix> {
    (any::<bool>(), any::<u128>(), 0..=128_u8).prop_map(|(is_v4, bits, length)| {
        let family = if is_v4 { Family::V4 } else { Family::V6 };
        let length = length % (family.bits() + 1);
        let address = bits.checked_shr(u32::from(128 - length)).unwrap_or(0);
        let first = address.checked_shl(u32::from(family.bits() - length)).unwrap_or(0);
        Prefix::new(family, first, length).expect("shifted into place")
    })
}

proptest! {
    #[test]
    fn displayed_prefix_parses_to_the_same_prefix(prefix in any_prefix()) {
        prop_assert_eq!(prefix.to_string().parse(), Ok(prefix));
    }

    #[test]
    fn contains_and_overlaps_equal_range_comparison(one in any_prefix(), other in any_prefix()) {
        let same = one.family() == other.family();
        let inside = one.first() <= other.first() && other.last() <= one.last();
        let meet = one.first() <= other.last() && other.first() <= one.last();
        prop_assert_eq!(one.contains(other), same && inside);
        prop_assert_eq!(one.overlaps(other), same && meet);
    }
}
