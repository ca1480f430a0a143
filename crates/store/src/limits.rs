//! Every limit of the log, with its unit.

/// The longest key.
///
/// Unit: bytes. Test: `crates/store/src/contract/keys.rs::the_longest_key`.
pub const KEY_BYTES_MAX: usize = 1024;

/// The size at which a page of records or entries ends, however few they are: it may be exceeded by the last of them alone.
/// What is counted are values, those that entries have replaced among them.
///
/// Unit: bytes. Test: `crates/store/src/contract/pages.rs::a_page_of_records_ends_at_its_size`,
/// `crates/store/src/contract/pages.rs::a_page_of_entries_ends_at_its_size`.
pub const PAGE_BYTES_MAX: usize = 1024 * 1024;
