//! The simulation itself, for kinds of any domain: replicas with real committers, clients, faults, and invariants.
//!
//! It uses no other file of these tests, so that the tests of another crate can include it by its path.

mod history_checker;
mod lossy_store;
mod replica;

use std::{fmt, sync::Arc, time::Duration};

use apimachinery::{
    command::Command,
    kind::{Registry, State},
    status_error::{StatusError, StatusReason},
};
use apiserver::{committer::Committer, limits, watch_cache::WatchCache};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use store::{Entry, Record, Span, Store, memory::MemoryStore};
use tokio::{
    pin,
    sync::Mutex,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

pub use self::{
    history_checker::{OpResult, Summary},
    lossy_store::{FaultModel, InjectedBug},
};
use self::{lossy_store::LossyStore, replica::Replica};

/// The number of replicas of a shared log; a log that is not shared has one.
const REPLICAS: u64 = 3;
const CLIENTS: u64 = 5;
const COMMANDS_OF_A_CLIENT: usize = 24;
const CRASHES: u64 = 4;
/// The maximum pause of a client between two commands.
const THINK_TIME_MAX: Duration = Duration::from_millis(60);
/// The maximum interval between two crashes.
const CRASH_INTERVAL_MAX: Duration = Duration::from_millis(500);
/// A server must not be ready after a command has waited for this long.
const NOTICED_MAX: Duration = limits::COMMAND_AGE_MAX.saturating_add(Duration::from_secs(1));
/// Longer than any call can hang that began before the faults ended.
const SILENCE: Duration = lossy_store::CALL_MAX.saturating_add(Duration::from_secs(5));
/// A command is answered within this time when there are no faults.
const SOON: Duration = Duration::from_secs(5);

/// Kinds, the requests of clients, and the invariants of the log.
pub trait Domain: 'static {
    type DecisionState: State + Default;
    /// The relevant state of the objects after a write.
    type ModelState: Clone + Default + fmt::Debug;

    fn registry() -> Arc<Registry<Self::DecisionState>>;

    /// A committer that has not been started.
    fn committer(
        store: Arc<dyn Store>,
        state: Self::DecisionState,
        watch_cache: WatchCache,
    ) -> Committer<Self::DecisionState>;

    /// The commands that create the objects that must exist before clients start.
    fn foundation() -> Vec<Command>;

    fn request(chance: &mut StdRng) -> Request;

    /// A text of the whole state. Equal states have equal texts.
    fn describe(state: &Self::DecisionState) -> String;

    /// Applies one write; an error if the write violates an invariant.
    fn advance(state: &mut Self::ModelState, entry: &Entry) -> Result<(), String>;

    /// An error if this state cannot be the end of a commit.
    fn settled(state: &Self::ModelState) -> Result<(), String>;

    /// An error if these cannot be all objects and spans at the end.
    fn complete(records: &[Record], spans: &[Span]) -> Result<(), String> {
        let _ = (records, spans);
        Ok(())
    }

    /// True if the command could be rejected like this in this state.
    fn explains(state: &Self::ModelState, command: &Command, refusal: &StatusError) -> bool;
}

/// A request of a client.
#[derive(Clone, Debug)]
pub struct Request {
    pub command: Command,
    /// A text that is in the object after the command, and in no object before; empty for a deletion.
    pub token: String,
}

type Replicas<D> = Vec<Arc<Mutex<Replica<D>>>>;

/// Runs one seed in virtual time on this thread. Returns the number of checks, or the violation.
pub fn run<D: Domain>(seed: u64, fault_model: FaultModel, bug: InjectedBug) -> Result<Summary, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(explore::<D>(seed, fault_model, bug))
}

/// Runs many seeds without an injected bug.
pub fn run_all<D: Domain>(seeds: impl Iterator<Item = u64>, fault_model: FaultModel) -> Summary {
    let mut all = Summary::default();
    for seed in seeds {
        match run::<D>(seed, fault_model, InjectedBug::Nothing) {
            Ok(summary) => all += summary,
            Err(found) => panic!("seed {seed}: {found}"),
        }
    }
    println!("{all:?}");
    all
}

/// The first violation that these seeds find with an injected bug, if its text contains `about`.
pub fn find<D: Domain>(
    seeds: impl Iterator<Item = u64>,
    fault_model: FaultModel,
    bug: InjectedBug,
    about: &str,
) -> Option<String> {
    let mut found = seeds.filter_map(|seed| run::<D>(seed, fault_model, bug).err());
    found.find(|found| found.contains(about))
}

async fn explore<D: Domain>(seed: u64, fault_model: FaultModel, bug: InjectedBug) -> Result<Summary, String> {
    let log = MemoryStore::new();
    let mut replicas = Replicas::<D>::new();
    let count = if fault_model == FaultModel::Disk { 1 } else { REPLICAS };
    for place in 0..count {
        let lossy_store = LossyStore::new(log.clone(), seed * 100 + place, fault_model, bug);
        replicas.push(Arc::new(Mutex::new(Replica::start(lossy_store).await)));
    }
    for command in D::foundation() {
        let queue = replicas[0].lock().await.queue.clone();
        queue.submit(command).await.map_err(|refusal| format!("without faults: {refusal:?}"))?;
    }
    for replica in &replicas {
        replica.lock().await.lossy_store.set_calm(false);
    }
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        clients.spawn(work(StdRng::seed_from_u64(seed * 1_000 + client), log.clone(), replicas.clone()));
    }
    let mut chance = StdRng::seed_from_u64(seed);
    let mut stories = Ok(());
    for crash in 0..CRASHES {
        sleep(CRASH_INTERVAL_MAX.mul_f64(chance.random())).await;
        let place = usize::try_from((crash + 1) % count).unwrap();
        stories = stories.and(replicas[place].lock().await.crash(&log).await);
    }
    let mut done = Vec::new();
    for (of_client, story) in clients.join_all().await {
        done.extend(of_client);
        stories = stories.and(story);
    }
    let mut hangs = 0;
    for replica in &replicas {
        let mut replica = replica.lock().await;
        hangs += replica.lossy_store.calm_down();
        stories = stories.and(replica.revive(&log).await);
    }
    sleep(SILENCE).await;
    for replica in &replicas {
        let served = serve(&mut chance, &log, &*replica.lock().await).await;
        stories = stories.and(served.map(|served| done.push(served)));
    }
    sleep(SOON).await;
    // The log is checked first, because the state of replicas follows from it.
    let summary = history_checker::check_history::<D>(&log, &done).await?;
    let mut all = log.snapshot().await.unwrap();
    let page = all.list("", None, usize::MAX).await.unwrap();
    assert!(!page.more, "so few objects are one page");
    D::complete(&page.records, &all.spans(None, usize::MAX).await.unwrap())?;
    for replica in &replicas {
        stories = stories.and(replica.lock().await.audit_at_rest(&log).await);
    }
    stories.map(|()| Summary { hangs, ..summary })
}

/// Runs one client. Returns its requests with their results, and the first violation.
async fn work<D: Domain>(
    mut chance: StdRng,
    log: MemoryStore,
    replicas: Replicas<D>,
) -> (Vec<OpResult>, Result<(), String>) {
    let (mut done, mut story) = (Vec::new(), Ok(()));
    for _ in 0..COMMANDS_OF_A_CLIENT {
        sleep(THINK_TIME_MAX.mul_f64(chance.random())).await;
        let request = D::request(&mut chance);
        let (queue, writes) = {
            let mut replica = replicas[chance.random_range(0..replicas.len())].lock().await;
            story = story.and(replica.revive(&log).await);
            (replica.queue.clone(), Arc::clone(&replica.writes))
        };
        let begun = log.head().await.unwrap().revision.0;
        let submitted = queue.submit(request.command.clone());
        pin!(submitted);
        let mut was_noticed = false;
        let outcome = if let Ok(outcome) = timeout(NOTICED_MAX, &mut submitted).await {
            outcome
        } else {
            was_noticed = writes.check(Instant::now()).is_err();
            if !was_noticed {
                story =
                    Err(format!("a replica is ready although a command has waited for {NOTICED_MAX:?}: {request:?}"));
            }
            let left = limits::WRITE_TIMEOUT.saturating_sub(NOTICED_MAX);
            timeout(left, submitted)
                .await
                .unwrap_or_else(|_| Err(StatusError::new(StatusReason::Timeout, history_checker::TIMED_OUT)))
        };
        let ended = log.head().await.unwrap().revision.0;
        done.push(OpResult { request, begun, ended, was_noticed, outcome });
    }
    (done, story)
}

/// Checks that a replica serves requests after the faults have ended.
async fn serve<D: Domain>(chance: &mut StdRng, log: &MemoryStore, replica: &Replica<D>) -> Result<OpResult, String> {
    let request = D::request(chance);
    let begun = log.head().await.unwrap().revision.0;
    let answered = timeout(SOON, replica.queue.submit(request.command.clone())).await;
    let outcome = answered.map_err(|_| "a replica does not answer after the faults have ended".to_owned())?;
    if let Err(refusal) = &outcome
        && matches!(
            refusal.reason,
            StatusReason::ServiceUnavailable | StatusReason::Timeout | StatusReason::InternalError
        )
    {
        return Err(format!("a replica does not serve after the faults have ended: {refusal:?}"));
    }
    let ended = log.head().await.unwrap().revision.0;
    Ok(OpResult { request, begun, ended, was_noticed: false, outcome })
}
