//! Every statement uses an index, regardless of the size of the tables. Measured by the number of rows that the
//! database reads.

use store::{Key, Revision, Store, Write};
use store_postgres::{Options, PostgresStore, connect, migrate};
use testkit::postgres::{Cluster, Database};

use crate::create;

/// So many that a full scan is never the cheapest plan.
const ROWS: u64 = 50_000;
/// The statements of the first test read some thousand rows, most of them in the compaction of [`COMPACTED`] revisions.
const READ_MAX: u64 = 10_000;
const COMPACTED: Revision = Revision(1_000);

/// Creates a database with `ROWS` rows.
async fn filled() -> Database {
    let database = Cluster::shared().database();
    migrate(&connect(&database.dsn).unwrap()).await.unwrap();
    let fill = format!(
        "INSERT INTO log (revision, key, previous, commit_end, live, value)
             SELECT n, 'key-' || n % 10000, nullif(greatest(n - 10000, 0), 0), n, true, '' FROM generate_series(1, {ROWS}) AS n;
         INSERT INTO span SELECT 's', decode(lpad(to_hex(2 * n), 32, '0'), 'hex'), decode(lpad(to_hex(2 * n), 32, '0'), 'hex'), 'k'
             FROM generate_series(1, {ROWS}) AS n"
    );
    Cluster::shared().execute(&database.name, &fill);
    Cluster::shared().execute(&database.name, "VACUUM ANALYZE log, span");
    database
}

/// Returns the number of rows that were read. Waits until all sessions have ended, because only then their statistics
/// are complete.
async fn rows_read(database: &Database) -> u64 {
    let execute = |statement: &str| Cluster::shared().execute(&database.name, statement);
    let sessions =
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'ipam' AND datname = current_database()";
    while execute(sessions).trim() != "0" {
        tokio::task::yield_now().await;
    }
    let read = "SELECT (SELECT sum(seq_tup_read) FROM pg_stat_user_tables) + (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes)";
    execute(read).trim().parse().unwrap()
}

#[tokio::test]
async fn every_statement_uses_an_index() {
    let database = filled().await;
    let before = rows_read(&database).await;
    let store = PostgresStore::open(&Options::new(&database.dsn)).await.unwrap();
    let (key, head) = (Key::new("key-7").unwrap(), Revision(ROWS));
    store.head().await.unwrap();
    store.read(&[key.clone(), Key::new("none").unwrap()]).await.unwrap();
    for at in [None, Some(Revision(ROWS - 100))] {
        store.list("key-77", Some(&key), at, 10).await.unwrap();
    }
    store.count("key-77", None, head, 10).await.unwrap();
    store.tail(Revision(ROWS - 10), 10).await.unwrap();
    store.overlapping_spans("s", 20, 30, 10).await.unwrap();
    let mut snapshot = store.snapshot().await.unwrap();
    snapshot.list("key-5", None, 10).await.unwrap();
    snapshot.spans(Some(("s", 100)), 10).await.unwrap();
    drop(snapshot);
    let span = |n: u128| store::Span { space: "s".to_owned(), first: n, last: n, holder: Key::new("k").unwrap() };
    let transaction = store.begin().await.unwrap();
    transaction.read(std::slice::from_ref(&key)).await.unwrap();
    transaction.tail(Revision(ROWS - 10), 10).await.unwrap();
    let write = Write { takes: vec![span(25)], releases: vec![span(26)], ..create("new", "1") };
    transaction.commit(vec![write]).await.unwrap();
    store.compact(COMPACTED).await.unwrap();
    drop(store);
    let read = rows_read(&database).await - before;
    println!("{read} rows were read of {ROWS}");
    assert!(read < READ_MAX, "{read} rows were read");
}

/// Verifies that the measurement of the test above detects a missing index.
#[tokio::test]
async fn missing_index_exceeds_the_row_limit() {
    let database = filled().await;
    let before = rows_read(&database).await;
    Cluster::shared().execute(&database.name, "DROP INDEX log_by_key");
    let store = PostgresStore::open(&Options::new(&database.dsn)).await.unwrap();
    store.get(&Key::new("key-1").unwrap()).await.unwrap();
    store.get(&Key::new("none").unwrap()).await.unwrap();
    drop(store);
    assert!(rows_read(&database).await - before > READ_MAX);
}
