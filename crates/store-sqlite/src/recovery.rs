//! What an earlier process left in the write-ahead log, moved into the data file before anything else happens.
//!
//! A log that is still there means that the process was killed, or ended because a sync failed. Then nothing that the kernel
//! shows of either file is sure to be on the disk, and no commit may be acknowledged on top of it. So the log is written once
//! more as it is and synced; then every frame of it is written to the data file, whatever was moved before, and that is
//! synced. The store begins with an empty log. A power failure in the middle leaves a log that is complete.
//!
//! This needs the file alone. `SQLite` keeps how far the log was moved in memory that processes share, and forgets it when the
//! last one goes; a program that has the file open keeps it, and frames that were moved, but not synced, would be passed over.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rusqlite::{Connection, ErrorCode};

use crate::connection::connect_writer;
use crate::open_error::{OpenError, io_error};
use crate::paths::beside;

/// How much of the log is written again at once.
const CHUNK_BYTES: usize = 1 << 20;

/// Empties the write-ahead log of the data file at `path`, which is locked for this process, if there is one.
pub fn recover(path: &Path) -> Result<(), OpenError> {
    let log = beside(path, "-wal");
    if fs::metadata(&log).map_or(0, |log| log.len()) == 0 {
        return Ok(());
    }
    let database = |source: rusqlite::Error| match source.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => OpenError::Shared { path: path.to_owned() },
        _ => OpenError::Database { path: path.to_owned(), source },
    };
    let connection = match take_alone(path) {
        Ok(connection) => connection,
        // What it is instead is said later.
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::NotADatabase) => return Ok(()),
        Err(error) => return Err(database(error)),
    };
    write_again(&log).map_err(io_error("write again and sync", &log))?;
    let frames = move_all(&connection).map_err(database)?;
    connection.close().map_err(|(_, error)| database(error))?;
    tracing::info!(frames, "the write-ahead log of an earlier process was moved into the data file");
    Ok(())
}

/// A connection beside which there is none, in any process.
fn take_alone(path: &Path) -> rusqlite::Result<Connection> {
    let connection = connect_writer(path)?;
    // Before the first look at the log: then its index is made anew, in memory that is not shared.
    connection.pragma_update(None, "locking_mode", "exclusive")?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    Ok(connection)
}

/// Pages that an earlier sync could not write are clean in the kernel's memory: only what is written again is synced again.
fn write_again(log: &Path) -> io::Result<()> {
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

/// Moves the whole log; gives back how many frames it had.
fn move_all(connection: &Connection) -> rusqlite::Result<i64> {
    // A log that is truncated tells no number any more.
    let frames = connection.query_row("PRAGMA wal_checkpoint(FULL)", [], |row| row.get(1))?;
    let busy: bool = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    if busy {
        let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
        return Err(rusqlite::Error::SqliteFailure(code, None));
    }
    Ok(frames)
}
