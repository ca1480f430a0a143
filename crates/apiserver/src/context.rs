//! The context of request handlers: the store, the kinds, the watch cache, the queue of the committer, and the permits.

use std::sync::{Arc, PoisonError, RwLock};

use apimachinery::{
    kind::{Gauge, Registry, State},
    list,
    schemas::Schemas,
    status_error::{StatusError, StatusReason},
};
use store::Store;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    budget::Budget,
    committer::Queue,
    entropy::RandomSource,
    event_queue::EventQueue,
    limits,
    log_reader::LogReader,
    metrics::Metrics,
    watch_cache::{Event, EventsAfter, WatchCache},
    watch_scheduler::WatchScheduler,
};

/// The served API: everything that a request handler needs.
pub struct ApiContext<W> {
    /// The store.
    pub store: Arc<dyn Store>,
    /// The kinds.
    pub registry: Arc<Registry<W>>,
    /// The schemas of the kinds.
    pub schemas: Arc<Schemas>,
    /// The watch cache.
    pub watch_cache: Arc<WatchCache>,
    /// The queue of the committer.
    pub queue: Queue<W>,
    /// The queue of the server's own events; `None` if the server writes none.
    pub event_queue: Option<Arc<EventQueue>>,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// The decision state; used here only for its gauges.
    pub state: Arc<RwLock<W>>,
    /// Permits for reading requests.
    pub readers: Arc<Semaphore>,
    /// Permits for writing requests.
    pub writers: Arc<Semaphore>,
    /// The budget of bytes for request bodies.
    pub bodies: Budget,
    /// Permits for watches.
    pub watchers: Arc<Semaphore>,
    /// Reads events that are older than the watch cache.
    pub log_reader: LogReader,
    /// Schedules the watches.
    pub watch_scheduler: WatchScheduler,
    /// The source of random bytes.
    pub random_source: RandomSource,
}

impl<W: State> ApiContext<W> {
    /// The current values of the gauges.
    pub fn gauges(&self) -> Vec<Gauge> {
        let mut gauges = self.state.read().unwrap_or_else(PoisonError::into_inner).gauges();
        gauges.extend(self.event_queue.as_ref().map(|event_queue| Gauge {
            name: "ipam_events_dropped",
            help: "Occurrences for the server's own events that were dropped because there were too many at once.",
            samples: vec![(Vec::new(), event_queue.dropped() as f64)],
        }));
        gauges
    }

    /// Returns up to [`limits::LOG_PAGE_EVENTS_MAX`] events after `cursor` whose key starts with `prefix`, and the revision
    /// up to which the result is complete. Served from the watch cache, or from the store if `cursor` is older.
    pub async fn events_after(&self, cursor: u64, prefix: &str) -> Result<(Vec<Arc<Event>>, u64), store::Error> {
        let recent =
            self.watch_cache.events_after(cursor, prefix, limits::LOG_PAGE_EVENTS_MAX, limits::WATCH_BYTES_MAX);
        if let EventsAfter::Events(events, upto) = recent {
            return Ok((events, upto));
        }
        let mut events = self.log_reader.events_after(cursor).await?;
        let upto = events.last().map_or(cursor, |event| event.revision);
        events.retain(|event| event.key.starts_with(prefix));
        Ok((events, upto))
    }

    /// Waits until this server has applied `revision`, at most [`limits::FUTURE_REVISION_WAIT`]; 504 after that.
    pub async fn wait_until_fresh(&self, revision: u64) -> Result<(), StatusError> {
        let mut head = self.watch_cache.subscribe();
        if *head.borrow() < revision {
            self.queue.wake();
        }
        let reached = head.wait_for(|head| *head >= revision);
        match tokio::time::timeout(limits::FUTURE_REVISION_WAIT, reached).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(list::too_large(revision, self.watch_cache.head())),
        }
    }
}

/// Takes one of the permits for concurrent requests, or returns 429.
pub fn acquire_permit(permits: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, StatusError> {
    Arc::clone(permits).try_acquire_owned().map_err(|_| {
        StatusError::new(StatusReason::TooManyRequests, "Too many requests, please try again later.").retry_after(1)
    })
}
