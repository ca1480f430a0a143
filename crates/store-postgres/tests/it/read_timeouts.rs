//! Reads that hang: they time out, and their connection is not used again.

use deadpool_postgres::Object;
use store::{Error, Key, Store};
use store_postgres::{Options, PostgresStore, connect};
use testkit::postgres::{Cluster, Database};
use tokio::time::{pause, resume};

use crate::{commit, create, open_at, pooler::pooler};

/// Opens a store with one object and a single read connection, so that the next read uses the same connection.
async fn open(dsn: String) -> PostgresStore {
    let mut options = Options::new(dsn);
    options.connections = 2;
    let store = open_at(options).await;
    commit(&store, vec![create("a", "1")]).await.unwrap();
    store
}

/// Reads, and pauses the clock once the database waits for a lock, so that the timeout expires immediately.
async fn read_until_it_waits(store: &PostgresStore, onlooker: &Object) -> Error {
    let key = Key::new("a").unwrap();
    let read = async {
        let outcome = store.get(&key).await;
        resume();
        outcome.unwrap_err()
    };
    let flight = async {
        let waiting =
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
        while onlooker.query_typed(waiting, &[]).await.unwrap()[0].get::<_, i64>(0) == 0 {}
        pause();
    };
    tokio::join!(read, flight).0
}

async fn a_read_that_hangs_ends(database: &Database, dsn: String) {
    let store = open(dsn).await;
    let pool = connect(&database.dsn).unwrap();
    let (locker, onlooker) = (pool.get().await.unwrap(), pool.get().await.unwrap());
    locker.batch_execute("BEGIN; LOCK TABLE log IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let error = read_until_it_waits(&store, &onlooker).await;
    assert!(matches!(&error, Error::Unavailable(why) if why.contains("within 8 s")), "{error}");
    // The database still waits for the lock on `log`; `span` is not locked.
    assert_eq!(store.overlapping_spans("space", 0, 1, 1).await.unwrap(), []);
    locker.batch_execute("ROLLBACK").await.unwrap();
}

/// Replaces the function `list_keys` with one that returns the statement timeout as a key.
async fn a_long_read_has_a_limit(database: &Database, dsn: String) {
    let store = open(dsn).await;
    let admin = connect(&database.dsn).unwrap().get().await.unwrap();
    let limit = "CREATE OR REPLACE FUNCTION list_keys(prefix text, after_key text, at bigint, max_rows bigint)
        RETURNS TABLE (head bigint, compacted bigint, snapshot_revision bigint, key text, revision bigint) LANGUAGE sql AS
        $$ SELECT 1::bigint, 0::bigint, 1::bigint, current_setting('statement_timeout'), 1::bigint $$";
    admin.batch_execute(limit).await.unwrap();
    let page = store.list("", None, None, 1).await.unwrap();
    assert_eq!(page.records[0].key.as_str(), "10s");
}

#[tokio::test]
async fn hanging_read_times_out_directly() {
    let database = Cluster::shared().database();
    a_read_that_hangs_ends(&database, database.dsn.clone()).await;
}

#[tokio::test]
async fn hanging_read_times_out_through_a_pooler() {
    let database = Cluster::shared().database();
    a_read_that_hangs_ends(&database, pooler().dsn(&database)).await;
}

#[tokio::test]
async fn long_read_has_statement_timeout_directly() {
    let database = Cluster::shared().database();
    a_long_read_has_a_limit(&database, database.dsn.clone()).await;
}

#[tokio::test]
async fn long_read_has_statement_timeout_through_a_pooler() {
    let database = Cluster::shared().database();
    a_long_read_has_a_limit(&database, pooler().dsn(&database)).await;
}
