//! The files next to the data file, and their directory.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};

use crate::open_error::{OpenError, io_error};

/// The directory that a file is in.
pub fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes the name of a new file durable.
pub fn sync_directory(path: &Path) -> Result<(), OpenError> {
    let directory = directory(path);
    File::open(directory).and_then(|opened| opened.sync_all()).map_err(io_error("sync the directory", directory))
}

/// The name of a file that belongs to `path`.
pub fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}
