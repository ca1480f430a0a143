//! Deciding: commands one after the other against the world, which moves with each of them.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    panic::{self, AssertUnwindSafe},
    sync::{Arc, PoisonError},
};

use apimachinery::{
    command::{Action, Answer, Command, Decision, ObjectKey, Write},
    kind::{Kind, Reads, Related, Span, World},
    object::Object,
    refusal::Refusal,
    time::Time,
    verbs,
};
use bytes::Bytes;
use futures::future::BoxFuture;
use store::{Key, Record};

use super::{Committer, Reply, Submitted, convert};
use crate::{
    api,
    metrics::Decided,
    standalone::{self, Surroundings, namespace},
};

/// Objects as they are behind a batch: read from the store, or written by a command of the batch.
pub type Objects = HashMap<ObjectKey, Option<Arc<Object>>>;

/// What one commit will be, so far.
#[derive(Debug, Default)]
pub struct Batch {
    /// The revision that its first write follows.
    pub base: u64,
    /// What it writes, in order.
    pub writes: Vec<Staged>,
    /// What its commands see.
    pub objects: Objects,
    /// The latest time of its commands.
    now: Option<Time>,
}

/// A write that waits for its commit.
#[derive(Debug)]
pub struct Staged {
    /// Which object, and from what to what.
    pub write: Write,
    /// The new version, encoded; empty for a deletion.
    pub bytes: Bytes,
    /// The spans that it gives back.
    pub releases: Vec<Span>,
    /// The spans that it takes.
    pub takes: Vec<Span>,
    /// Whether a garbage collector has to look at it.
    pub tied: bool,
}

/// Somebody who waits for the commit of a batch, and what they will hear if it succeeds.
pub struct Caller {
    /// Where they wait.
    pub reply: Reply,
    /// What they wanted, as it is counted.
    pub counted: Decided,
    /// What was decided.
    pub outcome: Result<Outcome, Refusal>,
}

/// What a command came to.
pub struct Outcome {
    /// The kind of answer.
    pub answer: Answer,
    /// The object of the answer.
    pub shown: Shown,
    /// For the `Warning` header.
    pub warnings: Vec<String>,
}

/// The object of an answer.
pub enum Shown {
    /// The new version of this write of the batch.
    Write(usize),
    /// This one, which is not written.
    Object(Arc<Object>),
    /// None.
    Nothing,
}

/// What a command wants to see beside the object that it is about.
pub struct Wish {
    /// Other objects, and a space whose holders it wants to see.
    reads: Reads,
    /// The namespace that something new may come into.
    home: Option<ObjectKey>,
}

impl Wish {
    /// The space whose holders are wanted, and how many.
    pub fn space(&self) -> Option<(&str, usize)> {
        self.reads.spans.as_ref().map(|(space, limit)| (space.as_str(), *limit))
    }
}

impl Batch {
    /// An empty batch whose first write will follow `base`.
    pub fn behind(base: u64) -> Self {
        Self { base, ..Self::default() }
    }

    /// The last revision of the batch.
    pub fn end(&self) -> u64 {
        self.base + self.writes.len() as u64
    }

    /// Spans as this batch has left them. Whoever read them may or may not have seen it already.
    fn pass_over(&self, space: &str, spans: &mut Vec<Span>) {
        for Staged { releases, takes, .. } in &self.writes {
            spans.retain(|span| !releases.contains(span));
            for span in takes.iter().filter(|span| span.space == *space) {
                if !spans.contains(span) {
                    spans.push(span.clone());
                }
            }
        }
    }
}

impl<W: World> Committer<W> {
    /// Decides commands on top of `batch`, which follows `before`, the one that is being committed. The world has moved
    /// when this returns. If the store cannot be read the commands are refused, and nothing has moved.
    pub(super) async fn decide(
        &self,
        batch: &mut Batch,
        before: Option<&Batch>,
        submitted: Vec<Submitted>,
    ) -> Vec<Caller> {
        let wishes = self.wishes(&submitted);
        let is_known = |name: &ObjectKey| {
            batch.objects.contains_key(name) || before.is_some_and(|before| before.objects.contains_key(name))
        };
        let (names, keys) = wanted(&submitted, &wishes, is_known);
        let loaded = async {
            let records = if keys.is_empty() { Vec::new() } else { self.store.read(&keys).await? };
            let spans = holders(&wishes, |space, limit| self.store.holders(space, 0, u128::MAX, limit)).await?;
            Ok((objects(names, records)?, spans))
        };
        let spans = match loaded.await {
            Ok((objects, spans)) => {
                batch.objects.extend(objects);
                spans
            }
            Err(error) => {
                self.writes.failed(&error);
                return refused(submitted, &error);
            }
        };
        self.decide_all(batch, before, submitted, wishes, spans)
    }

    /// Decides commands that may see these spans; the objects are in the batches.
    pub(super) fn decide_all(
        &self,
        batch: &mut Batch,
        before: Option<&Batch>,
        submitted: Vec<Submitted>,
        wishes: Vec<Wish>,
        spans: Vec<Vec<Span>>,
    ) -> Vec<Caller> {
        let mut callers = Vec::with_capacity(submitted.len());
        for ((Submitted { command, reply }, wish), spans) in submitted.into_iter().zip(wishes).zip(spans) {
            batch.now = batch.now.max(Some(command.now));
            let counted = Decided::of(&command);
            let outcome = self.decide_one(batch, before, command, wish, spans);
            callers.push(Caller { reply, counted, outcome });
        }
        callers
    }

    /// Adds the writes that sum up what the batch did: it is complete then.
    pub(super) fn settle(&self, batch: &mut Batch) {
        let Some(now) = batch.now else { return };
        let sums = self.world.read().unwrap_or_else(PoisonError::into_inner).settle(now);
        for write in sums {
            self.stage(batch, write);
        }
    }

    /// Moves the world back to where it was before the batch.
    pub(super) fn undo(&self, batch: &Batch) {
        let mut world = self.world.write().unwrap_or_else(PoisonError::into_inner);
        for Staged { write, .. } in batch.writes.iter().rev() {
            world.apply(&Write { key: write.key.clone(), old: write.new.clone(), new: write.old.clone() });
        }
    }

    /// The namespace that something new may come into.
    fn home(&self, command: &Command) -> Option<ObjectKey> {
        let makes = matches!(command.action, Action::Create(_) | Action::Apply { subresource: None, .. });
        let ours = self.surroundings == Surroundings::Nothing && !command.key.namespace.is_empty();
        (makes && ours).then(|| namespace::key(&command.key.scope, &command.key.namespace))
    }

    /// What each of these commands wants to see.
    pub(super) fn wishes(&self, submitted: &[Submitted]) -> Vec<Wish> {
        let wish = |Submitted { command, .. }: &Submitted| {
            let kind = self.registry.get(command.key.resource);
            let reads = kind.map(|kind| kind.reads(&command.key)).unwrap_or_default();
            Wish { reads, home: self.home(command) }
        };
        submitted.iter().map(wish).collect()
    }

    /// Decides one command and, unless it is a dry run, moves the batch and the world on.
    fn decide_one(
        &self,
        batch: &mut Batch,
        before: Option<&Batch>,
        command: Command,
        wish: Wish,
        mut spans: Vec<Span>,
    ) -> Result<Outcome, Refusal> {
        let Wish { reads: Reads { keys, spans: spaces }, home } = wish;
        let kind = self.kind(&command.key);
        let schema = &self.schemas[command.key.resource];
        let object = |key: &ObjectKey| {
            let known = batch.objects.get(key).or_else(|| before?.objects.get(key));
            known.cloned().flatten()
        };
        let current = object(&command.key);
        if let Some(home) = home.as_ref().filter(|_| current.is_none() || matches!(command.action, Action::Create(_))) {
            namespace::admit(kind.resource(), &command.key, object(home).as_deref())?;
        }
        let objects: BTreeMap<_, _> =
            keys.into_iter().filter_map(|key| object(&key).map(|found| (key, found))).collect();
        if let Some((space, limit)) = spaces {
            for earlier in before.into_iter().chain([&*batch]) {
                earlier.pass_over(&space, &mut spans);
            }
            spans.sort_by_key(|span| span.first);
            spans.truncate(limit);
        }
        let related = Related { objects, spans };
        let dry_run = command.dry_run;
        let Decision { writes, answer, warnings } = {
            let world = self.world.read().unwrap_or_else(PoisonError::into_inner);
            let decide = || verbs::decide(kind, schema, &*world, command, current.as_ref(), &related);
            // It only looks: one that panics leaves nothing half done.
            panic::catch_unwind(AssertUnwindSafe(decide)).unwrap_or_else(|_| Err(api::panicked()))?
        };
        let first = if dry_run {
            writes.into_iter().next().map_or(Shown::Nothing, rehearse)
        } else {
            self.stage_all(batch, writes)
        };
        let shown = match &answer {
            Answer::Unchanged(object) | Answer::DeletedBy(object) => Shown::Object(Arc::clone(object)),
            Answer::Created | Answer::Changed => first,
            Answer::Deleted(_) => Shown::Nothing,
        };
        Ok(Outcome { answer, shown, warnings })
    }

    fn stage_all(&self, batch: &mut Batch, writes: Vec<Write>) -> Shown {
        let first = batch.writes.len();
        for write in writes {
            self.stage(batch, write);
        }
        Shown::Write(first)
    }

    /// Gives a write its revision, moves the world on and adds it to the batch.
    fn stage(&self, batch: &mut Batch, mut write: Write) {
        if let Some(new) = &mut write.new {
            Arc::make_mut(new).metadata.resource_version = (batch.end() + 1).to_string();
        }
        self.world.write().unwrap_or_else(PoisonError::into_inner).apply(&write);
        batch.objects.insert(write.key.clone(), write.new.clone());
        let bytes = write.new.as_ref().map(|new| Bytes::from(new.to_bytes())).unwrap_or_default();
        let (releases, takes) = self.spans_moved(&write);
        let tied = [&write.old, &write.new].into_iter().flatten().any(|object| standalone::is_tied(object))
            && !self.kind(&write.key).follows();
        batch.writes.push(Staged { write, bytes, releases, takes, tied });
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

    fn kind(&self, key: &ObjectKey) -> &dyn Kind<W> {
        self.registry.get(key.resource).expect("keys are made from registered resources only")
    }
}

/// The objects that commands are about and want to see, except those that are known, and their keys in the store.
pub fn wanted(
    submitted: &[Submitted],
    wishes: &[Wish],
    is_known: impl Fn(&ObjectKey) -> bool,
) -> (Vec<ObjectKey>, Vec<Key>) {
    let others = wishes.iter().flat_map(|wish| wish.reads.keys.iter().chain(&wish.home));
    // Many commands are about few namespaces.
    let wanted: BTreeSet<&ObjectKey> = submitted.iter().map(|s| &s.command.key).chain(others).collect();
    let wanted = wanted.into_iter().filter(|name| !is_known(name));
    // A key that the store could not hold names no object.
    wanted.filter_map(|name| Some((name.clone(), Key::new(name.to_text()).ok()?))).unzip()
}

/// Objects of these names, as the store had them.
pub fn objects(names: Vec<ObjectKey>, records: Vec<Option<Record>>) -> Result<Objects, store::Error> {
    let object = |record: Option<Record>| record.map(|record| convert::parse(&record.key, &record.value)).transpose();
    names.into_iter().zip(records).map(|(name, record)| Ok((name, object(record)?))).collect()
}

/// For each command the spans that it wants to see; `read` reads so many of a space.
pub async fn holders<'a>(
    wishes: &'a [Wish],
    read: impl Fn(&'a str, usize) -> BoxFuture<'a, Result<Vec<store::Span>, store::Error>>,
) -> Result<Vec<Vec<Span>>, store::Error> {
    let mut spans = Vec::with_capacity(wishes.len());
    for wish in wishes {
        spans.push(match wish.space() {
            None => Vec::new(),
            Some((space, limit)) => read(space, limit).await?.into_iter().map(convert::span_from_store).collect(),
        });
    }
    Ok(spans)
}

/// All of these are refused because the store could not be read.
pub fn refused(submitted: Vec<Submitted>, error: &store::Error) -> Vec<Caller> {
    let refusal = convert::not_written(error);
    submitted.into_iter().map(|submitted| submitted.refused(refusal.clone())).collect()
}

/// What a dry run shows of a write that is not made: an update keeps the version that it would replace.
fn rehearse(mut write: Write) -> Shown {
    let revision = write.old.as_ref().map(|old| old.metadata.resource_version.clone()).unwrap_or_default();
    write.new.take().map_or(Shown::Nothing, |mut new| {
        Arc::make_mut(&mut new).metadata.resource_version = revision;
        Shown::Object(new)
    })
}

#[cfg(test)]
mod tests {
    use apimachinery::command::Scope;

    use super::*;

    fn span(first: u128) -> Span {
        Span { space: "s".to_owned(), first, last: first, holder: format!("h{first}") }
    }

    fn staged(releases: Vec<Span>, takes: Vec<Span>) -> Staged {
        let key =
            ObjectKey { resource: "cards", scope: Scope::platform(), namespace: String::new(), name: "c".to_owned() };
        Staged { write: Write { key, old: None, new: None }, bytes: Bytes::new(), releases, takes, tied: false }
    }

    #[test]
    fn spans_look_the_same_whether_the_batch_was_seen_or_not() {
        let writes = vec![staged(vec![span(1)], vec![span(2)]), staged(vec![span(2)], vec![span(3), span(1)])];
        let batch = Batch { writes, ..Batch::default() };
        for read in [vec![span(0), span(1)], vec![span(0), span(3), span(1)]] {
            let mut spans = read;
            batch.pass_over("s", &mut spans);
            spans.sort_by_key(|span| span.first);
            assert_eq!(spans, [span(0), span(1), span(3)]);
        }
    }
}
