//! Compaction: history is removed, current versions stay, and reads of compacted history fail.

use std::sync::Arc;

use super::{assert_compacted, commit, commits, create, delete, dump, head, key, replace};
use crate::{Head, Revision, Store, Write};

/// Commits six revisions, one per commit.
async fn fill(store: &dyn Store) {
    let writes = [
        create("a", "1"),
        create("b", "2"),
        replace("a", 1, "3"),
        delete("b", 2),
        create("c", "5"),
        replace("a", 3, "6"),
    ];
    commits(store, writes.map(|write| vec![write]).into()).await;
}

async fn compact(store: &dyn Store, revision: u64) {
    store.compact(Revision(revision)).await.unwrap();
}

/// Reads before the horizon fail; reads from the horizon on return the same as before.
pub async fn reads_before_the_horizon_are_rejected(store: Arc<dyn Store>) {
    fill(&*store).await;
    let mut before = Vec::new();
    for at in 0..=6 {
        before.push(dump(&*store, Some(at)).await);
    }
    for horizon in 1..=6 {
        compact(&*store, horizon).await;
        assert_eq!(store.head().await.unwrap(), Head { revision: Revision(6), compacted: Revision(horizon) });
        for at in 0..=6_u64 {
            if at < horizon {
                assert_compacted(store.list("", None, Some(Revision(at)), 9).await, at, horizon);
                assert_compacted(store.count("", None, Revision(at), 9).await, at, horizon);
                assert_compacted(store.tail(Revision(at), 9).await, at, horizon);
            } else {
                assert_eq!(dump(&*store, Some(at)).await, before[usize::try_from(at).unwrap()]);
                let entries = store.tail(Revision(at), 9).await.unwrap();
                assert_eq!(entries.len() as u64, 6 - at);
            }
        }
    }
}

/// Current versions stay regardless of their age.
pub async fn compact_keeps_current_versions_of_any_age(store: Arc<dyn Store>) {
    commits(&*store, vec![vec![create("old", "1")]]).await;
    for revision in 1..50 {
        let write = if revision == 1 { create("hot", "") } else { replace("hot", revision, "") };
        commits(&*store, vec![vec![write]]).await;
    }
    compact(&*store, 50).await;
    assert_eq!(store.get(&key("old")).await.unwrap().unwrap().revision, Revision(1));
    assert_eq!(store.get(&key("hot")).await.unwrap().unwrap().revision, Revision(50));
    assert_eq!(dump(&*store, Some(50)).await, "hot= old=1");
    commit(&*store, vec![replace("old", 1, "51"), delete("hot", 50)]).await.unwrap();
    assert_eq!(dump(&*store, None).await, "old=51");
}

/// Versions that were replaced only after the horizon belong to the snapshot at the horizon.
pub async fn snapshot_at_the_horizon_is_complete(store: Arc<dyn Store>) {
    commits(&*store, vec![vec![create("a", "1"), create("b", "2")], vec![create("c", "3")]]).await;
    commits(&*store, vec![vec![replace("a", 1, "4"), delete("b", 2)], vec![delete("c", 3)]]).await;
    compact(&*store, 3).await;
    assert_eq!(dump(&*store, Some(3)).await, "a=1 b=2 c=3");
    assert_eq!(dump(&*store, Some(5)).await, "a=4 c=3");
    compact(&*store, 5).await;
    assert_eq!(dump(&*store, Some(5)).await, "a=4 c=3");
    assert_eq!(dump(&*store, Some(6)).await, "a=4");
}

/// An entry after the horizon still has the previous version that was written before the horizon.
pub async fn tail_after_the_horizon_keeps_previous_versions(store: Arc<dyn Store>) {
    fill(&*store).await;
    for horizon in 0..=6 {
        let entries = store.tail(Revision(horizon), 9).await.unwrap();
        compact(&*store, horizon).await;
        assert_eq!(store.tail(Revision(horizon), 9).await.unwrap(), entries);
    }
}

/// The last write is a deletion, whose row compaction removes. The store must still return its revision as the head.
pub async fn compacted_deletion_at_the_head_keeps_the_head(store: Arc<dyn Store>) {
    commits(&*store, vec![vec![create("a", "1")], vec![delete("a", 1)]]).await;
    compact(&*store, 2).await;
    assert_eq!(store.head().await.unwrap(), Head { revision: Revision(2), compacted: Revision(2) });
    assert_eq!(store.begin().await.unwrap().head(), Revision(2));
    assert_eq!(dump(&*store, Some(2)).await, "");
    assert_eq!(store.tail(Revision(2), 9).await.unwrap(), []);
    commit(&*store, vec![create("a", "3")]).await.unwrap();
    assert_eq!(store.get(&key("a")).await.unwrap().unwrap().revision, Revision(3));
    assert_eq!(store.tail(Revision(2), 9).await.unwrap()[0].previous, None);
}

/// Compaction is bounded by the head, and does not move backwards.
pub async fn compact_clamps_to_head_and_ignores_regress(store: Arc<dyn Store>) {
    fill(&*store).await;
    compact(&*store, 4).await;
    for revision in [0, 3, 4] {
        compact(&*store, revision).await;
        assert_eq!(store.head().await.unwrap().compacted, Revision(4));
    }
    compact(&*store, u64::MAX).await;
    assert_eq!(store.head().await.unwrap(), Head { revision: Revision(6), compacted: Revision(6) });
    commit(&*store, vec![create("d", "7")]).await.unwrap();
    assert_eq!(head(&*store).await, 7);
    assert_eq!(store.tail(Revision(6), 9).await.unwrap().len(), 1);
}

/// The horizon is the requested revision, even inside a commit; a snapshot there is the end of the commit.
pub async fn compact_inside_a_commit_keeps_its_end_readable(store: Arc<dyn Store>) {
    commit(&*store, vec![create("a", "1"), create("b", "2")]).await.unwrap();
    let batch = vec![replace("a", 1, "3"), delete("b", 2), create("b", "5"), replace("a", 3, "6"), delete("b", 5)];
    commit(&*store, batch).await.unwrap();
    for horizon in 3..=7 {
        let entries = store.tail(Revision(horizon), 9).await.unwrap();
        compact(&*store, horizon).await;
        assert_eq!(store.head().await.unwrap().compacted, Revision(horizon));
        assert_eq!(store.tail(Revision(horizon), 9).await.unwrap(), entries);
        assert_compacted(store.tail(Revision(horizon - 1), 9).await, horizon - 1, horizon);
        for at in horizon..=7 {
            let page = store.list("", None, Some(Revision(at)), 9).await.unwrap();
            assert_eq!((page.revision, page.records.len()), (Revision(7), 1), "at {at}, horizon {horizon}");
        }
    }
    assert_eq!(dump(&*store, None).await, "a=6");
}

/// Long enough for a store to compact in chunks, with concurrent writes.
pub async fn compact_of_long_history_runs_beside_a_commit(store: Arc<dyn Store>) {
    const KEYS: u64 = 10;
    let name = |number: u64| format!("k{number}");
    commit(&*store, (0..KEYS).map(|number| create(&name(number), "")).collect()).await.unwrap();
    for round in 0..30 {
        let writes = (0..100).map(|place| replace(&name(place % KEYS), round * 100 + place + 1, ""));
        commit(&*store, writes.collect()).await.unwrap();
    }
    let state = dump(&*store, None).await;
    let (compacted, written) = tokio::join!(store.compact(Revision(2_900)), commit(&*store, vec![create("new", "")]));
    compacted.unwrap();
    written.unwrap();
    assert_eq!(store.head().await.unwrap(), Head { revision: Revision(3_011), compacted: Revision(2_900) });
    assert_eq!(store.tail(Revision(2_900), 999).await.unwrap().len(), 111);
    assert_eq!(dump(&*store, Some(3_010)).await, state);
    assert_compacted(store.tail(Revision(2_899), 1).await, 2_899, 2_900);
}

/// Continuing a snapshot that was compacted is an error; the page is not taken from another snapshot.
pub async fn page_of_a_compacted_snapshot_is_rejected(store: Arc<dyn Store>) {
    fill(&*store).await;
    let page = store.list("", None, Some(Revision(3)), 1).await.unwrap();
    assert!(page.more);
    compact(&*store, 5).await;
    let after = &page.records[0].key;
    assert_compacted(store.list("", Some(after), Some(page.revision), 1).await, 3, 5);
    let again = Write { value: None, ..create("b", "") };
    commit(&*store, vec![again]).await.unwrap();
}
