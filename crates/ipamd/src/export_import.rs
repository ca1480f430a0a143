//! `ipam store export` and `ipam store import`: the contents of a SQLite or PostgreSQL store to a file, and from a file.
//!
//! An export is one snapshot, read page by page. An import becomes visible in one step, after the whole file was read and checked
//! against its last line; then the store is exported again without writing, and the digest compared with that of the file. Both hold at most one page in memory. Credentials
//! are not part of a store and are not exported.

mod export;
mod file;
mod format;
mod import;
pub mod progress;
mod snapshot_reader;
#[cfg(test)]
mod tests;

pub use self::{export::export, import::import};

/// The number of objects in a page.
pub const RECORDS_PER_PAGE: usize = 256;
/// The number of spans in a page.
pub const SPANS_PER_PAGE: usize = 4_096;
