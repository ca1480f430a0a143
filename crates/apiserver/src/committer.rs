//! The one door through which everything is written.
//!
//! Commands queue here. The committer takes all that wait, takes the store's head, decides them one after the other
//! against the world, writes what they change in one commit, and only then answers the callers and tells the watches.
//! The world moves while a batch is decided, so that each command sees those before it; a commit that fails moves it
//! back, write by write.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, PoisonError, RwLock},
    time::Instant,
};

use apimachinery::{
    command::{Answer, Command, Decision, ObjectKey, Write},
    kind::{Kind, Reads, Registry, Related, Span, World},
    object::Object,
    refusal::{Reason, Refusal},
    schema::Schema,
    time::Time,
    verbs,
};
use bytes::Bytes;
use store::{Key, Revision, Store, Transaction};
use tokio::sync::{mpsc, oneshot};

use crate::{
    hub::{Event, Hub},
    limits,
    metrics::Metrics,
};

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

type Reply = oneshot::Sender<Result<Committed, Refusal>>;

/// The queue of the committer.
#[derive(Clone)]
pub struct Queue {
    sender: mpsc::Sender<(Command, Reply)>,
}

impl Queue {
    /// Submits a command and waits for its answer. Giving up the wait does not take the command back.
    pub async fn submit(&self, command: Command) -> Result<Committed, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.sender.try_send((command, reply)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => {
                Refusal::new(Reason::TooManyRequests, "too many writes are waiting, please try again later")
                    .retry_after(1)
            }
            mpsc::error::TrySendError::Closed(_) => {
                Refusal::new(Reason::ServiceUnavailable, "the server is shutting down").retry_after(1)
            }
        })?;
        answer.await.unwrap_or_else(|_| {
            let message =
                "the write was abandoned; whether it was made is not known: read the object before you repeat it";
            Err(Refusal::new(Reason::InternalError, message))
        })
    }
}

/// The committer: owns the order of all writes of this server.
pub struct Committer<W> {
    /// Where everything is kept.
    pub store: Arc<dyn Store>,
    /// The kinds.
    pub registry: Arc<Registry<W>>,
    /// Their schemas, by plural resource.
    pub schemas: Arc<HashMap<&'static str, Schema>>,
    /// What decisions know. Only the committer writes it.
    pub world: Arc<RwLock<W>>,
    /// Where watches learn of commits.
    pub hub: Arc<Hub>,
    /// What operators learn.
    pub metrics: Arc<Metrics>,
}

/// A fault after which this process must not go on: what it knows may not be what is stored.
#[derive(Debug, thiserror::Error)]
#[error("the committer cannot go on: {0}")]
pub struct Fatal(String);

/// The objects of a batch as they are now: read from the store, or written by an earlier command of the batch.
type Objects = HashMap<ObjectKey, Option<Arc<Object>>>;

/// What a batch has decided so far.
struct Batch {
    objects: Objects,
    writes: Vec<Staged>,
    head: u64,
}

/// A write that waits for its commit.
struct Staged {
    write: Write,
    /// The new version, encoded; empty for a deletion.
    bytes: Bytes,
    releases: Vec<Span>,
    takes: Vec<Span>,
}

impl<W: World> Committer<W> {
    /// Runs until the queue is closed and empty.
    pub fn start(self) -> (Queue, tokio::task::JoinHandle<Result<(), Fatal>>) {
        let (sender, mut receiver) = mpsc::channel(limits::QUEUE_COMMANDS_MAX);
        let task = tokio::spawn(async move {
            let mut waiting = Vec::new();
            while receiver.recv_many(&mut waiting, limits::BATCH_COMMANDS_MAX).await > 0 {
                self.metrics.batch_started(waiting.len(), receiver.len());
                self.run(std::mem::take(&mut waiting)).await?;
            }
            Ok(())
        });
        (Queue { sender }, task)
    }

    /// Decides and commits one batch, and answers its callers.
    async fn run(&self, waiting: Vec<(Command, Reply)>) -> Result<(), Fatal> {
        let Some(now) = waiting.iter().map(|(command, _)| command.now).max() else { return Ok(()) };
        let (commands, replies): (Vec<_>, Vec<_>) = waiting.into_iter().unzip();
        let decided = match self.store.begin().await {
            Ok(transaction) if transaction.head().0 != self.hub.head() => {
                let (log, ours) = (transaction.head(), self.hub.head());
                let why = format!("the log ends at {log}, this server wrote up to {ours}: something else writes to it");
                answer_all(replies, &unavailable(&store::Error::Corrupt(why.clone())));
                return Err(Fatal(why));
            }
            Ok(transaction) => self.decide(transaction, &commands, now).await,
            Err(error) => Err(error),
        };
        let (batch, results) = match decided {
            Ok(Prepared { batch, results, transaction }) => match self.commit(transaction, &batch).await? {
                Ok(()) => (batch, results),
                Err(refusal) => {
                    self.undo(&batch);
                    answer_all(replies, &refusal);
                    return Ok(());
                }
            },
            Err(error) => {
                tracing::error!(error = %error, commands = commands.len(), "the store does not answer; nothing was written");
                answer_all(replies, &unavailable(&error));
                return Ok(());
            }
        };
        self.publish(batch);
        for ((command, reply), result) in commands.iter().zip(replies).zip(results) {
            self.metrics.command_finished(command, &result);
            // A caller that has gone away misses its answer, not its write.
            drop(reply.send(result));
        }
        Ok(())
    }

    /// Decides all commands under the head's lock. The world has moved when this returns.
    async fn decide(
        &self,
        mut transaction: Box<dyn Transaction>,
        commands: &[Command],
        now: Time,
    ) -> Result<Prepared, store::Error> {
        let head = transaction.head().0;
        let reads = commands.iter().map(|command| self.reads(command)).collect::<Vec<_>>();
        let objects = self.load(&mut *transaction, commands, &reads).await?;
        let mut spans = Vec::with_capacity(commands.len());
        for read in &reads {
            spans.push(first_holders(&mut *transaction, read).await?);
        }
        let mut batch = Batch { objects, writes: Vec::new(), head };
        let mut results = Vec::with_capacity(commands.len());
        for ((command, reads), spans) in commands.iter().zip(&reads).zip(spans) {
            results.push(self.decide_one(&mut batch, command, reads, spans));
        }
        let sums = self.world.read().unwrap_or_else(PoisonError::into_inner).settle(now);
        for write in sums {
            self.stage(&mut batch, write);
        }
        Ok(Prepared { batch, results, transaction })
    }

    fn reads(&self, command: &Command) -> Reads {
        self.registry.get(command.key.resource).map(|kind| kind.reads(&command.key)).unwrap_or_default()
    }

    /// Reads the objects that the commands of a batch want to see.
    async fn load(
        &self,
        transaction: &mut dyn Transaction,
        commands: &[Command],
        reads: &[Reads],
    ) -> Result<Objects, store::Error> {
        let wanted = commands.iter().zip(reads).flat_map(|(command, reads)| reads.keys.iter().chain([&command.key]));
        let (mut keys, mut names) = (Vec::new(), Vec::new());
        for name in wanted {
            // A key that the store could not hold names no object.
            if let Ok(key) = Key::new(name.to_text()) {
                keys.push(key);
                names.push(name.clone());
            }
        }
        let records = transaction.read(&keys).await?;
        let mut objects = Objects::with_capacity(names.len());
        for (name, record) in names.into_iter().zip(records) {
            let object = record.map(|record| parse(&record.key, &record.value)).transpose()?;
            objects.insert(name, object);
        }
        Ok(objects)
    }

    /// Decides one command and, unless it is a dry run, moves the batch and the world on.
    fn decide_one(
        &self,
        batch: &mut Batch,
        command: &Command,
        reads: &Reads,
        spans: Vec<Span>,
    ) -> Result<Committed, Refusal> {
        let kind = self.kind(&command.key);
        let schema = &self.schemas[command.key.resource];
        let current = batch.objects.get(&command.key).cloned().flatten();
        let objects: BTreeMap<_, _> = reads
            .keys
            .iter()
            .filter_map(|key| Some((key.clone(), batch.objects.get(key).cloned().flatten()?)))
            .collect();
        let spans = Self::as_of(batch, reads, spans);
        let related = Related { objects, spans };
        let Decision { writes, answer, warnings } = {
            let world = self.world.read().unwrap_or_else(PoisonError::into_inner);
            verbs::decide(kind, schema, &*world, command, current.as_ref(), &related)?
        };
        let mut first = None;
        for write in writes {
            let staged = if command.dry_run { rehearse(write) } else { self.stage(batch, write) };
            first = first.or(Some(staged));
        }
        let object = match &answer {
            Answer::Unchanged(object) | Answer::DeletedBy(object) => {
                Some((Arc::clone(object), Bytes::from(object.to_bytes())))
            }
            Answer::Created | Answer::Changed | Answer::Deleted(_) => first.flatten(),
        };
        Ok(Committed { answer, object, warnings })
    }

    /// The spans that a command wants to see, as the earlier commands of its batch have left them.
    fn as_of(batch: &Batch, reads: &Reads, mut spans: Vec<Span>) -> Vec<Span> {
        let Some((space, limit)) = &reads.spans else { return spans };
        for Staged { releases, takes, .. } in &batch.writes {
            spans.retain(|span| !releases.contains(span));
            spans.extend(takes.iter().filter(|span| span.space == *space).cloned());
        }
        spans.sort_by_key(|span| span.first);
        spans.truncate(*limit);
        spans
    }

    /// Gives a write its revision, moves the world on and adds it to the batch.
    fn stage(&self, batch: &mut Batch, mut write: Write) -> Option<(Arc<Object>, Bytes)> {
        let revision = batch.head + 1 + batch.writes.len() as u64;
        let staged = write.new.as_mut().map(|new| {
            Arc::make_mut(new).metadata.resource_version = revision.to_string();
            (Arc::clone(new), Bytes::from(new.to_bytes()))
        });
        self.world.write().unwrap_or_else(PoisonError::into_inner).apply(&write);
        batch.objects.insert(write.key.clone(), write.new.clone());
        let bytes = staged.as_ref().map(|(_, bytes)| bytes.clone()).unwrap_or_default();
        let (releases, takes) = self.spans_moved(&write);
        batch.writes.push(Staged { write, bytes, releases, takes });
        staged
    }

    /// Moves the world back to where it was before the batch.
    fn undo(&self, batch: &Batch) {
        let mut world = self.world.write().unwrap_or_else(PoisonError::into_inner);
        for Staged { write, .. } in batch.writes.iter().rev() {
            world.apply(&Write { key: write.key.clone(), old: write.new.clone(), new: write.old.clone() });
        }
    }

    /// Commits a batch. The inner error says that nothing was written.
    async fn commit(&self, transaction: Box<dyn Transaction>, batch: &Batch) -> Result<Result<(), Refusal>, Fatal> {
        if batch.writes.is_empty() {
            return Ok(Ok(()));
        }
        let writes = batch.writes.iter().map(to_store).collect::<Result<_, _>>();
        let writes = match writes {
            Ok(writes) => writes,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let started = Instant::now();
        let result = transaction.commit(writes).await;
        self.metrics.commit_finished(started.elapsed(), batch.writes.len());
        match result {
            Ok(()) => Ok(Ok(())),
            Err(store::Error::Unknown(why)) => self.find_out(batch, &why).await,
            Err(error) => {
                tracing::error!(error = %error, writes = batch.writes.len(), "a commit failed; nothing was written");
                Ok(Err(unavailable(&error)))
            }
        }
    }

    /// A commit whose outcome the store does not know is there or not: the head tells. It is taken, not just looked at,
    /// because the commit may still be going on; whoever takes the head has waited for it.
    async fn find_out(&self, batch: &Batch, why: &str) -> Result<Result<(), Refusal>, Fatal> {
        let last = batch.head + batch.writes.len() as u64;
        match self.store.begin().await.map(|transaction| transaction.head()) {
            Ok(Revision(head)) if head == last => Ok(Ok(())),
            Ok(Revision(head)) if head == batch.head => {
                Ok(Err(unavailable(&store::Error::Unavailable(why.to_owned()))))
            }
            Ok(head) => Err(Fatal(format!("{why}; the log ends at {head}, neither before nor behind the commit"))),
            Err(error) => Err(Fatal(format!("{why}; and then: {error}"))),
        }
    }

    /// The spans that a write gives back, and those that it takes.
    fn spans_moved(&self, write: &Write) -> (Vec<Span>, Vec<Span>) {
        let held = |version: &Option<Arc<Object>>| {
            version.as_ref().map(|object| self.kind(&write.key).holds(&write.key, object)).unwrap_or_default()
        };
        let (mut old, mut new) = (held(&write.old), held(&write.new));
        let kept: Vec<Span> = old.extract_if(.., |span| new.contains(span)).collect();
        new.retain(|span| !kept.contains(span));
        (old, new)
    }

    /// Tells the watches.
    fn publish(&self, batch: Batch) {
        let events = batch.writes.into_iter().zip(batch.head + 1..).map(|(Staged { write, bytes, .. }, revision)| {
            let encoded = write.new.is_some().then_some(bytes);
            Arc::new(Event::new(revision, write.key.to_text(), write.old, write.new, encoded))
        });
        self.hub.publish(events.collect());
    }

    fn kind(&self, key: &ObjectKey) -> &dyn Kind<W> {
        self.registry.get(key.resource).expect("keys are made from registered resources only")
    }
}

/// A batch that is decided and not yet committed.
struct Prepared {
    batch: Batch,
    results: Vec<Result<Committed, Refusal>>,
    transaction: Box<dyn Transaction>,
}

fn to_store(staged: &Staged) -> Result<store::Write, Refusal> {
    let Staged { write, bytes, releases, takes } = staged;
    let spans = |spans: &[Span]| spans.iter().map(span_to_store).collect::<Result<Vec<_>, _>>();
    Ok(store::Write {
        key: key_to_store(write.key.to_text())?,
        value: write.new.is_some().then(|| bytes.clone()),
        expected: write.old.as_ref().map(|old| revision_of(old)).transpose()?,
        releases: spans(releases)?,
        takes: spans(takes)?,
    })
}

/// What a dry run shows of a write that is not made: an update keeps the version that it would replace.
fn rehearse(mut write: Write) -> Option<(Arc<Object>, Bytes)> {
    let revision = write.old.as_ref().map(|old| old.metadata.resource_version.clone()).unwrap_or_default();
    write.new.take().map(|mut new| {
        Arc::make_mut(&mut new).metadata.resource_version = revision;
        let bytes = Bytes::from(new.to_bytes());
        (new, bytes)
    })
}

async fn first_holders(transaction: &mut dyn Transaction, reads: &Reads) -> Result<Vec<Span>, store::Error> {
    let Some((space, limit)) = &reads.spans else { return Ok(Vec::new()) };
    let spans = transaction.holders(space, 0, u128::MAX, *limit).await?;
    Ok(spans.into_iter().map(span_from_store).collect())
}

/// An object as the store has it.
pub fn parse(key: &Key, bytes: &[u8]) -> Result<Arc<Object>, store::Error> {
    Object::from_bytes(bytes)
        .map(Arc::new)
        .map_err(|error| store::Error::Corrupt(format!("{key} is not an object: {error}")))
}

/// A span as the world knows it.
pub fn span_from_store(span: store::Span) -> Span {
    Span { space: span.space, first: span.first, last: span.last, holder: span.holder.as_str().to_owned() }
}

fn span_to_store(span: &Span) -> Result<store::Span, Refusal> {
    let holder = key_to_store(span.holder.clone())?;
    Ok(store::Span { space: span.space.clone(), first: span.first, last: span.last, holder })
}

fn key_to_store(text: String) -> Result<Key, Refusal> {
    Key::new(text).map_err(|text| Refusal::new(Reason::InternalError, format!("{text:?} cannot be stored as a key")))
}

fn revision_of(object: &Object) -> Result<Revision, Refusal> {
    object
        .metadata
        .resource_version
        .parse()
        .map(Revision)
        .map_err(|_| Refusal::new(Reason::InternalError, format!("{} has no resourceVersion", object.metadata.name)))
}

fn unavailable(error: &store::Error) -> Refusal {
    match error {
        store::Error::Unavailable(_) => Refusal::new(
            Reason::ServiceUnavailable,
            "the store is unavailable; nothing was written, the request may be repeated",
        )
        .retry_after(1),
        _ => Refusal::new(
            Reason::InternalError,
            "the store refused the write; nothing was written (the server's log says why)",
        ),
    }
}

fn answer_all(replies: Vec<Reply>, refusal: &Refusal) {
    for reply in replies {
        drop(reply.send(Err(refusal.clone())));
    }
}
