//! Errors of opening a data file.

use std::io;
use std::path::{Path, PathBuf};

/// The reason why a data file cannot be opened as a store.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process holds the lock.
    #[error("{path} is in use: another ipam process holds it ({process}); stop that one or name another file")]
    Held {
        /// The data file.
        path: PathBuf,
        /// The process id in the lock file.
        process: String,
    },
    /// Another program (not a store) has the file open.
    #[error(
        "{path} was not closed when it was last used, and another program has it open (a database shell, a backup tool): close \
         that program, then start again"
    )]
    Shared {
        /// The data file.
        path: PathBuf,
    },
    /// The file is not a data file of this program.
    #[error("{path} is not an ipam data file; name another file, this one was left as it is")]
    Foreign {
        /// The data file.
        path: PathBuf,
    },
    /// The file was created by a later release.
    #[error("{path} has schema version {found} and this program knows versions up to {known}: run a newer ipam")]
    Newer {
        /// The data file.
        path: PathBuf,
        /// The schema version of the file.
        found: u32,
        /// The newest schema version that this program knows.
        known: u32,
    },
    /// The file has the schema of an earlier program.
    #[error(
        "{path} has the schema of an earlier ipam, which this program does not read: export it with the ipam that wrote it \
         (`ipam store export`), then import that file into a new store (`ipam store import`)"
    )]
    Earlier {
        /// The name.
        path: PathBuf,
    },
    /// The file is in use, or was left by a crash: its write-ahead log has a part of the contents.
    #[error(
        "{path} has a write-ahead log next to it: it is the data file of a store, not a backup; stop its server and name \
         its data directory, or make a backup"
    )]
    HasWriteAheadLog {
        /// The data file.
        path: PathBuf,
    },
    /// The program is linked with a `SQLite` version that can corrupt the file.
    #[error("SQLite {found} can lose writes; version 3.51.3 or later is needed: use the bundled library")]
    Library {
        /// The version of the library.
        found: String,
    },
    /// An operation of the operating system failed.
    #[error("cannot {action} {path}")]
    Io {
        /// The operation.
        action: &'static str,
        /// The path.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// `SQLite` reported an error.
    #[error("cannot open {path} as a database")]
    Database {
        /// The data file.
        path: PathBuf,
        /// The error of SQLite.
        source: rusqlite::Error,
    },
}

impl OpenError {
    /// True if the file is a data file of this program and is damaged.
    pub fn is_damage(&self) -> bool {
        let Self::Database { source, .. } = self else { return false };
        source.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseCorrupt)
    }
}

/// Returns a function that adds the operation and the path to an I/O error.
pub fn io_error(action: &'static str, path: &Path) -> impl Fn(io::Error) -> OpenError + use<> {
    let path = path.to_owned();
    move |source| OpenError::Io { action, path: path.clone(), source }
}
