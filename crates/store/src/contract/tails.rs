//! The tail: every entry after a revision, in order, with the version that it replaced.

use std::sync::Arc;

use super::{commits, create, delete, key, replace};
use crate::{Entry, Revision, Store};

/// Commits seven entries in three commits.
async fn fill(store: &dyn Store) {
    let first = vec![create("a", "1"), create("b", "2"), create("c", "3")];
    let second = vec![replace("a", 1, "4"), delete("b", 2)];
    commits(store, vec![first, second, vec![create("b", "6"), delete("b", 6)]]).await;
}

/// Every start revision with every limit.
pub async fn tail_from_every_revision_with_every_limit(store: Arc<dyn Store>) {
    fill(&*store).await;
    for after in 0..=7_u64 {
        for limit in 0..=8 {
            let entries = store.tail(Revision(after), limit).await.unwrap();
            let revisions: Vec<u64> = entries.iter().map(|entry| entry.revision.0).collect();
            let expected: Vec<u64> = (after + 1..=7).take(limit).collect();
            assert_eq!(revisions, expected, "after {after}, limit {limit}");
        }
    }
}

/// Reading after the head is not an error: clients that follow the log do so.
pub async fn tail_after_the_head_is_empty(store: Arc<dyn Store>) {
    fill(&*store).await;
    for after in [7, 8, 1_000, u64::MAX >> 1, u64::MAX] {
        assert_eq!(store.tail(Revision(after), 10).await.unwrap(), [], "after {after}");
    }
}

/// The previous version is complete; a creation has none, even if the key existed before.
pub async fn tail_entries_contain_previous_versions(store: Arc<dyn Store>) {
    fill(&*store).await;
    let expected = [
        "1 a Some(1) -",
        "2 b Some(2) -",
        "3 c Some(3) -",
        "4 a Some(4) 1=1",
        "5 b None 2=2",
        "6 b Some(6) -",
        "7 b None 6=6",
    ];
    let entries = store.tail(Revision(0), 10).await.unwrap();
    assert_eq!(entries.iter().map(describe).collect::<Vec<_>>(), expected);
    assert!(entries.iter().flat_map(|entry| &entry.previous).all(|record| record.key != key("c")));
}

fn describe(entry: &Entry) -> String {
    let text = |bytes: &bytes::Bytes| String::from_utf8_lossy(bytes).into_owned();
    let value = match &entry.value {
        Some(value) => format!("Some({})", text(value)),
        None => "None".to_owned(),
    };
    let previous = match &entry.previous {
        Some(record) => {
            assert_eq!(record.key, entry.key);
            format!("{}={}", record.revision, text(&record.value))
        }
        None => "-".to_owned(),
    };
    format!("{} {} {value} {previous}", entry.revision, entry.key)
}
