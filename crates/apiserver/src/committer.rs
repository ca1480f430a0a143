//! The only writer of the server.
//!
//! Commands wait in a queue. The committer takes all that are waiting and decides them one after the other against the
//! decision state, which it updates after each, so that each decision includes the effects of the commands before it.
//! The decided commands form a batch; while one batch is being committed ([`in_flight`]) the next is decided on top of
//! it ([`batch`]), and its commit starts when the first has finished. Callers are answered and watch events published
//! when their batch is durable. If a batch cannot be written, the batch decided on top of it fails with it: the state
//! is rolled back write by write, and all callers of both get an error that says that nothing was written.
//!
//! Where other replicas write to the same log, a batch is decided while the head's lock is held ([`head_first`]).

mod batch;
mod convert;
mod head_first;
mod heartbeat;
mod in_flight;
mod queue;
mod reload;
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

pub use self::queue::Queue;
use self::{
    batch::{Batch, DecidedCommands, PendingReply},
    in_flight::{CommitContext, CommitOutcome, InFlightCommit},
    queue::{CommandPreparer, PendingCommand, QueueReceiver},
};
use crate::{admission::Admission, limits, metrics::Metrics, watch_cache::WatchCache, write_path::WritePath};

/// Number of commands decided in one step, before the committer checks whether the previous commit has finished.
const DECISION_CHUNK: usize = 32;

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
    fn with_warnings(mut self, warnings: Vec<String>) -> Self {
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
    pub state: Arc<RwLock<W>>,
    /// The watch cache, which receives the events of each commit.
    pub watch_cache: Arc<WatchCache>,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// The health of the write path, for the probes.
    pub writes: Arc<WritePath>,
    /// The rules for writes of the deployment mode.
    pub admission: Arc<dyn Admission<W>>,
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
        let wake = Arc::<Notify>::default();
        let queue = Queue::new(sender, Arc::clone(&wake), CommandPreparer::new(&self));
        let waiting = QueueReceiver::new(receiver);
        // Replies are sent on the runtime of the requests, not on that of the committer's thread.
        let reply_tasks = ReplyTasks { runtime: Handle::current(), tasks: TaskTracker::new() };
        let work = async move {
            if self.store.is_shared() {
                self.run_head_first(waiting, &wake, &reply_tasks).await?;
            } else {
                self.run(waiting, &reply_tasks).await?;
            }
            reply_tasks.tasks.close();
            reply_tasks.tasks.wait().await;
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

    async fn run(&self, mut waiting: QueueReceiver<W>, reply_tasks: &ReplyTasks) -> Result<(), Fatal> {
        let mut open = OpenBatch::after(self.watch_cache.head());
        let mut in_flight: Option<InFlightCommit> = None;
        loop {
            // No further command is decided on top of a commit that hangs: a command that is still in the queue can be
            // dropped when its caller times out or disconnects.
            let decides = open.has_room() && !in_flight.as_ref().is_some_and(InFlightCommit::is_slow);
            tokio::select! {
                biased;
                end = wait_for_commit(&mut in_flight), if in_flight.is_some() => {
                    if let Some(finished) = in_flight.take() {
                        self.finish_commit(end, &finished, &mut open)?;
                        reply_tasks.discard(finished);
                    }
                }
                any = waiting.wait(), if decides => {
                    if !any {
                        break;
                    }
                    if !in_flight.as_ref().is_some_and(InFlightCommit::is_slow) {
                        self.decide_more(&mut waiting, &mut open, in_flight.as_mut(), reply_tasks).await;
                    }
                }
                () = self.writes.heartbeat_requested(), if in_flight.is_none() => {
                    self.heartbeat().await?;
                    open = OpenBatch::after(self.watch_cache.head());
                }
            }
            if in_flight.is_none() && !open.pending_replies.is_empty() {
                in_flight = Some(self.start_commit(&mut open, waiting.len(), reply_tasks));
            }
        }
        while let Some(mut finished) = in_flight.take() {
            let end = finished.wait().await;
            self.finish_commit(end, &finished, &mut open)?;
            in_flight = (!open.pending_replies.is_empty()).then(|| self.start_commit(&mut open, 0, reply_tasks));
        }
        Ok(())
    }

    /// Decides some of the waiting commands, as far as the open batch has room.
    async fn decide_more(
        &self,
        waiting: &mut QueueReceiver<W>,
        open: &mut OpenBatch,
        in_flight: Option<&mut InFlightCommit>,
        reply_tasks: &ReplyTasks,
    ) {
        let mut chunk = Vec::new();
        let room = limits::BATCH_COMMANDS_MAX.saturating_sub(open.pending_replies.len());
        let bytes = limits::BATCH_BYTES_MAX.saturating_sub(open.batch.bytes);
        waiting.take(&mut chunk, room.min(DECISION_CHUNK), bytes);
        self.abandon(waiting.abandoned(), reply_tasks);
        if chunk.is_empty() {
            return;
        }
        let deciding = match in_flight {
            None => self.decide(&mut open.batch, None, chunk).await,
            Some(in_flight) => {
                let before = Arc::clone(&in_flight.batch);
                in_flight.poll_with(self.decide(&mut open.batch, Some(&before), chunk)).await
            }
        };
        let DecidedCommands { pending_replies, rest, abandoned } = deciding;
        open.pending_replies.extend(pending_replies);
        waiting.put_back(rest);
        self.abandon(abandoned, reply_tasks);
    }

    /// Drops commands whose callers have timed out or disconnected.
    fn abandon(&self, submitted: Vec<PendingCommand<W>>, reply_tasks: &ReplyTasks) {
        for submitted in &submitted {
            self.metrics.command_finished(submitted.labels, "abandoned");
        }
        if !submitted.is_empty() {
            reply_tasks.discard(submitted);
        }
    }

    /// Completes the open batch, starts its commit and opens the next batch.
    fn start_commit(&self, open: &mut OpenBatch, waiting: usize, reply_tasks: &ReplyTasks) -> InFlightCommit {
        self.metrics.batch_started(open.pending_replies.len(), waiting);
        self.stage_status_updates(&mut open.batch);
        let next = OpenBatch::after(open.batch.end());
        let OpenBatch { batch, pending_replies } = std::mem::replace(open, next);
        InFlightCommit::new(self.commit_context(), reply_tasks.clone(), batch, pending_replies)
    }

    fn commit_context(&self) -> CommitContext {
        CommitContext {
            store: Arc::clone(&self.store),
            watch_cache: Arc::clone(&self.watch_cache),
            metrics: Arc::clone(&self.metrics),
            writes: Arc::clone(&self.writes),
        }
    }

    /// Handles the end of a commit. If it failed, the batch decided on top of it is rolled back too, and the callers of
    /// both get the error. If it succeeded but was slow, and a caller of the next batch has timed out or disconnected,
    /// the next batch is rolled back.
    fn finish_commit(
        &self,
        (commit_result, pending_replies): CommitOutcome,
        in_flight: &InFlightCommit,
        open: &mut OpenBatch,
    ) -> Result<(), Fatal> {
        let batch = &*in_flight.batch;
        match commit_result {
            Ok(Ok(())) if in_flight.is_slow() && in_flight::is_abandoned(&open.pending_replies) => {
                self.undo(&open.batch);
                let OpenBatch { pending_replies, .. } = std::mem::replace(open, OpenBatch::after(batch.end()));
                in_flight::reject(pending_replies, &in_flight::stalled());
            }
            Ok(Ok(())) => {}
            Ok(Err(refusal)) => {
                self.undo(&open.batch);
                self.undo(batch);
                in_flight::reject(pending_replies, &refusal);
                let OpenBatch { pending_replies, .. } = std::mem::replace(open, OpenBatch::after(batch.base));
                in_flight::reject(pending_replies, &refusal);
            }
            Err(lost) => return Err(lost.reject(pending_replies)),
        }
        Ok(())
    }
}

/// Answers callers on their runtime, not on the committer's thread, which would delay the next decision.
#[derive(Clone)]
struct ReplyTasks {
    runtime: Handle,
    tasks: TaskTracker,
}

impl ReplyTasks {
    fn send_replies(&self, commit_context: CommitContext, pending_replies: Vec<PendingReply>, batch: Arc<Batch>) {
        self.tasks.spawn_on(async move { commit_context.answer_all(pending_replies, &batch) }, &self.runtime);
    }

    /// Drops a possibly large value outside the committer's thread.
    fn discard(&self, large: impl Send + 'static) {
        self.tasks.spawn_on(async move { drop(large) }, &self.runtime);
    }
}

/// The batch that is being decided, and its callers.
struct OpenBatch {
    batch: Batch,
    pending_replies: Vec<PendingReply>,
}

impl OpenBatch {
    fn after(base: u64) -> Self {
        Self { batch: Batch::after(base), pending_replies: Vec::new() }
    }

    fn has_room(&self) -> bool {
        self.pending_replies.len() < limits::BATCH_COMMANDS_MAX && !self.batch.is_full()
    }
}

/// Waits for the end of the commit; never completes if there is none.
async fn wait_for_commit(in_flight: &mut Option<InFlightCommit>) -> CommitOutcome {
    match in_flight {
        Some(in_flight) => in_flight.wait().await,
        None => std::future::pending().await,
    }
}
