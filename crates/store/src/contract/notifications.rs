//! Reading other processes' entries under the head lock.

use std::sync::Arc;

use super::{assert_compacted, commit, create};
use crate::{Revision, Store};

/// From each position in the log, and up to a limit.
pub async fn transaction_tail_returns_entries_up_to_the_head(store: Arc<dyn Store>) {
    commit(&*store, vec![create("a", "1"), create("b", "2")]).await.unwrap();
    commit(&*store, vec![create("c", "3")]).await.unwrap();
    for known in 0..=3 {
        let transaction = store.begin().await.unwrap();
        assert_eq!(transaction.head(), Revision(3));
        let news = transaction.tail(Revision(known), 9).await.unwrap();
        assert_eq!(news, store.tail(Revision(known), 9).await.unwrap(), "after {known}");
    }
    let news = store.begin().await.unwrap().tail(Revision(0), 2).await.unwrap();
    assert_eq!(news.last().unwrap().revision, Revision(2));
    store.compact(Revision(2)).await.unwrap();
    assert_compacted(store.begin().await.unwrap().tail(Revision(1), 9).await, 1, 2);
    commit(&*store, vec![create("d", "4")]).await.unwrap();
}

/// A transaction sees all entries up to its head, with concurrent committers.
pub async fn transaction_tail_has_no_gaps_with_concurrent_commits(store: Arc<dyn Store>) {
    let committers = (0..4).map(|committer| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let mut known = Revision(0);
            for turn in 0..25 {
                let transaction = store.begin().await.unwrap();
                for entry in transaction.tail(known, usize::MAX).await.unwrap() {
                    assert_eq!(entry.revision, known.next(), "the tail has a gap");
                    known = entry.revision;
                }
                assert_eq!(transaction.head(), known, "the tail does not end at the head");
                transaction.commit(vec![create(&format!("{committer}-{turn}"), "")]).await.unwrap();
                known = known.next();
            }
        })
    });
    for committer in committers.collect::<Vec<_>>() {
        committer.await.unwrap();
    }
    assert_eq!(store.head().await.unwrap().revision, Revision(100));
}
