//! Recovery: checkpoints the write-ahead log (WAL) that an earlier process left, before the store is opened.
//!
//! A remaining WAL means that the process was killed, or ended because a sync failed. Then the kernel's view of either
//! file may not be on the disk, and no commit may be acknowledged on top of it. The WAL is therefore rewritten in place
//! and synced; then every frame of it is written to the data file, even if it was checkpointed before, and the data
//! file is synced. The store starts with an empty WAL. A power failure during recovery leaves a complete WAL.
//!
//! Recovery needs exclusive access to the file. `SQLite` keeps the checkpoint position in memory that is shared by all
//! processes and discarded when the last one closes the file. If another program has the file open, that position
//! remains, and frames that were checkpointed but not synced would be skipped.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rusqlite::{Connection, ErrorCode};

use crate::connection::connect_writer;
use crate::open_error::{OpenError, io_error};
use crate::paths::sibling_path;

/// The number of bytes that are rewritten at once.
const CHUNK_BYTES: usize = 1 << 20;

/// Checkpoints and empties the WAL of the data file at `path`, if there is one. The process must hold the lock file.
pub fn recover(path: &Path) -> Result<(), OpenError> {
    let log = sibling_path(path, "-wal");
    if fs::metadata(&log).map_or(0, |log| log.len()) == 0 {
        return Ok(());
    }
    let database = |source: rusqlite::Error| match source.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => OpenError::Shared { path: path.to_owned() },
        _ => OpenError::Database { path: path.to_owned(), source },
    };
    let connection = match open_exclusive(path) {
        Ok(connection) => connection,
        // `schema::prepare` reports later what the file is instead.
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::NotADatabase) => return Ok(()),
        Err(error) => return Err(database(error)),
    };
    rewrite_and_sync(&log).map_err(io_error("rewrite and sync", &log))?;
    let frames = checkpoint_all(&connection).map_err(database)?;
    connection.close().map_err(|(_, error)| database(error))?;
    tracing::info!(frames, "the write-ahead log of an earlier process was checkpointed into the data file");
    Ok(())
}

/// Opens an exclusive connection; fails if another process has the file open.
fn open_exclusive(path: &Path) -> rusqlite::Result<Connection> {
    let connection = connect_writer(path)?;
    // Set before the WAL is read, so that SQLite rebuilds the WAL index in private memory.
    connection.pragma_update(None, "locking_mode", "exclusive")?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    Ok(connection)
}

/// Rewrites the WAL and syncs it. Pages that an earlier sync could not write are clean in the kernel's cache, and only
/// rewritten pages are synced again.
fn rewrite_and_sync(log: &Path) -> io::Result<()> {
    let file = OpenOptions::new().read(true).write(true).open(log)?;
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut at = 0;
    loop {
        let read = file.read_at(&mut chunk, at)?;
        if read == 0 {
            return file.sync_all();
        }
        file.write_all_at(&chunk[..read], at)?;
        at += read as u64;
    }
}

/// Checkpoints the whole WAL. Returns the number of its frames.
fn checkpoint_all(connection: &Connection) -> rusqlite::Result<i64> {
    // A TRUNCATE checkpoint does not report the number of frames.
    let frames = connection.query_row("PRAGMA wal_checkpoint(FULL)", [], |row| row.get(1))?;
    let busy: bool = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    if busy {
        let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
        return Err(rusqlite::Error::SqliteFailure(code, None));
    }
    Ok(frames)
}
