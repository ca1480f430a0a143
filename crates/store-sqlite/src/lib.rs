//! The ordered log on one machine, in one `SQLite` file.
//!
//! One thread owns the one connection that writes (`writer.rs`); a few connections read beside it (`reader.rs`), each
//! read inside one `SQLite` snapshot. The file is in WAL mode with `synchronous=FULL`: a commit that was acknowledged
//! survives the machine. A third kind moves the write-ahead log into the data file, beside the commits
//! (`checkpoint.rs`). The index by key follows the log at a distance, and is in memory until then (`recent.rs`). What the
//! file looks like, and the trigger that refuses overlapping spans whoever writes them, is in `schema.rs`. A lock beside
//! the file keeps a second process out (`lock.rs`).

mod backup;
mod checkpoint;
mod commit;
mod compaction;
mod condition;
mod connection;
mod data_file;
mod detached;
mod failure;
mod frozen;
mod integrity;
pub mod limits;
mod load;
mod lock;
mod open;
mod open_error;
mod paths;
mod reader;
mod recent;
mod recovery;
mod rows;
mod schema;
mod snapshot;
mod span;
mod store;
#[cfg(test)]
mod tests;
mod transaction;
mod view;
mod walk;
mod writer;

use std::sync::Arc;

use ::store::Revision;
use tokio::sync::Mutex;

pub use backup::{BackupError, BackupProgress};
pub use detached::DetachedFile;
pub use open_error::OpenError;

/// A store in one `SQLite` file.
///
/// Dropping it waits for the write under way, closes the file and gives the lock back.
#[derive(Debug)]
pub struct SqliteStore {
    data: Arc<data_file::DataFile>,
    /// The head, for whoever may commit next. `None` after a commit failed: ask the file before going on.
    head: Arc<Mutex<Option<Revision>>>,
    recent: Arc<recent::Recent>,
    readers: Arc<reader::Readers>,
    /// What decisions are made from: reads of users do not hold it.
    decisions: reader::Readers,
    checkpointer: checkpoint::Checkpointer,
    writer: writer::Writer,
}

/// What the store takes on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statistics {
    /// The data file.
    pub file_bytes: u64,
    /// The write-ahead log beside it: commits that are durable and not yet in the data file.
    pub wal_bytes: u64,
}

impl SqliteStore {
    /// How large the files are now.
    ///
    /// # Errors
    /// If the data file's size cannot be read.
    pub async fn statistics(&self) -> std::io::Result<Statistics> {
        let file_bytes = tokio::fs::metadata(self.data.path()).await?.len();
        let wal = tokio::fs::metadata(paths::beside(self.data.path(), "-wal")).await;
        Ok(Statistics { file_bytes, wal_bytes: wal.map_or(0, |wal| wal.len()) })
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        // The writer last: the connection that closes last leaves no write-ahead log behind.
        self.readers.close();
        self.decisions.close();
        self.checkpointer.stop();
        self.writer.stop();
    }
}
