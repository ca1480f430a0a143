//! Commits to a log that other replicas write to as well.
//!
//! A replica commits while it holds the head's lock: it acquires the lock, applies what others have committed, decides
//! and commits. Nothing is decided before the lock is held, because a decision on an outdated state would have to be
//! repeated, possibly many times, by the replica that loses. While it waits for the lock, the replica follows the log
//! and commands queue up.

use std::{
    pin::pin,
    sync::{Arc, PoisonError},
};

use apimachinery::{command::Write, kind::State, status_error::StatusError};
use futures::try_join;
use store::{Entry, Error, Revision, Transaction, page};
use tokio::sync::Notify;

use super::{
    Answers, Committer, Fatal,
    batch::{self, Batch, Caller, Deciding, Objects},
    convert, flight,
    queue::{Submitted, Waiting},
};
use crate::{
    api,
    hub::{Event, Unreadable, Version},
    limits,
    outage::Outage,
    restore, standalone,
};

/// The transaction that holds the head's lock, and the objects that its commands read.
struct Held {
    transaction: Box<dyn Transaction>,
    objects: Objects,
}

/// Why a batch cannot be committed.
pub(super) enum Trouble {
    /// A store error, which may be temporary.
    Store(Error),
    /// This process must end.
    Fatal(Fatal),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        match error {
            Error::Corrupt(_) | Error::Diverged(_) | Error::Compacted { .. } => Self::Fatal(Fatal(error.to_string())),
            error => Self::Store(error),
        }
    }
}

impl From<Unreadable> for Trouble {
    /// An unreadable object is fatal, because the state depends on it.
    fn from(unreadable: Unreadable) -> Self {
        Self::Fatal(Fatal(unreadable.to_string()))
    }
}

impl<W: State> Committer<W> {
    /// Works on the queue and follows the log until the queue is closed and empty.
    pub(super) async fn run_shared(
        &self,
        mut waiting: Waiting<W>,
        nudge: &Notify,
        answers: &Answers,
    ) -> Result<(), Fatal> {
        let outage = Outage::new("the log cannot be followed");
        loop {
            tokio::select! {
                biased;
                any = waiting.any() => {
                    if !any {
                        break;
                    }
                    self.turn(&mut waiting, answers).await?;
                }
                () = self.changed() => self.look(&outage).await?,
                () = nudge.notified() => self.look(&outage).await?,
                () = self.writes.heartbeat_asked() => self.heartbeat().await?,
            }
        }
        Ok(())
    }

    /// Waits until other replicas may have committed past what this server has read.
    async fn changed(&self) {
        self.store.changed(self.known()).await;
    }

    /// Applies what others have committed. A store error is logged; the next change tries again.
    async fn look(&self, outage: &Outage) -> Result<(), Fatal> {
        match self.catch_up().await {
            Ok(()) => {
                outage.over();
                Ok(())
            }
            Err(Trouble::Fatal(fatal)) => Err(fatal),
            Err(Trouble::Store(error)) => {
                outage.failed(&error);
                Ok(())
            }
        }
    }

    /// Takes one batch from the queue, decides and commits it, and answers its callers.
    async fn turn(&self, waiting: &mut Waiting<W>, answers: &Answers) -> Result<(), Fatal> {
        let mut submitted = Vec::new();
        self.gather(&mut submitted, waiting, answers);
        if submitted.is_empty() {
            return Ok(());
        }
        let Held { transaction, objects } = match self.take_head(&mut submitted, waiting, answers).await {
            Ok(held) => held,
            Err(trouble) => return self.refuse_all(submitted, trouble),
        };
        self.metrics.batch_started(submitted.len(), waiting.len());
        let mut batch = Batch::behind(transaction.head().0);
        batch.objects = objects;
        let Deciding { callers, rest, abandoned } = self.decide_all(&mut batch, None, submitted);
        waiting.put_back(rest);
        self.abandon(abandoned, answers);
        self.settle(&mut batch);
        self.commit(transaction, batch, callers, answers).await
    }

    /// Fills a batch with waiting commands.
    fn gather(&self, submitted: &mut Vec<Submitted<W>>, waiting: &mut Waiting<W>, answers: &Answers) {
        waiting.take(submitted, limits::BATCH_COMMANDS_MAX, limits::BATCH_BYTES_MAX);
        self.abandon(waiting.abandoned(), answers);
    }

    fn refuse_all(&self, submitted: Vec<Submitted<W>>, trouble: Trouble) -> Result<(), Fatal> {
        let (error, outcome) = match trouble {
            Trouble::Store(error) => {
                self.writes.failed(&error);
                (error, Ok(()))
            }
            Trouble::Fatal(fatal) => (Error::Corrupt(fatal.to_string()), Err(fatal)),
        };
        self.crew().answer_all(batch::refused(submitted, &error), &Batch::default());
        outcome
    }

    /// Acquires the head's lock and brings the state up to it. Commands that arrive during the wait join the batch.
    async fn take_head(
        &self,
        submitted: &mut Vec<Submitted<W>>,
        waiting: &mut Waiting<W>,
        answers: &Answers,
    ) -> Result<Held, Trouble> {
        let mut reloads = 0;
        loop {
            self.reload_if_outdated(&mut reloads).await?;
            let transaction = self.following(self.store.begin()).await?;
            self.gather(submitted, waiting, answers);
            let (names, keys) = batch::wanted(submitted, |_| false);
            // Reads through the transaction only: a process that was paused may have lost the lock, and must not see
            // later commits.
            let (news, records) = try_join!(self.news(&*transaction), transaction.read(&keys))?;
            let read = news.len();
            self.follow(news)?;
            self.follow_on(&*transaction, read).await?;
            if self.is_outdated() {
                continue;
            }
            if self.known() == transaction.head() {
                return Ok(Held { transaction, objects: batch::objects(names, records) });
            }
            // Releases the lock, because reading so much would delay other replicas, or because the lock was lost and
            // another replica has committed.
            drop(transaction);
            self.catch_up().await?;
            self.still_there().await?;
        }
    }

    /// The revision up to which this server has read the log.
    fn known(&self) -> Revision {
        Revision(self.hub.head())
    }

    /// Applies further pages of entries after the first one, which had `read`, within the limits for reading while the
    /// lock is held.
    async fn follow_on(&self, transaction: &dyn Transaction, mut read: usize) -> Result<(), Trouble> {
        for _ in 1..limits::NEWS_PAGES_MAX {
            let (known, left) = (self.known(), limits::NEWS_ENTRIES_MAX.saturating_sub(read));
            if known >= transaction.head() || left == 0 {
                return Ok(());
            }
            let news = transaction.tail(known, left).await?;
            read += news.len();
            self.follow(news)?;
        }
        Ok(())
    }

    /// The first page of entries that this server has not read.
    async fn news(&self, transaction: &dyn Transaction) -> Result<Vec<Entry>, Error> {
        let known = self.known();
        if transaction.head() <= known {
            return Ok(Vec::new());
        }
        transaction.tail(known, limits::NEWS_ENTRIES_MAX).await
    }

    /// Checks that the log still contains all that this server has read.
    async fn still_there(&self) -> Result<(), Trouble> {
        let known = self.known();
        let head = self.store.head().await?.revision;
        if head >= known {
            return Ok(());
        }
        let why = format!("the log ends at {head}, and this server has read up to {known}: it lost commits");
        Err(Trouble::Fatal(Fatal(why)))
    }

    /// Follows the log until `wait` completes.
    async fn following<T>(&self, wait: impl Future<Output = Result<T, Error>>) -> Result<T, Trouble> {
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
    async fn catch_up(&self) -> Result<(), Trouble> {
        loop {
            let news = self.store.tail(self.known(), limits::NEWS_ENTRIES_MAX).await?;
            let is_all = !page::is_full(&news, limits::NEWS_ENTRIES_MAX);
            self.follow(news)?;
            if is_all {
                return Ok(());
            }
        }
    }

    /// Applies entries of other replicas to the state and publishes them to the watches.
    pub(super) fn follow(&self, news: Vec<Entry>) -> Result<(), Trouble> {
        let mut events = Vec::with_capacity(news.len());
        let mut world = self.world.write().unwrap_or_else(PoisonError::into_inner);
        for entry in news {
            events.push(self.foreign(&mut world, entry)?);
        }
        drop(world);
        self.hub.publish(events);
        Ok(())
    }

    /// Applies an entry of another replica to the state and converts it to an event.
    fn foreign(&self, world: &mut W, entry: Entry) -> Result<Arc<Event>, Trouble> {
        let Entry { revision, key: place, value, previous } = entry;
        let versions = previous.iter().map(|record| &record.value).chain(&value);
        let tied = versions.into_iter().any(|bytes| standalone::may_be_tied(bytes));
        let (old, new) = (previous.map(|record| Version::encoded(record.value)), value.map(Version::encoded));
        let event = Event::new(revision.0, place.to_string(), old, new);
        let key = api::object_key(&self.registry, place.as_str());
        if key.is_none() && place.as_str() != restore::FIRST_ENTRY {
            self.set_outdated();
        }
        // Most kinds are not part of the state.
        if let Some(key) = key.filter(|key| W::observed_resources().contains(&key.resource)) {
            world.apply(&Write { key, old: event.previous()?.cloned(), new: event.current()?.cloned() });
        }
        Ok(Arc::new(if tied { event } else { event.untied() }))
    }

    async fn commit(
        &self,
        transaction: Box<dyn Transaction>,
        batch: Batch,
        callers: Vec<Caller>,
        answers: &Answers,
    ) -> Result<(), Fatal> {
        let crew = self.crew();
        let written = match convert::all_to_store(&batch) {
            Ok(writes) => crew.commit_timed(transaction, writes).await.map_err(after_commit),
            Err(refusal) => Err((refusal, Ok(()))),
        };
        match written {
            Ok(()) => {
                crew.publish(&batch);
                answers.give(crew, callers, Arc::new(batch));
                Ok(())
            }
            Err((refusal, outcome)) => {
                // If the batch was written after all, it is read from the log like the entries of other replicas.
                self.undo(&batch);
                flight::refuse(callers, &refusal);
                outcome
            }
        }
    }
}

/// The API error for the callers of a failed commit, and whether this process may continue.
fn after_commit(error: Error) -> (StatusError, Result<(), Fatal>) {
    let refusal = convert::commit_failed(&error);
    match error {
        Error::Guard(_) | Error::Precondition { .. } | Error::Corrupt(_) | Error::Diverged(_) => {
            (refusal, Err(Fatal(format!("the state of this process differs from the store: {error}"))))
        }
        _ => (refusal, Ok(())),
    }
}
