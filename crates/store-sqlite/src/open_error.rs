//! Why a data file cannot be opened.

use std::io;
use std::path::{Path, PathBuf};

/// Why a data file cannot be opened as a store.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("{path} is in use: another ipam process holds it ({process}); stop that one or name another file")]
    Held {
        /// The data file.
        path: PathBuf,
        /// What the lock file says about the holder.
        process: String,
    },
    /// A program that is no store has it open.
    #[error(
        "{path} was not closed when it was last used, and another program has it open (a database shell, a backup tool): close \
         that program, then start again"
    )]
    Shared {
        /// The data file.
        path: PathBuf,
    },
    /// It is some other file.
    #[error("{path} is not an ipam data file; name another file, this one was left as it is")]
    Foreign {
        /// The data file.
        path: PathBuf,
    },
    /// A later release made it.
    #[error("{path} has schema version {found} and this program knows versions up to {known}: run a newer ipam")]
    Newer {
        /// The data file.
        path: PathBuf,
        /// Its schema version.
        found: u32,
        /// The newest version that this program knows.
        known: u32,
    },
    /// An earlier release made it, and it is not to be changed.
    #[error(
        "{path} has schema version {found} and this program reads version {known}: put it into a data directory, where it is \
         brought up to date when it is opened"
    )]
    Older {
        /// The data file.
        path: PathBuf,
        /// Its schema version.
        found: u32,
        /// The version that this program reads.
        known: u32,
    },
    /// It is in use, or was left by a crash: the write-ahead log beside it has a part of its contents.
    #[error(
        "{path} has a write-ahead log beside it: it is the data file of a store and no backup of one; stop its server and name \
         its data directory, or make a backup"
    )]
    NotAlone {
        /// The data file.
        path: PathBuf,
    },
    /// The program was linked with a `SQLite` that can corrupt the file.
    #[error("SQLite {found} can lose writes; version 3.51.3 or later is needed: use the bundled library")]
    Library {
        /// The library's version.
        found: String,
    },
    /// The operating system refused.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Its answer.
        source: io::Error,
    },
    /// `SQLite` refused.
    #[error("cannot open {path} as a database")]
    Database {
        /// The data file.
        path: PathBuf,
        /// Its answer.
        source: rusqlite::Error,
    },
}

impl OpenError {
    /// Whether the file is ours and damaged.
    pub fn is_damage(&self) -> bool {
        let Self::Database { source, .. } = self else { return false };
        source.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseCorrupt)
    }
}

/// Says what was tried on which path.
pub fn io_error(action: &'static str, path: &Path) -> impl Fn(io::Error) -> OpenError + use<> {
    let path = path.to_owned();
    move |source| OpenError::Io { action, path: path.clone(), source }
}
