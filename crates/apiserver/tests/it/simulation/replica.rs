//! One replica: a real committer, its state and its watch cache.

use std::sync::{Arc, RwLock};

use apiserver::{
    committer::{Fatal, Queue},
    keys::INIT_KEY,
    limits, restore,
    watch_cache::{EventsAfter, WatchCache},
    write_path::WritePath,
};
use store::{Revision, Store, contract, memory::MemoryStore};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};
use tokio_util::task::AbortOnDropHandle;

use super::{
    Domain,
    lossy_store::{FaultModel, LossyStore},
};

/// A simulated process.
pub struct Replica<D: Domain> {
    pub queue: Queue<D::DecisionState>,
    /// The health of its write path.
    pub writes: Arc<WritePath>,
    pub lossy_store: LossyStore,
    state: Arc<RwLock<D::DecisionState>>,
    watch_cache: Arc<WatchCache>,
    task: JoinHandle<Result<(), Fatal>>,
    /// Requests a heartbeat after a failure, as the prober of a server does.
    _prober: AbortOnDropHandle<()>,
    /// The head of the log when it started.
    began: u64,
}

impl<D: Domain> Replica<D> {
    /// Reads the state, with retries, and starts the committer.
    pub async fn start(lossy_store: LossyStore) -> Self {
        let (state, began) = loop {
            if let Some(restored) = restored::<D>(&lossy_store).await {
                break restored;
            }
        };
        let committer = D::committer(Arc::new(lossy_store.clone()), state, WatchCache::new(began, usize::MAX));
        let (state, watch_cache) = (Arc::clone(&committer.state), Arc::clone(&committer.watch_cache));
        let writes = Arc::clone(&committer.writes);
        let (queue, work) = committer.open();
        let frozen = lossy_store.clone();
        let task = tokio::spawn(async move { frozen.freezing(work).await });
        let asked = Arc::clone(&writes);
        let prober = tokio::spawn(async move {
            loop {
                sleep(limits::PROBE_INTERVAL).await;
                asked.request_heartbeat();
            }
        });
        Self { queue, writes, lossy_store, state, watch_cache, task, _prober: AbortOnDropHandle::new(prober), began }
    }

    /// Aborts the replica and starts it again, after checking the events that it has published.
    pub async fn crash(&mut self, log: &MemoryStore) -> Result<(), String> {
        self.task.abort();
        let ended = match (&mut self.task).await {
            Ok(_) if self.may_end() => Ok(()),
            Ok(ended) => Err(format!("a replica ended by itself: {ended:?}")),
            Err(error) if error.is_panic() => Err(format!("a replica panicked: {error}")),
            Err(_) => Ok(()),
        };
        let story = self.audit_story(log).await;
        *self = Self::start(self.lossy_store.clone()).await;
        ended.and(story)
    }

    /// A server with its own disk ends when it cannot resolve the outcome of a commit, and is restarted.
    fn may_end(&self) -> bool {
        self.lossy_store.fault_model() == FaultModel::Disk
    }

    /// Restarts the replica if it has ended for that reason.
    pub async fn revive(&mut self, log: &MemoryStore) -> Result<(), String> {
        if self.task.is_finished() && self.may_end() { self.crash(log).await } else { Ok(()) }
    }

    /// Checks that the replica has read the whole log and is ready after all faults have ended.
    pub async fn audit_at_rest(&self, log: &MemoryStore) -> Result<(), String> {
        if self.task.is_finished() {
            return Err("a replica ended by itself".to_owned());
        }
        self.audit_story(log).await?;
        let head = log.head().await.unwrap().revision.0;
        if self.watch_cache.head() != head {
            return Err(format!("a replica knows {} of {head} revisions", self.watch_cache.head()));
        }
        self.writes.check(Instant::now()).map_err(|why| format!("a replica is not ready in the end: {why}"))?;
        let stored = restored::<D>(log).await.expect("the log itself loses nothing").0;
        let (known, stored) = (D::describe(&self.state.read().unwrap()), D::describe(&stored));
        let Some(place) = known.bytes().zip(stored.bytes()).position(|(known, stored)| known != stored) else {
            return Ok(());
        };
        let around = |text: &str| text.chars().skip(place.saturating_sub(100)).take(200).collect::<String>();
        Err(format!("a replica knows ..{}.., stored is ..{}..", around(&known), around(&stored)))
    }

    /// Checks that the events that its watches got are those of the log.
    async fn audit_story(&self, log: &MemoryStore) -> Result<(), String> {
        let EventsAfter::Events(events, _) = self.watch_cache.events_after(self.began, "", usize::MAX, usize::MAX)
        else {
            return Err("the hub forgot something".to_owned());
        };
        // The first entry is not an object, and has no versions.
        let is_change = |key: &str, had_previous: bool| had_previous && key != INIT_KEY;
        let told = events
            .iter()
            .map(|event| (event.revision, event.key.as_str(), is_change(&event.key, event.existed()), event.exists()));
        let entries = contract::entries(log, Revision(self.began)).await;
        let written = entries.iter().take(events.len()).map(|entry| {
            let key = entry.key.as_str();
            (entry.revision.0, key, is_change(key, entry.previous.is_some()), entry.value.is_some())
        });
        let (told, written): (Vec<_>, Vec<_>) = (told.collect(), written.collect());
        if told == written { Ok(()) } else { Err(format!("watches heard {told:?}, written was {written:?}")) }
    }
}

/// The stored state, and the head of its log.
async fn restored<D: Domain>(store: &dyn Store) -> Option<(D::DecisionState, u64)> {
    let mut state = D::DecisionState::default();
    let restored = restore::restore(store, &D::registry(), &mut state).await.ok()?;
    Some((state, restored.revision))
}
