//! Shifts that are defined for every distance, the full width of 128 bits included.
//!
//! The built-in shifts stop at 127, and `::/0` needs 128: there, nothing is left of the value.

/// `value / 2^by`, rounded down. Zero when `by` is 128 or more.
pub(crate) fn right(value: u128, by: u8) -> u128 {
    value.checked_shr(by.into()).unwrap_or(0)
}

/// `value * 2^by`, without the bits beyond the 128th. Zero when `by` is 128 or more.
pub(crate) fn left(value: u128, by: u8) -> u128 {
    value.checked_shl(by.into()).unwrap_or(0)
}

/// The number whose lowest `bits` bits are ones and whose others are zeros; `bits` is at most 128.
pub(crate) fn low_ones(bits: u8) -> u128 {
    right(u128::MAX, 128_u8.saturating_sub(bits))
}
