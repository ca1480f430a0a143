//! Every limit of what the kinds list, with its unit. Addresses have their own: the lengths of prefixes.

/// The conditions of one object, the service's own two among them.
///
/// Unit: conditions. Test: `crates/ipamd/tests/it/worst_bodies.rs::lists_have_limits_that_are_told`.
pub const CONDITIONS_MAX: usize = 100;
/// The entries of `matchLabels` of one selector.
///
/// Unit: labels. Test: `crates/ipamd/tests/it/worst_bodies.rs::lists_have_limits_that_are_told`.
pub const SELECTOR_LABELS_MAX: usize = 100;
/// The entries of `matchExpressions` of one selector.
///
/// Unit: requirements. Test: `crates/ipamd/tests/it/worst_bodies.rs::lists_have_limits_that_are_told`.
pub const SELECTOR_EXPRESSIONS_MAX: usize = 100;
/// The values of one requirement of a selector.
///
/// Unit: values. Test: `crates/ipamd/tests/it/worst_bodies.rs::lists_have_limits_that_are_told`.
pub const SELECTOR_VALUES_MAX: usize = 1_000;
/// The holders that a refused deletion of a pool names; the message says how many more there are.
///
/// Unit: holders. Test: `crates/ipam/src/tests/pools.rs::a_pool_in_use_stays`.
pub const HOLDERS_NAMED_MAX: usize = 3;
