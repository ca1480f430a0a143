//! A number of addresses, exact from none to all of IPv6.
//!
//! 2^128 is one more than a `u128` holds, so a plain integer would wrap for `::/0`. A [`Count`] has
//! only the arithmetic that capacity needs; it is not a general 129-bit integer.

use core::fmt;

use crate::{Family, shift};

/// How many addresses: 0..=2^128, exactly. Prints as a decimal number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Count {
    // The order of the fields is the order of the counts. `low` is zero when `all_of_ipv6` is set,
    // which makes the count exactly 2^128.
    all_of_ipv6: bool,
    low: u128,
}

impl Count {
    /// No address.
    pub const ZERO: Count = Count::new(0);

    /// The greatest count, 2^128: every IPv6 address.
    pub const MAX: Count = Count { all_of_ipv6: true, low: 0 };

    /// Exactly this many addresses.
    pub const fn new(addresses: u128) -> Count {
        Count { all_of_ipv6: false, low: addresses }
    }

    /// The size of a block of this prefix length; `None` when the length exceeds the family's
    /// 32 or 128.
    pub fn from_prefix_length(family: Family, length: u8) -> Option<Count> {
        family.bits().checked_sub(length).map(Count::power_of_two)
    }

    /// `2^exponent` addresses; the exponent is at most 128.
    pub(crate) fn power_of_two(exponent: u8) -> Count {
        Count::new(1).times_power_of_two(exponent)
    }

    /// This many addresses `2^exponent` times. The product is at most 2^128.
    pub(crate) fn times_power_of_two(self, exponent: u8) -> Count {
        let low = shift::left(self.low, exponent);
        Count { all_of_ipv6: low == 0 && self != Count::ZERO, low }
    }

    /// The sum; `None` when it exceeds 2^128.
    pub fn checked_add(self, other: Count) -> Option<Count> {
        match self.low.checked_add(other.low) {
            Some(low) if !self.all_of_ipv6 && !other.all_of_ipv6 => Some(Count::new(low)),
            Some(0) if self.all_of_ipv6 != other.all_of_ipv6 => Some(Count::MAX),
            None if self.low.wrapping_add(other.low) == 0 => Some(Count::MAX),
            _ => None,
        }
    }

    /// The difference; `None` when `other` is the greater.
    pub fn checked_sub(self, other: Count) -> Option<Count> {
        if other == Count::ZERO {
            return Some(self);
        }
        // The difference is below 2^128 now; from 2^128 the subtraction borrows the bit that `low`
        // does not have.
        (self >= other).then(|| Count::new(self.low.wrapping_sub(other.low)))
    }

    /// The count, or 2^53-1 when it is greater: an integer that clients which read numbers as doubles
    /// write back unchanged.
    pub fn to_safe_integer(self) -> i64 {
        let greatest = (1 << 53) - 1;
        if self.all_of_ipv6 {
            return greatest;
        }
        i64::try_from(self.low).unwrap_or(greatest).min(greatest)
    }

    /// How many percent of `total` this is, 0..=100, rounded down from the exact quotient.
    ///
    /// So it is 100 only when the count is at least the whole total: a pool with a single free
    /// address is not full. Of a total of zero, everything is 0 percent.
    pub fn percent_of(self, total: Count) -> u8 {
        if total == Count::ZERO {
            return 0;
        }
        // The greatest percentage p with p * total <= 100 * self, by bisection: division of
        // 136-bit numbers would be longer than the seven comparisons.
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

    /// The product as (multiples of 2^64, the rest): pairs that sort as the products do.
    fn times(self, factor: u8) -> (u128, u128) {
        let low_half = u128::from(u64::MAX);
        let wide = |half: u128| half.checked_mul(factor.into()).expect("65 bits times 8 bits is at most 73 bits");
        let carry_of_all = if self.all_of_ipv6 { shift::left(1, 64) } else { 0 };
        let rest = wide(self.low & low_half);
        let multiples = wide(carry_of_all | shift::right(self.low, 64))
            .checked_add(shift::right(rest, 64))
            .expect("73 bits and 8 bits add up to at most 74 bits");
        (multiples, rest & low_half)
    }
}

/// The exact decimal number, without separators.
impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.all_of_ipv6 {
            f.pad_integral(true, "", "340282366920938463463374607431768211456")
        } else {
            fmt::Display::fmt(&self.low, f)
        }
    }
}
