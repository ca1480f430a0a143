//! The lock file, which allows one process per data file.
//!
//! `SQLite` itself would let two processes write alternately, but the server keeps the head in memory, which would
//! become outdated. The lock is a kernel file lock: it is released when the process ends for any reason.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::open_error::{OpenError, io_error};
use crate::paths::sibling_path;

/// The lock of a data file, held until it is dropped.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

impl Lock {
    /// Takes the lock of `data`; the error names the process that holds it.
    pub fn take(data: &Path) -> Result<Self, OpenError> {
        let path = sibling_path(data, ".lock");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(&path).map_err(io_error("open the lock file", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(OpenError::Held { path: data.to_owned(), process: holder(&mut file) });
            }
            Err(TryLockError::Error(source)) => return Err(io_error("lock", &path)(source)),
        }
        write_pid(&mut file).map_err(io_error("write the lock file", &path))?;
        Ok(Self { file })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file would release the lock, unless a child process that was just forked still has the descriptor
        // until it calls exec. If this fails, closing the file is the fallback.
        let _ = self.file.unlock();
    }
}

/// Writes the process id, for the error message of another process. The lock does not depend on it.
fn write_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    writeln!(file, "{}", std::process::id())
}

fn holder(file: &mut File) -> String {
    let mut process = String::new();
    match file.read_to_string(&mut process) {
        Ok(_) if !process.trim().is_empty() => format!("process {}", process.trim()),
        _ => "a process with an unknown id".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::Lock;

    /// A duplicated descriptor, as a forked child process has before it calls exec.
    #[test]
    fn duplicated_descriptor_does_not_keep_the_lock() {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data.db");
        let lock = Lock::take(&data).unwrap();
        let copy = lock.file.try_clone().unwrap();
        Lock::take(&data).unwrap_err();
        drop(lock);
        Lock::take(&data).unwrap();
        drop(copy);
    }
}
