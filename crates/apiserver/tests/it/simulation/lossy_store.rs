//! The log as servers reach it: slow, with lost messages, lost responses of commits, and calls that hang longer than a
//! caller waits. Time is virtual and randomness is seeded, so that every run can be repeated.

mod transaction;

use std::{
    collections::HashMap,
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use serde_json::Value;
use store::{
    BulkLoad, Entry, Error, Head, Key, Page, Record, Revision, Snapshot, Span, Store, Transaction, Write,
    memory::MemoryStore,
};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until, timeout},
};

use self::transaction::LossyTransaction;

/// The maximum duration of one message.
const DELAY_MAX: Duration = Duration::from_millis(20);
/// The maximum time that a commit continues after its replica has stopped waiting for it.
const LATE_MAX: Duration = Duration::from_millis(200);
/// The time for which a replica is frozen.
const FROZEN: Duration = Duration::from_millis(300);
/// The maximum time between two freezes.
const AWAKE_MAX: Duration = Duration::from_secs(2);
/// The time for which a replica may hold the head's lock without a message, before the database ends the transaction.
const SILENCE_MAX: Duration = Duration::from_millis(100);
/// The interval at which a replica polls the log without a notification.
const POLL: Duration = Duration::from_secs(1);
/// One in this many messages is lost.
const LOST_OF: u32 = 80;
/// One in this many messages is delayed by as long as a replica may be frozen.
const LATE_OF: u32 = 60;
/// One in this many commits fails, in one of several ways.
const BAD_COMMITS_OF: u32 = 8;
/// One in this many notifications is lost.
const HINTS_LOST_OF: u32 = 3;
/// One in this many messages begins a hang.
const HANGS_OF: u32 = 400;
/// The maximum of most hangs, during which a server is not ready.
const SHORT_HANG_MAX: Duration = Duration::from_secs(8);
/// The maximum of all hangs: longer than a client waits.
const HANG_MAX: Duration = Duration::from_mins(1);
/// One in this many hangs may be as long as that.
const LONG_HANGS_OF: u32 = 3;
/// The timeout of a call, where calls have one.
pub const CALL_MAX: Duration = Duration::from_secs(10);

/// An injected bug that a test must find.
#[derive(Clone, Copy, Debug)]
pub enum InjectedBug {
    /// No bug.
    Nothing,
    /// Replicas decide before they have caught up; preconditions and the guard are disabled.
    DecideBeforeCatchingUp,
    /// The store reports that nothing was written for a commit that hung and succeeded.
    DenyCommitsThatHung,
    /// Replicas do not see this field of other replicas' writes below this prefix; preconditions and the guard are
    /// disabled.
    Overlook { prefix: &'static str, field: &'static str },
}

/// The way servers reach the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultModel {
    /// Each replica over a network. In half of the seeds calls have a timeout; the database may continue a call that
    /// was given up.
    Network,
    /// One server on a disk, which loses nothing, hangs without a timeout, and does nothing for a process that has
    /// ended.
    Disk,
}

/// The connection of one server to the log.
#[derive(Clone)]
pub struct LossyStore {
    log: MemoryStore,
    chance: Arc<Mutex<StdRng>>,
    fault_model: FaultModel,
    bug: InjectedBug,
    /// The timeout of a call.
    call_max: Option<Duration>,
    /// The end of the current hang.
    hung_until: Arc<Mutex<Instant>>,
    hangs: Arc<AtomicUsize>,
    /// True if there are no faults.
    is_calm: watch::Sender<bool>,
}

impl LossyStore {
    /// A connection without faults at first.
    pub fn new(log: MemoryStore, seed: u64, fault_model: FaultModel, bug: InjectedBug) -> Self {
        let mut chance = StdRng::seed_from_u64(seed);
        let call_max = (fault_model == FaultModel::Network && chance.random()).then_some(CALL_MAX);
        Self {
            log,
            chance: Arc::new(Mutex::new(chance)),
            fault_model,
            bug,
            call_max,
            hung_until: Arc::new(Mutex::new(Instant::now())),
            hangs: Arc::default(),
            is_calm: watch::Sender::new(true),
        }
    }

    pub fn fault_model(&self) -> FaultModel {
        self.fault_model
    }

    pub fn set_calm(&self, is_calm: bool) {
        self.is_calm.send_replace(is_calm);
    }

    /// Ends all faults, including hangs, and returns the number of hangs.
    pub fn calm_down(&self) -> usize {
        self.set_calm(true);
        self.hangs.load(Ordering::Relaxed)
    }

    fn is_calm(&self) -> bool {
        *self.is_calm.borrow()
    }

    fn one_of(&self, count: u32) -> bool {
        !self.is_calm() && self.chance.lock().unwrap().random_ratio(1, count)
    }

    fn up_to(&self, time: Duration) -> Duration {
        time.mul_f64(self.chance.lock().unwrap().random())
    }

    /// The duration of a new hang.
    fn draw_hang(&self) -> Duration {
        self.hangs.fetch_add(1, Ordering::Relaxed);
        self.up_to(if self.one_of(LONG_HANGS_OF) { HANG_MAX } else { SHORT_HANG_MAX })
    }

    /// Begins a hang.
    fn hang(&self) {
        let until = Instant::now() + self.draw_hang();
        let mut hung_until = self.hung_until.lock().unwrap();
        *hung_until = until.max(*hung_until);
    }

    /// Waits for the end of a hang, at most for the timeout of a call; false after a timeout.
    async fn pass(&self) -> bool {
        let until = *self.hung_until.lock().unwrap();
        let given_up = self.call_max.map_or(until, |call_max| Instant::now() + call_max);
        self.stall(until.min(given_up)).await;
        until <= given_up || self.is_calm()
    }

    /// Waits for the end of a hang.
    async fn stall(&self, until: Instant) {
        let mut is_calm = self.is_calm.subscribe();
        tokio::select! {
            biased;
            () = sleep_until(until) => {}
            _ = is_calm.wait_for(|is_calm| *is_calm) => {}
        }
    }

    /// Waits for work of the database, at most for the timeout of a call; the work continues after a timeout.
    async fn in_time<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Option<T> {
        let work = tokio::spawn(work);
        let ended = match self.call_max {
            Some(call_max) => timeout(call_max, work).await.ok()?,
            None => work.await,
        };
        Some(ended.expect("the database does not panic"))
    }

    /// True if the store accepts writes without checks.
    fn has_disabled_checks(&self) -> bool {
        matches!(self.bug, InjectedBug::DecideBeforeCatchingUp | InjectedBug::Overlook { .. })
    }

    /// The entries as a replica sees them.
    fn seen(&self, mut entries: Vec<Entry>) -> Vec<Entry> {
        let InjectedBug::Overlook { prefix, field } = self.bug else { return entries };
        for entry in entries.iter_mut().filter(|entry| entry.key.as_str().starts_with(prefix)) {
            let versions = entry.previous.iter_mut().map(|record| &mut record.value).chain(&mut entry.value);
            for bytes in versions {
                let mut object: Value = serde_json::from_slice(bytes).unwrap();
                object.pointer_mut(field).unwrap().take();
                *bytes = object.to_string().into();
            }
        }
        entries
    }

    /// The error of a commit that was given up.
    fn given_up(&self) -> Error {
        if matches!(self.bug, InjectedBug::DenyCommitsThatHung) {
            return Error::Unavailable("no answer in time".to_owned());
        }
        Error::OutcomeUnknown("no answer in time".to_owned())
    }

    /// Changes writes so that the store accepts them without checks.
    async fn disable_checks(&self, mut revision: Revision, writes: &mut [Write]) -> Result<(), Error> {
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

    /// Runs a process that is frozen from time to time.
    pub async fn freezing<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        loop {
            let awake = sleep(self.up_to(AWAKE_MAX));
            tokio::select! {
                biased;
                ended = &mut work => return ended,
                () = awake => {}
            }
            if !self.is_calm() {
                sleep(FROZEN).await;
            }
        }
    }

    /// One message, in either direction.
    async fn message(&self) -> Result<(), Error> {
        sleep(self.up_to(if self.one_of(LATE_OF) { FROZEN } else { DELAY_MAX })).await;
        if self.one_of(HANGS_OF) {
            self.hang();
        }
        if !self.pass().await {
            return Err(Error::Unavailable("no answer in time".to_owned()));
        }
        if self.fault_model == FaultModel::Network && self.one_of(LOST_OF) {
            Err(Error::Unavailable("the connection was cut".to_owned()))
        } else {
            Ok(())
        }
    }
}

#[async_trait]
impl Store for LossyStore {
    async fn begin(&self) -> Result<Box<dyn Transaction>, Error> {
        self.message().await?;
        let lossy_store = self.clone();
        let granted =
            async move { lossy_store.log.begin().await.map(|inner| LossyTransaction::new(inner, lossy_store)) };
        if self.fault_model == FaultModel::Disk {
            return Ok(Box::new(granted.await?));
        }
        // The lock is granted whether or not the replica is still waiting for it.
        let transaction =
            self.in_time(granted).await.ok_or_else(|| Error::Unavailable("the head was not free".to_owned()))?;
        self.message().await?;
        Ok(Box::new(transaction?))
    }

    fn is_shared(&self) -> bool {
        self.fault_model == FaultModel::Network
    }

    async fn wait_for_commits(&self, known: Revision) {
        if !self.is_shared() {
            std::future::pending::<()>().await;
        }
        if self.one_of(HINTS_LOST_OF) {
            sleep(POLL).await;
        } else {
            tokio::select! {
                biased;
                () = self.log.wait_for_commits(known) => sleep(self.up_to(DELAY_MAX)).await,
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
        let found = self.log.tail(after, limit).await?;
        self.message().await?;
        Ok(self.seen(found))
    }

    async fn overlapping_spans(&self, space: &str, first: u128, last: u128, limit: usize) -> Result<Vec<Span>, Error> {
        self.message().await?;
        self.log.overlapping_spans(space, first, last, limit).await
    }

    async fn compact(&self, revision: Revision) -> Result<(), Error> {
        self.message().await?;
        self.log.compact(revision).await
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, Error> {
        self.message().await?;
        self.log.snapshot().await
    }

    async fn bulk_load(&self) -> Result<Box<dyn BulkLoad>, Error> {
        self.log.bulk_load().await
    }

    async fn advance_revision(&self, by: u64) -> Result<Revision, Error> {
        self.log.advance_revision(by).await
    }
}
