//! The data file itself, as opposed to connections to it.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// The path of the data file, and a descriptor for syncing it.
///
/// Every owner of a connection must keep this until the connection is closed: closing any descriptor of a file releases
/// the POSIX locks that the process holds on it, including SQLite's.
#[derive(Debug)]
pub struct DataFile {
    path: PathBuf,
    file: File,
}

impl DataFile {
    /// Opens the file at `path`. The process must hold the lock file.
    pub fn open(path: PathBuf) -> io::Result<Self> {
        let file = File::open(&path)?;
        Ok(Self { path, file })
    }

    /// Returns the canonical path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Syncs the contents to the disk.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}
