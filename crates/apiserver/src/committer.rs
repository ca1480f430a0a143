//! The only writer of the server.
//!
//! Commands wait in a queue. The committer takes all that are waiting and decides them one after the other against the
//! decision state, which it updates after each, so that a command sees those before it. The decided commands form a
//! batch; while one batch is being committed ([`flight`]) the next is decided on top of it ([`batch`]), and its commit
//! starts when the first has finished. Callers are answered and watch events published when their batch is durable. If
//! a batch cannot be written, the batch decided on top of it fails with it: the state is rolled back write by write,
//! and all callers of both get an error that says that nothing was written.
//!
//! Where other replicas write to the same log, a batch is decided while the head's lock is held ([`shared`]).

mod batch;
mod convert;
mod flight;
mod heartbeat;
mod queue;
mod reload;
mod shared;
mod version;

use std::{
    io,
    sync::{Arc, RwLock, atomic::AtomicBool},
};

use apimachinery::{
    command::WriteResult,
    kind::{Registry, State},
    object::Object,
    schemas::Schemas,
};
use bytes::Bytes;
use store::Store;
use tokio::{
    runtime::Handle,
    sync::{Notify, mpsc, oneshot},
};
use tokio_util::task::TaskTracker;

use self::{
    batch::{Batch, Caller, Deciding},
    flight::{Crew, End, Flight},
    queue::{Planner, Submitted, Waiting},
};
pub use self::{
    convert::{parse, span_from_store},
    queue::Queue,
};
use crate::{hub::Hub, limits, metrics::Metrics, standalone::Surroundings, write_path::WritePath};

/// Number of commands decided in one step, before the committer checks whether the previous commit has finished.
const COMMANDS_PER_DECISION: usize = 32;

/// The result of a write, once it is durable.
#[derive(Clone, Debug)]
pub struct Committed {
    /// The kind of response.
    pub answer: WriteResult,
    /// The object of the response and its stored bytes; `None` for [`WriteResult::Deleted`].
    pub object: Option<(Arc<Object>, Bytes)>,
    /// Texts for the `Warning` header.
    pub warnings: Vec<String>,
}

impl Committed {
    /// Adds warnings.
    fn warned(mut self, warnings: Vec<String>) -> Self {
        self.warnings.extend(warnings);
        self
    }
}

/// The committer: it decides the order of all writes of this server.
pub struct Committer<W> {
    /// The store. Only this committer may write to it, unless [`Store::is_shared`].
    pub store: Arc<dyn Store>,
    /// The kinds.
    pub registry: Arc<Registry<W>>,
    /// The schemas of the kinds.
    pub schemas: Arc<Schemas>,
    /// The decision state. Only the committer writes it.
    pub world: Arc<RwLock<W>>,
    /// The watch cache, which receives the events of each commit.
    pub hub: Arc<Hub>,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// The health of the write path, for the probes.
    pub writes: Arc<WritePath>,
    /// The deployment mode: who manages namespaces.
    pub surroundings: Surroundings,
    /// True if the state may lack spans that kinds of a newer version hold; see [`reload`].
    pub outdated: AtomicBool,
}

/// An error after which this process must end: its state may differ from the store.
#[derive(Debug, thiserror::Error)]
#[error("the committer cannot continue: {0}")]
pub struct Fatal(String);

impl<W: State> Committer<W> {
    /// Returns the queue and the future that works on it until the queue is closed and empty.
    pub fn open(self) -> (Queue<W>, impl Future<Output = Result<(), Fatal>> + Send) {
        let (sender, receiver) = mpsc::channel(limits::QUEUE_COMMANDS_MAX);
        let nudge = Arc::<Notify>::default();
        let queue = Queue::new(sender, Arc::clone(&nudge), Planner::new(&self));
        let waiting = Waiting::new(receiver);
        // The runtime of the caller, where the requests run, and not that of the committer's thread.
        let answers = Answers { runtime: Handle::current(), tasks: TaskTracker::new() };
        let work = async move {
            if self.store.is_shared() {
                self.run_shared(waiting, &nudge, &answers).await?;
            } else {
                self.run(waiting, &answers).await?;
            }
            answers.tasks.close();
            answers.tasks.wait().await;
            Ok(())
        };
        (queue, work)
    }

    /// Works on the queue in a separate thread, so that other tasks of the server do not delay commits. The returned
    /// future completes when the thread ends.
    pub fn start(self) -> io::Result<(Queue<W>, impl Future<Output = Result<(), Fatal>> + Send + 'static)> {
        let (queue, work) = self.open();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (tell, ended) = oneshot::channel();
        std::thread::Builder::new().name("committer".to_owned()).spawn(move || {
            // The receiver is dropped when the program ends.
            drop(tell.send(runtime.block_on(work)));
        })?;
        let end = async { ended.await.unwrap_or_else(|_| Err(Fatal("its thread panicked".to_owned()))) };
        Ok((queue, end))
    }

    async fn run(&self, mut waiting: Waiting<W>, answers: &Answers) -> Result<(), Fatal> {
        let mut open = Open::behind(self.hub.head());
        let mut flight: Option<Flight> = None;
        loop {
            // Nothing more is decided on top of a commit that hangs, so that callers of waiting commands can still give
            // them up.
            let decides = open.has_room() && !flight.as_ref().is_some_and(Flight::is_slow);
            tokio::select! {
                biased;
                end = landed(&mut flight), if flight.is_some() => {
                    if let Some(flown) = flight.take() {
                        self.land(end, &flown, &mut open)?;
                        answers.discard(flown);
                    }
                }
                any = waiting.any(), if decides => {
                    if !any {
                        break;
                    }
                    if !flight.as_ref().is_some_and(Flight::is_slow) {
                        self.decide_more(&mut waiting, &mut open, flight.as_mut(), answers).await;
                    }
                }
                () = self.writes.heartbeat_asked(), if flight.is_none() => {
                    self.heartbeat().await?;
                    open = Open::behind(self.hub.head());
                }
            }
            if flight.is_none() && !open.callers.is_empty() {
                flight = Some(self.launch(&mut open, waiting.len(), answers));
            }
        }
        while let Some(mut flown) = flight.take() {
            let end = flown.landed().await;
            self.land(end, &flown, &mut open)?;
            flight = (!open.callers.is_empty()).then(|| self.launch(&mut open, 0, answers));
        }
        Ok(())
    }

    /// Decides some of the waiting commands, as far as the open batch has room.
    async fn decide_more(
        &self,
        waiting: &mut Waiting<W>,
        open: &mut Open,
        flight: Option<&mut Flight>,
        answers: &Answers,
    ) {
        let mut chunk = Vec::new();
        let room = limits::BATCH_COMMANDS_MAX.saturating_sub(open.callers.len());
        let bytes = limits::BATCH_BYTES_MAX.saturating_sub(open.batch.bytes);
        waiting.take(&mut chunk, room.min(COMMANDS_PER_DECISION), bytes);
        self.abandon(waiting.abandoned(), answers);
        if chunk.is_empty() {
            return;
        }
        let deciding = match flight {
            None => self.decide(&mut open.batch, None, chunk).await,
            Some(flight) => {
                let before = Arc::clone(&flight.batch);
                flight.beside(self.decide(&mut open.batch, Some(&before), chunk)).await
            }
        };
        let Deciding { callers, rest, abandoned } = deciding;
        open.callers.extend(callers);
        waiting.put_back(rest);
        self.abandon(abandoned, answers);
    }

    /// Drops commands whose callers have been answered otherwise or have disconnected.
    fn abandon(&self, submitted: Vec<Submitted<W>>, answers: &Answers) {
        for submitted in &submitted {
            self.metrics.command_finished(submitted.counted, "abandoned");
        }
        if !submitted.is_empty() {
            answers.discard(submitted);
        }
    }

    /// Completes the open batch, starts its commit and opens the next batch.
    fn launch(&self, open: &mut Open, waiting: usize, answers: &Answers) -> Flight {
        self.metrics.batch_started(open.callers.len(), waiting);
        self.settle(&mut open.batch);
        let next = Open::behind(open.batch.end());
        let Open { batch, callers } = std::mem::replace(open, next);
        Flight::new(self.crew(), answers.clone(), batch, callers)
    }

    fn crew(&self) -> Crew {
        Crew {
            store: Arc::clone(&self.store),
            hub: Arc::clone(&self.hub),
            metrics: Arc::clone(&self.metrics),
            writes: Arc::clone(&self.writes),
        }
    }

    /// Handles the end of a commit. If it failed, the batch decided on top of it is rolled back too, and the callers of
    /// both get the error. If it succeeded but was slow, and a caller of the next batch has been answered otherwise,
    /// the next batch is rolled back.
    fn land(&self, (landing, callers): End, flight: &Flight, open: &mut Open) -> Result<(), Fatal> {
        let batch = &*flight.batch;
        match landing {
            Ok(Ok(())) if flight.is_slow() && flight::is_abandoned(&open.callers) => {
                self.undo(&open.batch);
                let Open { callers, .. } = std::mem::replace(open, Open::behind(batch.end()));
                flight::refuse(callers, &flight::stalled());
            }
            Ok(Ok(())) => {}
            Ok(Err(refusal)) => {
                self.undo(&open.batch);
                self.undo(batch);
                flight::refuse(callers, &refusal);
                let Open { callers, .. } = std::mem::replace(open, Open::behind(batch.base));
                flight::refuse(callers, &refusal);
            }
            Err(lost) => return Err(lost.refuse(callers)),
        }
        Ok(())
    }
}

/// Answers callers on their runtime, not on the committer's thread, which would delay the next decision.
#[derive(Clone)]
struct Answers {
    runtime: Handle,
    tasks: TaskTracker,
}

impl Answers {
    fn give(&self, crew: Crew, callers: Vec<Caller>, batch: Arc<Batch>) {
        self.tasks.spawn_on(async move { crew.answer_all(callers, &batch) }, &self.runtime);
    }

    /// Drops a possibly large value outside the committer's thread.
    fn discard(&self, large: impl Send + 'static) {
        self.tasks.spawn_on(async move { drop(large) }, &self.runtime);
    }
}

/// The batch that is being decided, and its callers.
struct Open {
    batch: Batch,
    callers: Vec<Caller>,
}

impl Open {
    fn behind(base: u64) -> Self {
        Self { batch: Batch::behind(base), callers: Vec::new() }
    }

    fn has_room(&self) -> bool {
        self.callers.len() < limits::BATCH_COMMANDS_MAX && !self.batch.is_full()
    }
}

/// Waits for the end of the commit; never completes if there is none.
async fn landed(flight: &mut Option<Flight>) -> End {
    match flight {
        Some(flight) => flight.landed().await,
        None => std::future::pending().await,
    }
}
