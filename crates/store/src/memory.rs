//! The reference store: vectors, scanned from the front.
//!
//! It states the contract as simply as possible, so that the real stores can be compared with it, and serves tests that
//! need no file. It has no index and no persistence.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::{Mutex, OwnedMutexGuard, RwLock, watch};

use crate::{
    BulkLoad, Entry, Error, Head, Key, Page, Record, Revision, Snapshot, Span, Store, Transaction, Write,
    page::PageBudget,
};

/// A store in memory. Clones share the same log.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    /// The head lock, held by the current transaction.
    head: Arc<Mutex<()>>,
    log: Arc<RwLock<Log>>,
    /// The current head, for `wait_for_commits`.
    head_changes: watch::Sender<Revision>,
}

#[derive(Clone, Debug, Default)]
struct Log {
    rows: Vec<Row>,
    spans: Vec<Span>,
    head: Revision,
    compacted: Revision,
    /// The end of the commit that contains `compacted`. The row of `compacted` may have been removed, but a snapshot at it must
    /// remain possible.
    compacted_end: Revision,
}

#[derive(Clone, Debug)]
struct Row {
    entry: Entry,
    /// The last revision of the commit that wrote the row.
    commit_end: Revision,
}

struct MemoryTransaction {
    log: Arc<RwLock<Log>>,
    head: Revision,
    head_changes: watch::Sender<Revision>,
    /// Dropping this releases the head lock.
    _held: OwnedMutexGuard<()>,
}

impl MemoryStore {
    /// Creates an empty store.
    pub fn new() -> Self {
        Self::default()
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn begin(&self) -> Result<Box<dyn Transaction>, Error> {
        let guard = Arc::clone(&self.head).lock_owned().await;
        let head = self.log.read().await.head;
        let head_changes = self.head_changes.clone();
        Ok(Box::new(MemoryTransaction { log: Arc::clone(&self.log), head, head_changes, _held: guard }))
    }

    async fn wait_for_commits(&self, known: Revision) {
        // The sender is owned by `self`, so there is no error.
        drop(self.head_changes.subscribe().wait_for(|head| *head > known).await);
    }

    async fn head(&self) -> Result<Head, Error> {
        let log = self.log.read().await;
        Ok(Head { revision: log.head, compacted: log.compacted })
    }

    async fn get(&self, key: &Key) -> Result<Option<Record>, Error> {
        Ok(self.log.read().await.current(key))
    }

    async fn read(&self, keys: &[Key]) -> Result<Vec<Option<Record>>, Error> {
        Ok(self.log.read().await.read(keys))
    }

    async fn list(&self, prefix: &str, after: Option<&Key>, at: Option<Revision>, limit: usize) -> Result<Page, Error> {
        self.log.read().await.page(prefix, after, at, limit)
    }

    async fn count(&self, prefix: &str, after: Option<&Key>, at: Revision, limit: usize) -> Result<usize, Error> {
        let log = self.log.read().await;
        let revision = log.snapshot(at)?;
        Ok(log.records(prefix, after, revision).len().min(limit))
    }

    async fn tail(&self, after: Revision, limit: usize) -> Result<Vec<Entry>, Error> {
        self.log.read().await.tail(after, limit)
    }

    async fn overlapping_spans(&self, space: &str, first: u128, last: u128, limit: usize) -> Result<Vec<Span>, Error> {
        Ok(self.log.read().await.overlapping_spans(space, first, last, limit))
    }

    async fn compact(&self, revision: Revision) -> Result<(), Error> {
        self.log.write().await.compact(revision);
        Ok(())
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, Error> {
        Ok(Box::new(MemorySnapshot { log: self.log.read().await.clone() }))
    }

    async fn bulk_load(&self) -> Result<Box<dyn BulkLoad>, Error> {
        let guard = Arc::clone(&self.head).lock_owned().await;
        if self.log.read().await.head > Revision(0) {
            return Err(Error::Unavailable("only an empty log can be loaded".to_owned()));
        }
        Ok(Box::new(MemoryBulkLoad { log: Arc::clone(&self.log), next: Log::default(), _held: guard }))
    }

    async fn advance_revision(&self, by: u64) -> Result<Revision, Error> {
        let _held = self.head.lock().await;
        let mut log = self.log.write().await;
        let head = Revision(log.head.0 + by);
        log.begin_at(head);
        Ok(head)
    }
}

/// A copy of the log.
struct MemorySnapshot {
    log: Log,
}

#[async_trait]
impl Snapshot for MemorySnapshot {
    fn revision(&self) -> Revision {
        self.log.head
    }

    async fn list(&mut self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<Page, Error> {
        self.log.page(prefix, after, None, limit)
    }

    async fn spans(&mut self, after: Option<(&str, u128)>, limit: usize) -> Result<Vec<Span>, Error> {
        Ok(self.log.spans_after(after, limit))
    }
}

/// A log under construction. It replaces the empty log when the load is finished.
struct MemoryBulkLoad {
    log: Arc<RwLock<Log>>,
    next: Log,
    _held: OwnedMutexGuard<()>,
}

#[async_trait]
impl BulkLoad for MemoryBulkLoad {
    async fn records(&mut self, records: Vec<Record>) -> Result<(), Error> {
        for Record { key, revision, value } in records {
            let entry = Entry { revision, key, value: Some(value), previous: None };
            self.next.rows.push(Row { entry, commit_end: revision });
        }
        Ok(())
    }

    async fn spans(&mut self, spans: Vec<Span>) -> Result<(), Error> {
        spans.into_iter().try_for_each(|span| self.next.take(span))
    }

    async fn finish(mut self: Box<Self>, head: Revision) -> Result<(), Error> {
        self.next.rows.sort_by_key(|row| row.entry.revision);
        self.next.begin_at(head);
        *self.log.write().await = self.next;
        Ok(())
    }
}

#[async_trait]
impl Transaction for MemoryTransaction {
    fn head(&self) -> Revision {
        self.head
    }

    async fn read(&self, keys: &[Key]) -> Result<Vec<Option<Record>>, Error> {
        Ok(self.log.read().await.read(keys))
    }

    async fn tail(&self, after: Revision, limit: usize) -> Result<Vec<Entry>, Error> {
        self.log.read().await.tail(after, limit)
    }

    async fn commit(self: Box<Self>, writes: Vec<Write>) -> Result<(), Error> {
        let mut log = self.log.write().await;
        let mut next = log.clone();
        next.commit(writes)?;
        self.head_changes.send_replace(next.head);
        *log = next;
        Ok(())
    }
}

impl Log {
    /// Returns the end of the commit that contains `at`; an error if it is in the future or compacted.
    fn snapshot(&self, at: Revision) -> Result<Revision, Error> {
        if at > self.head {
            return Err(Error::FutureRevision { requested: at, head: self.head });
        }
        if at < self.compacted {
            return Err(Error::Compacted { requested: at, compacted: self.compacted });
        }
        let row = self.rows.iter().find(|row| row.entry.revision == at);
        Ok(row.map_or(self.compacted_end, |row| row.commit_end))
    }

    fn page(&self, prefix: &str, after: Option<&Key>, at: Option<Revision>, limit: usize) -> Result<Page, Error> {
        let revision = self.snapshot(at.unwrap_or(self.head))?;
        let mut all = self.records(prefix, after, revision).into_iter();
        let records = fill(&mut all, limit, Record::bytes);
        Ok(Page { revision, records, more: all.next().is_some() })
    }

    fn tail(&self, after: Revision, limit: usize) -> Result<Vec<Entry>, Error> {
        if after < self.compacted {
            return Err(Error::Compacted { requested: after, compacted: self.compacted });
        }
        let mut later = self.rows.iter().map(|row| &row.entry).filter(|entry| entry.revision > after).cloned();
        Ok(fill(&mut later, limit, Entry::bytes))
    }

    fn spans_after(&self, after: Option<(&str, u128)>, limit: usize) -> Vec<Span> {
        let is_later = |span: &&Span| after.is_none_or(|after| (span.space.as_str(), span.first) > after);
        ordered(self.spans.iter().filter(is_later), limit)
    }

    /// Discards all history and ends the log at `head`.
    fn begin_at(&mut self, head: Revision) {
        self.head = head;
        self.compact(head);
    }

    /// Returns every record with the prefix and a key greater than `after`, as of `revision`.
    fn records(&self, prefix: &str, after: Option<&Key>, revision: Revision) -> Vec<Record> {
        let mut newest = BTreeMap::new();
        for entry in self.rows.iter().map(|row| &row.entry).take_while(|entry| entry.revision <= revision) {
            if entry.key.as_str().starts_with(prefix) && after.is_none_or(|after| entry.key > *after) {
                newest.insert(&entry.key, entry);
            }
        }
        newest.into_values().filter_map(Entry::record).collect()
    }

    fn current(&self, key: &Key) -> Option<Record> {
        self.rows.iter().rev().find(|row| row.entry.key == *key).and_then(|row| row.entry.record())
    }

    fn read(&self, keys: &[Key]) -> Vec<Option<Record>> {
        keys.iter().map(|key| self.current(key)).collect()
    }

    fn overlapping_spans(&self, space: &str, first: u128, last: u128, limit: usize) -> Vec<Span> {
        let overlaps = |span: &&Span| span.space == space && span.first <= last && span.last >= first;
        ordered(self.spans.iter().filter(overlaps), limit)
    }

    /// Applies the writes in order. After an error the caller must discard `self`.
    fn commit(&mut self, writes: Vec<Write>) -> Result<(), Error> {
        let commit_end = Revision(self.head.0 + writes.len() as u64);
        for write in writes {
            let previous = self.current(&write.key);
            let found = previous.as_ref().map(|record| record.revision);
            if found != write.expected {
                return Err(Error::Precondition { key: write.key, expected: write.expected, found });
            }
            for span in &write.releases {
                self.release(span)?;
            }
            for span in write.takes {
                self.take(span)?;
            }
            self.head = self.head.next();
            let entry = Entry { revision: self.head, key: write.key, value: write.value, previous };
            self.rows.push(Row { entry, commit_end });
        }
        Ok(())
    }

    fn release(&mut self, span: &Span) -> Result<(), Error> {
        let Some(place) = self.spans.iter().position(|held| held == span) else {
            return Err(Error::SpanConflict(format!("{span} is not held, so it cannot be released")));
        };
        self.spans.swap_remove(place);
        Ok(())
    }

    fn take(&mut self, span: Span) -> Result<(), Error> {
        if span.last < span.first {
            return Err(Error::SpanConflict(format!("{span} ends before it begins")));
        }
        if let Some(held) = self.overlapping_spans(&span.space, span.first, span.last, 1).first() {
            return Err(Error::SpanConflict(format!("{span} overlaps {held}")));
        }
        self.spans.push(span);
        Ok(())
    }

    fn compact(&mut self, revision: Revision) {
        let revision = revision.min(self.head);
        if revision <= self.compacted {
            return;
        }
        // Rows after the old horizon have not been compacted, so the row of the new horizon exists.
        let row = self.rows.iter().find(|row| row.entry.revision == revision);
        self.compacted_end = row.map_or(revision, |row| row.commit_end);
        self.compacted = revision;
        let mut newest = BTreeMap::new();
        for entry in self.rows.iter().map(|row| &row.entry).take_while(|entry| entry.revision <= revision) {
            newest.insert(entry.key.clone(), entry.revision);
        }
        self.rows.retain(|Row { entry, .. }| {
            entry.revision > revision || (entry.value.is_some() && newest.get(&entry.key) == Some(&entry.revision))
        });
    }
}

impl Entry {
    /// Returns the version that the entry wrote; `None` for a deletion.
    fn record(&self) -> Option<Record> {
        let value = self.value.clone()?;
        Some(Record { key: self.key.clone(), revision: self.revision, value })
    }
}

/// Takes the items of one page from the iterator.
fn fill<T>(all: &mut impl Iterator<Item = T>, limit: usize, bytes: fn(&T) -> usize) -> Vec<T> {
    let mut filled = PageBudget::new(limit);
    let mut page = Vec::new();
    while !filled.is_full()
        && let Some(next) = all.next()
    {
        filled.add(bytes(&next));
        page.push(next);
    }
    page
}

fn ordered<'a>(spans: impl Iterator<Item = &'a Span>, limit: usize) -> Vec<Span> {
    let mut spans: Vec<Span> = spans.cloned().collect();
    spans.sort_by(|left, right| (&left.space, left.first).cmp(&(&right.space, right.first)));
    spans.truncate(limit);
    spans
}
