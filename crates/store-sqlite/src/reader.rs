//! The pool of reader connections.
//!
//! Each read uses one connection exclusively, in one `SQLite` snapshot, on a thread that may block.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, OpenFlags};
use store::Error;
use tokio::sync::Semaphore;

use crate::connection::configure;
use crate::data_file::DataFile;
use crate::error::{broken_off, closed, failed};
use crate::limits::READER_CACHE_KIB;
use crate::memtable::IndexMemtables;
use crate::view::{self, ReadView};

/// A pool of reader connections.
#[derive(Debug)]
pub struct Readers {
    data: Arc<DataFile>,
    index: Arc<IndexMemtables>,
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    /// Creates a pool of up to `most` connections, which are opened on demand and kept.
    pub fn new(data: Arc<DataFile>, index: Arc<IndexMemtables>, most: usize) -> Self {
        Self { data, index, idle: Mutex::default(), permits: Arc::new(Semaphore::new(most)) }
    }

    /// Runs `read` in one snapshot of the file. Once started it runs to its end, even if the future is dropped.
    pub async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&ReadView<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| closed())?;
        let pool = Arc::clone(self);
        let work = move || {
            let outcome = pool.with_connection(read);
            drop(permit);
            outcome
        };
        tokio::task::spawn_blocking(work).await.map_err(|error| broken_off(&error))?
    }

    /// Like `run`, but on the calling thread, which it may block.
    pub async fn run_inline<T>(&self, read: impl FnOnce(&ReadView<'_>) -> Result<T, Error>) -> Result<T, Error> {
        let _permit = self.permits.acquire().await.map_err(|_| closed())?;
        self.with_connection(read)
    }

    fn with_connection<T>(&self, read: impl FnOnce(&ReadView<'_>) -> Result<T, Error>) -> Result<T, Error> {
        let connection = self.take().map_err(failed)?;
        let outcome = in_snapshot(&connection, &self.index, read);
        self.put(connection);
        outcome
    }

    /// Rejects further reads and closes idle connections.
    pub fn close(&self) {
        self.permits.close();
        self.idle().clear();
    }

    fn take(&self) -> rusqlite::Result<Connection> {
        let idle = self.idle().pop();
        idle.map_or_else(|| connect(self.data.path()), Ok)
    }

    fn put(&self, connection: Connection) {
        if !self.permits.is_closed() && connection.is_autocommit() {
            self.idle().push(connection);
        }
    }

    /// The list of idle connections is valid even after a panic of another thread.
    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens a read-only connection.
pub fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    configure(&connection)?;
    connection.pragma_update(None, "cache_size", -i64::from(READER_CACHE_KIB))?;
    Ok(connection)
}

fn in_snapshot<T>(
    connection: &Connection,
    index: &IndexMemtables,
    read: impl FnOnce(&ReadView<'_>) -> Result<T, Error>,
) -> Result<T, Error> {
    let begun = view::begin(connection, index).map_err(failed);
    let outcome = begun.and_then(|(memtables, bounds)| read(&ReadView { connection, memtables: &memtables, bounds }));
    // If the rollback fails, `put` discards the connection.
    let _ = connection.execute_batch("ROLLBACK");
    outcome
}
