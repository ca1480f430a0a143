//! A permanently failed store, and independence of decisions from client reads.

use std::fs;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use store::{Error, Revision, Store};
use tokio::time::timeout;

use super::{commit_one, create, new_store, on_writer};
use crate::SqliteStore;
use crate::failure_flag::FailureFlag;
use crate::limits::{DECISION_READERS_MAX, READER_CACHE_KIB, READERS_MAX};
use crate::writer::WriterGone;

/// The timeout for operations that should complete immediately.
const SOON: Duration = Duration::from_secs(20);

/// Client reads use all of their connections, and one more read is queued.
#[tokio::test(flavor = "multi_thread")]
async fn decision_reads_do_not_wait_for_client_reads() {
    let (store, _directory) = new_store();
    let store = Arc::new(store);
    commit_one(&store, create("a", "1")).await.unwrap();
    let (begun, begins) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let released = Arc::new(std::sync::Mutex::new(released));
    let readers: Vec<_> = (0..READERS_MAX)
        .map(|_| {
            let (store, begun, released) = (Arc::clone(&store), begun.clone(), Arc::clone(&released));
            let read = async move {
                let wait = move |_: &crate::view::ReadView<'_>| {
                    begun.send(()).unwrap();
                    let _ = released.lock().unwrap().recv();
                    Ok(())
                };
                store.readers.run(wait).await.unwrap();
            };
            tokio::spawn(read)
        })
        .collect();
    (0..READERS_MAX).for_each(|_| begins.recv_timeout(SOON).unwrap());
    let list = store.list("", None, None, 9);
    let mut list = std::pin::pin!(list);
    assert!(futures::poll!(list.as_mut()).is_pending(), "a list has a connection beyond the limit");
    let key = create("a", "").key;
    for _ in 0..2 * DECISION_READERS_MAX {
        let decided = async {
            assert_eq!(store.read(std::slice::from_ref(&key)).await.unwrap().len(), 1);
            let head = store.begin().await.unwrap().head();
            commit_one(&store, create(&format!("b{head}"), "1")).await.unwrap();
        };
        timeout(SOON, decided).await.expect("a decision waits for reads of users");
    }
    drop(release);
    for reader in readers {
        reader.await.unwrap();
    }
    assert_eq!(list.await.unwrap().records.len(), 1 + 2 * DECISION_READERS_MAX);
}

#[tokio::test]
async fn reader_page_caches_are_bounded() {
    let (store, _directory) = new_store();
    for readers in [&*store.readers, &store.decisions] {
        let cache = readers.run_inline(|view| {
            Ok(view.connection.pragma_query_value(None, "cache_size", |row| row.get::<_, i64>(0)).unwrap())
        });
        assert_eq!(cache.await.unwrap(), -i64::from(READER_CACHE_KIB), "in KiB, if negative");
    }
}

/// Applies to any job.
#[tokio::test]
async fn writer_panic_fails_the_store() {
    let (store, _directory) = new_store();
    commit_one(&store, create("a", "1")).await.unwrap();
    let gone = store.writer.handle().run(|_| panic!("injected by the test")).await;
    assert_eq!(gone, Err::<(), _>(WriterGone::OutcomeUnknown));
    let reason = timeout(SOON, store.failed()).await.unwrap();
    assert!(reason.contains("store-writer panicked"), "{reason}");
    assert!(matches!(store.begin().await.err(), Some(Error::Unavailable(_))));
    assert_eq!(store.head().await.unwrap().revision, Revision(1), "it can be read");
}

#[tokio::test]
async fn only_first_panic_of_a_thread_is_reported() {
    let failure_flag = Arc::new(FailureFlag::default());
    failure_flag.spawn("healthy", || {}).unwrap().join().unwrap();
    assert!(!failure_flag.is_failed());
    for name in ["first", "second"] {
        failure_flag.spawn(name, || panic!("injected by the test")).unwrap().join().unwrap();
    }
    assert_eq!(failure_flag.failed().await, "the thread first panicked");
}

/// A transaction that began before the failure, and one that begins after it.
#[tokio::test]
async fn failed_store_rejects_commits() {
    let (store, directory) = new_store();
    commit_one(&store, create("a", "1")).await.unwrap();
    let transaction = store.begin().await.unwrap();
    store.writer.handle().failure_flag().fail("injected by the test".to_owned());
    let refused = transaction.commit(vec![create("b", "1")]).await;
    assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
    assert!(matches!(store.begin().await.err(), Some(Error::Unavailable(_))));
    assert!(matches!(store.compact(Revision(1)).await, Err(Error::Unavailable(_))));
    drop(store);
    let store = SqliteStore::open(directory.path().join("data.db")).unwrap();
    assert_eq!(store.head().await.unwrap().revision, Revision(1));
}

/// `SQLite` would checkpoint the frames that it considers unwritten, and remove the WAL.
#[tokio::test]
async fn failed_store_keeps_its_wal() {
    let (store, directory) = new_store();
    commit_one(&store, create("a", "1")).await.unwrap();
    let moved = on_writer(&store, |connection| {
        connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get::<_, u32>(2)).unwrap()
    });
    assert!(moved.await > 0, "there is something to move");
    store.writer.handle().failure_flag().fail("injected by the test".to_owned());
    drop(store);
    let path = directory.path().join("data.db");
    let log = crate::paths::sibling_path(&path, "-wal");
    assert!(fs::metadata(&log).unwrap().len() > 0);
    drop(SqliteStore::open(&path).unwrap());
    assert!(!log.exists());
}
