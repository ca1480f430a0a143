//! The in-memory index that is flushed to the file later: reads must not show the difference.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rand::{Rng, SeedableRng, rngs::SmallRng};
use rusqlite::Connection;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use store::{Error, Key, Revision, Store, Write};

use super::{commit_all, commit_one, create, flush_index, new_log, new_store, view};
use crate::memtable::{FlushStep, IndexMemtables};
use crate::view::ReadView;
use crate::{SqliteStore, reader, scan, schema, snapshot};

/// The read begins after a memtable was flushed and a commit was added to a new memtable.
#[test]
fn read_that_begins_during_a_flush_is_complete() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data.db");
    let mut writer = Connection::open(&path).unwrap();
    writer.pragma_update(None, "journal_mode", "wal").unwrap();
    schema::prepare(&mut writer, &path).unwrap();
    let index = Arc::new(IndexMemtables::new());
    commit_all(&mut writer, &index, &[create("a", "")]);
    let mut reader = reader::connect(&path).unwrap();
    let between = Arc::clone(&index);
    let mut work = Some(move || {
        flush_index(&mut writer, &between);
        commit_all(&mut writer, &between, &[create("b", "")]);
    });
    // The authorizer is called after the memtables were read and before the snapshot begins.
    let ask = move |asked: AuthContext<'_>| {
        if matches!(asked.action, AuthAction::Transaction { .. })
            && let Some(mut work) = work.take()
        {
            work();
        }
        Authorization::Allow
    };
    reader.authorizer(Some(ask)).unwrap();
    let (memtables, bounds) = view::begin(&reader, &index).unwrap();
    let view = ReadView { connection: &reader, memtables: &memtables, bounds };
    assert_eq!((bounds.head, snapshot::list(&view, "", None, None, 9).unwrap().records.len()), (Revision(2), 2));
}

/// Versions of a failed commit are not visible, also after their revisions were used again.
#[test]
fn versions_of_failed_commits_are_removed_from_the_index() {
    let index = IndexMemtables::new();
    let newest = |key: &str| index.memtables().newest(key, Revision(9)).map(|version| version.revision.0);
    index.add(Revision(0), &[create("a", "1"), create("b", "1")]);
    index.add(Revision(2), &[create("a", "2"), create("c", "1")]);
    index.rollback_to(Revision(2));
    assert_eq!([newest("a"), newest("b"), newest("c")], [Some(1), Some(2), None]);
    index.add(Revision(2), &[create("d", "1")]);
    assert_eq!([newest("a"), newest("c"), newest("d")], [Some(1), None, Some(3)]);
}

/// A commit with an unknown outcome is in the newest memtable until its outcome is resolved. Compaction does not wait
/// for that, and must not flush it.
#[test]
fn versions_of_lost_commits_are_not_flushed() {
    let (mut connection, index) = new_log();
    commit_all(&mut connection, &index, &[create("a", "1")]);
    index.add(Revision(1), &[create("lost", "1")]);
    let transaction = connection.transaction().unwrap();
    let flushed = index.flush_all(&transaction, Revision(1)).unwrap();
    transaction.commit().unwrap();
    index.flush_done(flushed);
    index.rollback_to(Revision(1));
    commit_all(&mut connection, &index, &[create("b", "1")]);
    view(&connection, &index, |view| {
        let keys = ["a", "b", "lost"].map(|name| create(name, "").key);
        let found = snapshot::read(view, &keys).unwrap();
        assert_eq!(found.iter().map(Option::is_some).collect::<Vec<_>>(), [true, true, false]);
    });
}

/// Random commits, with flushing in small steps: every key at every revision, and lists, are compared with a list of
/// all writes.
#[test]
fn reads_during_flushes_equal_a_list_of_all_writes() {
    let mut random = SmallRng::seed_from_u64(1);
    let (mut connection, index) = new_log();
    let mut history: Vec<(String, bool)> = Vec::new();
    let mut memtables = Vec::new();
    for _ in 0..400 {
        let keys: BTreeSet<String> = (0..random.random_range(1..20)).map(|_| random_key(&mut random)).collect();
        let present = live(&history);
        let writes: Vec<Write> = keys.iter().map(|key| random_write(&mut random, &present, key)).collect();
        commit_all(&mut connection, &index, &writes);
        history.extend(writes.iter().map(|write| (write.key.as_str().to_owned(), write.value.is_some())));
        memtables.push(index.memtables().len());
        for _ in 0..4 {
            let at = random.random_range(0..=history.len());
            view(&connection, &index, |view| assert_same(view, &mut random, at, live(&history[..at])));
        }
    }
    let flushed = memtables.windows(2).filter(|pair| *pair == [2, 1]).count();
    assert!(flushed > 3, "of {} commits only {flushed} folded the last of a layer", memtables.len());
}

/// Compares one key at a revision, and the keys after another one.
fn assert_same(view: &ReadView<'_>, random: &mut SmallRng, at: usize, expected: BTreeMap<String, u64>) {
    let (revision, key) = (Revision(at as u64), random_key(random));
    let newest = scan::newest(view, &key, revision).unwrap();
    assert_eq!(newest.map(|revision| revision.0), expected.get(&key).copied(), "{key} at {at}");
    let (after, limit) = (random_key(random), random.random_range(1..600));
    let mut found = Vec::new();
    let visit = |key: &str, revision: Revision| {
        found.push((key.to_owned(), revision.0));
        if found.len() == limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    scan::scan(view, "k", Some(&Key::new(after.as_str()).unwrap()), revision, visit).unwrap();
    let later = expected.into_iter().filter(|(key, _)| *key > after);
    assert_eq!(found, later.take(limit).collect::<Vec<_>>(), "after {after} at {at}");
}

fn random_key(random: &mut SmallRng) -> String {
    // A few keys are chosen often, so that they get many versions.
    let number = if random.random_bool(0.2) { random.random_range(0..3) } else { random.random_range(0..3_000) };
    format!("k{number:04}")
}

fn random_write(random: &mut SmallRng, present: &BTreeMap<String, u64>, key: &str) -> Write {
    let expected = present.get(key).map(|revision| Revision(*revision));
    let deletes = expected.is_some() && random.random_bool(0.3);
    Write { expected, value: (!deletes).then(Bytes::new), ..create(key, "") }
}

/// Returns the objects after these writes, with their revisions.
fn live(history: &[(String, bool)]) -> BTreeMap<String, u64> {
    let mut live = BTreeMap::new();
    for ((key, is_live), revision) in history.iter().zip(1..) {
        if *is_live {
            live.insert(key.clone(), revision)
        } else {
            live.remove(key)
        };
    }
    live
}

/// Measured as CPU time, because the costly work would be outside of SQLite. If the cost of a step depended on the
/// number of flushed versions, it would be a hundred times as high.
#[test]
fn flush_cost_does_not_depend_on_flushed_versions() {
    let cost = |versions: u64| {
        let (mut connection, index) = new_log();
        let writes: Vec<Write> = (0..versions).map(|_| create("hot", "")).collect();
        index.add(Revision(0), &writes);
        let transaction = connection.transaction().unwrap();
        let begun = processor_time();
        loop {
            let flushed = index.flush_some(&transaction, Revision(versions), 1).unwrap();
            let is_last = matches!(flushed, FlushStep::Last);
            index.flush_done(flushed);
            if is_last {
                return processor_time().saturating_sub(begun);
            }
        }
    };
    let (few, many) = (cost(4_000), cost(40_000));
    println!("{few:?} for 4,000 versions, {many:?} for 40,000");
    assert!(many < few * 30, "{many:?} instead of ten times {few:?}");
}

/// Returns the CPU time of this thread.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
}

/// Versions that were only in memory when the store was closed or crashed.
#[tokio::test]
async fn opening_completes_the_index() {
    let (store, directory) = new_store();
    let path = directory.path().join("data.db");
    for round in 0..300 {
        commit_one(&store, create(&format!("k{round}"), "")).await.unwrap();
    }
    drop(store);
    let count = |sql: &str| Connection::open(&path).unwrap().query_row(sql, [], |row| row.get::<_, u32>(0)).unwrap();
    assert!(count("SELECT count(*) FROM version") < 300, "the index in the file was already complete");
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(store.list("", None, None, 999).await.unwrap().records.len(), 300);
    drop(store);
    assert_eq!(count("SELECT count(*) FROM version"), 300);
    assert_eq!(count("SELECT indexed FROM log_state"), 300);
}

/// The number of commits, concurrent with reads and compactions: enough for many memtables.
const COMMITS: u64 = 600;

/// The number of keys that each commit writes.
const KEYS: u64 = 12;

/// Each commit writes every key, so a consistent read sees the same number everywhere. Nothing is synchronized.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_reads_see_whole_commits_during_flush_and_compaction() {
    let (store, _directory) = new_store();
    let store = Arc::new(store);
    commit_round(&store, 0).await;
    let readers: Vec<_> = (0..3).map(|seed| tokio::spawn(read_until_last(Arc::clone(&store), seed))).collect();
    let compaction = {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            while !is_last(&store).await {
                let head = store.head().await.unwrap().revision;
                store.compact(Revision(head.0.saturating_sub(40 * KEYS))).await.unwrap();
            }
        })
    };
    let mut memtables = Vec::new();
    for round in 1..COMMITS {
        commit_round(&store, round).await;
        memtables.push(store.index.memtables().len());
    }
    compaction.await.unwrap();
    let mut reads = 0;
    for reader in readers {
        reads += reader.await.unwrap();
    }
    let flushed = memtables.windows(2).filter(|pair| *pair == [2, 1]).count();
    println!("{reads} reads, {flushed} layers");
    assert!(reads > 100 && flushed > 3, "{reads} reads beside {flushed} layers");
}

async fn is_last(store: &SqliteStore) -> bool {
    store.head().await.unwrap().revision.0 >= COMMITS * KEYS
}

async fn commit_round(store: &SqliteStore, round: u64) {
    let before = |number: u64| round.checked_sub(1).map(|before| Revision(before * KEYS + number + 1));
    let write = |number: u64| Write { expected: before(number), ..create(&format!("k{number:02}"), round.to_string()) };
    store.begin().await.unwrap().commit((0..KEYS).map(write).collect()).await.unwrap();
}

/// Lists and reads until the writer is done; returns the number of rounds.
async fn read_until_last(store: Arc<SqliteStore>, seed: u64) -> u64 {
    let mut random = SmallRng::seed_from_u64(seed);
    let keys: Vec<Key> = (0..KEYS).map(|number| create(&format!("k{number:02}"), "").key).collect();
    let mut reads = 0;
    let mut newest: u64 = 0;
    while !is_last(&store).await {
        let back = random.random_range(0..newest.min(8) + 1);
        let at = random.random_bool(0.5).then(|| Revision((newest + 1 - back) * KEYS));
        match store.list("", None, at, usize::MAX).await {
            Ok(page) => {
                let rounds: BTreeSet<&Bytes> = page.records.iter().map(|record| &record.value).collect();
                let round = page.revision.0 / KEYS - 1;
                assert_eq!(rounds, BTreeSet::from([&Bytes::from(round.to_string())]), "at {}", page.revision);
                assert_eq!(page.records.len() as u64, KEYS);
                assert!(at.is_some() || round >= newest, "{round} after {newest}");
                newest = newest.max(round);
            }
            Err(Error::Compacted { .. }) => assert!(at.is_some(), "the head is compacted"),
            Err(error) => panic!("{error}"),
        }
        let records = store.read(&keys).await.unwrap();
        let rounds: BTreeSet<Option<&Bytes>> =
            records.iter().map(|record| record.as_ref().map(|record| &record.value)).collect();
        assert_eq!(rounds.len(), 1, "{rounds:?}");
        reads += 1;
    }
    reads
}
