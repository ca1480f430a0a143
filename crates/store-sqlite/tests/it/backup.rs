//! Backups: a copy of a running store is a complete store.

use std::fs::{self, File};
use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use store::{Span, Store, Write, contract};
use store_sqlite::{BackupError, BackupProgress, DetachedFile, SqliteStore};
use tokio::runtime::Handle;

use crate::{commit, create, open};

fn claim(number: u128) -> Write {
    let write = create(&format!("k{number:06}"), vec![b'v'; 700]);
    let span = Span { space: "s".into(), first: number, last: number, holder: write.key.clone() };
    Write { takes: vec![span], ..write }
}

/// Creates a store with more pages than one backup step copies.
async fn filled(path: &Path) -> Arc<SqliteStore> {
    let store = Arc::new(open(path));
    for start in [0, 5_000, 10_000] {
        commit(&store, (start..start + 5_000).map(claim).collect()).await.unwrap();
    }
    store
}

fn go_on(_: BackupProgress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = entries.collect();
    names.sort();
    names
}

/// Commits after every step: the copy continues, with the state at its beginning.
#[tokio::test(flavor = "multi_thread")]
async fn commits_during_backup_do_not_wait_or_restart_it() {
    let directory = tempfile::tempdir().unwrap();
    let store = filled(&directory.path().join("data.db")).await;
    let before = store.head().await.unwrap();
    let path = directory.path().join("copy.db");
    let steps = Arc::new(AtomicU32::new(0));
    let (committing, counted, handle) = (Arc::clone(&store), Arc::clone(&steps), Handle::current());
    let watch = move |progress: BackupProgress| {
        assert!(progress.copied < progress.total, "{progress:?}");
        let number = 100_000 + u128::from(counted.fetch_add(1, Ordering::Relaxed));
        handle.block_on(commit(&committing, vec![claim(number)])).unwrap();
        if number < 100_500 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    let head = store.backup(&path, watch).await.unwrap();
    assert_eq!(head, before, "the copy shows the state at its beginning");
    let steps = steps.load(Ordering::Relaxed);
    assert!((2..20).contains(&steps), "{steps} steps");
    assert_eq!(store.head().await.unwrap().revision.0, before.revision.0 + u64::from(steps));

    let expected = contract::records(&*store, "", Some(head.revision.0)).await;
    assert_eq!(names(directory.path()), ["copy.db", "data.db", "data.db-shm", "data.db-wal", "data.db.lock"]);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let copy = open(&path);
    assert_eq!(copy.head().await.unwrap(), head);
    assert_eq!(contract::records(&copy, "", None).await, expected);
    let spans = contract::spans(&copy, None, usize::MAX).await.unwrap();
    assert!(spans.iter().map(|span| &span.holder).eq(expected.iter().map(|record| &record.key)));
    // The copy is independent of the original.
    commit(&copy, vec![create("own", "")]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn backup_under_load_contains_whole_commits() {
    let directory = tempfile::tempdir().unwrap();
    let store = filled(&directory.path().join("data.db")).await;
    let path = directory.path().join("copy.db");
    let mut backup = std::pin::pin!(store.backup(&path, go_on));
    let mut next = 20_000;
    let head = loop {
        tokio::select! {
            biased;
            head = &mut backup => break head.unwrap(),
            outcome = commit(&store, vec![claim(next), claim(next + 1)]) => outcome.unwrap(),
        }
        next += 2;
    };
    assert_eq!(head.revision.0 % 2, 0, "the copy holds half a commit");
    assert_eq!(open(&path).head().await.unwrap(), head);
}

/// The file is read in place, without creating a lock, a WAL or any other file, also on a read-only medium.
#[tokio::test]
async fn reading_a_backup_changes_no_files() {
    let directory = tempfile::tempdir().unwrap();
    let store = filled(&directory.path().join("data.db")).await;
    commit(&store, vec![create("k000001/more", "later")]).await.unwrap();
    let backups = directory.path().join("100% #1?");
    fs::create_dir(&backups).unwrap();
    let path = backups.join("copy.db");
    store.backup(&path, go_on).await.unwrap();
    let bytes = fs::read(&path).unwrap();
    fs::set_permissions(&backups, fs::Permissions::from_mode(0o500)).unwrap();

    let file = DetachedFile::open(&path).unwrap();
    assert_eq!(file.integrity().await.unwrap(), [""; 0]);
    let mut snapshot = file.snapshot().await.unwrap();
    let expected = store.list("", None, None, usize::MAX).await.unwrap();
    assert_eq!(snapshot.list("", None, usize::MAX).await.unwrap(), expected);
    assert_eq!(snapshot.spans(None, usize::MAX).await.unwrap().len(), 15_000);
    assert_eq!((names(&backups), fs::read(&path).unwrap() == bytes), (vec!["copy.db".to_owned()], true));
}

/// The index in the file of a stopped store lacks recent versions.
#[tokio::test]
async fn detached_file_with_incomplete_index_is_read_completely() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data.db");
    let store = filled(&path).await;
    commit(&store, vec![create("last", "v")]).await.unwrap();
    let expected = store.list("", None, None, usize::MAX).await.unwrap();
    drop(store);
    let mut snapshot = DetachedFile::open(&path).unwrap().snapshot().await.unwrap();
    assert_eq!(snapshot.list("", None, usize::MAX).await.unwrap(), expected);
}

#[tokio::test]
async fn detached_open_of_running_store_is_rejected() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data.db");
    let _store = filled(&path).await;
    let error = DetachedFile::open(&path).unwrap_err().to_string();
    assert!(error.contains("write-ahead log next to it"), "{error}");
}

#[tokio::test]
async fn backup_does_not_replace_an_existing_file() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory.path().join("data.db"));
    let path = directory.path().join("precious");
    fs::write(&path, "precious").unwrap();
    let error = store.backup(&path, go_on).await.unwrap_err();
    assert!(matches!(error, BackupError::Exists { .. }), "{error:?}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 5, "no other file remains");
}

#[tokio::test]
async fn canceled_backup_leaves_no_files() {
    let directory = tempfile::tempdir().unwrap();
    let store = filled(&directory.path().join("data.db")).await;
    let backups = tempfile::tempdir().unwrap();
    let path = backups.path().join("copy.db");
    let error = store.backup(&path, |_| ControlFlow::Break(())).await.unwrap_err();
    assert!(matches!(error, BackupError::GivenUp), "{error:?}");
    assert_eq!(names(backups.path()), [""; 0]);
}

#[tokio::test]
async fn leftover_of_killed_backup_is_replaced_but_not_of_running_one() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory.path().join("data.db"));
    commit(&store, vec![create("k", "v")]).await.unwrap();
    let backups = tempfile::tempdir().unwrap();
    let (path, left) = (backups.path().join("copy.db"), backups.path().join("copy.db.partial"));
    fs::write(&left, "half").unwrap();
    fs::write(backups.path().join("copy.db.partial-journal"), "half").unwrap();
    let running = File::open(&left).unwrap();
    running.lock().unwrap();
    let error = store.backup(&path, go_on).await.unwrap_err();
    assert!(matches!(error, BackupError::Busy { .. }), "{error:?}");
    assert_eq!(fs::read_to_string(&left).unwrap(), "half");
    drop(running);
    store.backup(&path, go_on).await.unwrap();
    assert_eq!(names(backups.path()), ["copy.db"]);
}

/// With damaged keys, a page may end with a key before its start; continuing from there must not loop forever.
#[tokio::test]
async fn pages_of_file_with_keys_out_of_order_terminate() {
    let directory = tempfile::tempdir().unwrap();
    let store = filled(&directory.path().join("data.db")).await;
    let path = directory.path().join("copy.db");
    store.backup(&path, go_on).await.unwrap();
    let mut bytes = fs::read(&path).unwrap();
    for place in 0..bytes.len() - 7 {
        if &bytes[place..place + 7] == b"k000500" {
            bytes[place] = b'a';
        }
    }
    fs::write(&path, bytes).unwrap();
    let mut snapshot = DetachedFile::open(&path).unwrap().snapshot().await.unwrap();
    let (mut after, mut pages) = (None, 0);
    let error = loop {
        match snapshot.list("", after.as_ref(), 1).await {
            Ok(page) => after = Some(page.records.last().expect("the damage lies before the end").key.clone()),
            Err(error) => break error,
        }
        pages += 1;
        assert!(pages < 15_000, "the pages do not end");
    };
    assert!(matches!(error, store::Error::Corrupt(_)), "{error}");
}
