//! Blocks for the invariants: parsed from text, and compared by their first and last address. Shares no code with the allocator.

use std::net::IpAddr;

/// A range of addresses of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    is_v6: bool,
    first: u128,
    last: u128,
}

impl Block {
    /// Parses a CIDR.
    pub fn parse(cidr: &str) -> Result<Self, String> {
        let no_block = || format!("{cidr:?} is not a block");
        let (address, length) = cidr.split_once('/').ok_or_else(no_block)?;
        let (first, bits) = match address.parse().map_err(|_| no_block())? {
            IpAddr::V4(address) => (u128::from(address.to_bits()), 32),
            IpAddr::V6(address) => (address.to_bits(), 128),
        };
        let length: u32 = length.parse().map_err(|_| no_block())?;
        let size = size_of_length(bits, length).ok_or_else(no_block)?;
        let is_aligned = first % size == 0;
        is_aligned.then_some(Self { is_v6: bits == 128, first, last: first + (size - 1) }).ok_or_else(no_block)
    }

    pub fn overlaps(&self, other: &Self) -> bool {
        self.is_v6 == other.is_v6 && self.first <= other.last && other.first <= self.last
    }

    pub fn contains(&self, other: &Self) -> bool {
        self.is_v6 == other.is_v6 && self.first <= other.first && other.last <= self.last
    }

    pub fn size(&self) -> u128 {
        self.last - self.first + 1
    }

    /// True if it contains a block of this prefix length that overlaps none of `held`.
    pub fn has_room(&self, length: u32, held: &[Self]) -> bool {
        let Some(size) = size_of_length(if self.is_v6 { 128 } else { 32 }, length) else { return false };
        let mut firsts = (self.first..=self.last).step_by(usize::try_from(size).unwrap());
        firsts.any(|first| {
            let block = Self { first, last: first + (size - 1), ..*self };
            self.contains(&block) && !held.iter().any(|held| held.overlaps(&block))
        })
    }
}

/// Returns the number of addresses in a block of this prefix length; `None` if the length exceeds `bits` or the number does not
/// fit in a `u128`.
fn size_of_length(bits: u32, length: u32) -> Option<u128> {
    1_u128.checked_shl(bits.checked_sub(length)?)
}
