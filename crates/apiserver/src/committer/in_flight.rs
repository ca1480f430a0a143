//! The commit of a batch: written to the store, published to the watches, answered. The next batch is decided at the
//! same time.

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
    time::Instant,
};

use apimachinery::status_error::{StatusError, StatusReason};
use bytes::Bytes;
use futures::{
    FutureExt,
    future::{BoxFuture, Either, MaybeDone, maybe_done, select},
};
use store::{Error, Revision, Store, Transaction};

use super::{
    Committed, Fatal, ReplyTasks,
    batch::{Batch, CommandOutcome, PendingReply, ResponseObject, Staged, Verdict},
    convert,
    queue::SubmitResult,
};
use crate::{
    limits,
    metrics::Metrics,
    watch_cache::{Event, EventObject, WatchCache},
    write_path::WritePath,
};

/// A batch that is being committed.
pub struct InFlightCommit {
    /// The batch.
    pub batch: Arc<Batch>,
    clock: Clock,
    commit: MaybeDone<BoxFuture<'static, CommitOutcome>>,
}

/// The result of a commit: written, or the API error if nothing was written.
pub type CommitResult = Result<(), StatusError>;

/// The result, or the reason why it is unknown; and the callers that have not been answered.
pub type CommitOutcome = (Result<CommitResult, FatalCommitError>, Vec<PendingReply>);

/// The dependencies of a commit.
pub struct CommitContext {
    /// The store.
    pub store: Arc<dyn Store>,
    /// The watch cache, which receives the events.
    pub watch_cache: Arc<WatchCache>,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// The health of the write path, for the probes.
    pub writes: Arc<WritePath>,
}

impl InFlightCommit {
    /// Creates the commit of a batch. It proceeds only while [`Self::wait`] or [`Self::poll_with`] is polled.
    pub fn new(
        commit_context: CommitContext,
        reply_tasks: ReplyTasks,
        batch: Batch,
        pending_replies: Vec<PendingReply>,
    ) -> Self {
        let (batch, clock) = (Arc::new(batch), Clock::start());
        let commit = maybe_done(commit_context.run(Arc::clone(&batch), pending_replies, reply_tasks, clock).boxed());
        Self { batch, clock, commit }
    }

    /// True if the commit has taken longer than [`limits::DECIDED_AHEAD_TIME_MAX`], so that callers may have timed out.
    pub fn is_slow(&self) -> bool {
        self.clock.is_slow()
    }

    /// Waits for the commit. On success events are published and callers answered; on failure the unanswered callers
    /// are returned. Cancel-safe; must not be called again after it has completed.
    pub async fn wait(&mut self) -> CommitOutcome {
        (&mut self.commit).await;
        Pin::new(&mut self.commit).take_output().expect("the commit has completed")
    }

    /// Polls `work` and the commit together, so that the commit proceeds while the next batch waits for a read.
    pub async fn poll_with<T>(&mut self, work: impl Future<Output = T>) -> T {
        let work = pin!(work);
        match select(work, &mut self.commit).await {
            Either::Left((done, _)) => done,
            Either::Right(((), work)) => work.await,
        }
    }
}

/// The start time of a commit.
#[derive(Clone, Copy)]
struct Clock(tokio::time::Instant);

impl Clock {
    fn start() -> Self {
        Self(tokio::time::Instant::now())
    }

    fn is_slow(self) -> bool {
        self.0.elapsed() > limits::DECIDED_AHEAD_TIME_MAX
    }
}

impl CommitContext {
    async fn run(
        self,
        batch: Arc<Batch>,
        pending_replies: Vec<PendingReply>,
        reply_tasks: ReplyTasks,
        clock: Clock,
    ) -> CommitOutcome {
        let commit_result = self.write(&batch, &pending_replies, clock).await;
        if !matches!(commit_result, Ok(Ok(()))) {
            return (commit_result, pending_replies);
        }
        self.publish(&batch);
        reply_tasks.send_replies(self, pending_replies, batch);
        (commit_result, Vec::new())
    }

    async fn write(
        &self,
        batch: &Batch,
        pending_replies: &[PendingReply],
        clock: Clock,
    ) -> Result<CommitResult, FatalCommitError> {
        if batch.writes.is_empty() {
            return Ok(Ok(()));
        }
        let writes = match convert::all_to_store(batch) {
            Ok(writes) => writes,
            Err(refusal) => return Ok(Err(refusal)),
        };
        match self.store.begin().await {
            Ok(transaction) if transaction.head().0 != batch.base => {
                let (log, ours) = (transaction.head(), batch.base);
                Err(FatalCommitError::ForeignWriter(format!(
                    "the log ends at {log}, this server wrote up to {ours}: another program writes to it"
                )))
            }
            // A batch is not written if the commit was slow and a caller has timed out or disconnected.
            Ok(_) if clock.is_slow() && is_abandoned(pending_replies) => Ok(Err(stalled())),
            Ok(transaction) => self.commit(transaction, batch, writes).await,
            Err(error) => {
                self.writes.failed(&error);
                Ok(Err(convert::not_written(&error)))
            }
        }
    }

    async fn commit(
        &self,
        transaction: Box<dyn Transaction>,
        batch: &Batch,
        writes: Vec<store::Write>,
    ) -> Result<CommitResult, FatalCommitError> {
        match self.commit_timed(transaction, writes).await {
            Ok(()) => Ok(Ok(())),
            Err(error) if error.nothing_was_written() => Ok(Err(convert::not_written(&error))),
            Err(error) => self.resolve_unknown_outcome(Revision(batch.base), Revision(batch.end()), error).await,
        }
    }

    /// Commits; records the duration and the outcome.
    pub async fn commit_timed(
        &self,
        transaction: Box<dyn Transaction>,
        writes: Vec<store::Write>,
    ) -> Result<(), Error> {
        let (started, count) = (Instant::now(), writes.len());
        let result = transaction.commit(writes).await;
        self.metrics.commit_finished(started.elapsed(), count);
        match &result {
            Ok(()) => self.writes.succeeded(),
            Err(error) => self.writes.failed(error),
        }
        result
    }

    /// Determines whether a commit that returned the error `why` was written, by comparing the head of the log with
    /// `base` and `end`, the revisions before and after the commit. The head's lock is acquired, not just read, because
    /// the commit may still be running; acquiring the lock waits for its end.
    pub async fn resolve_unknown_outcome(
        &self,
        base: Revision,
        end: Revision,
        why: Error,
    ) -> Result<CommitResult, FatalCommitError> {
        match self.store.begin().await.map(|transaction| transaction.head()) {
            Ok(head) if head == end => {
                self.writes.succeeded();
                Ok(Ok(()))
            }
            Ok(head) if head == base => {
                let why = if let Error::OutcomeUnknown(why) = why { Error::Unavailable(why) } else { why };
                Ok(Err(convert::not_written(&why)))
            }
            Ok(head) => Err(FatalCommitError::UnknownOutcome(format!(
                "{why}; the log ends at {head}, neither before nor after the commit"
            ))),
            Err(error) => Err(FatalCommitError::UnknownOutcome(format!("{why}; and then: {error}"))),
        }
    }

    /// Publishes the events of the batch to the watches.
    pub fn publish(&self, batch: &Batch) {
        let events = batch.writes.iter().zip(batch.base + 1..).map(|(staged, revision)| {
            let Staged { write, old_bytes, bytes, gc_relevant, .. } = staged;
            let old = match old_bytes {
                Some(bytes) => Some(EventObject::encoded(bytes.clone())),
                None => write.old.clone().map(EventObject::object),
            };
            let new = write.new.as_ref().map(|_| EventObject::encoded(bytes.clone()));
            let event = Event::new(revision, write.key.storage_key(), old, new);
            Arc::new(if *gc_relevant { event.local() } else { event.local().without_gc() })
        });
        self.watch_cache.publish(events.collect());
    }

    /// Sends each caller its result.
    pub fn answer_all(&self, pending_replies: Vec<PendingReply>, batch: &Batch) {
        for caller in pending_replies {
            self.answer(caller, batch);
        }
    }

    fn answer(&self, caller: PendingReply, batch: &Batch) {
        let PendingReply { reply, labels, verdict, spent } = caller;
        let (answer, result) = match verdict {
            Verdict::Done(outcome) => (Ok(SubmitResult::Committed(committed(outcome, batch))), "ok"),
            Verdict::Refused(refusal) => {
                let reason = refusal.reason.as_str();
                (Err(refusal), reason)
            }
            // The command is submitted again, and counted then.
            Verdict::Outdated(outdated) => return reply.send(Ok(SubmitResult::Outdated(outdated))),
        };
        self.metrics.command_finished(labels, result);
        reply.send(answer);
        drop(spent);
    }
}

/// The result that a caller gets when its batch is durable.
fn committed(CommandOutcome { answer, response_object, warnings }: CommandOutcome, batch: &Batch) -> Committed {
    let object = match response_object {
        ResponseObject::Write(place) => {
            let Staged { write, bytes, .. } = &batch.writes[place];
            write.new.as_ref().map(|object| (Arc::clone(object), bytes.clone()))
        }
        ResponseObject::Object(object) => {
            let bytes = Bytes::from(object.to_bytes());
            Some((object, bytes))
        }
        ResponseObject::None => None,
    };
    Committed { answer, object, warnings }
}

/// True if one of the callers has timed out or disconnected.
pub fn is_abandoned(pending_replies: &[PendingReply]) -> bool {
    pending_replies.iter().any(|caller| caller.reply.is_closed())
}

/// The API error for the callers of a batch that is dropped because the store stalled and one of them has timed out or
/// disconnected.
pub fn stalled() -> StatusError {
    let message = "the store did not answer for some time; nothing was written, the request may be repeated";
    StatusError::new(StatusReason::ServiceUnavailable, message).retry_after(1)
}

/// Why the process must end after a commit.
pub enum FatalCommitError {
    /// Nothing was written, and another program writes to the log.
    ForeignWriter(String),
    /// The outcome of the commit is unknown.
    UnknownOutcome(String),
}

impl FatalCommitError {
    /// Sends the API error to the callers if nothing was written. If the outcome is unknown, the callers get no result.
    pub fn reject(self, pending_replies: Vec<PendingReply>) -> Fatal {
        match self {
            Self::ForeignWriter(why) => {
                reject(pending_replies, &convert::not_written(&Error::Corrupt(why.clone())));
                Fatal(why)
            }
            // The callers get no answer, because the outcome is unknown.
            Self::UnknownOutcome(why) => Fatal(why),
        }
    }
}

/// Sends the same API error to all callers.
pub fn reject(pending_replies: Vec<PendingReply>, refusal: &StatusError) {
    for caller in pending_replies {
        caller.reply.send(Err(refusal.clone()));
    }
}
