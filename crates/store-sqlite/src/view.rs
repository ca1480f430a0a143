//! One consistent view of the file, and what bounds it.

use std::sync::Arc;

use rusqlite::Connection;
use store::{Head, Revision};

use crate::recent::{Layers, Recent};
use crate::rows::{self, from_revision};

const HORIZON: &str = "
SELECT coalesce((SELECT revision FROM log ORDER BY revision DESC LIMIT 1), 0), compacted, compacted_end FROM history";

const COMMIT_END: &str = "SELECT revision + to_commit_end FROM log WHERE revision = ?1";

/// One moment of the store, to be looked at.
pub struct View<'a> {
    /// In a transaction.
    pub connection: &'a Connection,
    /// What the index in the file may lack.
    pub recent: &'a Layers,
    /// What can be read.
    pub horizon: Horizon,
}

/// Begins a transaction in which the file and the layers fit together.
pub fn begin(connection: &Connection, recent: &Recent) -> rusqlite::Result<(Arc<Layers>, Horizon)> {
    loop {
        let layers = recent.layers();
        connection.execute_batch("BEGIN")?;
        // What is read first says which moment it is.
        let horizon = horizon(connection)?;
        if recent.is_current(&layers) {
            return Ok((layers, horizon));
        }
        connection.execute_batch("ROLLBACK")?;
    }
}

/// What can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Horizon {
    /// The last revision.
    pub head: Revision,
    /// History ends here, going backwards.
    pub compacted: Revision,
    /// The end of the commit in which `compacted` lies.
    compacted_end: Revision,
}

impl From<Horizon> for Head {
    fn from(horizon: Horizon) -> Self {
        Self { revision: horizon.head, compacted: horizon.compacted }
    }
}

/// Reads the horizon. After compaction up to a deletion at the head, no row carries the head any more: `compacted` does.
pub fn horizon(connection: &Connection) -> rusqlite::Result<Horizon> {
    connection.prepare_cached(HORIZON)?.query_row([], |row| {
        let compacted = rows::revision(row, 1)?;
        let head = rows::revision(row, 0)?.max(compacted);
        Ok(Horizon { head, compacted, compacted_end: rows::revision(row, 2)? })
    })
}

/// The end of the commit in which `revision` lies. Its row must be there unless it is the horizon.
pub fn commit_end(connection: &Connection, horizon: Horizon, revision: Revision) -> rusqlite::Result<Revision> {
    if revision == horizon.compacted {
        return Ok(horizon.compacted_end);
    }
    connection.prepare_cached(COMMIT_END)?.query_row([from_revision(revision)], |row| rows::revision(row, 0))
}
