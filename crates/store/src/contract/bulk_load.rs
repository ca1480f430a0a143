//! Snapshots of the whole store, bulk loads, and advancing the revision.

use std::sync::Arc;

use super::{
    assert_compacted, assert_guarded, assert_precondition, commit, commits, create, delete, dump, key, pair, replace,
    span, take,
};
use crate::{BulkLoad, Error, Record, Revision, Snapshot, Span, Store, Write, memory::MemoryStore};

/// Creates objects, of which one is replaced and one deleted, and two spans.
async fn fill(store: &dyn Store) {
    let first = vec![create("a", "1"), create("b", "2"), take("c", span("s", 10, 19, "c"))];
    let second = vec![replace("a", 1, "4"), delete("b", 2), take("d", span("t", 0, u128::MAX, "d"))];
    commits(store, vec![first, second]).await;
}

/// Reads all records and spans in pages of one.
async fn read(snapshot: &mut dyn Snapshot) -> (Vec<Record>, Vec<Span>) {
    let (mut records, mut spans) = (Vec::<Record>::new(), Vec::<Span>::new());
    loop {
        let page = snapshot.list("", records.last().map(|record| &record.key), 1).await.unwrap();
        assert_eq!(page.revision, snapshot.revision());
        records.extend(page.records);
        if !page.more {
            break;
        }
    }
    loop {
        let after = spans.last().map(|span| (span.space.clone(), span.first));
        let page = snapshot.spans(after.as_ref().map(|(space, first)| (space.as_str(), *first)), 1).await.unwrap();
        if page.is_empty() {
            return (records, spans);
        }
        spans.extend(page);
    }
}

async fn everything(store: &dyn Store) -> (Vec<Record>, Vec<Span>) {
    read(&mut *store.snapshot().await.unwrap()).await
}

/// A snapshot does not change when objects are committed or history is compacted.
pub async fn snapshot_is_unaffected_by_commits_and_compaction(store: Arc<dyn Store>) {
    fill(&*store).await;
    let before = everything(&*store).await;
    let mut snapshot = store.snapshot().await.unwrap();
    assert_eq!(snapshot.revision(), Revision(6));
    let release = Write { releases: vec![span("s", 10, 19, "c")], ..delete("c", 3) };
    commits(&*store, vec![vec![replace("a", 4, "7"), release], vec![take("e", span("s", 15, 30, "e"))]]).await;
    store.compact(Revision(9)).await.unwrap();
    assert_eq!(read(&mut *snapshot).await, before);
    assert_ne!(everything(&*store).await, before);
}

async fn source() -> (MemoryStore, (Vec<Record>, Vec<Span>)) {
    let source = MemoryStore::new();
    fill(&source).await;
    let all = everything(&source).await;
    (source, all)
}

/// Loads in several calls, with spans before and after the records of their holders.
async fn load(mut load: Box<dyn BulkLoad>, (records, spans): (Vec<Record>, Vec<Span>), head: u64) {
    load.spans(spans[..1].to_vec()).await.unwrap();
    for record in records.into_iter().rev() {
        load.records(vec![record]).await.unwrap();
    }
    load.spans(spans[1..].to_vec()).await.unwrap();
    load.finish(Revision(head)).await.unwrap();
}

/// The loaded log has the same records, revisions and spans, and continues at the revision of the source.
pub async fn loaded_log_equals_its_source(store: Arc<dyn Store>) {
    let (source, all) = source().await;
    load(store.bulk_load().await.unwrap(), all.clone(), 6).await;
    assert_eq!(everything(&*store).await, all);
    assert_eq!(dump(&*store, None).await, dump(&source, None).await);
    let head = store.head().await.unwrap();
    assert_eq!((head.revision, head.compacted), (Revision(6), Revision(6)));
    assert_compacted(store.tail(Revision(5), 9).await, 5, 6);
    assert_compacted(store.list("", None, Some(Revision(5)), 9).await, 5, 6);
    assert_eq!(store.tail(Revision(6), 9).await.unwrap(), []);
    assert_eq!(dump(&*store, Some(6)).await, "a=4 c= d=");
    assert_guarded(commit(&*store, vec![take("e", span("s", 19, 19, "e"))]).await);
    assert_precondition(commit(&*store, vec![create("a", "")]).await, "a", Some(4));
    commit(&*store, vec![replace("a", 4, "7"), create("b", "8")]).await.unwrap();
    let tail = store.tail(Revision(6), 9).await.unwrap();
    assert_eq!(tail.iter().map(|entry| entry.revision.0).collect::<Vec<_>>(), [7, 8]);
    assert_eq!(tail[0].previous.as_ref().map(pair), Some("a=4".to_owned()));
    store.compact(Revision(8)).await.unwrap();
    assert_eq!(dump(&*store, None).await, "a=7 b=8 c= d=");
}

/// An abandoned bulk load leaves neither records nor spans.
pub async fn abandoned_load_leaves_the_log_empty(store: Arc<dyn Store>) {
    let (_, (records, spans)) = source().await;
    let mut load = store.bulk_load().await.unwrap();
    load.records(records).await.unwrap();
    load.spans(spans).await.unwrap();
    drop(load);
    commit(&*store, vec![take("c", span("s", 10, 19, "c"))]).await.unwrap();
    assert_eq!(dump(&*store, None).await, "c=");
    assert_eq!(store.head().await.unwrap().revision, Revision(1));
}

/// A rejected bulk load does not affect the log.
pub async fn load_of_nonempty_log_is_rejected(store: Arc<dyn Store>) {
    commit(&*store, vec![create("a", "1")]).await.unwrap();
    assert!(matches!(store.bulk_load().await.err(), Some(Error::Unavailable(_))));
    commit(&*store, vec![create("b", "2")]).await.unwrap();
}

/// A bulk load rejects overlapping spans, as a commit does.
pub async fn load_rejects_overlapping_spans(store: Arc<dyn Store>) {
    let mut load = store.bulk_load().await.unwrap();
    load.spans(vec![span("s", 10, 19, "c")]).await.unwrap();
    assert_guarded(load.spans(vec![span("s", 19, 20, "d")]).await);
    drop(load);
    assert_eq!(everything(&*store).await, (Vec::new(), Vec::new()));
}

/// Objects and spans stay the same, and the next write follows the new head.
pub async fn advance_revision_keeps_objects(store: Arc<dyn Store>) {
    fill(&*store).await;
    let before = everything(&*store).await;
    assert_eq!(store.advance_revision(1_000).await.unwrap(), Revision(1_006));
    assert_eq!(everything(&*store).await, before);
    let head = store.head().await.unwrap();
    assert_eq!((head.revision, head.compacted), (Revision(1_006), Revision(1_006)));
    assert_compacted(store.tail(Revision(6), 9).await, 6, 1_006);
    assert_eq!(store.tail(Revision(1_006), 9).await.unwrap(), []);
    let transaction = store.begin().await.unwrap();
    assert_eq!(transaction.head(), Revision(1_006));
    transaction.commit(vec![replace("a", 4, "1007")]).await.unwrap();
    let entry = store.tail(Revision(1_006), 9).await.unwrap().remove(0);
    assert_eq!((entry.revision, entry.previous.unwrap().revision), (Revision(1_007), Revision(4)));
    assert_eq!(dump(&*store, None).await, "a=1007 c= d=");
}

/// Old versions are discarded; an empty log can be advanced as well.
pub async fn advance_revision_discards_history(store: Arc<dyn Store>) {
    assert_eq!(store.advance_revision(10).await.unwrap(), Revision(10));
    commit(&*store, vec![create("a", "11")]).await.unwrap();
    commit(&*store, vec![replace("a", 11, "12")]).await.unwrap();
    assert_eq!(store.advance_revision(0).await.unwrap(), Revision(12));
    assert_compacted(store.list("", None, Some(Revision(11)), 9).await, 11, 12);
    assert_eq!(store.get(&key("a")).await.unwrap().unwrap().revision, Revision(12));
}
