//! The shared log as replicas reach it: slow, cut off now and then, and silent at bad moments. Time is virtual and chance has a
//! seed, so that every run can be repeated.

use std::{
    collections::HashMap,
    pin::pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use store::{
    Entry, Error, Head, Key, Load, Page, Record, Revision, Snapshot, Span, Store, Transaction, Write,
    memory::MemoryStore,
};
use tokio::{sync::Mutex as AsyncMutex, time::sleep};
use tokio_util::task::AbortOnDropHandle;

/// The longest that one message takes.
const DELAY_MAX: Duration = Duration::from_millis(20);
/// How long a commit may go on after its replica has given it up.
const LATE_MAX: Duration = Duration::from_millis(200);
/// How long a replica is frozen at a time.
const FROZEN: Duration = Duration::from_millis(300);
/// The longest that it is awake in between.
const AWAKE_MAX: Duration = Duration::from_secs(2);
/// How long a replica may hold the head without a word, before the database takes it away.
const SILENCE_MAX: Duration = Duration::from_millis(100);
/// The time after which a replica looks at the log without having been told to.
const POLL: Duration = Duration::from_millis(250);
/// One of so many messages is lost.
const LOST_OF: u32 = 80;
/// One of so many messages is late by as long as a replica may be frozen.
const LATE_OF: u32 = 60;
/// One of so many commits ends badly, in one of several ways.
const BAD_COMMITS_OF: u32 = 8;
/// One of so many hints does not come.
const HINTS_LOST_OF: u32 = 3;

/// A mistake that a test wants found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    /// None.
    Nothing,
    /// Replicas decide before they have caught up, and neither preconditions nor the guard stop them.
    DecideBeforeCatchingUp,
}

/// One replica's way to the log.
#[derive(Clone)]
pub struct Sea {
    log: MemoryStore,
    chance: Arc<Mutex<StdRng>>,
    planted: Planted,
}

impl Sea {
    pub fn new(log: MemoryStore, seed: u64, planted: Planted) -> Self {
        Self { log, chance: Arc::new(Mutex::new(StdRng::seed_from_u64(seed))), planted }
    }

    fn one_of(&self, count: u32) -> bool {
        self.chance.lock().unwrap().random_ratio(1, count)
    }

    fn up_to(&self, time: Duration) -> Duration {
        time.mul_f64(self.chance.lock().unwrap().random())
    }

    /// Makes writes such that the store accepts them, right or wrong.
    async fn open_all_doors(&self, mut revision: Revision, writes: &mut [Write]) -> Result<(), Error> {
        let mut written = HashMap::new();
        for write in writes {
            revision = revision.next();
            let there = self.log.get(&write.key).await?.map(|record| record.revision);
            let after = write.value.is_some().then_some(revision);
            write.expected = written.insert(write.key.clone(), after).unwrap_or(there);
            (write.takes, write.releases) = (Vec::new(), Vec::new());
        }
        Ok(())
    }

    /// A process that the system stops now and then: nothing in it moves until it goes on.
    pub async fn freezing<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        loop {
            let awake = sleep(self.up_to(AWAKE_MAX));
            tokio::select! {
                biased;
                ended = &mut work => return ended,
                () = awake => {}
            }
            sleep(FROZEN).await;
        }
    }

    /// One message, there or back.
    async fn message(&self) -> Result<(), Error> {
        sleep(self.up_to(if self.one_of(LATE_OF) { FROZEN } else { DELAY_MAX })).await;
        if self.one_of(LOST_OF) { Err(Error::Unavailable("the connection was cut".to_owned())) } else { Ok(()) }
    }
}

#[async_trait]
impl Store for Sea {
    async fn begin(&self) -> Result<Box<dyn Transaction>, Error> {
        self.message().await?;
        // It is granted whether the replica is awake or not.
        let sea = self.clone();
        let voyage = tokio::spawn(async move { sea.log.begin().await.map(|inner| Voyage::new(inner, sea)) }).await;
        self.message().await?;
        Ok(Box::new(voyage.expect("the database does not panic")?))
    }

    fn is_shared(&self) -> bool {
        true
    }

    async fn changed(&self, known: Revision) {
        if self.one_of(HINTS_LOST_OF) {
            sleep(POLL).await;
        } else {
            tokio::select! {
                biased;
                () = self.log.changed(known) => sleep(self.up_to(DELAY_MAX)).await,
                () = sleep(POLL) => {}
            }
        }
    }

    async fn head(&self) -> Result<Head, Error> {
        self.message().await?;
        self.log.head().await
    }

    async fn get(&self, key: &Key) -> Result<Option<Record>, Error> {
        self.message().await?;
        self.log.get(key).await
    }

    async fn read(&self, keys: &[Key]) -> Result<Vec<Option<Record>>, Error> {
        self.message().await?;
        let found = self.log.read(keys).await;
        self.message().await?;
        found
    }

    async fn list(&self, prefix: &str, after: Option<&Key>, at: Option<Revision>, limit: usize) -> Result<Page, Error> {
        self.message().await?;
        self.log.list(prefix, after, at, limit).await
    }

    async fn count(&self, prefix: &str, after: Option<&Key>, at: Revision, limit: usize) -> Result<usize, Error> {
        self.message().await?;
        self.log.count(prefix, after, at, limit).await
    }

    async fn tail(&self, after: Revision, limit: usize) -> Result<Vec<Entry>, Error> {
        self.message().await?;
        let found = self.log.tail(after, limit).await;
        self.message().await?;
        found
    }

    async fn holders(&self, space: &str, first: u128, last: u128, limit: usize) -> Result<Vec<Span>, Error> {
        self.message().await?;
        self.log.holders(space, first, last, limit).await
    }

    async fn compact(&self, revision: Revision) -> Result<(), Error> {
        self.message().await?;
        self.log.compact(revision).await
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, Error> {
        self.message().await?;
        self.log.snapshot().await
    }

    async fn load(&self) -> Result<Box<dyn Load>, Error> {
        self.log.load().await
    }

    async fn jump(&self, by: u64) -> Result<Revision, Error> {
        self.log.jump(by).await
    }
}

/// What the database knows of a transaction: `None` when it has ended it.
type Inner = Arc<AsyncMutex<Option<Box<dyn Transaction>>>>;

/// The head, held by a replica that may be lost on the way.
struct Voyage {
    head: Revision,
    inner: Inner,
    /// The database's patience.
    patience: Mutex<AbortOnDropHandle<()>>,
    sea: Sea,
}

impl Voyage {
    fn new(inner: Box<dyn Transaction>, sea: Sea) -> Self {
        let (head, inner) = (inner.head(), Arc::new(AsyncMutex::new(Some(inner))));
        Self { head, patience: Mutex::new(patience(&inner)), inner, sea }
    }

    /// A message to the database, which is patient again.
    async fn message(&self) -> Result<(), Error> {
        self.sea.message().await?;
        *self.patience.lock().unwrap() = patience(&self.inner);
        Ok(())
    }
}

/// Ends a transaction when its time is over.
fn patience(inner: &Inner) -> AbortOnDropHandle<()> {
    let inner = Arc::clone(inner);
    AbortOnDropHandle::new(tokio::spawn(async move {
        sleep(SILENCE_MAX).await;
        drop(inner.lock().await.take());
    }))
}

fn silent_for_too_long() -> Error {
    Error::Unavailable("the database ended the transaction: it was silent for too long".to_owned())
}

#[async_trait]
impl Transaction for Voyage {
    fn head(&self) -> Revision {
        self.head
    }

    async fn read(&self, keys: &[Key]) -> Result<Vec<Option<Record>>, Error> {
        self.message().await?;
        let found = self.inner.lock().await.as_deref().ok_or_else(silent_for_too_long)?.read(keys).await;
        self.sea.message().await?;
        found
    }

    async fn tail(&self, after: Revision, limit: usize) -> Result<Vec<Entry>, Error> {
        self.message().await?;
        let mut news = self.inner.lock().await.as_deref().ok_or_else(silent_for_too_long)?.tail(after, limit).await?;
        self.sea.message().await?;
        if self.sea.planted == Planted::DecideBeforeCatchingUp {
            // The replica believes that this is all there was.
            news.drain(..news.len().saturating_sub(1));
        }
        Ok(news)
    }

    async fn holders(&self, space: &str, first: u128, last: u128, limit: usize) -> Result<Vec<Span>, Error> {
        self.message().await?;
        self.inner.lock().await.as_deref().ok_or_else(silent_for_too_long)?.holders(space, first, last, limit).await
    }

    async fn commit(self: Box<Self>, mut writes: Vec<Write>) -> Result<(), Error> {
        let Self { head, inner, sea, .. } = *self;
        sleep(sea.up_to(DELAY_MAX)).await;
        let Some(inner) = inner.lock().await.take() else { return Err(silent_for_too_long()) };
        if sea.planted == Planted::DecideBeforeCatchingUp {
            sea.open_all_doors(head, &mut writes).await?;
        }
        if writes.is_empty() {
            return inner.commit(writes).await;
        }
        let unknown = || Err(Error::Unknown("the connection was cut in the commit".to_owned()));
        let way = if sea.one_of(BAD_COMMITS_OF) { sea.chance.lock().unwrap().random_range(0..3) } else { 3 };
        match way {
            // Lost on the way there.
            0 => unknown(),
            // Lost on the way back.
            1 => {
                inner.commit(writes).await?;
                unknown()
            }
            // The database goes on with it, while the replica has given it up.
            2 => {
                let late = sea.up_to(LATE_MAX);
                tokio::spawn(async move {
                    sleep(late).await;
                    drop(inner.commit(writes).await);
                });
                unknown()
            }
            _ => {
                inner.commit(writes).await?;
                sleep(sea.up_to(DELAY_MAX)).await;
                Ok(())
            }
        }
    }
}
