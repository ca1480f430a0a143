//! A number of addresses, exact from 0 to 2^128.
//!
//! 2^128 does not fit in a `u128`, so a plain integer would overflow for `::/0`. A [`Count`] has only the arithmetic
//! that capacities need; it is not a general 129-bit integer.

use core::fmt;

use crate::{Family, bits};

/// A number of addresses, 0..=2^128. Displayed as a decimal number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Count {
    // The derived order depends on the order of the fields. `low` is 0 if `is_2_pow_128` is set; the count is then
    // exactly 2^128.
    is_2_pow_128: bool,
    low: u128,
}

impl Count {
    /// Zero addresses.
    pub const ZERO: Count = Count::new(0);

    /// The greatest count, 2^128: all IPv6 addresses.
    pub const MAX: Count = Count { is_2_pow_128: true, low: 0 };

    /// Creates a count.
    pub const fn new(addresses: u128) -> Count {
        Count { is_2_pow_128: false, low: addresses }
    }

    /// Returns the size of a block of this prefix length; `None` if the length exceeds 32 (IPv4) or 128 (IPv6).
    pub fn from_prefix_length(family: Family, length: u8) -> Option<Count> {
        family.bits().checked_sub(length).map(Count::power_of_two)
    }

    /// Returns `2^exponent`; the exponent is at most 128.
    pub(crate) fn power_of_two(exponent: u8) -> Count {
        Count::new(1).times_power_of_two(exponent)
    }

    /// Returns the product with `2^exponent`, which must be at most 2^128.
    pub(crate) fn times_power_of_two(self, exponent: u8) -> Count {
        let low = bits::shift_left(self.low, exponent);
        Count { is_2_pow_128: low == 0 && self != Count::ZERO, low }
    }

    /// Returns the sum; `None` if it exceeds 2^128.
    pub fn checked_add(self, other: Count) -> Option<Count> {
        match self.low.checked_add(other.low) {
            Some(low) if !self.is_2_pow_128 && !other.is_2_pow_128 => Some(Count::new(low)),
            Some(0) if self.is_2_pow_128 != other.is_2_pow_128 => Some(Count::MAX),
            None if self.low.wrapping_add(other.low) == 0 => Some(Count::MAX),
            _ => None,
        }
    }

    /// Returns the difference; `None` if `other` is greater.
    pub fn checked_sub(self, other: Count) -> Option<Count> {
        if other == Count::ZERO {
            return Some(self);
        }
        // The difference is less than 2^128 here. If `self` is 2^128, the wrapping subtraction borrows from the bit
        // that `low` does not have.
        (self >= other).then(|| Count::new(self.low.wrapping_sub(other.low)))
    }

    /// Returns the count, at most 2^53-1: the greatest integer that clients with double-precision numbers preserve.
    pub fn to_safe_integer(self) -> i64 {
        let greatest = (1 << 53) - 1;
        if self.is_2_pow_128 {
            return greatest;
        }
        i64::try_from(self.low).unwrap_or(greatest).min(greatest)
    }

    /// Returns the percentage of `total`, 0..=100, rounded down.
    ///
    /// The result is 100 only if the count is at least `total`: a pool with one free address is not full. It is 0 if
    /// `total` is 0.
    pub fn percent_of(self, total: Count) -> u8 {
        if total == Count::ZERO {
            return 0;
        }
        // Bisection for the greatest p with p * total <= 100 * self. Seven comparisons are shorter than a division of
        // 136-bit numbers.
        let hundredfold = self.times(100);
        let (mut reached, mut beyond) = (0_u8, 101_u8);
        while beyond != reached.saturating_add(1) {
            let middle = u8::midpoint(reached, beyond);
            if total.times(middle) <= hundredfold {
                reached = middle;
            } else {
                beyond = middle;
            }
        }
        reached
    }

    /// Returns the product as (multiples of 2^64, remainder). The pairs sort like the products.
    fn times(self, factor: u8) -> (u128, u128) {
        let low_half = u128::from(u64::MAX);
        let wide = |half: u128| half.checked_mul(factor.into()).expect("65 bits times 8 bits is at most 73 bits");
        let carry_of_all = if self.is_2_pow_128 { bits::shift_left(1, 64) } else { 0 };
        let rest = wide(self.low & low_half);
        let multiples = wide(carry_of_all | bits::shift_right(self.low, 64))
            .checked_add(bits::shift_right(rest, 64))
            .expect("73 bits and 8 bits add up to at most 74 bits");
        (multiples, rest & low_half)
    }
}

/// The exact decimal number, without separators.
impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_2_pow_128 {
            f.pad_integral(true, "", "340282366920938463463374607431768211456")
        } else {
            fmt::Display::fmt(&self.low, f)
        }
    }
}
