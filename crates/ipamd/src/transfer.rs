//! `ipam store export` and `ipam store import`: everything that a store holds, to a file and from one, whatever the store is kept in.
//!
//! What leaves is one snapshot, page by page; what enters is seen by nobody before all of it is there and was checked against the
//! end of the file. Afterwards it is read once more, from the store, and compared with what the file said. Neither way holds
//! more than a page in memory. Credentials are not part of a store and stay where they are.

mod export;
mod file;
mod format;
mod import;
mod pages;
pub mod progress;
mod tally;
#[cfg(test)]
mod tests;

pub use self::{export::export, import::import};

/// Objects that are read from a store, or written to one, at a time.
pub const RECORDS_PER_PAGE: usize = 256;
/// Spans that are read or written at a time.
pub const SPANS_PER_PAGE: usize = 4_096;
