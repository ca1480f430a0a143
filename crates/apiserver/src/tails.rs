//! Reads events that are no longer in the watch cache from the store, for watches and background tasks that lag.
//!
//! Only one read runs at a time, however many watches lag, because decisions read from the store, too. Pages are kept
//! for a while, because watches tend to lag together; an event is parsed once for all of them, if a selector needs it.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use store::{Revision, Store};
use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;

use crate::{hub::Event, limits, watches};

/// Consecutive events without a gap.
type Chunk = Vec<Arc<Event>>;

/// Reads the log for all watches. Clones share the pages.
#[derive(Clone)]
pub struct Tails {
    shared: Arc<Shared>,
}

struct Shared {
    store: Arc<dyn Store>,
    places: Semaphore,
    read: Mutex<Kept>,
}

/// The pages that were read, in order of reading.
#[derive(Default)]
struct Kept {
    chunks: VecDeque<Arc<Chunk>>,
    /// The size of all pages in bytes.
    bytes: usize,
}

impl Kept {
    /// Adds a page. Returns the pages that were removed to make room.
    fn add(&mut self, chunk: Arc<Chunk>) -> Vec<Arc<Chunk>> {
        self.bytes += bytes(&chunk);
        self.chunks.push_back(chunk);
        let mut gone = Vec::new();
        while (self.chunks.len() > limits::TAILS_KEPT || self.bytes > limits::TAILS_BYTES_MAX)
            && let Some(chunk) = self.chunks.pop_front()
        {
            self.bytes -= bytes(&chunk);
            gone.push(chunk);
        }
        gone
    }
}

fn bytes(chunk: &Chunk) -> usize {
    chunk.iter().map(|event| event.bytes()).sum()
}

impl Tails {
    /// Creates a reader of `store`.
    pub fn new(store: Arc<dyn Store>) -> Self {
        let places = Semaphore::new(limits::TAILS_AT_ONCE);
        Self { shared: Arc::new(Shared { store, places, read: Mutex::default() }) }
    }

    /// Returns the first events after `cursor`; empty if there are none. A separate task reads them, so that a client
    /// that stops polling in the middle does not block the others.
    pub async fn behind(&self, cursor: u64) -> Result<Vec<Arc<Event>>, store::Error> {
        let shared = Arc::clone(&self.shared);
        let read = AbortOnDropHandle::new(tokio::spawn(async move { shared.behind(cursor).await }));
        read.await.unwrap_or_else(|_| Err(store::Error::Unavailable("the read ended in a panic".to_owned())))
    }
}

impl Shared {
    async fn behind(&self, cursor: u64) -> Result<Vec<Arc<Event>>, store::Error> {
        let _place = self.places.acquire().await;
        if let Some(known) = self.known(cursor) {
            return Ok(known);
        }
        let entries = self.store.tail(Revision(cursor), limits::TAIL_EVENTS_MAX).await?;
        let chunk: Arc<Chunk> = Arc::new(entries.into_iter().map(watches::event).collect());
        let gone = self.read.lock().unwrap_or_else(PoisonError::into_inner).add(Arc::clone(&chunk));
        drop(gone);
        Ok(first_of(&chunk))
    }

    /// The events after `cursor` in the kept pages.
    fn known(&self, cursor: u64) -> Option<Vec<Arc<Event>>> {
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        read.chunks.iter().rev().find_map(|chunk| {
            let first = chunk.first()?.revision;
            let skip = usize::try_from((cursor + 1).checked_sub(first)?).ok()?;
            chunk.get(skip..).filter(|rest| !rest.is_empty()).map(first_of)
        })
    }
}

/// The first of the events, as many as a watch takes at once.
fn first_of(events: &[Arc<Event>]) -> Vec<Arc<Event>> {
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
    async fn whoever_lags_gets_what_was_read_for_others_and_no_gap() {
        let count = 3 * limits::TAIL_EVENTS_MAX as u64 / 2;
        let tails = Tails::new(filled(usize::try_from(count).unwrap()).await);
        for first in [0, 5, 0, 100, count - 1] {
            let (mut cursor, mut seen) = (first, Vec::new());
            while cursor < count {
                let events = tails.behind(cursor).await.unwrap();
                seen.extend(revisions(&events));
                cursor = *seen.last().unwrap();
            }
            assert_eq!(seen, (first + 1..=count).collect::<Vec<_>>());
        }
        assert_eq!(revisions(&tails.behind(count).await.unwrap()), Vec::<u64>::new());
        let (one, other) = (tails.behind(7).await.unwrap(), tails.behind(7).await.unwrap());
        assert!(Arc::ptr_eq(&one[0], &other[0]), "it was read once");
    }
    #[tokio::test]
    async fn kept_reads_are_bounded_in_bytes() {
        let store = Arc::new(MemoryStore::default());
        let part = store::limits::PAGE_BYTES_MAX;
        let count = 2 * (limits::TAILS_BYTES_MAX / part) as u64;
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
        let tails = Tails::new(store);
        for cursor in 0..count {
            assert_eq!(revisions(&tails.behind(cursor).await.unwrap()), [cursor + 1]);
            let read = tails.shared.read.lock().unwrap();
            let kept: usize = read.chunks.iter().map(|chunk| bytes(chunk)).sum();
            assert!(kept == read.bytes && kept <= limits::TAILS_BYTES_MAX, "{kept} bytes");
            assert!(!read.chunks.is_empty());
        }
    }

    #[tokio::test]
    async fn large_events_are_taken_a_few_at_once() {
        let store = Arc::new(MemoryStore::default());
        let write = |n: usize| Write {
            key: Key::new(format!("books/platform/attic/x{n}")).unwrap(),
            value: Some(vec![b' '; limits::WATCH_BYTES_MAX / 2].into()),
            expected: None,
            releases: Vec::new(),
            takes: Vec::new(),
        };
        store.begin().await.unwrap().commit((0..6).map(write).collect()).await.unwrap();
        let tails = Tails::new(store);
        let (mut cursor, mut seen) = (0, Vec::new());
        while cursor < 6 {
            let events = tails.behind(cursor).await.unwrap();
            assert!(events.len() <= 2, "{} at once", events.len());
            seen.extend(revisions(&events));
            cursor = *seen.last().unwrap();
        }
        assert_eq!(seen, [1, 2, 3, 4, 5, 6]);
        assert_eq!(tails.shared.read.lock().unwrap().chunks.len(), 1, "it was read once");
    }
}
