//! Opening a store.
//!
//! The order matters: the data file is not touched before the lock is held, and reader connections are only opened
//! after the schema was checked.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;
use tokio::sync::Mutex;

use crate::SqliteStore;
use crate::checkpoint::{self, Checkpointer, WalSize};
use crate::connection::connect_writer;
use crate::data_file::DataFile;
use crate::limits::{DECISION_READERS_MAX, READERS_MAX};
use crate::lock::Lock;
use crate::memtable::{self, IndexMemtables};
use crate::open_error::{OpenError, io_error};
use crate::paths::sync_directory;
use crate::reader::Readers;
use crate::recovery::recover;
use crate::writer::Writer;
use crate::{schema, view};

/// The first `SQLite` version without the bug that loses a write when two connections reset the write-ahead log at
/// once.
const LIBRARY_VERSION_MIN: i32 = 3_051_003;

/// The size to which the write-ahead log is truncated after a long read let it grow.
const WAL_BYTES_KEPT: u32 = 256 * 1024 * 1024;

/// The writer's page cache: large enough for a commit without spilling, and to keep the upper levels of the index
/// cached.
///
/// A larger cache would be slower: a miss is served from the kernel's cache, which is cheap, but a commit scans the
/// whole cache for pages after the end of the file while the file is smaller than 1 GiB. (`SQLite` uses a page number
/// there as a temporary number when it splits a page of an index.)
const WRITER_CACHE_KIB: u32 = 32 * 1024;

impl SqliteStore {
    /// Opens the data file at `path`, and creates it if it does not exist. The directory must exist.
    ///
    /// # Errors
    /// [`OpenError`]. Nothing was changed, except that an empty data file and the lock file may have been created.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        check_library()?;
        let path = create(path.as_ref())?;
        let lock = Lock::take(&path)?;
        let data = Arc::new(DataFile::open(path.clone()).map_err(io_error("open", &path))?);
        let database = |source| OpenError::Database { path: path.clone(), source };
        recover(&path)?;
        let mut connection = connect_writer(&path).map_err(database)?;
        schema::prepare(&mut connection, &path)?;
        configure_writer(&connection).map_err(database)?;
        let wal_size = Arc::new(WalSize::new(checkpoint::LIMITS));
        wal_size.watch(&mut connection).map_err(database)?;
        let head = view::bounds(&connection).map_err(database)?.head;
        memtable::catch_up(&mut connection, head).map_err(database)?;
        let index = Arc::new(IndexMemtables::new());
        let writer = Writer::start(connection, lock, Arc::default());
        let writer = writer.map_err(io_error("start the writer thread for", &path))?;
        let checkpointer = Checkpointer::start(Arc::clone(&data), wal_size, writer.handle().clone());
        Ok(Self {
            head: Arc::new(Mutex::new(Some(head))),
            readers: Arc::new(Readers::new(Arc::clone(&data), Arc::clone(&index), READERS_MAX)),
            decisions: Readers::new(Arc::clone(&data), Arc::clone(&index), DECISION_READERS_MAX),
            index,
            checkpointer: checkpointer.map_err(io_error("start the checkpoint thread for", &path))?,
            writer,
            data,
        })
    }
}

fn check_library() -> Result<(), OpenError> {
    if rusqlite::version_number() < LIBRARY_VERSION_MIN {
        return Err(OpenError::Library { found: rusqlite::version().to_owned() });
    }
    Ok(())
}

/// Creates the file with mode 0600 if it does not exist, and returns its canonical path.
///
/// An existing file is not opened here: closing any descriptor of it would release the locks that `SQLite` holds on it.
fn create(path: &Path) -> Result<PathBuf, OpenError> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => sync_directory(path)?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(source) => return Err(io_error("create", path)(source)),
    }
    fs::canonicalize(path).map_err(io_error("find", path))
}

/// `mmap_size` is 0, because with mmap a disk error raises a signal instead of returning an error.
fn configure_writer(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "journal_size_limit", WAL_BYTES_KEPT)?;
    connection.pragma_update(None, "cache_size", -i64::from(WRITER_CACHE_KIB))?;
    connection.pragma_update(None, "mmap_size", 0)
}
