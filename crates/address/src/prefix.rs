//! A prefix: an aligned block of addresses of one family.
//!
//! A [`Prefix`] is canonical by construction, so two equal blocks are equal values. Text with host
//! bits set is not a prefix; reading and normalising it is `parse`'s work.

use core::error::Error;
use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr};

use crate::{Count, Family, shift};

/// An aligned block of addresses: `10.0.0.0/8`, `2001:db8::/32`.
///
/// Sorts by family, then first address, then length: a block comes directly before those inside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    // The order of the fields is the order of the prefixes.
    family: Family,
    first: u128,
    length: u8,
}

impl Prefix {
    /// The block of `2^(family.bits() - length)` addresses that starts at `first`.
    ///
    /// # Errors
    /// When `length` is longer than the family's addresses, when `first` is not an address of the
    /// family, and when `first` is not aligned to the block's size (it has host bits).
    pub fn new(family: Family, first: u128, length: u8) -> Result<Prefix, PrefixError> {
        if length > family.bits() {
            return Err(PrefixError::LengthTooLong { family });
        }
        if first > shift::low_ones(family.bits()) {
            return Err(PrefixError::AddressTooLarge { family });
        }
        let prefix = Prefix::covering(family, first, length);
        if prefix.first == first { Ok(prefix) } else { Err(PrefixError::HostBits) }
    }

    /// The block of this length that `address` lies in.
    ///
    /// Callers have checked that the length and the address belong to the family.
    pub(crate) fn covering(family: Family, address: u128, length: u8) -> Prefix {
        let host_bits = family.bits().saturating_sub(length);
        let first = address & !shift::low_ones(host_bits);
        Prefix { family, first, length }
    }

    /// The family of every address in the block.
    pub fn family(self) -> Family {
        self.family
    }

    /// The lowest address, as a number; below 2^32 for IPv4.
    pub fn first(self) -> u128 {
        self.first
    }

    /// The highest address, as a number; below 2^32 for IPv4.
    pub fn last(self) -> u128 {
        self.first | shift::low_ones(self.host_bits())
    }

    /// The prefix length: 0..=32 for IPv4, 0..=128 for IPv6.
    pub fn length(self) -> u8 {
        self.length
    }

    /// How many addresses the block has: 1 for a `/32`, exactly 2^128 for `::/0`.
    pub fn size(self) -> Count {
        Count::power_of_two(self.host_bits())
    }

    /// Whether every address of `other` is in this block; a block contains itself.
    pub fn contains(self, other: Prefix) -> bool {
        self.family == other.family
            && self.length <= other.length
            && Prefix::covering(self.family, other.first, self.length) == self
    }

    /// Whether the two blocks have an address in common. Aligned blocks do only when one contains
    /// the other.
    pub fn overlaps(self, other: Prefix) -> bool {
        self.contains(other) || other.contains(self)
    }

    /// How many bits of an address are free to vary inside the block.
    pub(crate) fn host_bits(self) -> u8 {
        self.family.bits().saturating_sub(self.length)
    }
}

/// CIDR text: `10.0.0.0/8`; IPv6 as RFC 5952 recommends, `2001:db8::/32`.
///
/// Reads back as the same prefix, except inside `::ffff:0:0/96`, which prints as IPv4-mapped
/// (`::ffff:10.0.0.0/104`) and is refused when parsed.
impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.family, u32::try_from(self.first)) {
            (Family::V4, Ok(bits)) => write!(f, "{}/{}", Ipv4Addr::from_bits(bits), self.length),
            _ => write!(f, "{}/{}", Ipv6Addr::from_bits(self.first), self.length),
        }
    }
}

/// Why three numbers are not a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrefixError {
    /// The prefix length exceeds the family's 32 or 128.
    LengthTooLong {
        /// The family asked for.
        family: Family,
    },
    /// The number is not an address of the family: an IPv4 address has 32 bits.
    AddressTooLarge {
        /// The family asked for.
        family: Family,
    },
    /// The address is not the first of a block of that length.
    HostBits,
}

impl fmt::Display for PrefixError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PrefixError::LengthTooLong { family } => {
                write!(f, "an {family} prefix length is at most {}", family.bits())
            }
            PrefixError::AddressTooLarge { family } => {
                write!(f, "an {family} address has {} bits", family.bits())
            }
            PrefixError::HostBits => f.write_str("the address has bits set beyond the prefix length"),
        }
    }
}

impl Error for PrefixError {}
