//! The store that the flags name: a file in the data directory, or a PostgreSQL database. Nothing beyond this file knows which.
//!
//! A connection string holds a password, and what a parser says of a string may quote it: neither goes any further from here.

use std::{path::Path, sync::Arc};

use anyhow::{Context as _, anyhow, bail};
use store::Store;
use store_postgres::{OpenError, Options, PostgresStore};
use store_sqlite::SqliteStore;

use crate::{
    config::{Place, Serve},
    files,
};

/// The name of the database file in the data directory.
pub const FILE: &str = "ipam.db";

/// How the parser of connection strings begins to say which parameter it does not know.
const UNKNOWN_PARAMETER: &str = "unknown option";

/// The store of a server.
pub async fn open(options: &Serve) -> anyhow::Result<Arc<dyn Store>> {
    let file = options.data_dir.join(FILE);
    let Some(dsn) = &options.postgres.dsn else { return open_file(&file) };
    if file.exists() {
        tracing::warn!(file = %file.display(), "the store is in PostgreSQL: the file that is here is left as it is");
    }
    let listen_dsn = options.postgres.listen_dsn.as_ref().map(|dsn| dsn.expose().to_owned());
    let connections = options.postgres.connections;
    open_postgres(Options { dsn: dsn.expose().to_owned(), listen_dsn, connections }).await
}

/// A store that is there already.
pub async fn open_existing(place: &Place) -> anyhow::Result<Arc<dyn Store>> {
    let file = place.data_dir.as_ref().map(|directory| directory.join(FILE));
    if let Some(file) = file.filter(|file| !file.exists()) {
        bail!("there is no store in {}: {} is missing", file.parent().unwrap_or(Path::new(".")).display(), FILE);
    }
    open_or_make(place).await
}

/// A store that may have to be made. A schema is made by `ipam migrate up` alone.
pub async fn open_or_make(place: &Place) -> anyhow::Result<Arc<dyn Store>> {
    match (&place.data_dir, &place.dsn) {
        (Some(directory), _) => {
            files::create_private_dir(directory)?;
            open_file(&directory.join(FILE))
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

fn open_file(path: &Path) -> anyhow::Result<Arc<dyn Store>> {
    let store = SqliteStore::open(path).with_context(|| format!("cannot open the database {}", path.display()))?;
    Ok(Arc::new(store))
}

async fn open_postgres(options: Options) -> anyhow::Result<Arc<dyn Store>> {
    let store = PostgresStore::open(&options).await.map_err(explain).context("cannot open the PostgreSQL database")?;
    Ok(Arc::new(store))
}
