//! Commits: atomicity, order and preconditions.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    assert_guarded, assert_precondition, commit, commits, create, delete, dump, head, key, replace, span, spans, take,
};
use crate::{Head, Record, Revision, Store, Write};

/// Reads of an empty store succeed and return nothing.
pub async fn new_store_is_empty(store: Arc<dyn Store>) {
    assert_eq!(store.head().await.unwrap(), Head { revision: Revision(0), compacted: Revision(0) });
    assert_eq!(store.get(&key("a")).await.unwrap(), None);
    assert_eq!(store.count("", None, Revision(0), 10).await.unwrap(), 0);
    assert_eq!(store.tail(Revision(0), 10).await.unwrap(), []);
    assert_eq!(spans(&*store, None, 10).await.unwrap(), []);
    assert_eq!(store.overlapping_spans("s", 0, u128::MAX, 10).await.unwrap(), []);
    for at in [None, Some(Revision(0))] {
        let page = store.list("", None, at, 10).await.unwrap();
        assert_eq!((page.revision, page.records.len(), page.more), (Revision(0), 0, false));
    }
    store.compact(Revision(10)).await.unwrap();
    assert_eq!(store.head().await.unwrap().compacted, Revision(0));
    assert_eq!(store.begin().await.unwrap().head(), Revision(0));
}

/// All writes of a commit appear atomically, with revisions in the order of the writes.
pub async fn commit_is_atomic_with_consecutive_revisions(store: Arc<dyn Store>) {
    commit(&*store, vec![create("a", "1"), create("b", "2"), create("c", "3")]).await.unwrap();
    assert_eq!(head(&*store).await, 3);
    for (text, revision) in [("a", 1), ("b", 2), ("c", 3)] {
        let record = store.get(&key(text)).await.unwrap().unwrap();
        assert_eq!((record.key, record.revision), (key(text), Revision(revision)));
    }
    commit(&*store, vec![delete("b", 2), replace("a", 1, "4")]).await.unwrap();
    assert_eq!(dump(&*store, None).await, "a=4 c=3");
    assert_eq!(head(&*store).await, 5);
    assert_eq!(store.get(&key("b")).await.unwrap(), None);
}

/// If the last write fails, the earlier writes are rolled back: objects, log and spans.
pub async fn failed_commit_is_rolled_back(store: Arc<dyn Store>) {
    commits(&*store, vec![vec![take("a", span("s", 0, 9, "a"))]]).await;
    let release = Write { releases: vec![span("s", 0, 9, "a")], ..delete("a", 1) };
    let faults = [replace("x", 7, ""), take("x", span("s", 20, 29, "x"))];
    for fault in faults {
        let batch = vec![release.clone(), take("b", span("s", 20, 29, "b")), create("c", ""), fault];
        commit(&*store, batch).await.unwrap_err();
        assert_eq!(dump(&*store, None).await, "a=");
        assert_eq!(head(&*store).await, 1);
        assert_eq!(store.tail(Revision(1), 10).await.unwrap(), []);
        assert_eq!(spans(&*store, None, 10).await.unwrap(), [span("s", 0, 9, "a")]);
    }
    commit(&*store, vec![create("b", "")]).await.unwrap();
    assert_eq!(head(&*store).await, 2, "a rejected commit uses no revision");
}

/// Checks each way in which `expected` can be wrong.
pub async fn wrong_expected_revision_is_rejected(store: Arc<dyn Store>) {
    commits(&*store, vec![vec![create("a", "1")], vec![replace("a", 1, "2")], vec![create("b", "")]]).await;
    commits(&*store, vec![vec![delete("b", 3)]]).await;
    let cases = [
        (create("a", "x"), Some(2)),
        (replace("a", 1, "x"), Some(2)),
        (replace("a", 3, "x"), Some(2)),
        (replace("a", 99, "x"), Some(2)),
        (delete("a", 1), Some(2)),
        (replace("b", 3, "x"), None),
        (replace("b", 4, "x"), None),
        (delete("c", 1), None),
    ];
    for (write, found) in cases {
        let of = write.key.clone();
        assert_precondition(commit(&*store, vec![write.clone()]).await, of.as_str(), found);
        // The same after the transaction has read the key.
        let transaction = store.begin().await.unwrap();
        transaction.read(std::slice::from_ref(&of)).await.unwrap();
        assert_precondition(transaction.commit(vec![write]).await, of.as_str(), found);
    }
    commits(&*store, vec![vec![replace("a", 2, "3"), create("b", "4")]]).await;
    assert_eq!(dump(&*store, None).await, "a=3 b=4");
}

/// `expected` of a later write refers to the earlier write.
pub async fn commit_may_write_a_key_several_times(store: Arc<dyn Store>) {
    let batch = vec![create("a", "1"), replace("a", 1, "2"), delete("a", 2), create("a", "4"), replace("a", 4, "5")];
    commit(&*store, batch).await.unwrap();
    assert_eq!(store.get(&key("a")).await.unwrap().unwrap().revision, Revision(5));
    assert_eq!(dump(&*store, None).await, "a=5");
    assert_precondition(commit(&*store, vec![replace("a", 5, "6"), replace("a", 5, "7")]).await, "a", Some(6));
    assert_precondition(commit(&*store, vec![delete("a", 5), replace("a", 6, "7")]).await, "a", None);
    assert_precondition(commit(&*store, vec![delete("a", 5), create("a", "7"), create("a", "8")]).await, "a", Some(7));
    // A revision that the transaction read must not hide what its own commit wrote.
    let transaction = store.begin().await.unwrap();
    transaction.read(&[key("a")]).await.unwrap();
    transaction.commit(vec![replace("a", 5, "6"), replace("a", 6, "7")]).await.unwrap();
    assert_eq!(dump(&*store, None).await, "a=7");
}

/// A dropped transaction also releases the head lock.
pub async fn dropped_transaction_releases_head_and_changes_nothing(store: Arc<dyn Store>) {
    commits(&*store, vec![vec![create("a", "1")]]).await;
    for _ in 0..3 {
        let transaction = store.begin().await.unwrap();
        assert_eq!(transaction.head(), Revision(1));
        transaction.read(&[key("a"), key("b")]).await.unwrap();
        drop(transaction);
    }
    assert_eq!((head(&*store).await, dump(&*store, None).await), (1, "a=1".to_owned()));
    commits(&*store, vec![vec![replace("a", 1, "2")]]).await;
}

/// Records are returned in the order of the keys, duplicates included; `None` for a missing or deleted key.
pub async fn transaction_reads_current_versions_in_key_order_given(store: Arc<dyn Store>) {
    commits(&*store, vec![vec![create("a", "1"), create("b", "2")], vec![replace("a", 1, "3"), delete("b", 2)]]).await;
    let transaction = store.begin().await.unwrap();
    let records = transaction.read(&[key("c"), key("a"), key("b"), key("a")]).await.unwrap();
    let a = store.get(&key("a")).await.unwrap();
    assert_eq!(a.as_ref().unwrap().value, "3");
    assert_eq!(records, [None, a.clone(), None, a]);
    assert_eq!(transaction.read(&[]).await.unwrap(), []);
}

/// The same without the head lock, also while a transaction holds it.
pub async fn read_returns_current_versions_while_head_is_locked(store: Arc<dyn Store>) {
    commits(&*store, vec![vec![create("a", "1"), create("b", "2")], vec![replace("a", 1, "3"), delete("b", 2)]]).await;
    let held = store.begin().await.unwrap();
    let records = store.read(&[key("c"), key("a"), key("b"), key("a")]).await.unwrap();
    let a = Record { key: key("a"), revision: Revision(3), value: Bytes::from_static(b"3") };
    assert_eq!(records, [None, Some(a.clone()), None, Some(a)]);
    assert_eq!(store.read(&[]).await.unwrap(), []);
    held.commit(vec![create("b", "4")]).await.unwrap();
    let b = Record { key: key("b"), revision: Revision(5), value: Bytes::from_static(b"4") };
    assert_eq!(store.read(&[key("b")]).await.unwrap(), [Some(b)], "a read does not show an acknowledged commit");
}

/// An empty commit succeeds.
pub async fn empty_commit_succeeds_without_writes(store: Arc<dyn Store>) {
    commit(&*store, vec![]).await.unwrap();
    assert_eq!(head(&*store).await, 0);
    commit(&*store, vec![create("a", "")]).await.unwrap();
    assert_eq!(head(&*store).await, 1);
}

/// Empty, binary and large values.
pub async fn empty_binary_and_large_values_round_trip(store: Arc<dyn Store>) {
    let all_bytes: Bytes = (0..=u8::MAX).collect();
    let values = [Bytes::new(), all_bytes, Bytes::from_static(b"\0"), Bytes::from(vec![b'x'; 1 << 20])];
    for (place, value) in values.iter().enumerate() {
        let write = Write { value: Some(value.clone()), ..create(&format!("k{place}"), "") };
        commit(&*store, vec![write]).await.unwrap();
    }
    let records = store.list("", None, None, 10).await.unwrap().records;
    let listed: Vec<Bytes> = records.into_iter().map(|record| record.value).collect();
    assert_eq!(listed, values);
    let entries = store.tail(Revision(0), 10).await.unwrap();
    let logged: Vec<Option<Bytes>> = entries.into_iter().map(|entry| entry.value).collect();
    assert_eq!(logged, values.map(Some));
}

/// A deletion of a missing key is a log entry without a value and without a previous version.
pub async fn deletion_of_missing_key_is_logged(store: Arc<dyn Store>) {
    let nothing = Write { value: None, ..create("a", "") };
    commit(&*store, vec![nothing.clone()]).await.unwrap();
    let entries = store.tail(Revision(0), 10).await.unwrap();
    assert_eq!((entries.len(), &entries[0].value, &entries[0].previous), (1, &None, &None));
    assert_eq!(dump(&*store, None).await, "");
    commit(&*store, vec![create("a", "1")]).await.unwrap();
    assert_precondition(commit(&*store, vec![nothing]).await, "a", Some(2));
    assert_guarded(commit(&*store, vec![Write { releases: vec![span("s", 1, 1, "a")], ..delete("a", 2) }]).await);
}
