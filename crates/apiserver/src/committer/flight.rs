//! A batch on its way into the store: written, told to the watches, answered. The next one is decided meanwhile.

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
    time::Instant,
};

use apimachinery::refusal::{Reason, Refusal};
use bytes::Bytes;
use futures::{
    FutureExt,
    future::{BoxFuture, Either, MaybeDone, maybe_done, select},
};
use store::{Error, Revision, Store, Transaction};

use super::{
    Answers, Committed, Fatal,
    batch::{Batch, Caller, Outcome, Shown, Staged, Verdict},
    convert,
    queue::Settled,
};
use crate::{
    hub::{Event, Hub, Version},
    limits,
    metrics::Metrics,
    write_path::WritePath,
};

/// A batch that is being committed.
pub struct Flight {
    /// What it writes.
    pub batch: Arc<Batch>,
    clock: Clock,
    commit: MaybeDone<BoxFuture<'static, End>>,
}

/// How a flight ended: written, or refused with nothing written.
pub type Landing = Result<(), Refusal>;

/// The same if it can be told, and who still waits for an answer.
pub type End = (Result<Landing, Lost>, Vec<Caller>);

/// What a flight needs.
pub struct Crew {
    /// Where it goes.
    pub store: Arc<dyn Store>,
    /// Where watches learn of it.
    pub hub: Arc<Hub>,
    /// What operators learn.
    pub metrics: Arc<Metrics>,
    /// What probes learn.
    pub writes: Arc<WritePath>,
}

impl Flight {
    /// A batch that is committed while somebody waits for its landing.
    pub fn new(crew: Crew, answers: Answers, batch: Batch, callers: Vec<Caller>) -> Self {
        let (batch, clock) = (Arc::new(batch), Clock::start());
        let commit = maybe_done(crew.fly(Arc::clone(&batch), callers, answers, clock).boxed());
        Self { batch, clock, commit }
    }

    /// Whether it has taken so long that callers may have been answered meanwhile.
    pub fn is_slow(&self) -> bool {
        self.clock.is_slow()
    }

    /// Waits until the store has it, watches know of it and its callers are answered, or the store has refused it, and says
    /// who still waits for an answer. The wait may be given up and taken up again, but its end is told only once.
    pub async fn landed(&mut self) -> End {
        (&mut self.commit).await;
        Pin::new(&mut self.commit).take_output().expect("it has just come to its end")
    }

    /// Does `work` while this goes on: a commit does not stand still because the next batch waits for a read.
    pub async fn beside<T>(&mut self, work: impl Future<Output = T>) -> T {
        let work = pin!(work);
        match select(work, &mut self.commit).await {
            Either::Left((done, _)) => done,
            Either::Right(((), work)) => work.await,
        }
    }
}

/// When a commit was begun.
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

impl Crew {
    async fn fly(self, batch: Arc<Batch>, callers: Vec<Caller>, answers: Answers, clock: Clock) -> End {
        let landing = self.write(&batch, &callers, clock).await;
        if !matches!(landing, Ok(Ok(()))) {
            return (landing, callers);
        }
        self.publish(&batch);
        answers.give(self, callers, batch);
        (landing, Vec::new())
    }

    async fn write(&self, batch: &Batch, callers: &[Caller], clock: Clock) -> Result<Landing, Lost> {
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
                Err(Lost::Foreign(format!(
                    "the log ends at {log}, this server wrote up to {ours}: something else writes to it"
                )))
            }
            // Nothing of those who have been answered is written.
            Ok(_) if clock.is_slow() && is_abandoned(callers) => Ok(Err(stalled())),
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
    ) -> Result<Landing, Lost> {
        match self.commit_timed(transaction, writes).await {
            Ok(()) => Ok(Ok(())),
            Err(error) if error.nothing_was_written() => Ok(Err(convert::not_written(&error))),
            Err(error) => self.find_out(Revision(batch.base), Revision(batch.end()), error).await,
        }
    }

    /// Commits, measures how long that took and notes how it went.
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

    /// A commit whose outcome the store does not know is there or not: the head tells. It is taken, not just looked at,
    /// because the commit may still be going on; whoever takes the head has waited for it.
    pub async fn find_out(&self, base: Revision, end: Revision, why: Error) -> Result<Landing, Lost> {
        match self.store.begin().await.map(|transaction| transaction.head()) {
            Ok(head) if head == end => {
                self.writes.succeeded();
                Ok(Ok(()))
            }
            Ok(head) if head == base => {
                let why = if let Error::Unknown(why) = why { Error::Unavailable(why) } else { why };
                Ok(Err(convert::not_written(&why)))
            }
            Ok(head) => {
                Err(Lost::Unknown(format!("{why}; the log ends at {head}, neither before nor behind the commit")))
            }
            Err(error) => Err(Lost::Unknown(format!("{why}; and then: {error}"))),
        }
    }

    /// Tells the watches.
    pub fn publish(&self, batch: &Batch) {
        let events = batch.writes.iter().zip(batch.base + 1..).map(|(staged, revision)| {
            let Staged { write, old_bytes, bytes, tied, .. } = staged;
            let old = match old_bytes {
                Some(bytes) => Some(Version::encoded(bytes.clone())),
                None => write.old.clone().map(Version::object),
            };
            let new = write.new.as_ref().map(|_| Version::encoded(bytes.clone()));
            let event = Event::new(revision, write.key.to_text(), old, new);
            Arc::new(if *tied { event.own() } else { event.own().untied() })
        });
        self.hub.publish(events.collect());
    }

    /// Tells callers what came of it.
    pub fn answer_all(&self, callers: Vec<Caller>, batch: &Batch) {
        for caller in callers {
            self.answer(caller, batch);
        }
    }

    fn answer(&self, caller: Caller, batch: &Batch) {
        let Caller { reply, counted, verdict, spent } = caller;
        let (answer, result) = match verdict {
            Verdict::Done(outcome) => (Ok(Settled::Committed(committed(outcome, batch))), "ok"),
            Verdict::Refused(refusal) => {
                let reason = refusal.reason.as_str();
                (Err(refusal), reason)
            }
            // It comes again, and is counted then.
            Verdict::Outdated(outdated) => return reply.send(Ok(Settled::Outdated(outdated))),
        };
        self.metrics.command_finished(counted, result);
        reply.send(answer);
        drop(spent);
    }
}

/// What a caller is answered when its batch is durable.
fn committed(Outcome { answer, shown, warnings }: Outcome, batch: &Batch) -> Committed {
    let object = match shown {
        Shown::Write(place) => {
            let Staged { write, bytes, .. } = &batch.writes[place];
            write.new.as_ref().map(|object| (Arc::clone(object), bytes.clone()))
        }
        Shown::Object(object) => {
            let bytes = Bytes::from(object.to_bytes());
            Some((object, bytes))
        }
        Shown::Nothing => None,
    };
    Committed { answer, object, warnings }
}

/// Whether one of these has been answered otherwise, or is gone.
pub fn is_abandoned(callers: &[Caller]) -> bool {
    callers.iter().any(|caller| caller.reply.is_closed())
}

/// What the callers of a batch are told that was decided before the store stalled, if others of them have been answered.
pub fn stalled() -> Refusal {
    let message = "the store did not answer for some time; nothing was written, the request may be repeated";
    Refusal::new(Reason::ServiceUnavailable, message).retry_after(1)
}

/// Why nobody can go on after a flight.
pub enum Lost {
    /// Nothing was written, and something else writes to the log.
    Foreign(String),
    /// What was written cannot be found out.
    Unknown(String),
}

impl Lost {
    /// Tells callers what is known of their writes.
    pub fn refuse(self, callers: Vec<Caller>) -> Fatal {
        match self {
            Self::Foreign(why) => {
                refuse(callers, &convert::not_written(&Error::Corrupt(why.clone())));
                Fatal(why)
            }
            // That nobody answers says just that.
            Self::Unknown(why) => Fatal(why),
        }
    }
}

/// Tells all of them the same.
pub fn refuse(callers: Vec<Caller>, refusal: &Refusal) {
    for caller in callers {
        caller.reply.send(Err(refusal.clone()));
    }
}
