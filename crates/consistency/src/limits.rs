//! The limits of a check.

/// The maximum number of faults or notes that a check keeps and shows. Further ones are only counted.
///
/// Unit: lines. Test: `crates/consistency/src/tests/faults.rs::faults_beyond_the_limit_are_counted`.
pub const PROBLEMS_PER_CHECK_MAX: usize = 100;
