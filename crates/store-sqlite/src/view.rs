//! A consistent view of the file and the in-memory index.

use std::sync::Arc;

use rusqlite::Connection;
use store::{Head, Revision};

use crate::memtable::{IndexMemtables, MemtableSet};
use crate::row_codec::{self, from_revision};

const LOG_BOUNDS: &str = "
SELECT coalesce((SELECT revision FROM log ORDER BY revision DESC LIMIT 1), 0), compacted, compacted_end FROM log_state";

const COMMIT_END: &str = "SELECT revision + commit_remaining FROM log WHERE revision = ?1";

/// A view of the store at one moment.
pub struct ReadView<'a> {
    /// A connection in a transaction.
    pub connection: &'a Connection,
    /// The versions that the file's index may lack.
    pub memtables: &'a MemtableSet,
    /// The range of revisions that can be read.
    pub bounds: LogBounds,
}

/// Begins a transaction in which the file and the memtables are consistent.
pub fn begin(connection: &Connection, index: &IndexMemtables) -> rusqlite::Result<(Arc<MemtableSet>, LogBounds)> {
    loop {
        let memtables = index.memtables();
        connection.execute_batch("BEGIN")?;
        // The first read fixes the snapshot of the transaction.
        let bounds = bounds(connection)?;
        if index.is_current(&memtables) {
            return Ok((memtables, bounds));
        }
        connection.execute_batch("ROLLBACK")?;
    }
}

/// The range of revisions that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogBounds {
    /// The last revision.
    pub head: Revision,
    /// The revision up to which history is compacted.
    pub compacted: Revision,
    /// The end of the commit that contains `compacted`.
    compacted_end: Revision,
}

impl From<LogBounds> for Head {
    fn from(bounds: LogBounds) -> Self {
        Self { revision: bounds.head, compacted: bounds.compacted }
    }
}

/// Reads the range. If compaction removed the row of the head (a deletion), the head equals `compacted`.
pub fn bounds(connection: &Connection) -> rusqlite::Result<LogBounds> {
    connection.prepare_cached(LOG_BOUNDS)?.query_row([], |row| {
        let compacted = row_codec::revision(row, 1)?;
        let head = row_codec::revision(row, 0)?.max(compacted);
        Ok(LogBounds { head, compacted, compacted_end: row_codec::revision(row, 2)? })
    })
}

/// Returns the end of the commit that contains `revision`. The row must exist, unless `revision` is the horizon.
pub fn commit_end(connection: &Connection, bounds: LogBounds, revision: Revision) -> rusqlite::Result<Revision> {
    if revision == bounds.compacted {
        return Ok(bounds.compacted_end);
    }
    connection.prepare_cached(COMMIT_END)?.query_row([from_revision(revision)], |row| row_codec::revision(row, 0))
}
