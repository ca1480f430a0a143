//! Limits of list fields of the kinds, with their units.

/// The maximum number of conditions of one object, including the service's own two.
///
/// Unit: conditions. Test: `crates/ipamd/tests/it/worst_bodies.rs::over_long_lists_are_rejected_with_limit`.
pub const CONDITIONS_MAX: usize = 100;
/// The maximum number of `matchLabels` entries of one selector.
///
/// Unit: labels. Test: `crates/ipamd/tests/it/worst_bodies.rs::over_long_lists_are_rejected_with_limit`.
pub const SELECTOR_LABELS_MAX: usize = 100;
/// The maximum number of `matchExpressions` entries of one selector.
///
/// Unit: requirements. Test: `crates/ipamd/tests/it/worst_bodies.rs::over_long_lists_are_rejected_with_limit`.
pub const SELECTOR_EXPRESSIONS_MAX: usize = 100;
/// The maximum number of values of one selector requirement.
///
/// Unit: values. Test: `crates/ipamd/tests/it/worst_bodies.rs::over_long_lists_are_rejected_with_limit`.
pub const SELECTOR_VALUES_MAX: usize = 1_000;
/// The maximum number of holders that the error of a rejected pool deletion names; the message counts the others.
///
/// Unit: holders. Test: `crates/ipam/src/tests/pools.rs::pool_in_use_cannot_be_deleted`.
pub const HOLDERS_NAMED_MAX: usize = 3;
