//! The one door through which everything is written.
//!
//! Commands queue here. The committer takes all that wait and decides them one after the other against the world, which
//! moves with each, so that a command sees those before it. Decided commands make a batch; while one batch is on its way
//! into the store ([`flight`]) the next is decided on top of it ([`batch`]), and leaves when the one before has arrived.
//! Callers are answered, and watches told, when their batch is durable. A batch that cannot be written takes the one
//! decided on top of it along: the world moves back, write by write, and all of them hear that nothing was written.
//!
//! Where others write to the same log, a batch is decided under the head's lock instead ([`shared`]).

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
    command::Answer,
    kind::{Registry, World},
    object::Object,
    schema::Schemas,
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

/// Commands that are decided in one go, before the committer looks whether the store is free for the next commit.
const COMMANDS_PER_DECISION: usize = 32;

/// What a write was answered with, once it is durable.
#[derive(Clone, Debug)]
pub struct Committed {
    /// The kind of answer.
    pub answer: Answer,
    /// The object of the answer and its stored bytes; `None` for [`Answer::Deleted`].
    pub object: Option<(Arc<Object>, Bytes)>,
    /// For the `Warning` header.
    pub warnings: Vec<String>,
}

impl Committed {
    /// The same with more warnings.
    fn warned(mut self, warnings: Vec<String>) -> Self {
        self.warnings.extend(warnings);
        self
    }
}

/// The committer: owns the order of all writes of this server.
pub struct Committer<W> {
    /// Where everything is kept. Nobody else may write to it, unless it says that it is shared.
    pub store: Arc<dyn Store>,
    /// The kinds.
    pub registry: Arc<Registry<W>>,
    /// Their schemas.
    pub schemas: Arc<Schemas>,
    /// What decisions know. Only the committer writes it.
    pub world: Arc<RwLock<W>>,
    /// Where watches learn of commits.
    pub hub: Arc<Hub>,
    /// What operators learn.
    pub metrics: Arc<Metrics>,
    /// What probes learn.
    pub writes: Arc<WritePath>,
    /// Whose namespaces are.
    pub surroundings: Surroundings,
    /// Whether the world may lack spans that kinds of a newer version hold; see [`reload`].
    pub outdated: AtomicBool,
}

/// A fault after which this process must not go on: what it knows may not be what is stored.
#[derive(Debug, thiserror::Error)]
#[error("the committer cannot go on: {0}")]
pub struct Fatal(String);

impl<W: World> Committer<W> {
    /// The queue, and the work on it, which goes on until the queue is closed and empty.
    pub fn open(self) -> (Queue<W>, impl Future<Output = Result<(), Fatal>> + Send) {
        let (sender, receiver) = mpsc::channel(limits::QUEUE_COMMANDS_MAX);
        let nudge = Arc::<Notify>::default();
        let queue = Queue::new(sender, Arc::clone(&nudge), Planner::new(&self));
        let waiting = Waiting::new(receiver);
        // Where this is called from, not where the work is done: there the callers wait for their answers.
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

    /// Works on the queue in a thread of its own: whatever else the server does, the store need not wait for it. The future
    /// waits for the end of the thread.
    pub fn start(self) -> io::Result<(Queue<W>, impl Future<Output = Result<(), Fatal>> + Send + 'static)> {
        let (queue, work) = self.open();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (tell, ended) = oneshot::channel();
        std::thread::Builder::new().name("committer".to_owned()).spawn(move || {
            // Nobody listens any more when the program ends.
            drop(tell.send(runtime.block_on(work)));
        })?;
        let end = async { ended.await.unwrap_or_else(|_| Err(Fatal("it ended in a panic".to_owned()))) };
        Ok((queue, end))
    }

    async fn run(&self, mut waiting: Waiting<W>, answers: &Answers) -> Result<(), Fatal> {
        let mut open = Open::behind(self.hub.head());
        let mut flight: Option<Flight> = None;
        loop {
            // Nothing more is decided on top of a commit that hangs: what waits can still be given up.
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

    /// Decides some of the commands that wait, as far as the open batch has room.
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

    /// Drops commands whose callers have been answered otherwise, or are gone.
    fn abandon(&self, submitted: Vec<Submitted<W>>, answers: &Answers) {
        for submitted in &submitted {
            self.metrics.command_finished(submitted.counted, "abandoned");
        }
        if !submitted.is_empty() {
            answers.discard(submitted);
        }
    }

    /// Completes the open batch, sends it off and opens the next.
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

    /// Tells those who still wait why. What was decided on top of a batch that was not written goes with it; so does what
    /// was decided on top of one that hung, if callers have been answered meanwhile.
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

/// Where callers are answered: not on the committer's thread, which has better things to do.
#[derive(Clone)]
struct Answers {
    runtime: Handle,
    tasks: TaskTracker,
}

impl Answers {
    fn give(&self, crew: Crew, callers: Vec<Caller>, batch: Arc<Batch>) {
        self.tasks.spawn_on(async move { crew.answer_all(callers, &batch) }, &self.runtime);
    }

    /// Drops what may be large where that holds up no decision.
    fn discard(&self, large: impl Send + 'static) {
        self.tasks.spawn_on(async move { drop(large) }, &self.runtime);
    }
}

/// The batch that is being decided, and who waits for it.
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

/// The end of the flight; never, if there is none.
async fn landed(flight: &mut Option<Flight>) -> End {
    match flight {
        Some(flight) => flight.landed().await,
        None => std::future::pending().await,
    }
}
