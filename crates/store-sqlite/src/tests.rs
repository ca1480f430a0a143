//! Internals that the trait does not show: settings, query plans, the cost of long histories, failures of `SQLite`.

mod failing;
mod index;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use rusqlite::Connection;
use store::{Error, Key, Revision, Store, Write};
use tempfile::TempDir;

use crate::failure_flag::FailureFlag;
use crate::memtable::{FlushStep, IndexMemtables};
use crate::view::ReadView;
use crate::{SqliteStore, commit, compaction, scan, schema, snapshot, span, view};

fn new_store() -> (SqliteStore, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    (SqliteStore::open(directory.path().join("data.db")).unwrap(), directory)
}

/// Opens an empty log in memory.
fn new_log() -> (Connection, IndexMemtables) {
    let mut connection = Connection::open_in_memory().unwrap();
    schema::prepare(&mut connection, Path::new("in memory")).unwrap();
    (connection, IndexMemtables::new())
}

/// Reads in a view of the current state.
fn view<T>(connection: &Connection, index: &IndexMemtables, read: impl FnOnce(&ReadView<'_>) -> T) -> T {
    let bounds = view::bounds(connection).unwrap();
    read(&ReadView { connection, memtables: &index.memtables(), bounds })
}

/// Flushes the in-memory index completely.
fn flush_index(connection: &mut Connection, index: &IndexMemtables) {
    let head = view::bounds(connection).unwrap().head;
    loop {
        let transaction = connection.transaction().unwrap();
        let flushed = index.flush_all(&transaction, head).unwrap();
        transaction.commit().unwrap();
        let is_last = matches!(flushed, FlushStep::Last);
        index.flush_done(flushed);
        if is_last {
            return;
        }
    }
}

fn create(text: &str, value: impl Into<Bytes>) -> Write {
    let key = Key::new(text).unwrap();
    Write { key, value: Some(value.into()), expected: None, releases: vec![], takes: vec![] }
}

/// Sets a pragma on the writer's connection.
async fn set(store: &SqliteStore, pragma: &'static str, value: i64) {
    let update = move |connection: &mut Connection| connection.pragma_update(None, pragma, value);
    store.writer.handle().run(update).await.unwrap().unwrap();
}

async fn on_writer<T: Send + 'static>(store: &SqliteStore, work: fn(&mut Connection) -> T) -> T {
    store.writer.handle().run(work).await.unwrap()
}

async fn commit_one(store: &SqliteStore, write: Write) -> Result<(), Error> {
    store.begin().await?.commit(vec![write]).await
}

#[tokio::test]
async fn writer_connection_has_durable_settings() {
    let (store, _directory) = new_store();
    let settings = on_writer(&store, |connection| {
        ["journal_mode", "synchronous", "mmap_size", "wal_autocheckpoint"].map(|name| {
            let value: rusqlite::types::Value = connection.pragma_query_value(None, name, |row| row.get(0)).unwrap();
            format!("{name} {value:?}")
        })
    });
    let expected = [
        "journal_mode Text(\"wal\")",
        "synchronous Integer(2)",
        "mmap_size Integer(0)",
        "wal_autocheckpoint Integer(0)",
    ];
    assert_eq!(settings.await, expected);
}

#[tokio::test]
async fn readers_cannot_write() {
    let (store, _directory) = new_store();
    let outcome = store.readers.run(|view| {
        let written = view.connection.execute("UPDATE log_state SET compacted = 1", []);
        Ok(written.unwrap_err().sqlite_error_code())
    });
    assert_eq!(outcome.await.unwrap(), Some(rusqlite::ErrorCode::ReadOnly));
}

/// One view, regardless of the number of queries and of concurrent writes.
#[tokio::test(flavor = "multi_thread")]
async fn read_sees_one_snapshot_during_commits_and_compaction() {
    let (store, _directory) = new_store();
    let store = Arc::new(store);
    let writer = Arc::clone(&store);
    let runtime = tokio::runtime::Handle::current();
    for key in ["a", "b"] {
        commit_one(&store, create(key, "1")).await.unwrap();
    }
    let keys = |view: &ReadView<'_>| {
        let page = snapshot::list(view, "", None, None, 9).unwrap();
        page.records.iter().map(|record| record.key.as_str().to_owned()).collect::<Vec<_>>()
    };
    let read = move |view: &ReadView<'_>| {
        let before = keys(view);
        let delete = Write { value: None, expected: Some(Revision(1)), ..create("a", "") };
        runtime.block_on(commit_one(&writer, delete)).unwrap();
        runtime.block_on(commit_one(&writer, create("c", "1"))).unwrap();
        runtime.block_on(writer.compact(Revision(3))).unwrap();
        Ok((view.bounds == view::bounds(view.connection).unwrap(), before, keys(view)))
    };
    let (is_same, before, after) = store.readers.run(read).await.unwrap();
    assert!(is_same && before == ["a", "b"] && after == before, "{before:?}, then {after:?}");
    assert_eq!(store.readers.run(move |view| Ok(keys(view))).await.unwrap(), ["b", "c"]);
}

/// The file may not grow, so SQLite reports "database or disk is full" before the commit.
#[tokio::test]
async fn commit_on_full_disk_is_rolled_back() {
    let (store, _directory) = new_store();
    commit_one(&store, create("a", "1")).await.unwrap();
    set(&store, "max_page_count", 10).await;
    for _ in 0..2 {
        let error = commit_one(&store, create("b", vec![b'x'; 100_000])).await.unwrap_err();
        assert!(matches!(&error, Error::Full(text) if text.contains("free some space")), "{error:?}");
        assert_eq!(store.head().await.unwrap().revision, Revision(1));
    }
    commit_one(&store, create("c", "fits")).await.unwrap();
    set(&store, "max_page_count", 1_000_000).await;
    commit_one(&store, create("b", vec![b'x'; 100_000])).await.unwrap();
    assert_eq!(store.list("", None, None, 9).await.unwrap().records.len(), 3);
}

/// A commit that failed at its end was written, was not written, or the outcome is unknown.
#[test]
fn outcome_of_failed_commit_is_resolved() {
    let (mut connection, index) = new_log();
    commit_all(&mut connection, &index, &[create("a", "1"), create("b", "2")]);
    let cause = || {
        let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR_SHMSIZE);
        rusqlite::Error::SqliteFailure(code, None)
    };
    let failure_flag = FailureFlag::default();
    let resolve_outcome = |connection: &Connection, head, writes| {
        commit::resolve_outcome(connection, &failure_flag, Revision(head), writes, cause())
    };
    assert!(matches!(resolve_outcome(&connection, 0, 2), Ok(())));
    assert!(matches!(resolve_outcome(&connection, 2, 5), Err(Error::Unavailable(_))));
    assert!(matches!(resolve_outcome(&connection, 1, 5), Err(Error::OutcomeUnknown(_))));
    connection.pragma_update(None, "query_only", true).unwrap();
    assert!(matches!(resolve_outcome(&connection, 2, 5), Err(Error::OutcomeUnknown(_))));
}

/// After a failure `begin` reads the head from the file, and fails if that is not possible.
#[tokio::test]
async fn begin_reads_unknown_head_from_the_file() {
    let (store, _directory) = new_store();
    commit_one(&store, create("a", "1")).await.unwrap();
    *store.head.lock().await = None;
    set(&store, "query_only", 1).await;
    assert!(matches!(store.begin().await.map(|_| ()), Err(Error::Unavailable(_))));
    assert_eq!(*store.head.lock().await, None);
    set(&store, "query_only", 0).await;
    assert_eq!(store.begin().await.unwrap().head(), Revision(1));
    assert_eq!(*store.head.lock().await, Some(Revision(1)));
}

/// A transaction that outlives its store returns an error and does not hang.
#[tokio::test]
async fn transaction_of_closed_store_returns_an_error() {
    let (store, _directory) = new_store();
    let store = Arc::new(store);
    let transaction = store.begin().await.unwrap();
    drop(store);
    assert!(matches!(transaction.read(&[]).await, Err(Error::Unavailable(_))));
    assert!(matches!(transaction.commit(vec![]).await, Err(Error::Unavailable(_))));
}

/// No query sorts or scans a whole table.
#[test]
fn every_query_uses_an_index() {
    let (connection, _) = new_log();
    let queries = [
        scan::NEWEST,
        scan::SCAN,
        snapshot::TAIL,
        span::PAGE,
        span::OVERLAPPING,
        compaction::UNINDEX_REPLACED,
        compaction::DROP_REPLACED,
        compaction::UNINDEX_DELETIONS,
    ];
    for query in queries {
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {query}")).unwrap();
        let n_parameters = statement.parameter_count();
        let steps =
            statement.query_map(rusqlite::params_from_iter(vec![1; n_parameters]), |row| row.get::<_, String>(3));
        for step in steps.unwrap() {
            let step = step.unwrap();
            assert!(!step.contains("SCAN") && !step.contains("TEMP B-TREE"), "{step}: {query}");
        }
    }
}

/// Returns the number of SQLite VM steps of `work`, divided by ten.
fn steps(connection: &mut Connection, work: impl FnOnce(&mut Connection)) -> u64 {
    let counter = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&counter);
    let count = move || {
        seen.fetch_add(1, Ordering::Relaxed);
        false
    };
    connection.progress_handler(10, Some(count)).unwrap();
    work(connection);
    connection.progress_handler(0, None::<fn() -> bool>).unwrap();
    counter.load(Ordering::Relaxed)
}

fn commit_all(connection: &mut Connection, index: &IndexMemtables, writes: &[Write]) {
    let head = view::bounds(connection).unwrap().head;
    commit::commit(connection, &FailureFlag::default(), index, head, &commit::ReadSet::new(), writes).unwrap();
}

/// Creates ten keys with one version each, and one key between them with `versions` versions after revision 10.
fn log_with_hot_key(versions: u64) -> (Connection, IndexMemtables) {
    let (mut connection, index) = new_log();
    let cold: Vec<Write> = (0..10).map(|number| create(&format!("k{number}"), "")).collect();
    commit_all(&mut connection, &index, &cold);
    let expected = std::iter::once(None).chain((11..).map(|revision| Some(Revision(revision))));
    for version in expected.take(usize::try_from(versions).unwrap()) {
        commit_all(&mut connection, &index, &[Write { expected: version, ..create("k5-hot", "") }]);
    }
    (connection, index)
}

/// Lists at the head revision, before the first version of the hot key, and at half of its versions.
#[test]
fn list_cost_does_not_depend_on_versions_of_a_key() {
    let cost = |versions: u64| {
        let (mut connection, index) = log_with_hot_key(versions);
        flush_index(&mut connection, &index);
        [None, Some(Revision(10)), Some(Revision(10 + versions / 2))].map(|at| {
            steps(&mut connection, |connection| {
                let page = view(connection, &index, |view| snapshot::list(view, "", None, at, 100)).unwrap();
                assert_eq!(page.records.len(), if at == Some(Revision(10)) { 10 } else { 11 });
            })
        })
    };
    let (few, many) = (cost(100), cost(10_000));
    assert!(few.iter().all(|steps| *steps > 5), "the count of steps does not count: {few:?}");
    for (few, many) in few.into_iter().zip(many) {
        assert!(many <= few + few / 4, "{many} steps instead of {few}");
    }
}

/// Removing ten versions costs the same in a large log.
#[test]
fn compaction_cost_does_not_depend_on_log_size() {
    let cost = |objects: u64| {
        let (mut connection, index) = log_with_hot_key(20);
        let cold: Vec<Write> = (0..objects).map(|number| create(&format!("cold/{number}"), "")).collect();
        commit_all(&mut connection, &index, &cold);
        flush_index(&mut connection, &index);
        steps(&mut connection, |connection| {
            let progress = compaction::compact_chunk(connection, &index, Revision(21)).unwrap();
            assert_eq!(progress.reached, Revision(21));
        })
    };
    let (few, many) = (cost(10), cost(20_000));
    assert!(few > 5 && many <= few + few / 4, "{many} steps instead of {few}");
}

/// Each chunk is one transaction.
#[test]
fn compaction_runs_in_atomic_chunks() {
    let (mut connection, index) = log_with_hot_key(3_000);
    flush_index(&mut connection, &index);
    let mut reached = Vec::new();
    while reached.last() != Some(&2_500) {
        reached.push(compaction::compact_chunk(&mut connection, &index, Revision(2_500)).unwrap().reached.0);
        let bounds = view::bounds(&connection).unwrap();
        assert_eq!(Some(&bounds.compacted.0), reached.last());
        assert_eq!(
            view(&connection, &index, |view| snapshot::tail(view, bounds.compacted, 9_999)).unwrap().len() as u64,
            3_010 - bounds.compacted.0
        );
    }
    assert_eq!(reached, [1_024, 2_048, 2_500]);
}

/// Compaction deletes exactly the rows of replaced versions and of deletions.
#[test]
fn compaction_deletes_only_replaced_and_deleted_rows() {
    let (mut connection, index) = new_log();
    let delete =
        |text: &str, expected: u64| Write { value: None, expected: Some(Revision(expected)), ..create(text, "") };
    let replace = |text: &str, expected: u64| Write { expected: Some(Revision(expected)), ..create(text, "") };
    let writes = [
        create("a", ""),
        replace("a", 1),
        create("b", ""),
        delete("b", 3),
        create("b", ""),
        replace("a", 2),
        delete("b", 5),
    ];
    for write in writes {
        commit_all(&mut connection, &index, &[write]);
    }
    for (bounds, left) in
        [(1, "1 2 3 4 5 6 7"), (2, "2 3 4 5 6 7"), (4, "2 5 6 7"), (5, "2 5 6 7"), (6, "5 6 7"), (7, "6")]
    {
        // The first call flushes the index instead.
        while compaction::compact_chunk(&mut connection, &index, Revision(bounds)).unwrap().reached.0 < bounds {}
        for table in ["log", "version"] {
            let sql =
                format!("SELECT group_concat(revision, ' ') FROM (SELECT revision FROM {table} ORDER BY revision)");
            let rows: String = connection.query_row(&sql, [], |row| row.get(0)).unwrap();
            assert_eq!(rows, left, "{table} compacted to {bounds}");
        }
    }
}
