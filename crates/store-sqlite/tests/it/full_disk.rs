//! The disk becomes full during a commit or a checkpoint.
//!
//! A child process simulates the full disk: it lowers its file size limit (RLIMIT_FSIZE), so that the WAL or the data
//! file cannot grow. The shell in between makes the child ignore the signal SIGXFSZ.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use store::{Error, Revision, Store, contract};
use store_sqlite::SqliteStore;

use crate::{again, commit, create, open};

const CHILD: &str = "STORE_SQLITE_FULL_DISK";

/// Enough for the store's own small writes, but not for a large value.
const ROOM_BYTES: u64 = 60_000;

#[test]
fn commit_that_does_not_fit_is_rolled_back() {
    in_child("full_disk::commit_that_does_not_fit_is_rolled_back", CHILD, |path| async move {
        fill(&path, ROOM_BYTES).await;
        fill(&path, 0).await;
    });
}

/// Runs `body` with the path of a new store in a child process. `test` is the name of the calling test.
fn in_child<F: Future<Output = ()>>(test: &str, variable: &str, body: impl FnOnce(PathBuf) -> F) {
    if let Some(path) = std::env::var_os(variable) {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(body(path.into()));
        println!("\nthe child is done");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data.db");
    let child = again(test, variable, &path);
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' XFSZ; exec \"$@\"", "sh"]).arg(child.get_program()).args(child.get_args());
    let output = shell.env(variable, &path).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("the child is done"), "{said}{complaint}");
}

const BACKUP_CHILD: &str = "STORE_SQLITE_FULL_DISK_BACKUP";

#[test]
fn backup_that_does_not_fit_leaves_no_files() {
    in_child("full_disk::backup_that_does_not_fit_leaves_no_files", BACKUP_CHILD, |path| async move {
        let store = open(&path);
        commit_bytes(&store, 16 << 20).await;
        drop(store);
        let store = open(&path);
        let to = path.with_file_name("copy.db");
        let unlimited = limit_files(4 << 20);
        let error = store.backup(&to, |_| ControlFlow::Continue(())).await.unwrap_err();
        setrlimit(Resource::Fsize, unlimited).unwrap();
        assert!(error.to_string().contains("cannot copy the store to"), "{error}");
        let mut names: Vec<_> =
            fs::read_dir(path.parent().unwrap()).unwrap().map(|it| it.unwrap().file_name()).collect();
        names.retain(|name| name.to_string_lossy().starts_with("copy"));
        assert!(names.is_empty(), "{names:?}");
        store.backup(&to, |_| ControlFlow::Continue(())).await.unwrap();
    });
}

const CHECKPOINT_CHILD: &str = "STORE_SQLITE_FULL_DISK_CHECKPOINT";

/// More than the WAL size at which the store starts a checkpoint.
const BEYOND_CHECKPOINT_BYTES: u64 = 80 << 20;

#[test]
fn checkpoint_that_does_not_fit_loses_no_data() {
    in_child("full_disk::checkpoint_that_does_not_fit_loses_no_data", CHECKPOINT_CHILD, |path| async move {
        // The data file is as large as the WAL will be, so that the limit affects only the data file.
        let store = open(&path);
        let head = commit_bytes(&store, BEYOND_CHECKPOINT_BYTES + (16 << 20)).await;
        drop(store);
        let store = open(&path);
        let full = store.statistics().await.unwrap().file_bytes;
        let limit = limit_files(full);
        commit_bytes(&store, BEYOND_CHECKPOINT_BYTES).await;
        assert_eq!(store.statistics().await.unwrap().file_bytes, full, "the file grew on a full disk");
        setrlimit(Resource::Fsize, limit).unwrap();
        while store.statistics().await.unwrap().file_bytes == full {
            commit_bytes(&store, 1 << 20).await;
        }
        let before = (store.head().await.unwrap(), contract::records(&store, "", None).await);
        assert!(before.0.revision > head && before.1.len() as u64 == before.0.revision.0);
        drop(store);
        let store = open(&path);
        let after = (store.head().await.unwrap(), contract::records(&store, "", None).await);
        assert!(after == before, "{:?} instead of {:?}", after.0, before.0);
    });
}

/// Commits values of one MiB each; returns the head.
async fn commit_bytes(store: &SqliteStore, bytes: u64) -> Revision {
    for _ in 0..bytes >> 20 {
        let transaction = store.begin().await.unwrap();
        let write = create(&format!("k{}", transaction.head()), vec![b'x'; 1 << 20]);
        transaction.commit(vec![write]).await.unwrap();
    }
    store.head().await.unwrap().revision
}

/// Commits succeed, fail and succeed again. No acknowledged write is lost, and no rejected write is stored.
async fn fill(path: &Path, room: u64) {
    let store = open(path);
    let head = store.head().await.unwrap().revision.0;
    let name = |number: u64| format!("room-{room}/{number}");
    commit(&store, vec![create(&name(1), vec![b'x'; 50_000])]).await.unwrap();
    let limit = limit_files(store.statistics().await.unwrap().wal_bytes + room);
    for _ in 0..3 {
        let error =
            commit(&store, vec![create(&name(2), ""), create(&name(3), vec![b'x'; 500_000])]).await.unwrap_err();
        assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
        assert_eq!(store.head().await.unwrap().revision, Revision(head + 1));
        assert_eq!(names(&store, &name(0)[..name(0).len() - 1]).await, [name(1)]);
    }
    if room > 0 {
        commit(&store, vec![create(&name(4), "small")]).await.unwrap();
    }
    setrlimit(Resource::Fsize, limit).unwrap();
    commit(&store, vec![create(&name(5), vec![b'x'; 500_000])]).await.unwrap();
    let before = names(&store, "").await;
    drop(store);
    assert_eq!(names(&open(path), "").await, before);
}

/// Sets the file size limit, and returns the previous one.
fn limit_files(bytes: u64) -> Rlimit {
    let before = getrlimit(Resource::Fsize);
    setrlimit(Resource::Fsize, Rlimit { current: Some(bytes), maximum: before.maximum }).unwrap();
    before
}

async fn names(store: &SqliteStore, prefix: &str) -> Vec<String> {
    let records = store.list(prefix, None, None, 99).await.unwrap().records;
    records.into_iter().map(|record| record.key.as_str().to_owned()).collect()
}
