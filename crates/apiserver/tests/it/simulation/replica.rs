//! One replica: a real committer, its world and its hub.

use std::sync::{Arc, RwLock};

use apiserver::{
    committer::{Fatal, Queue},
    hub::{Behind, Hub},
    limits,
    restore::{self, FIRST_ENTRY},
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
    sea::{Sea, Way},
};

/// A process, as far as it can be seen from here.
pub struct Replica<D: Domain> {
    pub queue: Queue<D::World>,
    /// What its probes are answered from.
    pub writes: Arc<WritePath>,
    pub sea: Sea,
    world: Arc<RwLock<D::World>>,
    hub: Arc<Hub>,
    task: JoinHandle<Result<(), Fatal>>,
    /// Asks for a heartbeat after a failure, as the prober of a server does.
    _prober: AbortOnDropHandle<()>,
    /// Where the log ended when it started.
    began: u64,
}

impl<D: Domain> Replica<D> {
    /// Reads the world back, as often as it takes, and begins to work.
    pub async fn start(sea: Sea) -> Self {
        let (world, began) = loop {
            if let Some(restored) = restored::<D>(&sea).await {
                break restored;
            }
        };
        let committer = D::committer(Arc::new(sea.clone()), world, Hub::new(began, usize::MAX));
        let (world, hub) = (Arc::clone(&committer.world), Arc::clone(&committer.hub));
        let writes = Arc::clone(&committer.writes);
        let (queue, work) = committer.open();
        let frozen = sea.clone();
        let task = tokio::spawn(async move { frozen.freezing(work).await });
        let asked = Arc::clone(&writes);
        let prober = tokio::spawn(async move {
            loop {
                sleep(limits::PROBE_INTERVAL).await;
                asked.ask_for_heartbeat();
            }
        });
        Self { queue, writes, sea, world, hub, task, _prober: AbortOnDropHandle::new(prober), began }
    }

    /// Ends at once, wherever it is, and starts again. What it told until then must have been so.
    pub async fn crash(&mut self, log: &MemoryStore) -> Result<(), String> {
        self.task.abort();
        let ended = match (&mut self.task).await {
            Ok(_) if self.may_end() => Ok(()),
            Ok(ended) => Err(format!("a replica ended by itself: {ended:?}")),
            Err(error) if error.is_panic() => Err(format!("a replica panicked: {error}")),
            Err(_) => Ok(()),
        };
        let story = self.audit_story(log).await;
        *self = Self::start(self.sea.clone()).await;
        ended.and(story)
    }

    /// A server that has a disk to itself ends when it cannot find out whether a commit was made, and is started again.
    fn may_end(&self) -> bool {
        self.sea.way() == Way::Disk
    }

    /// Starts it again if it has ended as it may.
    pub async fn revive(&mut self, log: &MemoryStore) -> Result<(), String> {
        if self.task.is_finished() && self.may_end() { self.crash(log).await } else { Ok(()) }
    }

    /// When nothing more is on its way, it knows all there is, and is ready.
    pub async fn audit_at_rest(&self, log: &MemoryStore) -> Result<(), String> {
        if self.task.is_finished() {
            return Err("a replica ended by itself".to_owned());
        }
        self.audit_story(log).await?;
        let head = log.head().await.unwrap().revision.0;
        if self.hub.head() != head {
            return Err(format!("a replica knows {} of {head} revisions", self.hub.head()));
        }
        self.writes.check(Instant::now()).map_err(|why| format!("a replica is not ready in the end: {why}"))?;
        let stored = restored::<D>(log).await.expect("the log itself loses nothing").0;
        let (known, stored) = (D::describe(&self.world.read().unwrap()), D::describe(&stored));
        let Some(place) = known.bytes().zip(stored.bytes()).position(|(known, stored)| known != stored) else {
            return Ok(());
        };
        let around = |text: &str| text.chars().skip(place.saturating_sub(100)).take(200).collect::<String>();
        Err(format!("a replica knows ..{}.., stored is ..{}..", around(&known), around(&stored)))
    }

    /// What its watches heard is what the log says.
    async fn audit_story(&self, log: &MemoryStore) -> Result<(), String> {
        let Behind::Events(events, _) = self.hub.behind(self.began, "", usize::MAX, usize::MAX) else {
            return Err("the hub forgot something".to_owned());
        };
        // The first entry is no object, and has no versions.
        let is_change = |key: &str, had_previous: bool| had_previous && key != FIRST_ENTRY;
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

/// The world as it is stored, and where its log ends.
async fn restored<D: Domain>(store: &dyn Store) -> Option<(D::World, u64)> {
    let mut world = D::World::default();
    let restored = restore::restore(store, &D::registry(), &mut world).await.ok()?;
    Some((world, restored.revision))
}
