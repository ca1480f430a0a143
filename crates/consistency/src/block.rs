//! Blocks of addresses as ranges of numbers.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// An aligned range of addresses of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    pub is_v6: bool,
    pub first: u128,
    pub length: u8,
}

impl Block {
    /// Parses a CIDR in the form that the service writes, without host bits.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, digits) = text.split_once('/')?;
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let length = digits.parse().ok()?;
        let (is_v6, first) = match address.parse().ok()? {
            IpAddr::V4(address) => (false, u128::from(address.to_bits())),
            IpAddr::V6(address) => (true, address.to_bits()),
        };
        let block = Self { is_v6, first, length };
        (length <= bits(is_v6) && first & ones(block.host_bits()) == 0).then_some(block)
    }

    /// Returns the last address.
    pub fn last(self) -> u128 {
        self.first | ones(self.host_bits())
    }

    /// Returns the number of address bits that vary inside the block.
    pub fn host_bits(self) -> u8 {
        bits(self.is_v6).saturating_sub(self.length)
    }

    /// True if `other` is inside this block.
    pub fn contains(self, other: Self) -> bool {
        self.is_v6 == other.is_v6 && self.first <= other.first && other.last() <= self.last()
    }

    /// Returns the name of the family in the API.
    pub fn family(self) -> &'static str {
        if self.is_v6 { "IPv6" } else { "IPv4" }
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", address(self.is_v6, self.first), self.length)
    }
}

/// Converts a number to an address. A number that does not fit in IPv4 becomes an IPv6 address.
pub fn address(is_v6: bool, number: u128) -> IpAddr {
    match u32::try_from(number) {
        Ok(number) if !is_v6 => Ipv4Addr::from_bits(number).into(),
        _ => Ipv6Addr::from_bits(number).into(),
    }
}

/// Returns the number of bits of an address.
pub fn bits(is_v6: bool) -> u8 {
    if is_v6 { 128 } else { 32 }
}

/// Returns the number with the lowest `count` bits set.
pub fn ones(count: u8) -> u128 {
    1_u128.checked_shl(count.into()).map_or(u128::MAX, |power| power - 1)
}

/// Returns the host bits of the largest aligned block between two addresses, both included.
pub fn largest_aligned(first: u128, last: u128) -> u8 {
    let width = last - first;
    // The block has at most as many addresses as the range: 2^bits <= width + 1.
    let most = match width.checked_add(1) {
        Some(count) => 127 - u8::try_from(count.leading_zeros()).unwrap_or(127),
        None => 128,
    };
    let fits = |bits: &u8| {
        let mask = ones(*bits);
        let start = if first & mask == 0 { Some(first) } else { (first | mask).checked_add(1) };
        start.is_some_and(|start| start <= last && last - start >= mask)
    };
    (0..=most).rev().find(fits).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_canonical_cidrs_are_parsed() {
        for text in ["10.0.0.0/8", "10.1.2.3/32", "0.0.0.0/0", "::/0", "2001:db8::/32", "::ffff:0:0/96"] {
            assert!(Block::parse(text).is_some(), "{text}");
        }
        for text in ["", "10.0.0.0", "10.0.0.1/8", "10.0.0.0/33", "::/129", "10.0.0.0/+8", "10.0.0.0/", "010.0.0.0/8"] {
            assert_eq!(Block::parse(text), None, "{text}");
        }
        assert_eq!(Block::parse("::/0").unwrap().last(), u128::MAX);
        assert_eq!(Block::parse("10.0.0.0/8").unwrap().last(), u128::from(u32::from_be_bytes([10, 255, 255, 255])));
    }

    #[test]
    fn largest_aligned_equals_exhaustive_search() {
        for first in 0..64_u128 {
            for last in first..64 {
                let slow = (0..=6_u8)
                    .rev()
                    .find(|bits| (first..=last).any(|start| start & ones(*bits) == 0 && start + ones(*bits) <= last));
                assert_eq!(Some(largest_aligned(first, last)), slow, "{first}..={last}");
            }
        }
        assert_eq!(largest_aligned(0, u128::MAX), 128);
        assert_eq!(largest_aligned(1, u128::MAX), 127);
        assert_eq!(largest_aligned(u128::MAX, u128::MAX), 0);
    }
}
