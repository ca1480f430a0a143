//! Limits of the log, with their units.

/// The maximum length of a key.
///
/// Unit: bytes. Test: `crates/store/src/contract/keys.rs::keys_of_maximum_length_are_distinct`.
pub const KEY_BYTES_MAX: usize = 1024;

/// The size at which a page of records or entries ends. Only the last record or entry may exceed it. The size is the
/// sum of the values, including the values that entries replaced.
///
/// Unit: bytes. Test: `crates/store/src/contract/pages.rs::page_of_records_ends_at_the_size_limit`,
/// `crates/store/src/contract/pages.rs::page_of_entries_ends_at_the_size_limit`.
pub const PAGE_BYTES_MAX: usize = 1024 * 1024;
