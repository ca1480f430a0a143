//! Opening of files: accepted files, and the errors for other files.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rusqlite::Connection;
use store::{Revision, Span, Store, Write, contract};
use store_sqlite::{OpenError, SqliteStore};

use crate::{again, commit, create, open};

#[tokio::test]
async fn reopened_store_has_the_same_data() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data.db");
    let store = open(&path);
    let holder = create("a", "1").key;
    let span = Span { space: "s".into(), first: 1, last: 2, holder };
    commit(&store, vec![Write { takes: vec![span.clone()], ..create("a", "1") }, create("b", "2")]).await.unwrap();
    commit(&store, vec![Write { expected: Some(Revision(2)), value: None, ..create("b", "") }]).await.unwrap();
    store.compact(Revision(3)).await.unwrap();
    let before = (store.head().await.unwrap(), store.list("", None, None, 9).await.unwrap());
    drop(store);
    let store = open(&path);
    assert_eq!((store.head().await.unwrap(), store.list("", None, None, 9).await.unwrap()), before);
    assert_eq!(contract::spans(&store, None, 9).await.unwrap(), [span]);
    assert_eq!(store.begin().await.unwrap().head(), Revision(3));
}

#[test]
fn closed_store_leaves_data_file_and_lock_only() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(&directory.path().join("data.db")));
    let mut names: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["data.db", "data.db.lock"]);
}

#[tokio::test]
async fn files_have_mode_0600() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data.db");
    let store = open(&path);
    commit(&store, vec![create("a", "1")]).await.unwrap();
    let names: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(names.len(), 4, "the file, its lock, the write-ahead log and its index: {names:?}");
    for name in names {
        let mode = fs::metadata(&name).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", name.display());
    }
    assert!(store.statistics().await.unwrap().wal_bytes > 0);
}

/// By its path and by a symbolic link.
#[test]
fn second_store_on_the_same_file_is_rejected() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data.db");
    let link = directory.path().join("link.db");
    let store = open(&path);
    std::os::unix::fs::symlink(&path, &link).unwrap();
    for name in [&path, &link] {
        let error = SqliteStore::open(name).unwrap_err();
        assert!(matches!(error, OpenError::Held { .. }), "{error:?}");
        let text = error.to_string();
        assert!(text.contains(path.to_str().unwrap()), "the message names the file: {text}");
        assert!(text.contains("another ipam process holds it"), "{text}");
        assert!(text.contains(&format!("process {}", std::process::id())), "{text}");
    }
    drop(store);
    drop(open(&link));
}

#[test]
fn second_process_is_rejected() {
    const CHILD: &str = "STORE_SQLITE_SECOND_PROCESS";
    if let Some(path) = std::env::var_os(CHILD) {
        println!("\nrefused: {}", SqliteStore::open(path).unwrap_err());
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data.db");
    let _store = open(&path);
    let output = again("opening::second_process_is_rejected", CHILD, &path).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("refused: ") && said.contains(path.to_str().unwrap()), "{said}");
}

fn assert_refused(path: &Path, matches: fn(&OpenError) -> bool) -> String {
    let before = fs::read(path).unwrap();
    let error = SqliteStore::open(path).unwrap_err();
    assert!(matches(&error), "{error:?}");
    assert_eq!(fs::read(path).unwrap(), before, "the file was changed");
    error.to_string()
}

#[test]
fn foreign_files_are_rejected_and_unchanged() {
    let directory = tempfile::tempdir().unwrap();
    let text = directory.path().join("notes.txt");
    fs::write(&text, "These are my notes, and no database. ".repeat(200)).unwrap();
    let database = directory.path().join("other.db");
    Connection::open(&database).unwrap().execute_batch("CREATE TABLE cats (name)").unwrap();
    let marked = directory.path().join("marked.db");
    Connection::open(&marked).unwrap().execute_batch("PRAGMA application_id = 7; VACUUM").unwrap();
    for path in [text, database, marked] {
        let said = assert_refused(&path, |error| matches!(error, OpenError::Foreign { .. }));
        assert!(said.contains("is not an ipam data file"), "{said}");
    }
}

#[test]
fn file_of_later_schema_version_is_rejected() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data.db");
    drop(open(&path));
    Connection::open(&path).unwrap().execute_batch("PRAGMA user_version = 2").unwrap();
    let said = assert_refused(&path, |error| matches!(error, OpenError::Newer { found: 2, known: 1, .. }));
    assert!(said.contains("run a newer ipam"), "{said}");
}

#[test]
fn missing_directory_error_names_the_path() {
    let directory = tempfile::tempdir().unwrap();
    let error = SqliteStore::open(directory.path().join("nowhere/data.db")).unwrap_err();
    assert!(error.to_string().contains("nowhere/data.db"), "{error}");
}

/// The files are as a killed process leaves them. Another program that has them open keeps its view of the WAL, which
/// may be wrong.
#[tokio::test]
async fn wal_recovery_requires_exclusive_access() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data.db");
    let store = open(&path);
    commit(&store, vec![create("a", "1")]).await.unwrap();
    let left = directory.path().join("left.db");
    for suffix in ["", "-wal"] {
        let name = |path: &Path| format!("{}{suffix}", path.display());
        fs::copy(name(&path), name(&left)).unwrap();
    }
    let shell = Connection::open(&left).unwrap();
    let count =
        |shell: &Connection| shell.query_row("SELECT count(*) FROM log", [], |row| row.get::<_, u32>(0)).unwrap();
    assert_eq!(count(&shell), 1);
    let error = SqliteStore::open(&left).unwrap_err();
    assert!(matches!(error, OpenError::Shared { .. }), "{error:?}");
    assert!(error.to_string().contains("another program has it open"), "{error}");
    assert_eq!(count(&shell), 1, "the file was not changed");
    drop(shell);
    assert_eq!(open(&left).head().await.unwrap().revision, Revision(1));
}

/// "ipam" as a number marked the files of the earlier schemas.
#[test]
fn file_of_an_earlier_schema_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data.db");
    let earlier = i32::from_be_bytes(*b"ipam");
    let earlier = format!("CREATE TABLE log (revision); PRAGMA application_id = {earlier}; PRAGMA user_version = 2");
    Connection::open(&path).unwrap().execute_batch(&earlier).unwrap();
    let said = assert_refused(&path, |error| matches!(error, OpenError::Earlier { .. }));
    assert!(said.contains("ipam store export"), "{said}");
}
