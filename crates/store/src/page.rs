//! The size limits of a page of records or entries.

use crate::{Entry, Record, limits};

/// The fill level of a page.
#[derive(Clone, Copy, Debug)]
pub struct PageBudget {
    /// The number of records or entries that may still be added.
    records_left: usize,
    bytes: usize,
}

impl PageBudget {
    /// Creates an empty page of at most `limit` records or entries.
    pub fn new(limit: usize) -> Self {
        Self { records_left: limit, bytes: 0 }
    }

    /// True if the page is complete.
    pub fn is_full(self) -> bool {
        self.records_left == 0 || self.bytes >= limits::PAGE_BYTES_MAX
    }

    /// Adds a record or an entry of `bytes` bytes.
    pub fn add(&mut self, bytes: usize) {
        self.records_left = self.records_left.saturating_sub(1);
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

/// True if a page of at most `limit` entries is full, so that there may be more entries after it.
pub fn is_full(entries: &[Entry], limit: usize) -> bool {
    let mut filled = PageBudget::new(limit);
    for entry in entries {
        filled.add(entry.bytes());
    }
    filled.is_full()
}

impl Record {
    /// Returns the size that counts towards the page limit.
    pub fn bytes(&self) -> usize {
        self.value.len()
    }
}

impl Entry {
    /// Returns the size that counts towards the page limit.
    pub fn bytes(&self) -> usize {
        self.value.as_ref().map_or(0, bytes::Bytes::len) + self.previous.as_ref().map_or(0, Record::bytes)
    }
}
