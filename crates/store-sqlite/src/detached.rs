//! A data file that no store has open, such as a backup. It is opened read-only and never changed.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};
use store::{Error, Snapshot};
use tokio::task::spawn_blocking;

use crate::connection::configure;
use crate::error::{closed, failed};
use crate::open_error::{OpenError, io_error};
use crate::paths::sibling_path;
use crate::read_transaction::SqliteSnapshot;
use crate::{integrity, memtable, schema};

/// A detached data file.
#[derive(Debug)]
pub struct DetachedFile {
    path: PathBuf,
}

impl DetachedFile {
    /// Opens the file at `path` and checks that it can be read without changes.
    ///
    /// # Errors
    /// [`OpenError`] if it is not a data file, has another schema version, or is or was open in a store (it has a
    /// write-ahead log).
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let path = fs::canonicalize(&path).map_err(io_error("find", path.as_ref()))?;
        if fs::metadata(sibling_path(&path, "-wal")).is_ok_and(|log| log.len() > 0) {
            return Err(OpenError::HasWriteAheadLog { path });
        }
        let file = Self { path };
        let connection = file.connect().map_err(|source| OpenError::Database { path: file.path.clone(), source })?;
        schema::check_current(&connection, &file.path)?;
        Ok(file)
    }

    /// Returns a snapshot of the contents.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub async fn snapshot(&self) -> Result<Box<dyn Snapshot>, Error> {
        let connection = self.connect().map_err(failed)?;
        let begin = move || {
            let index = memtable::from_log(&connection).map_err(failed)?;
            SqliteSnapshot::on(connection, &index, None)
        };
        Ok(Box::new(spawn_blocking(begin).await.map_err(|_| closed())??))
    }

    /// Runs SQLite's integrity check and returns its messages; empty if there are no errors.
    ///
    /// # Errors
    /// If the file cannot be read at all.
    pub async fn integrity(&self) -> Result<Vec<String>, Error> {
        let connection = self.connect().map_err(failed)?;
        spawn_blocking(move || integrity::check(&connection)).await.map_err(|_| closed())?
    }

    /// Opens an immutable connection, which takes no locks and creates no files, so that a read-only medium is
    /// sufficient.
    fn connect(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
        let connection = Connection::open_with_flags(uri(&self.path), flags)?;
        configure(&connection)?;
        Ok(connection)
    }
}

/// Returns the URI of an immutable database file.
fn uri(path: &Path) -> PathBuf {
    let mut uri = b"file:".to_vec();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'%' | b'?' | b'#' => uri.extend(format!("%{byte:02x}").bytes()),
            byte => uri.push(*byte),
        }
    }
    uri.extend(b"?immutable=1");
    OsString::from_vec(uri).into()
}
