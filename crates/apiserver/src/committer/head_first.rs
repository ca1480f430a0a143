//! Commits to a log that other replicas write to as well.
//!
//! A replica commits while it holds the head's lock: it acquires the lock, applies the commits of other replicas,
//! decides and commits. Nothing is decided before the lock is held, because a decision on an outdated state would have
//! to be repeated, possibly many times, by the replica that loses. While it waits for the lock, the replica follows the
//! log, and commands stay in the queue.

use std::{
    pin::pin,
    sync::{Arc, PoisonError},
};

use apimachinery::{command::Write, kind::State, metadata, status_error::StatusError};
use futures::try_join;
use store::{Entry, Error, Revision, Transaction, page};
use tokio::sync::Notify;

use super::{
    Committer, Fatal, ReplyTasks,
    batch::{self, Batch, DecidedCommands, Objects, PendingReply},
    convert, in_flight,
    queue::{PendingCommand, QueueReceiver},
};
use crate::{
    keys, limits,
    outage::Outage,
    watch_cache::{Event, Unreadable},
};

/// The transaction that holds the head's lock, and the objects that its commands read.
struct LockedHead {
    transaction: Box<dyn Transaction>,
    objects: Objects,
}

/// Why a batch cannot be committed.
pub(super) enum CommitError {
    /// A store error, which may be temporary.
    Store(Error),
    /// This process must end.
    Fatal(Fatal),
}

impl From<Error> for CommitError {
    fn from(error: Error) -> Self {
        match error {
            Error::Corrupt(_) | Error::Diverged(_) | Error::Compacted { .. } => Self::Fatal(Fatal(error.to_string())),
            error => Self::Store(error),
        }
    }
}

impl From<Unreadable> for CommitError {
    /// An unreadable object is fatal, because the state depends on it.
    fn from(unreadable: Unreadable) -> Self {
        Self::Fatal(Fatal(unreadable.to_string()))
    }
}

impl<W: State> Committer<W> {
    /// Works on the queue and follows the log until the queue is closed and empty.
    pub(super) async fn run_head_first(
        &self,
        mut waiting: QueueReceiver<W>,
        wake: &Notify,
        reply_tasks: &ReplyTasks,
    ) -> Result<(), Fatal> {
        let outage = Outage::new("the log cannot be followed");
        loop {
            tokio::select! {
                biased;
                any = waiting.wait() => {
                    if !any {
                        break;
                    }
                    self.commit_batch(&mut waiting, reply_tasks).await?;
                }
                () = self.changed() => self.poll_log(&outage).await?,
                () = wake.notified() => self.poll_log(&outage).await?,
                () = self.writes.heartbeat_requested() => self.heartbeat().await?,
            }
        }
        Ok(())
    }

    /// Waits until the log may have entries that this server has not read.
    async fn changed(&self) {
        self.store.wait_for_commits(self.applied_revision()).await;
    }

    /// Applies the commits of other replicas. A store error is logged; the next change triggers another attempt.
    async fn poll_log(&self, outage: &Outage) -> Result<(), Fatal> {
        match self.catch_up().await {
            Ok(()) => {
                outage.over();
                Ok(())
            }
            Err(CommitError::Fatal(fatal)) => Err(fatal),
            Err(CommitError::Store(error)) => {
                outage.failed(&error);
                Ok(())
            }
        }
    }

    /// Takes one batch from the queue, decides and commits it, and answers its callers.
    async fn commit_batch(&self, waiting: &mut QueueReceiver<W>, reply_tasks: &ReplyTasks) -> Result<(), Fatal> {
        let mut submitted = Vec::new();
        self.gather(&mut submitted, waiting, reply_tasks);
        if submitted.is_empty() {
            return Ok(());
        }
        let LockedHead { transaction, objects } = match self.take_head(&mut submitted, waiting, reply_tasks).await {
            Ok(held) => held,
            Err(trouble) => return self.reject_all(submitted, trouble),
        };
        self.metrics.batch_started(submitted.len(), waiting.len());
        let mut batch = Batch::after(transaction.head().0);
        batch.objects = objects;
        let DecidedCommands { pending_replies, rest, abandoned } = self.decide_all(&mut batch, None, submitted);
        waiting.put_back(rest);
        self.abandon(abandoned, reply_tasks);
        self.stage_status_updates(&mut batch);
        self.commit(transaction, batch, pending_replies, reply_tasks).await
    }

    /// Fills a batch with waiting commands.
    fn gather(&self, submitted: &mut Vec<PendingCommand<W>>, waiting: &mut QueueReceiver<W>, reply_tasks: &ReplyTasks) {
        waiting.take(submitted, limits::BATCH_COMMANDS_MAX, limits::BATCH_BYTES_MAX);
        self.abandon(waiting.abandoned(), reply_tasks);
    }

    fn reject_all(&self, submitted: Vec<PendingCommand<W>>, trouble: CommitError) -> Result<(), Fatal> {
        let (error, outcome) = match trouble {
            CommitError::Store(error) => {
                self.writes.failed(&error);
                (error, Ok(()))
            }
            CommitError::Fatal(fatal) => (Error::Corrupt(fatal.to_string()), Err(fatal)),
        };
        self.commit_context().answer_all(batch::refused(submitted, &error), &Batch::default());
        outcome
    }

    /// Acquires the head's lock and brings the state up to it. Commands that arrive during the wait join the batch.
    async fn take_head(
        &self,
        submitted: &mut Vec<PendingCommand<W>>,
        waiting: &mut QueueReceiver<W>,
        reply_tasks: &ReplyTasks,
    ) -> Result<LockedHead, CommitError> {
        let mut reloads = 0;
        loop {
            self.reload_if_outdated(&mut reloads).await?;
            let transaction = self.follow_while(self.store.begin()).await?;
            self.gather(submitted, waiting, reply_tasks);
            let (names, keys) = batch::keys_to_read(submitted, |_| false);
            // Reads through the transaction only: a process that was paused may have lost the lock, and must not read
            // later commits.
            let (new_entries, records) = try_join!(self.new_entries(&*transaction), transaction.read(&keys))?;
            let read = new_entries.len();
            self.follow(new_entries)?;
            self.follow_until_head(&*transaction, read).await?;
            if self.is_outdated() {
                continue;
            }
            if self.applied_revision() == transaction.head() {
                return Ok(LockedHead { transaction, objects: batch::objects(names, records) });
            }
            // Releases the lock, because reading so much would delay other replicas, or because the lock was lost and
            // another replica has committed.
            drop(transaction);
            self.catch_up().await?;
            self.check_log_not_truncated().await?;
        }
    }

    /// The revision up to which this server has read the log.
    fn applied_revision(&self) -> Revision {
        Revision(self.watch_cache.head())
    }

    /// Applies further pages of entries after the first one, which had `read`, within the limits for reading while the
    /// lock is held.
    async fn follow_until_head(&self, transaction: &dyn Transaction, mut read: usize) -> Result<(), CommitError> {
        for _ in 1..limits::CATCH_UP_PAGES_MAX {
            let (known, left) = (self.applied_revision(), limits::CATCH_UP_ENTRIES_MAX.saturating_sub(read));
            if known >= transaction.head() || left == 0 {
                return Ok(());
            }
            let new_entries = transaction.tail(known, left).await?;
            read += new_entries.len();
            self.follow(new_entries)?;
        }
        Ok(())
    }

    /// The first page of entries that this server has not read.
    async fn new_entries(&self, transaction: &dyn Transaction) -> Result<Vec<Entry>, Error> {
        let known = self.applied_revision();
        if transaction.head() <= known {
            return Ok(Vec::new());
        }
        transaction.tail(known, limits::CATCH_UP_ENTRIES_MAX).await
    }

    /// Checks that the log still contains all entries that this server has read.
    async fn check_log_not_truncated(&self) -> Result<(), CommitError> {
        let known = self.applied_revision();
        let head = self.store.head().await?.revision;
        if head >= known {
            return Ok(());
        }
        let why = format!("the log ends at {head}, and this server has read up to {known}: it lost commits");
        Err(CommitError::Fatal(Fatal(why)))
    }

    /// Follows the log until `wait` completes.
    async fn follow_while<T>(&self, wait: impl Future<Output = Result<T, Error>>) -> Result<T, CommitError> {
        let mut wait = pin!(wait);
        loop {
            tokio::select! {
                biased;
                ended = &mut wait => return Ok(ended?),
                () = self.changed() => self.catch_up().await?,
            }
        }
    }

    /// Reads and applies the log up to its end.
    async fn catch_up(&self) -> Result<(), CommitError> {
        loop {
            let new_entries = self.store.tail(self.applied_revision(), limits::CATCH_UP_ENTRIES_MAX).await?;
            let is_all = !page::is_full(&new_entries, limits::CATCH_UP_ENTRIES_MAX);
            self.follow(new_entries)?;
            if is_all {
                return Ok(());
            }
        }
    }

    /// Applies entries of other replicas to the state and publishes them to the watches.
    pub(super) fn follow(&self, new_entries: Vec<Entry>) -> Result<(), CommitError> {
        let mut events = Vec::with_capacity(new_entries.len());
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        for entry in new_entries {
            events.push(self.apply_remote_entry(&mut state, entry)?);
        }
        drop(state);
        self.watch_cache.publish(events);
        Ok(())
    }

    /// Applies an entry of another replica to the state and converts it to an event.
    fn apply_remote_entry(&self, state: &mut W, entry: Entry) -> Result<Arc<Event>, CommitError> {
        let mut versions = entry.previous.iter().map(|record| &record.value).chain(&entry.value);
        let gc_relevant = versions.any(|bytes| metadata::may_be_gc_relevant(bytes));
        let event = Event::from_entry(entry);
        let key = keys::object_key(&self.registry, &event.key);
        if key.is_none() && event.key != keys::INIT_KEY {
            self.set_outdated();
        }
        // Most kinds are not part of the state.
        if let Some(key) = key.filter(|key| W::observed_resources().contains(&key.resource)) {
            state.apply(&Write { key, old: event.previous()?.cloned(), new: event.current()?.cloned() });
        }
        Ok(Arc::new(if gc_relevant { event } else { event.without_gc() }))
    }

    async fn commit(
        &self,
        transaction: Box<dyn Transaction>,
        batch: Batch,
        pending_replies: Vec<PendingReply>,
        reply_tasks: &ReplyTasks,
    ) -> Result<(), Fatal> {
        let commit_context = self.commit_context();
        let written = match convert::all_to_store(&batch) {
            Ok(writes) => commit_context.commit_timed(transaction, writes).await.map_err(after_commit),
            Err(refusal) => Err((refusal, Ok(()))),
        };
        match written {
            Ok(()) => {
                commit_context.publish(&batch);
                reply_tasks.send_replies(commit_context, pending_replies, Arc::new(batch));
                Ok(())
            }
            Err((refusal, outcome)) => {
                // If the batch was written after all, it is read from the log like the entries of other replicas.
                self.undo(&batch);
                in_flight::reject(pending_replies, &refusal);
                outcome
            }
        }
    }
}

/// The API error for the callers of a failed commit, and whether this process may continue.
fn after_commit(error: Error) -> (StatusError, Result<(), Fatal>) {
    let refusal = convert::commit_failed(&error);
    match error {
        Error::SpanConflict(_) | Error::Precondition { .. } | Error::Corrupt(_) | Error::Diverged(_) => {
            (refusal, Err(Fatal(format!("the state of this process differs from the store: {error}"))))
        }
        _ => (refusal, Ok(())),
    }
}
