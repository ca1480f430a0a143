//! Whether the store can go on in this process.
//!
//! After a failed fsync the kernel takes the pages for clean: a later fsync succeeds although they never reached the disk, and a
//! checkpoint would then drop the only durable copy. So no sync is tried a second time. The store stops writing, the
//! process ends, and the next one copies every frame of the write-ahead log again (`open.rs`). The same holds after a panic
//! of a thread that the store needs.

use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ffi};
use store::Error;
use tokio::sync::watch;

use crate::failure::failed;

/// The store's condition, shared by everything that writes.
#[derive(Debug, Default)]
pub struct Condition {
    /// Why the store cannot go on. The first reason stays.
    reason: watch::Sender<Option<String>>,
}

impl Condition {
    /// From now on nothing is written.
    pub fn fail(&self, reason: String) {
        self.reason.send_if_modified(|first| {
            let is_first = first.is_none();
            if is_first {
                tracing::error!(reason, "the store cannot go on: the process has to end");
                *first = Some(reason);
            }
            is_first
        });
    }

    /// Whether the store has failed.
    pub fn is_failed(&self) -> bool {
        self.reason.borrow().is_some()
    }

    /// Waits until the store has failed.
    pub async fn failed(&self) -> String {
        let mut reason = self.reason.subscribe();
        let first = reason.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone());
        match first {
            Some(reason) => reason,
            // The sender lives as long as `self`.
            None => std::future::pending().await,
        }
    }

    /// What the error of a statement that writes means to the caller: nothing was written, or, after a failed sync, that is not
    /// known. Whether its frames are there is for the next start to say: what the kernel shows from now on is not what
    /// the disk has.
    pub fn written(&self, error: rusqlite::Error) -> Error {
        if !is_sync(&error) {
            return failed(error);
        }
        self.check(&error);
        Error::Unknown(format!(
            "the disk did not confirm it ({error}): the process ends, and the next start shows whether it was made; read the \
             objects again before repeating the call"
        ))
    }

    /// The store fails if this is a failed sync.
    pub fn check(&self, error: &rusqlite::Error) {
        if is_sync(error) {
            self.fail(format!("a sync of the write-ahead log or of the data file failed ({error}): check the disk"));
        }
    }

    /// Starts a thread that the store needs: a panic in it is the end of the store.
    pub fn spawn(self: &Arc<Self>, name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
        let condition = Arc::clone(self);
        let thread = name.to_owned();
        let watched = move || {
            if panic::catch_unwind(AssertUnwindSafe(work)).is_err() {
                condition.fail(format!("the thread {thread} panicked"));
            }
        };
        thread::Builder::new().name(name.to_owned()).spawn(watched)
    }

    /// Closes a connection that writes. `SQLite` checkpoints when the last one is closed and removes the write-ahead log, which
    /// after a failed sync is the only durable copy.
    pub fn close(&self, connection: Connection) {
        if self.is_failed()
            && let Err(error) = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
        {
            tracing::error!(%error, "SQLite does not keep the write-ahead log when it closes the data file: left open");
            std::mem::forget(connection);
        }
    }
}

/// Whether a sync failed, of a file or of its directory.
pub fn is_sync(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error().map(|error| error.extended_code);
    matches!(code, Some(ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC))
}
