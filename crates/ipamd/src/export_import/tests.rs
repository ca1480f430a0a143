//! Export and import of stores whose sizes are near multiples of the page size.

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use bytes::Bytes;
use store::{BulkLoad, Error, Key, Record, Revision, Span, Store, contract, memory::MemoryStore};

use super::{
    RECORDS_PER_PAGE, SPANS_PER_PAGE, export,
    file::{Input, Output},
    format::End,
    import,
    progress::{Progress, Unit},
    snapshot_reader::{Chunk, SnapshotReader},
};
use crate::limits::{EXPORT_LINE_BYTES_MAX, IMPORT_PAGE_BYTES_MAX};

fn records(count: usize, value_bytes: usize) -> Vec<Record> {
    let value = format!("{{\"a\":\"{}\"}}", "x".repeat(value_bytes));
    let record = |index: usize| Record {
        key: Key::new(format!("k/{index:06}")).unwrap(),
        // Revisions are not in the order of the keys.
        revision: Revision((index as u64 * 7) % (count as u64 * 7 + 1) + 1),
        value: Bytes::from(value.clone()),
    };
    (0..count).map(record).collect()
}

fn spans(count: usize) -> Vec<Span> {
    let holder = Key::new("k/000000").unwrap();
    let span = |index: usize| {
        let first = index as u128 * 10;
        Span { space: format!("s{}", index % 2), first, last: first + 9, holder: holder.clone() }
    };
    (0..count).map(span).collect()
}

async fn store(records: Vec<Record>, spans: Vec<Span>) -> MemoryStore {
    let head = Revision(records.iter().map(|record| record.revision.0).max().unwrap_or(0) + 5);
    let store = MemoryStore::new();
    let mut load = store.bulk_load().await.unwrap();
    load.records(records).await.unwrap();
    load.spans(spans).await.unwrap();
    load.finish(head).await.unwrap();
    store
}

async fn everything(store: &MemoryStore) -> (Revision, Vec<Record>, Vec<Span>) {
    let records = contract::records(store, "", None).await;
    let mut snapshot = store.snapshot().await.unwrap();
    (store.head().await.unwrap().revision, records, snapshot.spans(None, usize::MAX).await.unwrap())
}

async fn write(store: &MemoryStore, file: &Path) -> (u64, u64) {
    let mut out = Output::create(file).unwrap();
    let pages = SnapshotReader::of(store.snapshot().await.unwrap());
    let mut progress = Progress::start("", Unit::Objects, None);
    let end = export::write(pages, &mut out.lines, &mut progress).await.unwrap();
    out.finish().await.unwrap();
    (end.records, end.spans)
}

/// A [`BulkLoad`] that records the number of objects of each page.
struct Counted {
    load: Box<dyn BulkLoad>,
    pages: Arc<Mutex<Vec<usize>>>,
}

#[async_trait]
impl BulkLoad for Counted {
    async fn records(&mut self, records: Vec<Record>) -> Result<(), Error> {
        self.pages.lock().unwrap().push(records.len());
        self.load.records(records).await
    }

    async fn spans(&mut self, spans: Vec<Span>) -> Result<(), Error> {
        self.load.spans(spans).await
    }

    async fn finish(self: Box<Self>, head: Revision) -> Result<(), Error> {
        self.load.finish(head).await
    }
}

async fn read(store: &MemoryStore, file: &Path) -> (Revision, End) {
    let mut input = Input::open(file).unwrap();
    let revision = import::read_header(&mut input).await.unwrap();
    (revision, import::fill(store, revision, &mut input).await.unwrap())
}

#[tokio::test]
async fn export_and_import_round_trip_around_page_sizes() {
    let directory = tempfile::tempdir().unwrap();
    let around = |size: usize| [size - 1, size, size + 1, 2 * size];
    let sizes = around(RECORDS_PER_PAGE).into_iter().zip(around(SPANS_PER_PAGE)).chain([(0, 0), (1, 0), (0, 1)]);
    for (record_count, span_count) in sizes {
        let from = store(records(record_count, 1), spans(span_count)).await;
        let file = directory.path().join(format!("{record_count}-{span_count}"));
        assert_eq!(write(&from, &file).await, (record_count as u64, span_count as u64));
        let to = MemoryStore::new();
        let (revision, sum) = read(&to, &file).await;
        assert_eq!((sum.records, sum.spans), (record_count as u64, span_count as u64));
        assert_eq!(everything(&to).await, everything(&from).await, "{record_count} objects, {span_count} spans");
        import::verify(&to, revision, &sum).await.unwrap();
    }
}

#[tokio::test]
async fn pages_have_at_most_the_page_size() {
    let store = store(records(RECORDS_PER_PAGE + 1, 1), spans(SPANS_PER_PAGE + 1)).await;
    let mut pages = SnapshotReader::of(store.snapshot().await.unwrap());
    let mut sizes = Vec::new();
    while let Some(part) = pages.next().await.unwrap() {
        sizes.push(match part {
            Chunk::Records(page) => page.len(),
            Chunk::Spans(page) => page.len(),
        });
    }
    assert_eq!(sizes, [RECORDS_PER_PAGE, 1, SPANS_PER_PAGE, 1]);
}

#[tokio::test]
async fn import_pages_of_large_objects_are_limited_in_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let (from, file) = (store(records(5, IMPORT_PAGE_BYTES_MAX / 2), Vec::new()).await, directory.path().join("large"));
    write(&from, &file).await;
    let (to, pages) = (MemoryStore::new(), Arc::default());
    let counted = Counted { load: to.bulk_load().await.unwrap(), pages: Arc::clone(&pages) };
    let mut input = Input::open(&file).unwrap();
    let revision = import::read_header(&mut input).await.unwrap();
    import::load(Box::new(counted), revision, &mut input).await.unwrap();
    assert_eq!(everything(&to).await, everything(&from).await);
    assert_eq!(*pages.lock().unwrap(), [2, 2, 1]);
}

#[tokio::test]
async fn verify_fails_if_store_differs_from_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    let from = store(records(3, 1), spans(3)).await;
    write(&from, &file).await;
    let (revision, sum) = read(&MemoryStore::new(), &file).await;
    import::verify(&from, revision, &sum).await.unwrap();
    let mut changed = records(3, 1);
    changed[1].value = Bytes::from_static(b"{}");
    for (other, words) in [
        (store(records(2, 1), spans(3)).await, "do not use it"),
        (store(records(3, 1), spans(2)).await, "do not use it"),
        (store(changed, spans(3)).await, "do not use it"),
    ] {
        let error = import::verify(&other, revision, &sum).await.unwrap_err().to_string().to_lowercase();
        assert!(error.contains(words), "{error}");
    }
}

#[tokio::test]
async fn import_line_over_the_limit_is_rejected() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("long");
    std::fs::File::create(&file).unwrap().set_len(EXPORT_LINE_BYTES_MAX + 1).unwrap();
    let error = Input::open(&file).unwrap().line().await.unwrap_err();
    assert!(error.to_string().contains("the line is too long"), "{error}");
}
