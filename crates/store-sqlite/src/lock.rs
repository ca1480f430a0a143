//! One process per data file.
//!
//! `SQLite` itself would let two processes take turns; the server above keeps the head in memory and would be wrong.
//! The lock is the kernel's: it ends with the process, however that ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::open_error::{OpenError, io_error};
use crate::paths::beside;

/// The lock on one data file, held until it is dropped.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

impl Lock {
    /// Takes the lock of `data`, or says who has it.
    pub fn take(data: &Path) -> Result<Self, OpenError> {
        let path = beside(data, ".lock");
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
        leave_name(&mut file).map_err(io_error("write the lock file", &path))?;
        Ok(Self { file })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file would do, but for a child process that is being started just now: until it runs its own
        // program it has the file open, too. If this fails, closing is still to come.
        let _ = self.file.unlock();
    }
}

/// Writes who holds it, for the message that the next process prints. The lock does not depend on it.
fn leave_name(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    writeln!(file, "{}", std::process::id())
}

fn holder(file: &mut File) -> String {
    let mut process = String::new();
    match file.read_to_string(&mut process) {
        Ok(_) if !process.trim().is_empty() => format!("process {}", process.trim()),
        _ => "a process that left no number".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::Lock;

    /// As a process that was forked from this one would have it, until it runs its own program.
    #[test]
    fn a_copy_of_the_file_does_not_prolong_the_lock() {
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
