//! Pages are limited by their size and by the number of items.

use std::sync::Arc;

use super::{commits, create, delete, key, records, replace};
use crate::{
    Entry, Revision, Store,
    limits::PAGE_BYTES_MAX,
    page::{PageBudget, is_full},
};

/// Large and small values; a page fits only a few of them.
const VALUES: [usize; 9] =
    [PAGE_BYTES_MAX / 2, PAGE_BYTES_MAX / 2 - 1, 1, 1, 2 * PAGE_BYTES_MAX, 0, 7, PAGE_BYTES_MAX - 1, 3];

fn value(length: usize) -> String {
    "x".repeat(length)
}

/// Lists of the store and of a snapshot, at the head and at an old revision.
pub async fn page_of_records_ends_at_the_size_limit(store: Arc<dyn Store>) {
    let writes = VALUES.iter().zip(0..).map(|(length, place)| create(&format!("k{place}"), &value(*length)));
    commits(&*store, vec![writes.collect(), vec![delete("k3", 4), create("l", "")]]).await;
    let mut snapshot = store.snapshot().await.unwrap();
    for (at, left) in [(Some(9), VALUES.len()), (None, VALUES.len() - 1)] {
        for limit in [1, 2, 3, usize::MAX] {
            let (mut after, mut seen) = (None, Vec::new());
            loop {
                let page = store.list("k", after.as_ref(), at.map(Revision), limit).await.unwrap();
                if at.is_none() {
                    assert_eq!(snapshot.list("k", after.as_ref(), limit).await.unwrap(), page);
                }
                let sizes: Vec<usize> = page.records.iter().map(crate::Record::bytes).collect();
                assert_is_page(&sizes, limit, page.more);
                seen.extend(page.records.into_iter().map(|record| record.key));
                assert_eq!(page.more, seen.len() < left, "limit {limit}, after {after:?}");
                after = seen.last().cloned();
                if !page.more {
                    break;
                }
            }
            let all = records(&*store, "k", at).await;
            assert!(seen.iter().eq(all.iter().map(|record| &record.key)), "limit {limit}");
        }
    }
    assert_eq!(
        store.list("k", Some(&key("k6")), None, 9).await.unwrap().records.len(),
        2,
        "k8 after k7 would be too much"
    );
}

/// Tails of the store and under the head lock. The replaced values count.
pub async fn page_of_entries_ends_at_the_size_limit(store: Arc<dyn Store>) {
    let created = VALUES.iter().zip(0..).map(|(length, place)| create(&format!("k{place}"), &value(*length)));
    let half = value(PAGE_BYTES_MAX / 2);
    let changed =
        vec![replace("k0", 1, &half), delete("k4", 5), delete("k5", 6), delete("k6", 7), replace("k1", 2, "")];
    commits(&*store, vec![created.collect(), changed]).await;
    let transaction = store.begin().await.unwrap();
    for limit in [1, 2, 3, usize::MAX] {
        let mut known = 0;
        while known < 14 {
            let entries = store.tail(Revision(known), limit).await.unwrap();
            assert_eq!(transaction.tail(Revision(known), limit).await.unwrap(), entries);
            let sizes: Vec<usize> = entries.iter().map(Entry::bytes).collect();
            assert_is_page(&sizes, limit, known + (entries.len() as u64) < 14);
            assert!(is_full(&entries, limit) || known + (entries.len() as u64) == 14);
            let revisions = entries.iter().map(|entry| entry.revision.0);
            assert!(revisions.eq(known + 1..=known + entries.len() as u64), "limit {limit}: without a gap");
            known += entries.len() as u64;
        }
    }
}

/// Checks that a page ends neither early nor late: it is full, or there is no more data.
fn assert_is_page(sizes: &[usize], limit: usize, more: bool) {
    let mut filled = PageBudget::new(limit);
    for size in sizes {
        assert!(!filled.is_full(), "a page of at most {limit} that is too large: {sizes:?}");
        filled.add(*size);
    }
    assert!(filled.is_full() || !more, "a page of at most {limit} that ends early: {sizes:?}");
    assert!(!sizes.is_empty() || !more, "a page without a record");
}
