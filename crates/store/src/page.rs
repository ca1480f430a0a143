//! Where a page of records or entries ends.

use crate::{Entry, Record, limits};

/// How much of a page is filled.
#[derive(Clone, Copy, Debug)]
pub struct Filled {
    /// What it may still hold.
    records_left: usize,
    bytes: usize,
}

impl Filled {
    /// An empty page of at most `limit` records or entries.
    pub fn empty(limit: usize) -> Self {
        Self { records_left: limit, bytes: 0 }
    }

    /// Whether nothing more belongs to it.
    pub fn is_full(self) -> bool {
        self.records_left == 0 || self.bytes >= limits::PAGE_BYTES_MAX
    }

    /// Counts a record or an entry of so many bytes.
    pub fn add(&mut self, bytes: usize) {
        self.records_left = self.records_left.saturating_sub(1);
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

/// Whether a page of at most `limit` entries ends because it is full, so that there may be more behind it.
pub fn is_full(entries: &[Entry], limit: usize) -> bool {
    let mut filled = Filled::empty(limit);
    for entry in entries {
        filled.add(entry.bytes());
    }
    filled.is_full()
}

impl Record {
    /// What it adds to a page.
    pub fn bytes(&self) -> usize {
        self.value.len()
    }
}

impl Entry {
    /// What it adds to a page.
    pub fn bytes(&self) -> usize {
        self.value.as_ref().map_or(0, bytes::Bytes::len) + self.previous.as_ref().map_or(0, Record::bytes)
    }
}
