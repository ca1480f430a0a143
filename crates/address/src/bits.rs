//! Bit shifts that are defined for every distance, including the full width of 128 bits.
//!
//! The built-in shifts are defined up to 127 bits, but `::/0` needs 128; the result is 0 then.

/// Returns `value / 2^by`, rounded down; 0 if `by` is 128 or more.
pub(crate) fn shift_right(value: u128, by: u8) -> u128 {
    value.checked_shr(by.into()).unwrap_or(0)
}

/// Returns `value * 2^by` modulo 2^128; 0 if `by` is 128 or more.
pub(crate) fn shift_left(value: u128, by: u8) -> u128 {
    value.checked_shl(by.into()).unwrap_or(0)
}

/// Returns the number whose lowest `bits` bits are set; `bits` is at most 128.
pub(crate) fn low_ones(bits: u8) -> u128 {
    shift_right(u128::MAX, 128_u8.saturating_sub(bits))
}
