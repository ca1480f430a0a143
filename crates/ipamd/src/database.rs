//! Opens the store that the flags select: a file in the data directory, or a PostgreSQL database.
//!
//! A connection string may contain a password, and a parser error may quote it. Neither appears in errors of this module.

use std::{path::Path, sync::Arc};

use anyhow::{Context as _, anyhow, bail};
use store::{Error, Revision, Snapshot, Store};
use store_postgres::{OpenError, Options, PostgresStore};
use store_sqlite::{DetachedFile, SqliteStore};

use crate::{
    config::{Serve, Source, StoreLocation},
    files,
};

/// The name of the database file in the data directory.
pub const FILE: &str = "ipam.db";

/// The part of the parser's error message that precedes the name of an unknown parameter.
const UNKNOWN_PARAMETER: &str = "unknown option";

/// The store of a server.
pub struct Opened {
    /// The store.
    pub store: Arc<dyn Store>,
    /// The same store, if it is a SQLite file.
    pub file: Option<Arc<SqliteStore>>,
}

/// A store or backup that is opened for reading.
pub enum Reading {
    /// The SQLite file of a data directory.
    File(SqliteStore),
    /// A backup file, opened read-only.
    Backup(DetachedFile),
    /// A PostgreSQL database.
    Database(Arc<dyn Store>),
}

impl Reading {
    /// Returns a snapshot of the whole store.
    pub async fn snapshot(&self) -> Result<Box<dyn Snapshot>, Error> {
        match self {
            Self::File(store) => store.snapshot().await,
            Self::Backup(file) => file.snapshot().await,
            Self::Database(store) => store.snapshot().await,
        }
    }

    /// Returns the number of objects at a revision, or `None` if the source cannot count them.
    pub async fn count(&self, at: Revision) -> Option<u64> {
        let store: &dyn Store = match self {
            Self::File(store) => store,
            Self::Backup(_) => return None,
            Self::Database(store) => &**store,
        };
        store.count("", None, at, usize::MAX).await.ok().and_then(|total| u64::try_from(total).ok())
    }

    /// Returns the problems that SQLite's integrity check reports; `None` for PostgreSQL.
    pub async fn integrity(&self) -> Result<Option<Vec<String>>, Error> {
        match self {
            Self::File(store) => store.integrity().await.map(Some),
            Self::Backup(file) => file.integrity().await.map(Some),
            Self::Database(_) => Ok(None),
        }
    }
}

/// Opens the store of a server.
pub async fn open(options: &Serve) -> anyhow::Result<Opened> {
    let file = options.data_dir.join(FILE);
    let Some(dsn) = &options.postgres.dsn else {
        let file = Arc::new(open_file(&file)?);
        return Ok(Opened { store: Arc::<SqliteStore>::clone(&file), file: Some(file) });
    };
    if file.exists() {
        tracing::warn!(file = %file.display(), "the store is in PostgreSQL: the database file in the data directory is not used");
    }
    let listen_dsn = options.postgres.listen_dsn.as_ref().map(|dsn| dsn.expose().to_owned());
    let connections = options.postgres.connections;
    let options = Options { dsn: dsn.expose().to_owned(), listen_dsn, connections };
    Ok(Opened { store: open_postgres(options).await?, file: None })
}

/// Opens a store that must exist.
pub async fn open_existing(place: &StoreLocation) -> anyhow::Result<Arc<dyn Store>> {
    match &place.data_dir {
        Some(directory) => Ok(Arc::new(open_file_in(directory)?)),
        None => open_or_make(place).await,
    }
}

/// Opens the database file in a data directory, which must exist.
pub fn open_file_in(directory: &Path) -> anyhow::Result<SqliteStore> {
    let file = directory.join(FILE);
    if !file.exists() {
        bail!("there is no store in {}: {} is missing", directory.display(), FILE);
    }
    open_file(&file)
}

/// Opens a store or a backup for reading.
pub async fn open_source(source: &Source) -> anyhow::Result<Reading> {
    match (&source.data_dir, &source.backup, &source.dsn) {
        (Some(directory), ..) => {
            let opened = open_file_in(directory).map_err(|error| {
                let is_held = matches!(error.downcast_ref(), Some(store_sqlite::OpenError::Held { .. }));
                let hint = "a running server uses the store: copy it with `ipam store backup`, and pass the copy with --backup";
                if is_held { error.context(hint) } else { error }
            });
            Ok(Reading::File(opened?))
        }
        (None, Some(file), _) => {
            let opened =
                DetachedFile::open(file).with_context(|| format!("cannot read the backup {}", file.display()))?;
            Ok(Reading::Backup(opened))
        }
        (None, None, Some(dsn)) => Ok(Reading::Database(open_postgres(Options::new(dsn.expose())).await?)),
        (None, None, None) => bail!("one of --data-dir, --postgres-dsn and --backup is required"),
    }
}

/// Opens a store, and creates a database file that does not exist. The schema of a PostgreSQL database must exist: it is created
/// by `ipam store migrate up`.
pub async fn open_or_make(place: &StoreLocation) -> anyhow::Result<Arc<dyn Store>> {
    match (&place.data_dir, &place.dsn) {
        (Some(directory), _) => {
            files::create_private_dir(directory)?;
            Ok(Arc::new(open_file(&directory.join(FILE))?))
        }
        (None, Some(dsn)) => open_postgres(Options::new(dsn.expose())).await,
        (None, None) => bail!("--data-dir or --postgres-dsn is required"),
    }
}

/// Converts an error of opening a database, without parts of its connection string.
pub fn redact(error: OpenError) -> anyhow::Error {
    let OpenError::Dsn(reason) = error else { return error.into() };
    // The name of an unknown parameter may be part of a password that contains a space.
    let reason = if reason.contains(UNKNOWN_PARAMETER) { "it has an unknown parameter" } else { &reason };
    anyhow!(
        "--postgres-dsn (POSTGRES_DSN) or --postgres-listen-dsn (IPAM_POSTGRES_LISTEN_DSN) is not a valid connection string: \
         {reason}. Use postgres://user:password@host:port/database, or pairs such as host=... user=... dbname=..."
    )
}

fn open_file(path: &Path) -> anyhow::Result<SqliteStore> {
    SqliteStore::open(path).with_context(|| format!("cannot open the database {}", path.display()))
}

async fn open_postgres(options: Options) -> anyhow::Result<Arc<dyn Store>> {
    let store = PostgresStore::open(&options).await.map_err(redact).context("cannot open the PostgreSQL database")?;
    Ok(Arc::new(store))
}
