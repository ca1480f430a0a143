//! The data file itself, beside the connections to it.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// Where the data file is, and a descriptor to sync it by.
///
/// Everyone who has a connection keeps this longer: closing any descriptor of a file drops the locks that the process
/// holds on it, SQLite's among them.
#[derive(Debug)]
pub struct DataFile {
    path: PathBuf,
    file: File,
}

impl DataFile {
    /// Opens the file at `path`, which must be locked for this process.
    pub fn open(path: PathBuf) -> io::Result<Self> {
        let file = File::open(&path)?;
        Ok(Self { path, file })
    }

    /// Its one true path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Waits until what was written to it is on the disk.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}
