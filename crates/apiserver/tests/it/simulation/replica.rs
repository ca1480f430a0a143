//! One replica: a real committer, its world and its hub.

use std::sync::{Arc, RwLock};

use apiserver::{
    committer::{Fatal, Queue},
    hub::{Behind, Hub},
    restore,
};
use store::{Revision, Store, contract, memory::MemoryStore};
use tokio::task::JoinHandle;

use super::sea::Sea;
use crate::{
    commits::committer,
    library::{self, World},
};

/// A process, as far as it can be seen from here.
pub struct Replica {
    pub queue: Queue,
    sea: Sea,
    world: Arc<RwLock<World>>,
    hub: Arc<Hub>,
    task: JoinHandle<Result<(), Fatal>>,
    /// Where the log ended when it started.
    began: u64,
}

impl Replica {
    /// Reads the world back, as often as it takes, and begins to work.
    pub async fn start(sea: Sea) -> Self {
        let (world, began) = loop {
            if let Some(restored) = restored(&sea).await {
                break restored;
            }
        };
        let committer = committer(Arc::new(sea.clone()), world, Hub::new(began, usize::MAX));
        let (world, hub) = (Arc::clone(&committer.world), Arc::clone(&committer.hub));
        let (queue, work) = committer.open();
        let frozen = sea.clone();
        let task = tokio::spawn(async move { frozen.freezing(work).await });
        Self { queue, sea, world, hub, task, began }
    }

    /// Ends at once, wherever it is, and starts again. What it told until then must have been so.
    pub async fn crash(&mut self, log: &MemoryStore) -> Result<(), String> {
        self.task.abort();
        let ended = match (&mut self.task).await {
            Ok(ended) => Err(format!("a replica ended by itself: {ended:?}")),
            Err(error) if error.is_panic() => Err(format!("a replica panicked: {error}")),
            Err(_) => Ok(()),
        };
        let story = self.audit_story(log).await;
        *self = Self::start(self.sea.clone()).await;
        ended.and(story)
    }

    /// When nothing more is on its way, it knows all there is.
    pub async fn audit_at_rest(&self, log: &MemoryStore) -> Result<(), String> {
        if self.task.is_finished() {
            return Err("a replica ended by itself".to_owned());
        }
        self.audit_story(log).await?;
        let head = log.head().await.unwrap().revision.0;
        if self.hub.head() != head {
            return Err(format!("a replica knows {} of {head} revisions", self.hub.head()));
        }
        let stored = restored(log).await.expect("the log itself loses nothing").0;
        let world = self.world.read().unwrap();
        if *world == stored { Ok(()) } else { Err(format!("a replica knows {world:?}, stored is {stored:?}")) }
    }

    /// What its watches heard is what the log says.
    async fn audit_story(&self, log: &MemoryStore) -> Result<(), String> {
        let Behind::Events(events, _) = self.hub.behind(self.began, "", usize::MAX, usize::MAX) else {
            return Err("the hub forgot something".to_owned());
        };
        let told = events.iter().map(|event| (event.revision, event.key.clone(), event.existed(), event.exists()));
        let entries = contract::entries(log, Revision(self.began)).await;
        let written = entries.iter().take(events.len()).map(|entry| {
            (entry.revision.0, entry.key.as_str().to_owned(), entry.previous.is_some(), entry.value.is_some())
        });
        let (told, written): (Vec<_>, Vec<_>) = (told.collect(), written.collect());
        if told == written { Ok(()) } else { Err(format!("watches heard {told:?}, written was {written:?}")) }
    }
}

/// The world as it is stored, and where its log ends.
async fn restored(store: &dyn Store) -> Option<(World, u64)> {
    let mut world = World::default();
    let restored = restore::restore(store, &library::registry(), &mut world).await.ok()?;
    Some((world, restored.revision))
}
