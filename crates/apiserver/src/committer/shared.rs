//! Committing to a log that others write to as well.
//!
//! Whoever holds the head may commit. So: take the head, catch up with what others committed, decide, commit. Nothing is
//! decided before the head is held, because a decision on an old world would have to be thrown away, again and again for
//! whoever loses. While the head is waited for the log is followed, and commands gather.

use std::{
    pin::pin,
    sync::{Arc, PoisonError},
};

use apimachinery::{command::Write, kind::World, refusal::Refusal};
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

/// The head, held, and what commands see behind it.
struct Held {
    transaction: Box<dyn Transaction>,
    objects: Objects,
}

/// Why there is no progress.
pub(super) enum Trouble {
    /// The store failed; later it may not.
    Store(Error),
    /// This process must not go on.
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
    /// The world moves by what cannot be read.
    fn from(unreadable: Unreadable) -> Self {
        Self::Fatal(Fatal(unreadable.to_string()))
    }
}

impl<W: World> Committer<W> {
    /// Works on the queue, and follows the log, until the queue is closed and empty.
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

    /// Others may have committed what this server does not know.
    async fn changed(&self) {
        self.store.changed(self.known()).await;
    }

    /// Catches up if the store lets it. If not, it will be asked again.
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

    /// One batch, from the queue to its callers.
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

    /// Fills a batch with commands that wait.
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

    /// Takes the head and moves the world to it. Commands that came meanwhile join in.
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
            // By the transaction alone: a process that was frozen may have lost the head, and must not see later times.
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
            // Others need not wait while so much is read; or the head was lost, and others have been there already.
            drop(transaction);
            self.catch_up().await?;
            self.still_there().await?;
        }
    }

    /// How far this server has read the log.
    fn known(&self) -> Revision {
        Revision(self.hub.head())
    }

    /// Reads on when others committed more than the `read` entries of one page, as much as is read while the head is held.
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

    /// What others committed: the first page of it.
    async fn news(&self, transaction: &dyn Transaction) -> Result<Vec<Entry>, Error> {
        let known = self.known();
        if transaction.head() <= known {
            return Ok(Vec::new());
        }
        transaction.tail(known, limits::NEWS_ENTRIES_MAX).await
    }

    /// What this server has read must be in the log.
    async fn still_there(&self) -> Result<(), Trouble> {
        let known = self.known();
        let head = self.store.head().await?.revision;
        if head >= known {
            return Ok(());
        }
        let why = format!("the log ends at {head}, and this server has read up to {known}: it lost commits");
        Err(Trouble::Fatal(Fatal(why)))
    }

    /// Follows the log while something else is waited for.
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

    /// Reads the log to its end.
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

    /// Moves the world and the watches on by what others committed.
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

    /// Moves the world by a write of somebody else, which is an event then.
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
        // Most are only passed on to watches.
        if let Some(key) = key.filter(|key| W::moved_by().contains(&key.resource)) {
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
                // If it was written all the same, it comes back by the log.
                self.undo(&batch);
                flight::refuse(callers, &refusal);
                outcome
            }
        }
    }
}

/// What callers are told of a commit that failed, and whether this process may go on.
fn after_commit(error: Error) -> (Refusal, Result<(), Fatal>) {
    let refusal = convert::commit_failed(&error);
    match error {
        Error::Guard(_) | Error::Precondition { .. } | Error::Corrupt(_) | Error::Diverged(_) => {
            (refusal, Err(Fatal(format!("what it knows is not what is stored: {error}"))))
        }
        _ => (refusal, Ok(())),
    }
}
