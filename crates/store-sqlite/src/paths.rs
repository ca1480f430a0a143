//! Paths of the data file's directory and of the files next to it.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};

use crate::open_error::{OpenError, io_error};

/// Returns the directory of a file.
pub fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Syncs the directory of `path`, so that a new file name is durable.
pub fn sync_directory(path: &Path) -> Result<(), OpenError> {
    let directory = directory(path);
    File::open(directory).and_then(|opened| opened.sync_all()).map_err(io_error("sync the directory", directory))
}

/// Returns the path of a file next to `path`, with the suffix appended.
pub fn sibling_path(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}
