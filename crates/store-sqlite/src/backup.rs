//! A copy of the running store.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use rusqlite::backup::{Backup, StepResult};
use store::Head;

use crate::open::{OpenError, beside, io_error, sync_directory};
use crate::{SqliteStore, open, reader, snapshot};

/// Every page in one step, and so from one snapshot. A backup in several steps would start again at each commit.
const ALL_PAGES: i32 = -1;

impl SqliteStore {
    /// Copies the store as it is now to a new file `to`, and says where the copy's log ends. Others read and write
    /// meanwhile; only the write-ahead log grows until the copy is done. `to` appears whole or not at all.
    ///
    /// # Errors
    /// [`OpenError`] with what failed; an existing `to` is left as it is.
    pub async fn backup(&self, to: &Path) -> Result<Head, OpenError> {
        let (from, to) = (Arc::clone(&self.data), to.to_owned());
        let failed = io_error("finish the backup", &to);
        let copied = tokio::task::spawn_blocking(move || copy_to(from.path(), &to)).await;
        copied.map_err(|error| failed(io::Error::other(error)))?
    }
}

fn copy_to(from: &Path, to: &Path) -> Result<Head, OpenError> {
    let partial = beside(to, ".partial");
    let create = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial);
    let file = create.map_err(io_error("create", &partial))?;
    let copied = copy_pages(from, &partial)
        .map_err(|source| OpenError::Database { path: partial.clone(), source })
        .and_then(|head| file.sync_all().map(|()| head).map_err(io_error("sync", &partial)))
        // A link, because a rename would replace a file that is there.
        .and_then(|head| fs::hard_link(&partial, to).map(|()| head).map_err(io_error("create", to)));
    fs::remove_file(&partial).map_err(io_error("remove", &partial))?;
    let head = copied?;
    sync_directory(to)?;
    Ok(head)
}

fn copy_pages(from: &Path, partial: &Path) -> rusqlite::Result<Head> {
    let source = reader::connect(from)?;
    let mut copy = open::connect_writer(partial)?;
    // The whole file is synced once at the end.
    copy.pragma_update(None, "synchronous", "off")?;
    match Backup::new(&source, &mut copy)?.step(ALL_PAGES)? {
        StepResult::Done => {}
        _ => return Err(busy()),
    }
    // The copy's own head: the source may have moved on.
    Ok(snapshot::horizon(&copy)?.into())
}

fn busy() -> rusqlite::Error {
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
    rusqlite::Error::SqliteFailure(code, Some("the data file is locked by another program".to_owned()))
}
