//! Reads events that are no longer in the watch cache from the store, for watches and background tasks that lag.
//!
//! Only one read runs at a time, independent of the number of lagging watches, because decisions read from the store,
//! too. Pages are kept for a while, because watches tend to lag together; an event is parsed once for all of them, if a
//! selector needs it.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use store::{Revision, Store};
use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;

use crate::{limits, watch_cache::Event};

/// Consecutive events without a gap.
type EventPage = Vec<Arc<Event>>;

/// Reads the log for all watches. Clones share the pages.
#[derive(Clone)]
pub struct LogReader {
    shared: Arc<Shared>,
}

struct Shared {
    store: Arc<dyn Store>,
    permits: Semaphore,
    read: Mutex<CachedPages>,
}

/// The pages that were read, in order of reading.
#[derive(Default)]
struct CachedPages {
    pages: VecDeque<Arc<EventPage>>,
    /// The size of all pages in bytes.
    bytes: usize,
}

impl CachedPages {
    /// Adds a page. Returns the pages that were removed to make room.
    fn add(&mut self, page: Arc<EventPage>) -> Vec<Arc<EventPage>> {
        self.bytes += bytes(&page);
        self.pages.push_back(page);
        let mut gone = Vec::new();
        while (self.pages.len() > limits::LOG_PAGES_CACHED || self.bytes > limits::LOG_PAGES_BYTES_MAX)
            && let Some(page) = self.pages.pop_front()
        {
            self.bytes -= bytes(&page);
            gone.push(page);
        }
        gone
    }
}

fn bytes(page: &EventPage) -> usize {
    page.iter().map(|event| event.bytes()).sum()
}

impl LogReader {
    /// Creates a reader of `store`.
    pub fn new(store: Arc<dyn Store>) -> Self {
        let permits = Semaphore::new(limits::LOG_READS_CONCURRENT);
        Self { shared: Arc::new(Shared { store, permits, read: Mutex::default() }) }
    }

    /// Returns the first events after `cursor`; empty if there are none. A separate task reads them, so that a client
    /// that stops polling in the middle does not block the others.
    pub async fn events_after(&self, cursor: u64) -> Result<Vec<Arc<Event>>, store::Error> {
        let shared = Arc::clone(&self.shared);
        let read = AbortOnDropHandle::new(tokio::spawn(async move { shared.events_after(cursor).await }));
        read.await.unwrap_or_else(|_| Err(store::Error::Unavailable("the read ended in a panic".to_owned())))
    }
}

impl Shared {
    async fn events_after(&self, cursor: u64) -> Result<Vec<Arc<Event>>, store::Error> {
        let _place = self.permits.acquire().await;
        if let Some(cached) = self.cached(cursor) {
            return Ok(cached);
        }
        let entries = self.store.tail(Revision(cursor), limits::LOG_PAGE_EVENTS_MAX).await?;
        let page: Arc<EventPage> =
            Arc::new(entries.into_iter().map(|entry| Arc::new(Event::from_entry(entry))).collect());
        let gone = self.read.lock().unwrap_or_else(PoisonError::into_inner).add(Arc::clone(&page));
        drop(gone);
        Ok(within_byte_limit(&page))
    }

    /// The events after `cursor` in the kept pages.
    fn cached(&self, cursor: u64) -> Option<Vec<Arc<Event>>> {
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        read.pages.iter().rev().find_map(|page| {
            let first = page.first()?.revision;
            let skip = usize::try_from((cursor + 1).checked_sub(first)?).ok()?;
            page.get(skip..).filter(|rest| !rest.is_empty()).map(within_byte_limit)
        })
    }
}

/// The first of the events, as many as a watch takes at once.
fn within_byte_limit(events: &[Arc<Event>]) -> Vec<Arc<Event>> {
    let mut taken = 0;
    let fits = |event: &&Arc<Event>| {
        let before = taken;
        taken += event.bytes();
        before < limits::WATCH_BYTES_MAX
    };
    events.iter().take_while(fits).cloned().collect()
}

#[cfg(test)]
mod tests {
    use store::{Key, Write, memory::MemoryStore};

    use super::*;

    /// A store with `count` objects, each with its own revision.
    async fn filled(count: usize) -> Arc<MemoryStore> {
        let store = Arc::new(MemoryStore::default());
        let write = |n: usize| Write {
            key: Key::new(format!("books/platform/attic/x{n}")).unwrap(),
            value: Some(format!(r#"{{"metadata":{{"name":"x{n}"}}}}"#).into()),
            expected: None,
            releases: Vec::new(),
            takes: Vec::new(),
        };
        store.begin().await.unwrap().commit((0..count).map(write).collect()).await.unwrap();
        store
    }

    fn revisions(events: &[Arc<Event>]) -> Vec<u64> {
        events.iter().map(|event| event.revision).collect()
    }

    #[tokio::test]
    async fn lagging_watches_share_log_pages_without_gaps() {
        let count = 3 * limits::LOG_PAGE_EVENTS_MAX as u64 / 2;
        let log_reader = LogReader::new(filled(usize::try_from(count).unwrap()).await);
        for first in [0, 5, 0, 100, count - 1] {
            let (mut cursor, mut seen) = (first, Vec::new());
            while cursor < count {
                let events = log_reader.events_after(cursor).await.unwrap();
                seen.extend(revisions(&events));
                cursor = *seen.last().unwrap();
            }
            assert_eq!(seen, (first + 1..=count).collect::<Vec<_>>());
        }
        assert_eq!(revisions(&log_reader.events_after(count).await.unwrap()), Vec::<u64>::new());
        let (one, other) = (log_reader.events_after(7).await.unwrap(), log_reader.events_after(7).await.unwrap());
        assert!(Arc::ptr_eq(&one[0], &other[0]), "it was read once");
    }
    #[tokio::test]
    async fn kept_log_pages_are_limited_in_bytes() {
        let store = Arc::new(MemoryStore::default());
        let part = store::limits::PAGE_BYTES_MAX;
        let count = 2 * (limits::LOG_PAGES_BYTES_MAX / part) as u64;
        for n in 0..count {
            let write = Write {
                key: Key::new(format!("books/platform/attic/x{n}")).unwrap(),
                value: Some(vec![b' '; part].into()),
                expected: None,
                releases: Vec::new(),
                takes: Vec::new(),
            };
            store.begin().await.unwrap().commit(vec![write]).await.unwrap();
        }
        let log_reader = LogReader::new(store);
        for cursor in 0..count {
            assert_eq!(revisions(&log_reader.events_after(cursor).await.unwrap()), [cursor + 1]);
            let read = log_reader.shared.read.lock().unwrap();
            let kept: usize = read.pages.iter().map(|page| bytes(page)).sum();
            assert!(kept == read.bytes && kept <= limits::LOG_PAGES_BYTES_MAX, "{kept} bytes");
            assert!(!read.pages.is_empty());
        }
    }

    #[tokio::test]
    async fn large_events_are_returned_a_few_at_a_time() {
        let store = Arc::new(MemoryStore::default());
        let write = |n: usize| Write {
            key: Key::new(format!("books/platform/attic/x{n}")).unwrap(),
            value: Some(vec![b' '; limits::WATCH_BYTES_MAX / 2].into()),
            expected: None,
            releases: Vec::new(),
            takes: Vec::new(),
        };
        store.begin().await.unwrap().commit((0..6).map(write).collect()).await.unwrap();
        let log_reader = LogReader::new(store);
        let (mut cursor, mut seen) = (0, Vec::new());
        while cursor < 6 {
            let events = log_reader.events_after(cursor).await.unwrap();
            assert!(events.len() <= 2, "{} at once", events.len());
            seen.extend(revisions(&events));
            cursor = *seen.last().unwrap();
        }
        assert_eq!(seen, [1, 2, 3, 4, 5, 6]);
        assert_eq!(log_reader.shared.read.lock().unwrap().pages.len(), 1, "it was read once");
    }
}
