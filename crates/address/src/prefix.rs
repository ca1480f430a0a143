//! A prefix: an aligned block of addresses of one family.
//!
//! A [`Prefix`] is always canonical, so equal blocks are equal values. Text with host bits is handled in `parse`.

use core::error::Error;
use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr};

use crate::{Count, Family, bits};

/// An aligned block of addresses: `10.0.0.0/8`, `2001:db8::/32`.
///
/// Ordered by family, first address, length: a block sorts directly before the blocks inside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    // The derived order depends on the order of the fields.
    family: Family,
    first: u128,
    length: u8,
}

impl Prefix {
    /// Creates the block of `2^(family.bits() - length)` addresses that starts at `first`.
    ///
    /// # Errors
    /// If `length` exceeds the width of the family's addresses, `first` is not an address of the family, or `first` is
    /// not aligned to the size of the block (host bits).
    pub fn new(family: Family, first: u128, length: u8) -> Result<Prefix, PrefixError> {
        if length > family.bits() {
            return Err(PrefixError::LengthTooLong { family });
        }
        if first > bits::low_ones(family.bits()) {
            return Err(PrefixError::AddressTooLarge { family });
        }
        let prefix = Prefix::truncate(family, first, length);
        if prefix.first == first { Ok(prefix) } else { Err(PrefixError::HostBits) }
    }

    /// Returns the block of this length that contains `address`. The length and the address must be valid for the
    /// family.
    pub(crate) fn truncate(family: Family, address: u128, length: u8) -> Prefix {
        let host_bits = family.bits().saturating_sub(length);
        let first = address & !bits::low_ones(host_bits);
        Prefix { family, first, length }
    }

    /// Returns the address family.
    pub fn family(self) -> Family {
        self.family
    }

    /// Returns the lowest address as a number; below 2^32 for IPv4.
    pub fn first(self) -> u128 {
        self.first
    }

    /// Returns the highest address as a number; below 2^32 for IPv4.
    pub fn last(self) -> u128 {
        self.first | bits::low_ones(self.host_bits())
    }

    /// Returns the prefix length: 0..=32 for IPv4, 0..=128 for IPv6.
    pub fn length(self) -> u8 {
        self.length
    }

    /// Returns the number of addresses: 1 for a `/32`, exactly 2^128 for `::/0`.
    pub fn size(self) -> Count {
        Count::power_of_two(self.host_bits())
    }

    /// True if every address of `other` is in this block. A block contains itself.
    pub fn contains(self, other: Prefix) -> bool {
        self.family == other.family
            && self.length <= other.length
            && Prefix::truncate(self.family, other.first, self.length) == self
    }

    /// True if the blocks have an address in common. For aligned blocks that means that one contains the other.
    pub fn overlaps(self, other: Prefix) -> bool {
        self.contains(other) || other.contains(self)
    }

    /// Returns the number of address bits that vary inside the block.
    pub(crate) fn host_bits(self) -> u8 {
        self.family.bits().saturating_sub(self.length)
    }
}

/// CIDR text: `10.0.0.0/8`; IPv6 as recommended by RFC 5952, `2001:db8::/32`.
///
/// Parsing the text gives the same prefix, except inside `::ffff:0:0/96`: those prefixes are displayed as IPv4-mapped
/// (`::ffff:10.0.0.0/104`), which the parser rejects.
impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.family, u32::try_from(self.first)) {
            (Family::V4, Ok(bits)) => write!(f, "{}/{}", Ipv4Addr::from_bits(bits), self.length),
            _ => write!(f, "{}/{}", Ipv6Addr::from_bits(self.first), self.length),
        }
    }
}

/// The reason why a family, an address and a length do not form a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrefixError {
    /// The prefix length exceeds 32 (IPv4) or 128 (IPv6).
    LengthTooLong {
        /// The requested family.
        family: Family,
    },
    /// The number is not an address of the family: an IPv4 address has 32 bits.
    AddressTooLarge {
        /// The requested family.
        family: Family,
    },
    /// The address is not the first address of a block of that length.
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
