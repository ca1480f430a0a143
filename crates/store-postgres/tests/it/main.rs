//! Tests of the store through the trait and through the database.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests may stop at the first surprise")]

mod contract;
mod diverged;
mod foreign;
mod guard;
mod hangs;
mod lost_answers;
mod migrations;
mod notifications;
mod plans;
mod pooler;
mod read_timeouts;
mod tls;

use bytes::Bytes;
use store::{Key, Store, Write};
use store_postgres::{Options, PostgresStore};
use testkit::postgres::{Cluster, Database};

/// Opens a store in a new, empty database.
async fn open() -> PostgresStore {
    open_in(&Cluster::shared().database()).await
}

/// Opens a store in an empty database.
async fn open_in(database: &Database) -> PostgresStore {
    open_at(Options::new(&database.dsn)).await
}

/// Opens a store with these options in an empty database.
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
