//! The tests of the store as its users see it: through the trait, and through the database.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests may stop at the first surprise")]

mod contract;
mod diverged;
mod foreign;
mod guard;
mod hangs;
mod hints;
mod lost_answers;
mod migrations;
mod plans;
mod pooler;
mod reading;
mod tls;

use bytes::Bytes;
use store::{Key, Store, Write};
use store_postgres::{Options, PostgresStore};
use testkit::postgres::{Cluster, Database};

/// A store on an empty database of its own.
async fn open() -> PostgresStore {
    open_in(&Cluster::shared().database()).await
}

/// A store in a database that holds nothing yet.
async fn open_in(database: &Database) -> PostgresStore {
    open_at(Options::new(&database.dsn)).await
}

/// A store in a database that holds nothing yet, opened as it is said.
async fn open_at(options: Options) -> PostgresStore {
    store_postgres::migrate(&store_postgres::connect(&options.dsn).unwrap()).await.unwrap();
    PostgresStore::open(&options).await.unwrap()
}

fn create(text: &str, value: impl Into<Bytes>) -> Write {
    let key = Key::new(text).unwrap();
    Write { key, value: Some(value.into()), expected: None, releases: vec![], takes: vec![] }
}

async fn commit(store: &PostgresStore, writes: Vec<Write>) -> Result<(), store::Error> {
    store.begin().await?.commit(writes).await
}
