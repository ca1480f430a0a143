//! The limits of a check.

/// The faults, and the notes, that one check keeps and shows. Further ones are counted.
///
/// Unit: lines. Test: `crates/consistency/src/tests/faults.rs::faults_beyond_the_limit_are_counted`.
pub const PROBLEMS_PER_CHECK_MAX: usize = 100;
