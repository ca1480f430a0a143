//! Concurrent transactions and reads: the log stays consistent, and readers see only whole commits.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::task::{JoinSet, yield_now};

use super::{commit, create, dump, head, key};
use crate::{Record, Revision, Store, Write};

const COMMITTERS: u64 = 12;
const COMMITS_EACH: u64 = 20;

/// Each commit increments a shared counter that it has read under the head lock, and adds objects. If two transactions
/// held the head lock at once, an increment would be lost or a commit rejected.
pub async fn concurrent_transactions_lose_no_update(store: Arc<dyn Store>) {
    let mut committers = JoinSet::new();
    for committer in 0..COMMITTERS {
        let store = Arc::clone(&store);
        committers.spawn(async move {
            let mut heads = Vec::new();
            for round in 0..COMMITS_EACH {
                heads.push(raise(&*store, committer, round).await);
            }
            heads
        });
    }
    let heads: Vec<u64> = committers.join_all().await.into_iter().flatten().collect();
    let total = COMMITTERS * COMMITS_EACH;
    assert_eq!(heads.iter().collect::<HashSet<_>>().len() as u64, total, "two commits began at one revision");
    let counter = store.get(&key("counter")).await.unwrap().unwrap();
    assert_eq!(counter.value, total.to_string());
    assert_log_is_whole(&*store, &heads).await;
}

/// Commits two to four writes. Returns the revision at which the transaction began.
async fn raise(store: &dyn Store, committer: u64, round: u64) -> u64 {
    let transaction = store.begin().await.unwrap();
    let begun = transaction.head().0;
    let counter = transaction.read(&[key("counter")]).await.unwrap().remove(0);
    // Lets the other tasks run.
    for _ in 0..(committer + round) % 4 {
        yield_now().await;
    }
    let count = counter.as_ref().map_or(0, count) + 1;
    let expected = counter.map(|record| record.revision);
    let mut writes = vec![Write { expected, ..create("counter", &count.to_string()) }];
    for number in 0..=committer % 3 {
        writes.push(create(&format!("k/{committer}/{round}/{number}"), &begun.to_string()));
    }
    let end = begun + writes.len() as u64;
    transaction.commit(writes).await.unwrap();
    assert!(head(store).await >= end, "the head does not show an acknowledged commit");
    begun
}

fn count(record: &Record) -> u64 {
    String::from_utf8_lossy(&record.value).parse().unwrap()
}

/// Checks that revisions have no gap, and that the writes of a commit are adjacent and follow the head at which it
/// began.
async fn assert_log_is_whole(store: &dyn Store, heads: &[u64]) {
    let entries = store.tail(Revision(0), usize::MAX).await.unwrap();
    let revisions = entries.iter().map(|entry| entry.revision.0);
    assert!(revisions.eq(1..=head(store).await), "the log has a gap");
    let mut begun = 0;
    for (before, entry) in (0..).zip(&entries) {
        if entry.key.as_str() == "counter" {
            begun = before;
            assert!(heads.contains(&begun));
        } else {
            assert_eq!(entry.value.as_deref(), Some(begun.to_string().as_bytes()), "commits are mixed");
        }
    }
}

/// Ten objects always get the same value in one commit; the test reads them by list, by key, page by page and by tail.
pub async fn concurrent_reads_see_whole_commits(store: Arc<dyn Store>) {
    const READERS: usize = 4;
    commit(&*store, rewrite(&[], 0)).await.unwrap();
    let mut readers = JoinSet::new();
    for reader in 0..READERS {
        let store = Arc::clone(&store);
        readers.spawn(async move {
            let mut last = 0;
            for _ in 0..50 {
                last = read_whole(&*store, reader + 1, last).await;
            }
        });
    }
    let mut round = 0;
    while !readers.is_empty() {
        round += 1;
        let transaction = store.begin().await.unwrap();
        let records = transaction.read(&names()).await.unwrap();
        transaction.commit(rewrite(&records, round)).await.unwrap();
        while let Some(done) = readers.try_join_next() {
            done.unwrap();
        }
    }
}

fn names() -> Vec<crate::Key> {
    (0..10).map(|number| key(&format!("k{number}"))).collect()
}

fn rewrite(records: &[Option<Record>], round: u64) -> Vec<Write> {
    let revisions = records.iter().map(|record| record.as_ref().map(|record| record.revision));
    let revisions = revisions.chain(std::iter::repeat(None));
    let writes = names().into_iter().zip(revisions);
    writes.map(|(name, expected)| Write { expected, ..create(name.as_str(), &round.to_string()) }).collect()
}

/// Reads all objects in pages of `limit`. The snapshot must not be older than `last`.
async fn read_whole(store: &dyn Store, limit: usize, last: u64) -> u64 {
    let mut page = store.list("k", None, None, limit).await.unwrap();
    let at = page.revision;
    assert!(at.0 >= last, "the snapshot moved back from {last} to {at}");
    assert_eq!(at.0 % 10, 0, "{at} is not the end of a commit");
    assert!(store.head().await.unwrap().revision >= at);
    let mut values: Vec<_> = page.records.iter().map(count).collect();
    while page.more {
        let after = page.records.last().unwrap().key.clone();
        page = store.list("k", Some(&after), Some(at), limit).await.unwrap();
        values.extend(page.records.iter().map(count));
        assert!(values.len() <= 10, "the pages do not end");
    }
    assert_eq!(values, [at.0 / 10 - 1; 10], "the pages of {at} mix snapshots");
    assert_eq!(store.tail(Revision(at.0 - 10), 10).await.unwrap().len(), 10);
    let read = store.read(&names()).await.unwrap();
    let values: Vec<u64> = read.iter().flatten().map(count).collect();
    assert!(values[0] >= at.0 / 10 - 1, "a read is older than {at}");
    assert_eq!(values, [values[0]; 10], "a read mixes snapshots");
    at.0
}

/// The commit future is dropped. The next transaction must see either the whole commit or nothing.
pub async fn canceled_commit_is_complete_or_absent(store: Arc<dyn Store>) {
    let mut expected = 0;
    for round in 0..50 {
        let transaction = store.begin().await.unwrap();
        assert!(head(&*store).await == transaction.head().0, "the head moved while it was held");
        let names: Vec<String> = (0..4).map(|number| format!("k/{round}/{number}")).collect();
        let writes = names.iter().map(|name| create(name, "")).collect();
        tokio::select! {
            biased;
            outcome = transaction.commit(writes) => outcome.unwrap(),
            () = std::future::ready(()) => {}
        }
        let next = store.begin().await.unwrap();
        assert!([expected, expected + 4].contains(&next.head().0), "half a commit");
        expected = next.head().0;
        drop(next);
        assert_eq!(dump(&*store, None).await.split_whitespace().count() as u64, expected);
    }
}
