//! Online backup: a copy of the running store.
//!
//! The copy is made from one snapshot, in steps. Commits continue and append to the write-ahead log (WAL), which cannot
//! be restarted until the copy is done; the growth of the WAL is limited. The caller may cancel between two steps.
//!
//! The result is one file with a complete index and without a WAL, so that it can be read from a read-only medium.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};
use store::Head;

use crate::data_file::DataFile;
use crate::limits::BACKUP_WAL_BYTES_MAX;
use crate::open_error::{OpenError, io_error};
use crate::paths::{directory, sibling_path, sync_directory};
use crate::{SqliteStore, connection, memtable, paths, reader, view};

/// The number of pages to copy per step (4 MiB). After each step the caller may cancel.
const PAGES_PER_STEP: i32 = 1_024;

/// The number of bytes to copy before a sync. Without these syncs the final sync would write the whole copy at once,
/// and commits would be delayed.
const BYTES_PER_SYNC: u64 = 64 * 1024 * 1024;

/// Suffixes of files that SQLite may create next to a database.
const SIDE_FILES: [&str; 3] = ["-journal", "-wal", "-shm"];

/// The progress of a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackupProgress {
    /// The number of bytes copied.
    pub copied: u64,
    /// The number of bytes to copy in total.
    pub total: u64,
}

/// The error of a backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The target file exists.
    #[error("{path} exists already and was left as it is: name a new file")]
    Exists {
        /// The target file.
        path: PathBuf,
    },
    /// Another backup writes to the same target.
    #[error("another backup is being written to {path}: name another file, or wait for it")]
    Busy {
        /// The target file.
        path: PathBuf,
    },
    /// The target's disk has too little free space.
    #[error(
        "the disk of {path} has {free} bytes free, and the backup needs {needed}: free some space or name another disk"
    )]
    NoSpace {
        /// The target file.
        path: PathBuf,
        /// The number of free bytes.
        free: u64,
        /// The number of required bytes.
        needed: u64,
    },
    /// Commits were so frequent that the write-ahead log became too large.
    #[error(
        "the backup was canceled: the write-ahead log grew by {grown} bytes during the backup, and {limit} are allowed; write \
         the backup to a faster disk, or at a time with fewer writes"
    )]
    WalTooLong {
        /// The growth of the write-ahead log in bytes.
        grown: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The caller canceled the backup.
    #[error("the backup was canceled")]
    GivenUp,
    /// The copy failed, for instance because the target's disk is full or the data file cannot be read.
    #[error("cannot copy the store to {path}")]
    Copy {
        /// The target file.
        path: PathBuf,
        /// The SQLite error.
        source: rusqlite::Error,
    },
    /// A file operation failed.
    #[error(transparent)]
    Failed(#[from] OpenError),
}

impl SqliteStore {
    /// Copies the current state of the store to the new file `to`, and returns the head of the copy. Reads and writes
    /// continue. `to` appears atomically, or not at all. After every step `watch` decides whether to continue; it may
    /// block.
    ///
    /// # Errors
    /// [`BackupError`]. An existing `to` is not changed, and no other file remains.
    pub async fn backup(
        &self,
        to: &Path,
        watch: impl FnMut(BackupProgress) -> ControlFlow<()> + Send + 'static,
    ) -> Result<Head, BackupError> {
        let (data, to) = (Arc::clone(&self.data), to.to_owned());
        let failed = io_error("finish the backup", &to);
        // A long read: the writer must not wait for it.
        let restart_hold = self.checkpointer.hold_restart();
        let work = move || {
            let done = BackupCopy { data: &data, to: &to, watch: Box::new(watch), limit: BACKUP_WAL_BYTES_MAX }.run();
            drop(restart_hold);
            done
        };
        tokio::task::spawn_blocking(work).await.map_err(|error| failed(io::Error::other(error)))?
    }
}

/// A backup in progress.
struct BackupCopy<'a> {
    data: &'a DataFile,
    to: &'a Path,
    watch: Box<dyn FnMut(BackupProgress) -> ControlFlow<()> + Send>,
    /// The maximum growth of the write-ahead log in bytes.
    limit: u64,
}

impl BackupCopy<'_> {
    fn run(&mut self) -> Result<Head, BackupError> {
        if fs::symlink_metadata(self.to).is_ok() {
            return Err(BackupError::Exists { path: self.to.to_owned() });
        }
        let partial = Partial::create(self.to)?;
        let limit = self.check_space()?;
        let copied = self.copy(&partial, limit)?;
        // Only after SQLite has closed the file, because closing writes to it.
        partial.file.sync_all().map_err(io_error("sync", &partial.path))?;
        partial.publish(self.to)?;
        Ok(copied)
    }

    /// Checks that the copy fits on its disk, and returns the maximum growth of the write-ahead log in bytes.
    fn check_space(&self) -> Result<u64, BackupError> {
        let directory = directory(self.to);
        let needed = file_bytes(self.data.path()).map_err(io_error("read the size of", self.data.path()))?;
        let free = free_bytes(directory).map_err(io_error("read the free space of the disk of", directory))?;
        if free < needed {
            return Err(BackupError::NoSpace { path: self.to.to_owned(), free, needed });
        }
        let data_directory = paths::directory(self.data.path());
        let is_same = device(directory).is_some_and(|device_of_copy| Some(device_of_copy) == device(data_directory));
        let left = if is_same {
            free - needed
        } else {
            free_bytes(data_directory).map_err(io_error("read the free space of the disk of", data_directory))?
        };
        Ok(self.limit.min(left / 2))
    }

    fn copy(&mut self, partial: &Partial, limit: u64) -> Result<Head, BackupError> {
        let database = |source: rusqlite::Error| BackupError::Copy { path: self.to.to_owned(), source };
        let mut copy = connection::connect_writer(&partial.path).map_err(database)?;
        // The file is synced at the end, and discarded if anything fails before.
        copy.pragma_update(None, "synchronous", "off").map_err(database)?;
        self.copy_pages(&mut copy, partial, limit)?;
        finish(&mut copy).map_err(database)
    }

    fn copy_pages(&mut self, copy: &mut Connection, partial: &Partial, limit: u64) -> Result<(), BackupError> {
        let database = |source: rusqlite::Error| BackupError::Copy { path: self.to.to_owned(), source };
        let log = sibling_path(self.data.path(), "-wal");
        let log_before = file_bytes(&log).unwrap_or(0);
        let source = reader::connect(self.data.path()).map_err(database)?;
        // All steps read one snapshot. Without it, every commit would restart the copy.
        source.execute_batch("BEGIN").map_err(database)?;
        view::bounds(&source).map_err(database)?;
        let page_bytes: u32 = source.pragma_query_value(None, "page_size", |row| row.get(0)).map_err(database)?;
        let steps = Backup::new(&source, copy).map_err(database)?;
        let mut synced = 0;
        loop {
            let step = steps.step(PAGES_PER_STEP).map_err(database)?;
            let progress = steps.progress();
            let pages = |count: i32| u64::try_from(count).unwrap_or(0) * u64::from(page_bytes);
            let (total, left) = (pages(progress.pagecount), pages(progress.remaining));
            let copied = total.saturating_sub(left);
            match step {
                StepResult::Done => return Ok(()),
                StepResult::More => {}
                _ => return Err(database(busy())),
            }
            if (self.watch)(BackupProgress { copied, total }).is_break() {
                return Err(BackupError::GivenUp);
            }
            let grown = file_bytes(&log).unwrap_or(0).saturating_sub(log_before);
            if grown > limit {
                return Err(BackupError::WalTooLong { grown, limit });
            }
            if copied.saturating_sub(synced) >= BYTES_PER_SYNC {
                partial.file.sync_data().map_err(io_error("sync", &partial.path))?;
                synced = copied;
            }
        }
    }
}

/// Completes the index of the copy, and switches it to a journal mode that needs no write-ahead log.
fn finish(copy: &mut Connection) -> rusqlite::Result<Head> {
    copy.pragma_update(None, "journal_mode", "delete")?;
    // The copy's head; the source may have newer commits.
    let bounds = view::bounds(copy)?;
    memtable::catch_up(copy, bounds.head)?;
    Ok(bounds.into())
}

/// The unfinished copy under a temporary name. Dropping this removes the file.
struct Partial {
    path: PathBuf,
    /// Locked, so that a concurrent backup to the same target does not remove the file as a leftover.
    file: File,
}

impl Partial {
    fn create(to: &Path) -> Result<Self, BackupError> {
        let path = sibling_path(to, ".partial");
        let create = || OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let made = create().or_else(|error| {
            if error.kind() != io::ErrorKind::AlreadyExists {
                return Err(error);
            }
            // Either a backup is in progress, or a process was killed during one.
            let left = File::open(&path)?;
            match left.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(io::ErrorKind::WouldBlock.into()),
                Err(TryLockError::Error(error)) => return Err(error),
            }
            remove(&path)?;
            create()
        });
        let file = made.map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => BackupError::Busy { path: to.to_owned() },
            _ => io_error("create", &path)(error).into(),
        })?;
        let partial = Self { path, file };
        match partial.file.try_lock() {
            Ok(()) => Ok(partial),
            Err(TryLockError::WouldBlock) => Err(BackupError::Busy { path: to.to_owned() }),
            Err(TryLockError::Error(error)) => Err(io_error("lock", &partial.path)(error).into()),
        }
    }

    /// Gives the file its final name durably.
    fn publish(&self, to: &Path) -> Result<(), BackupError> {
        // A hard link, because a rename would replace an existing file.
        let named = match fs::hard_link(&self.path, to) {
            // Not every file system supports hard links.
            Err(error) if has_no_links(&error) && fs::symlink_metadata(to).is_err() => fs::rename(&self.path, to),
            named => named,
        };
        named.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => BackupError::Exists { path: to.to_owned() },
            _ => io_error("create", to)(error).into(),
        })?;
        Ok(sync_directory(to)?)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // On failure the next backup to this target removes the file.
        let _ = remove(&self.path);
    }
}

/// Removes an unfinished copy and its SQLite files.
fn remove(path: &Path) -> io::Result<()> {
    for companion in SIDE_FILES {
        match fs::remove_file(sibling_path(path, companion)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    fs::remove_file(path)
}

fn has_no_links(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied)
}

fn file_bytes(path: &Path) -> io::Result<u64> {
    fs::metadata(path).map(|file| file.len())
}

fn device(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().map(|directory| directory.dev())
}

fn free_bytes(directory: &Path) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(directory)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

fn busy() -> rusqlite::Error {
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
    rusqlite::Error::SqliteFailure(code, Some("the data file is locked by another program".to_owned()))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use store::{Key, Store, Write};
    use tokio::runtime::Handle;

    use super::*;

    async fn commit(store: &SqliteStore, key: String) {
        let write = Write {
            key: Key::new(key).unwrap(),
            value: Some(Bytes::from(vec![b'v'; 1 << 20])),
            expected: None,
            releases: vec![],
            takes: vec![],
        };
        store.begin().await.unwrap().commit(vec![write]).await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn backup_is_canceled_when_the_wal_grows_too_large() {
        let directory = tempfile::tempdir().unwrap();
        let store = Arc::new(SqliteStore::open(directory.path().join("data.db")).unwrap());
        for number in 0..16 {
            commit(&store, format!("k{number}")).await;
        }
        let (data, to) = (Arc::clone(&store.data), directory.path().join("copy.db"));
        let (committing, handle, mut number) = (Arc::clone(&store), Handle::current(), 0);
        let watch = move |_| {
            // More than the limit, even if the WAL is reused from the start.
            for _ in 0..64 {
                number += 1;
                handle.block_on(commit(&committing, format!("more{number}")));
            }
            ControlFlow::Continue(())
        };
        let work = move || BackupCopy { data: &data, to: &to, watch: Box::new(watch), limit: 8 << 20 }.run();
        let error = tokio::task::spawn_blocking(work).await.unwrap().unwrap_err();
        assert!(matches!(error, BackupError::WalTooLong { grown, limit } if grown > limit), "{error:?}");
        assert!(error.to_string().contains("faster disk"), "{error}");
        assert!(!directory.path().join("copy.db").exists() && !directory.path().join("copy.db.partial").exists());
    }
}
