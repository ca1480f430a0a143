//! From a path to a running store.
//!
//! The order matters: nobody touches the data file before the lock is held, and the reader connections only open a
//! file whose schema is known to be ours.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, OpenFlags, config::DbConfig};
use tokio::sync::Mutex;

use crate::SqliteStore;
use crate::checkpoint::{self, Checkpointer, Growth};
use crate::data_file::DataFile;
use crate::limits::{DECISION_READERS_MAX, READERS_MAX};
use crate::lock::Lock;
use crate::reader::Readers;
use crate::recent::{self, Recent};
use crate::recovery::recover;
use crate::writer::Writer;
use crate::{schema, snapshot};

/// The first `SQLite` without the bug that loses a write when two connections reset the write-ahead log at once.
const LIBRARY_VERSION_MIN: i32 = 3_051_003;

/// A write-ahead log that grew beyond this while a long read held it is cut back afterwards.
const WAL_BYTES_KEPT: u32 = 256 * 1024 * 1024;

/// The writer's page cache: large enough that a commit does not spill, and that the upper index stays hot.
///
/// More costs more than it saves. A page that is not in it comes out of the kernel's cache, which is cheap, while the
/// commit searches the whole cache, page by page, for pages behind the end of the file, as long as that is shorter than
/// 1 GiB: `SQLite` renumbers the pages of the index by way of a number there when it splits one in the middle.
const WRITER_CACHE_KIB: u32 = 32 * 1024;

/// How long the writer waits for `SQLite`'s own locks. Only a checkpoint or a foreign tool can hold one.
pub const BUSY_MS: u32 = 5_000;

/// How many statements each connection keeps prepared; more than there are.
const STATEMENTS_KEPT: usize = 32;

/// Why a data file cannot be opened as a store.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("{path} is in use: another ipam process holds it ({process}); stop that one or name another file")]
    Held {
        /// The data file.
        path: PathBuf,
        /// What the lock file says about the holder.
        process: String,
    },
    /// A program that is no store has it open.
    #[error(
        "{path} was not closed when it was last used, and another program has it open (a database shell, a backup tool): close \
         that program, then start again"
    )]
    Shared {
        /// The data file.
        path: PathBuf,
    },
    /// It is some other file.
    #[error("{path} is not an ipam data file; name another file, this one was left as it is")]
    Foreign {
        /// The data file.
        path: PathBuf,
    },
    /// A later release made it.
    #[error("{path} has schema version {found} and this program knows versions up to {known}: run a newer ipam")]
    Newer {
        /// The data file.
        path: PathBuf,
        /// Its schema version.
        found: u32,
        /// The newest version that this program knows.
        known: u32,
    },
    /// An earlier release made it, and it is not to be changed.
    #[error(
        "{path} has schema version {found} and this program reads version {known}: put it into a data directory, where it is \
         brought up to date when it is opened"
    )]
    Older {
        /// The data file.
        path: PathBuf,
        /// Its schema version.
        found: u32,
        /// The version that this program reads.
        known: u32,
    },
    /// It is in use, or was left by a crash: the write-ahead log beside it has a part of its contents.
    #[error(
        "{path} has a write-ahead log beside it: it is the data file of a store and no backup of one; stop its server and name \
         its data directory, or make a backup"
    )]
    NotAlone {
        /// The data file.
        path: PathBuf,
    },
    /// The program was linked with a `SQLite` that can corrupt the file.
    #[error("SQLite {found} can lose writes; version 3.51.3 or later is needed: use the bundled library")]
    Library {
        /// The library's version.
        found: String,
    },
    /// The operating system refused.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Its answer.
        source: io::Error,
    },
    /// `SQLite` refused.
    #[error("cannot open {path} as a database")]
    Database {
        /// The data file.
        path: PathBuf,
        /// Its answer.
        source: rusqlite::Error,
    },
}

impl OpenError {
    /// Whether the file is ours and damaged.
    pub fn is_damage(&self) -> bool {
        let Self::Database { source, .. } = self else { return false };
        source.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseCorrupt)
    }
}

impl SqliteStore {
    /// Opens the data file at `path`, and makes it if there is none. The directory must exist.
    ///
    /// # Errors
    /// [`OpenError`]: nothing was changed, except that an empty file and the lock file may have been made.
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
        let growth = Arc::new(Growth::new(checkpoint::LIMITS));
        growth.watch(&mut connection).map_err(database)?;
        let head = snapshot::horizon(&connection).map_err(database)?.head;
        recent::catch_up(&mut connection, head).map_err(database)?;
        let recent = Arc::new(Recent::new());
        let writer = Writer::start(connection, lock, Arc::default());
        let writer = writer.map_err(io_error("start the writer thread for", &path))?;
        let checkpointer = Checkpointer::start(Arc::clone(&data), growth, writer.handle().clone());
        Ok(Self {
            head: Arc::new(Mutex::new(Some(head))),
            readers: Arc::new(Readers::new(Arc::clone(&data), Arc::clone(&recent), READERS_MAX)),
            decisions: Readers::new(Arc::clone(&data), Arc::clone(&recent), DECISION_READERS_MAX),
            recent,
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

/// Makes sure that there is a file, readable by its owner only, and gives back its one true path.
///
/// An existing file is not opened here: closing any descriptor of it would drop the locks that `SQLite` holds on it.
fn create(path: &Path) -> Result<PathBuf, OpenError> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => sync_directory(path)?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(source) => return Err(io_error("create", path)(source)),
    }
    fs::canonicalize(path).map_err(io_error("find", path))
}

/// The directory that a file is in.
pub fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes the name of a new file durable.
pub fn sync_directory(path: &Path) -> Result<(), OpenError> {
    let directory = directory(path);
    File::open(directory).and_then(|opened| opened.sync_all()).map_err(io_error("sync the directory", directory))
}

/// A connection that may write, as yet without the settings that change the file.
pub fn connect_writer(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    configure(&connection)?;
    Ok(connection)
}

/// What every connection needs.
///
/// Without the planner's stability guarantee a statement with a range is planned anew whenever another value is bound
/// to it, which costs several times as much as running it.
pub fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.pragma_update(None, "busy_timeout", BUSY_MS)
}

/// No `mmap_size`: a disk error would arrive as a signal instead of as an error.
fn configure_writer(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "journal_size_limit", WAL_BYTES_KEPT)?;
    connection.pragma_update(None, "cache_size", -i64::from(WRITER_CACHE_KIB))?;
    connection.pragma_update(None, "mmap_size", 0)
}

/// The name of a file that belongs to `path`.
pub fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

/// Says what was tried on which path.
pub fn io_error(action: &'static str, path: &Path) -> impl Fn(io::Error) -> OpenError + use<> {
    let path = path.to_owned();
    move |source| OpenError::Io { action, path: path.clone(), source }
}
