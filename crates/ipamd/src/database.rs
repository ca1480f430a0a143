//! The store that the flags name: a file in the data directory, or a PostgreSQL database. Nothing beyond this file knows which.
//!
//! A connection string holds a password, and what a parser says of a string may quote it: neither goes any further from here.

use std::{path::Path, sync::Arc};

use anyhow::{Context as _, anyhow, bail};
use store::{Error, Revision, Snapshot, Store};
use store_postgres::{OpenError, Options, PostgresStore};
use store_sqlite::{DetachedFile, SqliteStore};

use crate::{
    config::{Place, Serve, Source},
    files,
};

/// The name of the database file in the data directory.
pub const FILE: &str = "ipam.db";

/// How the parser of connection strings begins to say which parameter it does not know.
const UNKNOWN_PARAMETER: &str = "unknown option";

/// The store of a server.
pub struct Opened {
    /// What it serves.
    pub store: Arc<dyn Store>,
    /// The same, if it is a file.
    pub file: Option<Arc<SqliteStore>>,
}

/// What a store is read from.
pub enum Reading {
    /// A file that this process has open.
    File(SqliteStore),
    /// A file that is only looked at.
    Backup(DetachedFile),
    /// A database.
    Database(Arc<dyn Store>),
}

impl Reading {
    /// Everything that is in it.
    pub async fn snapshot(&self) -> Result<Box<dyn Snapshot>, Error> {
        match self {
            Self::File(store) => store.snapshot().await,
            Self::Backup(file) => file.snapshot().await,
            Self::Database(store) => store.snapshot().await,
        }
    }

    /// How many objects there are at a revision, if that can be told.
    pub async fn count(&self, at: Revision) -> Option<u64> {
        let store: &dyn Store = match self {
            Self::File(store) => store,
            Self::Backup(_) => return None,
            Self::Database(store) => &**store,
        };
        store.count("", None, at, usize::MAX).await.ok().and_then(|total| u64::try_from(total).ok())
    }

    /// What SQLite finds wrong in the file; `None` if it is none.
    pub async fn integrity(&self) -> Result<Option<Vec<String>>, Error> {
        match self {
            Self::File(store) => store.integrity().await.map(Some),
            Self::Backup(file) => file.integrity().await.map(Some),
            Self::Database(_) => Ok(None),
        }
    }
}

/// The store of a server.
pub async fn open(options: &Serve) -> anyhow::Result<Opened> {
    let file = options.data_dir.join(FILE);
    let Some(dsn) = &options.postgres.dsn else {
        let file = Arc::new(open_file(&file)?);
        return Ok(Opened { store: Arc::<SqliteStore>::clone(&file), file: Some(file) });
    };
    if file.exists() {
        tracing::warn!(file = %file.display(), "the store is in PostgreSQL: the file that is here is left as it is");
    }
    let listen_dsn = options.postgres.listen_dsn.as_ref().map(|dsn| dsn.expose().to_owned());
    let connections = options.postgres.connections;
    let options = Options { dsn: dsn.expose().to_owned(), listen_dsn, connections };
    Ok(Opened { store: open_postgres(options).await?, file: None })
}

/// A store that is there already.
pub async fn open_existing(place: &Place) -> anyhow::Result<Arc<dyn Store>> {
    match &place.data_dir {
        Some(directory) => Ok(Arc::new(open_file_in(directory)?)),
        None => open_or_make(place).await,
    }
}

/// The file in a data directory, which must be there already.
pub fn open_file_in(directory: &Path) -> anyhow::Result<SqliteStore> {
    let file = directory.join(FILE);
    if !file.exists() {
        bail!("there is no store in {}: {} is missing", directory.display(), FILE);
    }
    open_file(&file)
}

/// A store, or a backup of one, to be read.
pub async fn open_source(source: &Source) -> anyhow::Result<Reading> {
    match (&source.data_dir, &source.backup, &source.dsn) {
        (Some(directory), ..) => {
            let opened = open_file_in(directory).map_err(|error| {
                let is_held = matches!(error.downcast_ref(), Some(store_sqlite::OpenError::Held { .. }));
                let hint = "a server has the store: `ipam store backup` copies it, and --backup names the copy";
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
        (None, None, None) => bail!("none of --data-dir, --postgres-dsn and --backup says where the store is"),
    }
}

/// A store that may have to be made. A schema is made by `ipam store migrate up` alone.
pub async fn open_or_make(place: &Place) -> anyhow::Result<Arc<dyn Store>> {
    match (&place.data_dir, &place.dsn) {
        (Some(directory), _) => {
            files::create_private_dir(directory)?;
            Ok(Arc::new(open_file(&directory.join(FILE))?))
        }
        (None, Some(dsn)) => open_postgres(Options::new(dsn.expose())).await,
        (None, None) => bail!("neither --data-dir nor --postgres-dsn says where the store is"),
    }
}

/// What went wrong with a database, without its connection string.
pub fn explain(error: OpenError) -> anyhow::Error {
    let OpenError::Dsn(reason) = error else { return error.into() };
    // What looks like the name of a parameter may be the rest of a password with a space in it.
    let reason = if reason.contains(UNKNOWN_PARAMETER) { "it has a parameter that is not known" } else { &reason };
    anyhow!(
        "--postgres-dsn (POSTGRES_DSN) or --postgres-listen-dsn (IPAM_POSTGRES_LISTEN_DSN) is no connection string that can be \
         used: {reason}. Such a string is postgres://user:password@host:port/database, or pairs such as host=... user=... dbname=..."
    )
}

fn open_file(path: &Path) -> anyhow::Result<SqliteStore> {
    SqliteStore::open(path).with_context(|| format!("cannot open the database {}", path.display()))
}

async fn open_postgres(options: Options) -> anyhow::Result<Arc<dyn Store>> {
    let store = PostgresStore::open(&options).await.map_err(explain).context("cannot open the PostgreSQL database")?;
    Ok(Arc::new(store))
}
