//! The ordered log in one `SQLite` file, for a single server process.
//!
//! One thread owns the only connection that commits (`writer.rs`); a few connections read concurrently (`reader.rs`),
//! each read in one `SQLite` snapshot. The file is in WAL mode with `synchronous=FULL`: an acknowledged commit survives
//! a crash of the machine. A background thread checkpoints the WAL while commits continue (`checkpoint.rs`). The index
//! by key is kept in memory for recent commits and flushed to the file later (`memtable.rs`). `schema.rs` defines the
//! tables and the trigger that rejects overlapping spans of any writer. A lock file excludes a second process
//! (`lock.rs`).

mod backup;
mod bulk_load;
mod checkpoint;
mod commit;
mod compaction;
mod connection;
mod data_file;
mod detached;
mod error;
mod failure_flag;
mod integrity;
pub mod limits;
mod lock;
mod memtable;
mod open;
mod open_error;
mod paths;
mod read_transaction;
mod reader;
mod recovery;
mod row_codec;
mod scan;
mod schema;
mod snapshot;
mod span;
mod store;
#[cfg(test)]
mod tests;
mod transaction;
mod view;
mod writer;

use std::sync::Arc;

use ::store::Revision;
use tokio::sync::Mutex;

pub use backup::{BackupError, BackupProgress};
pub use detached::DetachedFile;
pub use open_error::OpenError;

/// A store in one `SQLite` file.
///
/// Dropping it waits for the current write, closes the file and releases the lock.
#[derive(Debug)]
pub struct SqliteStore {
    data: Arc<data_file::DataFile>,
    /// The head lock and the head. `None` after a failed commit: the head must then be read from the file.
    head: Arc<Mutex<Option<Revision>>>,
    index: Arc<memtable::IndexMemtables>,
    readers: Arc<reader::Readers>,
    /// Readers for decisions, which do not queue after reads of clients.
    decisions: reader::Readers,
    checkpointer: checkpoint::Checkpointer,
    writer: writer::Writer,
}

/// The disk usage of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statistics {
    /// The size of the data file in bytes.
    pub file_bytes: u64,
    /// The size of the write-ahead log in bytes: commits that are durable but not yet checkpointed.
    pub wal_bytes: u64,
}

impl SqliteStore {
    /// Returns the current file sizes.
    ///
    /// # Errors
    /// If the size of the data file cannot be read.
    pub async fn statistics(&self) -> std::io::Result<Statistics> {
        let file_bytes = tokio::fs::metadata(self.data.path()).await?.len();
        let wal = tokio::fs::metadata(paths::sibling_path(self.data.path(), "-wal")).await;
        Ok(Statistics { file_bytes, wal_bytes: wal.map_or(0, |wal| wal.len()) })
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        // The writer is stopped last: the last connection that is closed removes the write-ahead log.
        self.readers.close();
        self.decisions.close();
        self.checkpointer.stop();
        self.writer.stop();
    }
}
