//! A database that hangs: connections stay open, and the database sends no answers. Every call ends with a correct
//! result.
//!
//! Tokio's clock is paused while only timers are pending, so that the tests do not wait in real time.

use std::{pin::Pin, time::Duration};

use store::{Error, Key, Revision, Store, Transaction};
use store_postgres::{Options, PostgresStore, connect, migrate};
use testkit::{
    postgres::{Cluster, Database},
    proxy::{Hang, Proxy},
};
use tokio::time::{Instant, pause, resume};

use crate::{commit, create, open_at, open_in};

/// The maximum time of any call.
const CALL_MAX: Duration = Duration::from_secs(40);

/// Opens a store that is connected to its database through a proxy.
async fn open() -> (PostgresStore, Proxy, Database) {
    let database = Cluster::shared().database();
    let line = Proxy::to(database.port).await.unwrap();
    (open_at(through(&line, &database)).await, line, database)
}

fn through(line: &Proxy, database: &Database) -> Options {
    Options::new(format!("host=127.0.0.1 port={} user=ipam dbname={}", line.port(), database.name))
}

type Call = for<'a> fn(&'a PostgresStore) -> Pin<Box<dyn Future<Output = Result<(), Error>> + 'a>>;

/// Every call with its name.
const CALLS: [(&str, Call); 12] = [
    ("begin", |store| Box::pin(async { store.begin().await.map(drop) })),
    ("head", |store| Box::pin(async { store.head().await.map(drop) })),
    ("get", |store| Box::pin(async { store.get(&Key::new("a").unwrap()).await.map(drop) })),
    ("read", |store| Box::pin(async { store.read(&[Key::new("a").unwrap()]).await.map(drop) })),
    ("list", |store| Box::pin(async { store.list("", None, None, 1).await.map(drop) })),
    ("count", |store| Box::pin(async { store.count("", None, Revision(1), 1).await.map(drop) })),
    ("tail", |store| Box::pin(async { store.tail(Revision(0), 1).await.map(drop) })),
    ("holders", |store| Box::pin(async { store.overlapping_spans("s", 0, 1, 1).await.map(drop) })),
    ("compact", |store| Box::pin(async { store.compact(Revision(1)).await })),
    ("snapshot", |store| Box::pin(async { store.snapshot().await.map(drop) })),
    ("load", |store| Box::pin(async { store.bulk_load().await.map(drop) })),
    ("jump", |store| Box::pin(async { store.advance_revision(1).await.map(drop) })),
];

#[tokio::test]
async fn every_call_times_out_when_the_database_hangs() {
    for hang in [Hang::Both, Hang::Requests, Hang::Answers] {
        let (first, line, database) = open().await;
        commit(&first, vec![create("a", "1")]).await.unwrap();
        for (name, call) in CALLS {
            let store = PostgresStore::open(&through(&line, &database)).await.unwrap();
            // The read and the commit connections work so far, and hang from now on.
            store.head().await.unwrap();
            drop(store.begin().await.unwrap());
            drop(store.begin().await.unwrap());
            line.hang(hang);
            pause();
            let begun = Instant::now();
            let outcome = call(&store).await;
            let took = begun.elapsed();
            resume();
            line.restore();
            assert!(matches!(outcome, Err(Error::Unavailable(_))), "{name}, {hang:?}: {outcome:?}");
            assert!(took < CALL_MAX, "{name}, {hang:?}: {took:?}");
            println!("{hang:?}: {name} ended after {took:?}");
        }
    }
}

/// Calls on a transaction and on a snapshot that have begun.
#[tokio::test]
async fn hanging_transaction_times_out_and_does_not_block_the_next() {
    let (store, line, _) = open().await;
    commit(&store, vec![create("a", "1")]).await.unwrap();
    let key = Key::new("a").unwrap();
    let mut snapshot = store.snapshot().await.unwrap();
    let transaction = store.begin().await.unwrap();
    line.hang(Hang::Both);
    pause();
    assert!(matches!(transaction.read(std::slice::from_ref(&key)).await, Err(Error::Unavailable(_))));
    assert!(matches!(snapshot.list("", None, 1).await, Err(Error::Unavailable(_))));
    resume();
    drop((transaction, snapshot));
    line.restore();
    let transaction = store.begin().await.unwrap();
    line.hang(Hang::Both);
    pause();
    // The rollback is not answered either; the next transaction must begin nevertheless.
    drop(transaction);
    let begun = Instant::now();
    assert!(matches!(store.begin().await, Err(Error::Unavailable(_))));
    assert!(begun.elapsed() < CALL_MAX);
    resume();
    line.restore();
    commit(&store, vec![create("b", "1")]).await.unwrap();
}

/// The database is available again, but the open connections still hang: one call fails, and the next one gets a new
/// connection.
#[tokio::test]
async fn one_timeout_closes_all_idle_connections() {
    let (store, line, _) = open().await;
    let (one, two, three) = tokio::join!(store.head(), store.head(), store.head());
    assert!(one.is_ok() && two.is_ok() && three.is_ok());
    line.hang(Hang::Both);
    line.restore();
    pause();
    assert!(matches!(store.head().await, Err(Error::Unavailable(_))));
    resume();
    store.head().await.unwrap();
}

#[tokio::test]
async fn commit_with_unresolvable_outcome_is_unknown() {
    for hang in [Hang::Both, Hang::Answers] {
        let (store, line, database) = open().await;
        let transaction = store.begin().await.unwrap();
        line.hang(hang);
        pause();
        let begun = Instant::now();
        let outcome = transaction.commit(vec![create("a", "1")]).await;
        assert!(begun.elapsed() < CALL_MAX);
        resume();
        assert!(matches!(outcome, Err(Error::OutcomeUnknown(_))), "{hang:?}: {outcome:?}");
        line.restore();
        // Taking the head lock waits for a commit that may still be in progress.
        let made = hang == Hang::Answers;
        assert_eq!(store.begin().await.unwrap().head(), Revision(u64::from(made)));
        let direct = PostgresStore::open(&Options::new(&database.dsn)).await.unwrap();
        assert_eq!(direct.get(&Key::new("a").unwrap()).await.unwrap().is_some(), made);
    }
}

/// The first host accepts connections and does not answer, like a machine that hangs.
#[tokio::test]
async fn next_host_is_tried_when_one_hangs() {
    let database = Cluster::shared().database();
    drop(open_in(&database).await);
    let line = Proxy::to(database.port).await.unwrap();
    line.hang(Hang::Both);
    let (dead, alive, name) = (line.port(), database.port, &database.name);
    let hosts = format!("host=127.0.0.1,127.0.0.1 port={dead},{alive} connect_timeout=1");
    let store = PostgresStore::open(&Options::new(format!("{hosts} user=ipam dbname={name}"))).await.unwrap();
    commit(&store, vec![create("a", "1")]).await.unwrap();
    assert!(line.connections() >= 2, "it was tried first, to read and to commit");
}

/// The settings of the current transaction.
const SETTINGS: &str = "concat_ws(' ', current_setting('lock_timeout'), current_setting('statement_timeout'),
    current_setting('idle_in_transaction_session_timeout'))";

#[tokio::test]
async fn every_transaction_sets_statement_timeouts() {
    let database = Cluster::shared().database();
    let admin = connect(&database.dsn).unwrap().get().await.unwrap();
    migrate(&connect(&database.dsn).unwrap()).await.unwrap();
    let note = format!(
        "CREATE TABLE noted (what text, settings text);
         CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN INSERT INTO noted VALUES (TG_TABLE_NAME, {SETTINGS}); RETURN NULL; END $$;
         CREATE TRIGGER noted AFTER INSERT ON log FOR EACH STATEMENT EXECUTE FUNCTION note();
         CREATE TRIGGER noted AFTER INSERT ON horizon FOR EACH STATEMENT EXECUTE FUNCTION note();
         CREATE TRIGGER noted AFTER INSERT ON schema_migration FOR EACH STATEMENT EXECUTE FUNCTION note()"
    );
    admin.batch_execute(&note).await.unwrap();
    let noted = async || {
        let rows = admin.query_typed("DELETE FROM noted RETURNING what || ': ' || settings", &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect::<Vec<String>>()
    };
    let store = PostgresStore::open(&Options::new(&database.dsn)).await.unwrap();
    let load = store.bulk_load().await.unwrap();
    load.finish(Revision(5)).await.unwrap();
    assert_eq!(noted().await, ["horizon: 5s 30s 0"], "filling");
    commit(&store, vec![create("a", "1")]).await.unwrap();
    assert_eq!(noted().await, ["log: 5s 5s 3s"], "a commit");
    store.compact(Revision(6)).await.unwrap();
    assert_eq!(noted().await, ["horizon: 5s 30s 0"], "a compaction");
    admin
        .batch_execute("DELETE FROM schema_migration; ALTER SCHEMA public RENAME TO old; CREATE SCHEMA public")
        .await
        .unwrap();
    let moved = "ALTER TABLE old.schema_migration SET SCHEMA public; ALTER TABLE old.noted SET SCHEMA public";
    admin.batch_execute(moved).await.unwrap();
    migrate(&connect(&database.dsn).unwrap()).await.unwrap();
    assert_eq!(noted().await, ["schema_migration: 5s 10min 0"], "a migration");
}

/// The database waits for the lock, and its timeout ends before the client's.
#[tokio::test]
async fn wait_for_the_head_lock_times_out() {
    let database = Cluster::shared().database();
    let store = open_in(&database).await;
    let holder = connect(&database.dsn).unwrap().get().await.unwrap();
    holder.batch_execute("BEGIN; SELECT FROM commit_lock FOR UPDATE").await.unwrap();
    let refused: Result<Box<dyn Transaction>, Error> = store.begin().await;
    let why = refused.err().unwrap().to_string();
    assert!(why.contains("canceling statement due to"), "{why}");
    holder.batch_execute("ROLLBACK").await.unwrap();
    commit(&store, vec![create("a", "1")]).await.unwrap();
}
