//! Numbers of addresses, exact beyond 128 bits.

use std::fmt;

/// The base of a digit: a power of ten, so that numbers are displayed without division.
const BASE: u128 = 1_000_000_000_000_000_000_000_000_000_000;
/// The number of decimal digits of a [`BASE`] digit.
const DIGITS: usize = 30;
/// 2^128 in two digits.
const ALL_OF_IPV6: Sum = Sum { high: 340_282_366, low: 920_938_463_463_374_607_431_768_211_456 };

/// A number of addresses. Large enough for any sum of blocks that fit in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sum {
    // The derived order depends on the order of the fields.
    high: u128,
    low: u128,
}

impl Sum {
    /// Returns 2^`host_bits`, the size of a block.
    pub fn power_of_two(host_bits: u8) -> Self {
        1_u128.checked_shl(host_bits.into()).map_or(ALL_OF_IPV6, |size| Self { high: size / BASE, low: size % BASE })
    }

    /// Returns the sum.
    pub fn plus(self, other: Self) -> Self {
        let low = self.low + other.low;
        Self { high: self.high + other.high + low / BASE, low: low % BASE }
    }

    /// Returns the difference; `None` if it would be negative.
    pub fn minus(self, other: Self) -> Option<Self> {
        let borrow = u128::from(self.low < other.low);
        let high = self.high.checked_sub(other.high)?.checked_sub(borrow)?;
        Some(Self { high, low: self.low + borrow * BASE - other.low })
    }

    /// Returns the number as in the API's integer fields: at most 2^53-1, which every double represents exactly.
    pub fn safe_integer(self) -> i64 {
        let greatest = (1 << 53) - 1;
        if self.high > 0 { greatest } else { i64::try_from(self.low).unwrap_or(greatest).min(greatest) }
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.high {
            0 => self.low.fmt(f),
            high => write!(f, "{high}{:0width$}", self.low, width = DIGITS),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_exact_around_2_to_the_128() {
        let (all, half) = (Sum::power_of_two(128), Sum::power_of_two(127));
        assert_eq!(all.to_string(), "340282366920938463463374607431768211456");
        assert_eq!(half.to_string(), (1_u128 << 127).to_string());
        assert_eq!(half.plus(half), all);
        assert_eq!(all.minus(half), Some(half));
        assert_eq!(all.minus(Sum::power_of_two(0)).unwrap().to_string(), u128::MAX.to_string());
        assert_eq!(half.minus(all), None);
        assert_eq!(Sum::power_of_two(100).plus(Sum::power_of_two(0)).to_string(), ((1_u128 << 100) + 1).to_string());
        let greatest = 9_007_199_254_740_991;
        assert_eq!((Sum::power_of_two(10).safe_integer(), all.safe_integer()), (1024, greatest));
        for host_bits in [53, 63, 64] {
            assert_eq!(Sum::power_of_two(host_bits).safe_integer(), greatest, "2^{host_bits}");
        }
    }
}
