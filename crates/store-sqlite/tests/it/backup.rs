//! A copy of a running store is a store.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use store::{Span, Store, Write, contract};
use store_sqlite::OpenError;

use crate::{commit, create, open};

fn claim(number: u128) -> Write {
    let write = create(&format!("k{number:06}"), vec![b'v'; 700]);
    let span = Span { space: "s".into(), first: number, last: number, holder: write.key.clone() };
    Write { takes: vec![span], ..write }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_taken_under_load_is_whole() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(open(&directory.path().join("data.db")));
    commit(&store, (0..5_000).map(claim).collect()).await.unwrap();
    let path = directory.path().join("copy.db");
    let mut backup = std::pin::pin!(store.backup(&path));
    let mut next = 5_000;
    let head = loop {
        tokio::select! {
            biased;
            head = &mut backup => break head.unwrap(),
            outcome = commit(&store, vec![claim(next), claim(next + 1)]) => outcome.unwrap(),
        }
        next += 2;
    };
    let copy = open(&path);
    assert_eq!(copy.head().await.unwrap(), head);
    assert_eq!(head.revision.0 % 2, 0, "the copy holds half a commit");
    let expected = store.list("", None, Some(head.revision), usize::MAX).await.unwrap();
    assert_eq!(copy.list("", None, None, usize::MAX).await.unwrap(), expected);
    let spans = contract::spans(&copy, None, usize::MAX).await.unwrap();
    assert!(spans.iter().map(|span| &span.holder).eq(expected.records.iter().map(|record| &record.key)));
    // The copy goes its own way.
    commit(&copy, vec![create("own", "")]).await.unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!directory.path().join("copy.db.partial").exists());
}

#[tokio::test]
async fn a_file_that_is_there_is_not_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory.path().join("data.db"));
    let path = directory.path().join("precious");
    fs::write(&path, "precious").unwrap();
    let error = store.backup(&path).await.unwrap_err();
    assert!(matches!(error, OpenError::Io { .. }), "{error:?}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 5, "nothing is left behind");
}
