//! The permanent failure state of the store.
//!
//! After a failed fsync the kernel marks the pages as clean: a later fsync succeeds although they never reached the
//! disk, and a checkpoint would then discard the only durable copy. A sync is therefore never retried. The store stops
//! writing, the process ends, and the next one checkpoints every frame of the WAL again (`recovery.rs`). A panic of a
//! thread that the store needs is handled in the same way.

use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ffi};
use store::Error;
use tokio::sync::watch;

use crate::error::failed;

/// The failure state, shared by everything that writes.
#[derive(Debug, Default)]
pub struct FailureFlag {
    /// The reason of the failure. Only the first reason is kept.
    reason: watch::Sender<Option<String>>,
}

impl FailureFlag {
    /// Marks the store as failed. Nothing is written afterwards.
    pub fn fail(&self, reason: String) {
        self.reason.send_if_modified(|first| {
            let is_first = first.is_none();
            if is_first {
                tracing::error!(reason, "the store has failed permanently: the process must end");
                *first = Some(reason);
            }
            is_first
        });
    }

    /// True if the store has failed.
    pub fn is_failed(&self) -> bool {
        self.reason.borrow().is_some()
    }

    /// Waits until the store has failed, and returns the reason.
    pub async fn failed(&self) -> String {
        let mut reason = self.reason.subscribe();
        let first = reason.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone());
        match first {
            Some(reason) => reason,
            // The sender lives as long as `self`.
            None => std::future::pending().await,
        }
    }

    /// Converts the error of a writing statement: either nothing was written, or, after a failed sync, the outcome is
    /// unknown. The next start resolves it, because after a failed sync the kernel's view may differ from the disk.
    pub fn written(&self, error: rusqlite::Error) -> Error {
        if !is_sync(&error) {
            return failed(error);
        }
        self.check(&error);
        Error::OutcomeUnknown(format!(
            "the disk did not confirm the commit ({error}): the process ends, and the next start shows whether the commit was \
             written; read the objects again before repeating the call"
        ))
    }

    /// Fails the store permanently if this is a failed sync.
    pub fn check(&self, error: &rusqlite::Error) {
        if is_sync(error) {
            self.fail(format!("a sync of the write-ahead log or of the data file failed ({error}): check the disk"));
        }
    }

    /// Starts a thread that the store needs. A panic in it fails the store permanently.
    pub fn spawn(self: &Arc<Self>, name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
        let failure_flag = Arc::clone(self);
        let thread = name.to_owned();
        let watched = move || {
            if panic::catch_unwind(AssertUnwindSafe(work)).is_err() {
                failure_flag.fail(format!("the thread {thread} panicked"));
            }
        };
        thread::Builder::new().name(name.to_owned()).spawn(watched)
    }

    /// Closes a writing connection. When the last connection is closed, `SQLite` checkpoints and removes the WAL. After
    /// a failed sync the WAL is the only durable copy, so this is prevented.
    pub fn close(&self, connection: Connection) {
        if self.is_failed()
            && let Err(error) = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
        {
            tracing::error!(%error, "SQLite would remove the write-ahead log when it closes the data file: the connection is left open");
            std::mem::forget(connection);
        }
    }
}

/// True if the sync of a file or of its directory failed.
pub fn is_sync(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error().map(|error| error.extended_code);
    matches!(code, Some(ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC))
}
