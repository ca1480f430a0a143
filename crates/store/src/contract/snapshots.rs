//! Snapshots: the state at the end of a commit, complete and page by page.

use std::sync::Arc;

use super::{commit, commits, create, delete, dump, head, key, replace, text};
use crate::{Error, Revision, Store, Write};

/// Every commit end is read again after later commits.
pub async fn list_at_old_revision_returns_old_state(store: Arc<dyn Store>) {
    let steps = [
        (create("a", "1"), "a=1"),
        (create("b", "2"), "a=1 b=2"),
        (replace("a", 1, "3"), "a=3 b=2"),
        (delete("b", 2), "a=3"),
        (create("b", "5"), "a=3 b=5"),
        (delete("a", 3), "b=5"),
        (delete("b", 5), ""),
    ];
    for (write, expected) in &steps {
        commit(&*store, vec![write.clone()]).await.unwrap();
        assert_eq!(dump(&*store, None).await, *expected);
    }
    assert_eq!(dump(&*store, Some(0)).await, "");
    for (at, (_, expected)) in (1..).zip(&steps) {
        assert_eq!(dump(&*store, Some(at)).await, *expected, "at {at}");
        let count = store.count("", None, Revision(at), 10).await.unwrap();
        assert_eq!(count, expected.split_whitespace().count(), "at {at}");
    }
}

/// A revision inside a commit reads the end of the commit; the page reports the snapshot's revision.
pub async fn revision_inside_a_commit_reads_its_end(store: Arc<dyn Store>) {
    let first = vec![create("a", "1"), create("b", "2"), create("c", "3")];
    let second = vec![replace("a", 1, "4"), replace("a", 4, "5"), delete("b", 2), create("d", "7")];
    commits(&*store, vec![first, second, vec![delete("d", 7)]]).await;
    let ends = [(0, 0, ""), (1, 3, "a=1 b=2 c=3"), (2, 3, "a=1 b=2 c=3"), (3, 3, "a=1 b=2 c=3")];
    let later = [4, 5, 6, 7].map(|at| (at, 7, "a=5 c=3 d=7"));
    for (at, end, expected) in ends.into_iter().chain(later).chain([(8, 8, "a=5 c=3")]) {
        let page = store.list("", None, Some(Revision(at)), 10).await.unwrap();
        assert_eq!((page.revision.0, text(&page).as_str()), (end, expected), "at {at}");
        let count = store.count("", None, Revision(at), 10).await.unwrap();
        assert_eq!(count, page.records.len(), "at {at}");
    }
}

/// All pages of a list show the same snapshot, regardless of concurrent writes.
pub async fn pages_of_a_list_are_consistent_during_writes(store: Arc<dyn Store>) {
    let names: Vec<String> = (0..10).map(|number| format!("k{number}")).collect();
    commit(&*store, names.iter().map(|name| create(name, "old")).collect()).await.unwrap();
    let first = store.list("k", None, None, 3).await.unwrap();
    let at = first.revision;
    let mut seen = first.records;
    let mut more = first.more;
    while more {
        disturb(&*store).await;
        let after = seen.last().unwrap().key.clone();
        let left = store.count("k", Some(&after), at, 100).await.unwrap();
        assert_eq!(left, 10 - seen.len());
        let page = store.list("k", Some(&after), Some(at), 3).await.unwrap();
        assert_eq!(page.revision, at);
        seen.extend(page.records);
        assert!(seen.len() <= 10, "the pages do not end");
        more = page.more;
    }
    let listed: Vec<&str> = seen.iter().map(|record| record.key.as_str()).collect();
    assert_eq!(listed, names);
    assert!(seen.iter().all(|record| record.value == "old"));
}

/// Replaces, deletes and creates objects between two pages.
async fn disturb(store: &dyn Store) {
    let transaction = store.begin().await.unwrap();
    let head = transaction.head().0;
    let keys: Vec<_> = (0..10).map(|number| key(&format!("k{number}"))).collect();
    let mut writes = vec![create(&format!("k5-{head}"), "new")];
    for (number, (name, record)) in keys.iter().zip(transaction.read(&keys).await.unwrap()).enumerate() {
        let expected = record.as_ref().map(|record| record.revision);
        let value = (number % 3 != 0 || record.is_none()).then(|| "new".into());
        writes.push(Write { value, expected, ..create(name.as_str(), "") });
    }
    transaction.commit(writes).await.unwrap();
}

/// A key with a long history between two keys with short ones, read at every revision.
pub async fn key_with_many_versions_is_read_at_every_revision(store: Arc<dyn Store>) {
    commit(&*store, vec![create("a", "1"), create("c", "2")]).await.unwrap();
    commit(&*store, vec![create("b", "3")]).await.unwrap();
    for revision in 3..200 {
        commit(&*store, vec![replace("b", revision, &(revision + 1).to_string())]).await.unwrap();
    }
    commits(&*store, vec![vec![delete("b", 200)], vec![replace("a", 1, "202")]]).await;
    assert_eq!(dump(&*store, Some(2)).await, "a=1 c=2");
    for at in 3..=200 {
        assert_eq!(dump(&*store, Some(at)).await, format!("a=1 b={at} c=2"));
    }
    assert_eq!(dump(&*store, Some(201)).await, "a=1 c=2");
    assert_eq!(dump(&*store, None).await, "a=202 c=2");
    assert_eq!(store.count("b", None, Revision(150), 9).await.unwrap(), 1);
    assert_eq!(store.count("", Some(&key("a")), Revision(202), 9).await.unwrap(), 1);
}

/// The error has both revisions.
pub async fn revision_after_the_head_is_rejected(store: Arc<dyn Store>) {
    commit(&*store, vec![create("a", "")]).await.unwrap();
    for at in [2, 1_000, u64::MAX] {
        let listed = store.list("", None, Some(Revision(at)), 10).await.map(|_| ());
        let counted = store.count("", None, Revision(at), 10).await.map(|_| ());
        for outcome in [listed, counted] {
            let Err(Error::FutureRevision { requested, head }) = outcome else {
                panic!("expected a future revision error, got {outcome:?}")
            };
            assert_eq!((requested, head), (Revision(at), Revision(1)));
        }
    }
}

/// With prefix, start key, snapshot and limit.
pub async fn count_respects_prefix_start_snapshot_and_limit(store: Arc<dyn Store>) {
    commit(&*store, (0..10).map(|number| create(&format!("k{number}"), "")).collect()).await.unwrap();
    commits(&*store, vec![vec![delete("k3", 4), create("j", ""), create("l", "")]]).await;
    for limit in [0, 1, 8, 9, 10, usize::MAX] {
        let count = async |after: Option<&str>, at: u64| {
            let after = after.map(key);
            store.count("k", after.as_ref(), Revision(at), limit).await.unwrap()
        };
        assert_eq!(count(None, 10).await, 10.min(limit));
        assert_eq!(count(None, 13).await, 9.min(limit));
        assert_eq!(count(Some("k2"), 10).await, 7.min(limit));
        assert_eq!(count(Some("k2"), 13).await, 6.min(limit));
        assert_eq!(count(Some("l"), 13).await, 0);
    }
}

/// `more` is exact: false after a full last page, and if only deleted records or records with another prefix follow.
pub async fn page_reports_exactly_if_there_is_more(store: Arc<dyn Store>) {
    commit(&*store, ["a1", "a2", "a3", "a4", "b1"].map(|name| create(name, "")).into()).await.unwrap();
    commits(&*store, vec![vec![delete("a4", 4)]]).await;
    for (limit, records, more) in [(0, 0, true), (1, 1, true), (2, 2, true), (3, 3, false), (4, 3, false)] {
        let page = store.list("a", None, None, limit).await.unwrap();
        assert_eq!((page.records.len(), page.more), (records, more), "limit {limit}");
    }
    let old = store.list("a", None, Some(Revision(5)), 3).await.unwrap();
    assert_eq!((old.records.len(), old.more), (3, true));
    let none = store.list("c", None, None, 0).await.unwrap();
    assert_eq!((none.records.len(), none.more, none.revision.0), (0, false, head(&*store).await));
}
