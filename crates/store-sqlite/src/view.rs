//! A consistent view of the file and the in-memory index.

use std::sync::Arc;

use rusqlite::Connection;
use store::{Head, Revision};

use crate::recent::{Layers, Recent};
use crate::rows::{self, from_revision};

const HORIZON: &str = "
SELECT coalesce((SELECT revision FROM log ORDER BY revision DESC LIMIT 1), 0), compacted, compacted_end FROM history";

const COMMIT_END: &str = "SELECT revision + to_commit_end FROM log WHERE revision = ?1";

/// A view of the store at one moment.
pub struct View<'a> {
    /// A connection in a transaction.
    pub connection: &'a Connection,
    /// The versions that the file's index may lack.
    pub recent: &'a Layers,
    /// The range of revisions that can be read.
    pub horizon: Horizon,
}

/// Begins a transaction in which the file and the memtables are consistent.
pub fn begin(connection: &Connection, recent: &Recent) -> rusqlite::Result<(Arc<Layers>, Horizon)> {
    loop {
        let layers = recent.layers();
        connection.execute_batch("BEGIN")?;
        // The first read fixes the snapshot of the transaction.
        let horizon = horizon(connection)?;
        if recent.is_current(&layers) {
            return Ok((layers, horizon));
        }
        connection.execute_batch("ROLLBACK")?;
    }
}

/// The range of revisions that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Horizon {
    /// The last revision.
    pub head: Revision,
    /// The revision up to which history is compacted.
    pub compacted: Revision,
    /// The end of the commit that contains `compacted`.
    compacted_end: Revision,
}

impl From<Horizon> for Head {
    fn from(horizon: Horizon) -> Self {
        Self { revision: horizon.head, compacted: horizon.compacted }
    }
}

/// Reads the range. If compaction removed the row of the head (a deletion), the head equals `compacted`.
pub fn horizon(connection: &Connection) -> rusqlite::Result<Horizon> {
    connection.prepare_cached(HORIZON)?.query_row([], |row| {
        let compacted = rows::revision(row, 1)?;
        let head = rows::revision(row, 0)?.max(compacted);
        Ok(Horizon { head, compacted, compacted_end: rows::revision(row, 2)? })
    })
}

/// Returns the end of the commit that contains `revision`. The row must exist, unless `revision` is the horizon.
pub fn commit_end(connection: &Connection, horizon: Horizon, revision: Revision) -> rusqlite::Result<Revision> {
    if revision == horizon.compacted {
        return Ok(horizon.compacted_end);
    }
    connection.prepare_cached(COMMIT_END)?.query_row([from_revision(revision)], |row| rows::revision(row, 0))
}
