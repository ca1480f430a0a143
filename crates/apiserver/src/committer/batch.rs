//! Deciding: commands one after the other against the world, which moves with each of them.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    panic::{self, AssertUnwindSafe},
    sync::{Arc, PoisonError},
};

use apimachinery::{
    command::{Answer, Command, Decision, ObjectKey, Write},
    kind::{Kind, Related, Span, World},
    object::{Object, Template},
    refusal::Refusal,
    time::Time,
    verbs::{self, Plan, Present, Spent},
    view::View,
};
use bytes::Bytes;
use store::{Key, Record};

use super::{
    Committer, convert,
    queue::{Outdated, Reply, Submitted, Work},
    version::Version,
};
use crate::{
    api, limits,
    metrics::{Decided, PreparedBy},
    standalone::{self, namespace},
};

/// Objects as they are behind a batch: read from the store, or written by a command of the batch.
pub type Objects = HashMap<ObjectKey, Option<Version>>;

/// What one commit will be, so far.
#[derive(Debug, Default)]
pub struct Batch {
    /// The revision that its first write follows.
    pub base: u64,
    /// What it writes, in order.
    pub writes: Vec<Staged>,
    /// What its commands see.
    pub objects: Objects,
    /// The length of all versions that it writes.
    pub bytes: usize,
    /// The latest time of its commands.
    now: Option<Time>,
}

/// A write that waits for its commit.
#[derive(Debug)]
pub struct Staged {
    /// Which object, and from what to what.
    pub write: Write,
    /// The version that is replaced or deleted, encoded, if that is at hand.
    pub old_bytes: Option<Bytes>,
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
    pub verdict: Verdict,
    /// What the decision has left over. It may be large, and is dropped where the caller is answered.
    pub spent: Spent,
}

/// What a caller will hear.
pub enum Verdict {
    /// It is done.
    Done(Outcome),
    /// It is not.
    Refused(Refusal),
    /// It has to be prepared again.
    Outdated(Box<Outdated>),
}

/// Commands that were decided together.
pub struct Deciding<W> {
    /// Who waits for the commit.
    pub callers: Vec<Caller>,
    /// Those for which the batch had no room left.
    pub rest: Vec<Submitted<W>>,
    /// Those whose callers had been answered otherwise, or were gone: nothing was decided of them.
    pub abandoned: Vec<Submitted<W>>,
}

impl<W> Deciding<W> {
    /// All of these are refused because the store could not be read.
    fn refused(submitted: Vec<Submitted<W>>, error: &store::Error) -> Self {
        Self { callers: refused(submitted, error), rest: Vec::new(), abandoned: Vec::new() }
    }
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

impl Batch {
    /// An empty batch whose first write will follow `base`.
    pub fn behind(base: u64) -> Self {
        Self { base, ..Self::default() }
    }

    /// The last revision of the batch.
    pub fn end(&self) -> u64 {
        self.base + self.writes.len() as u64
    }

    /// Whether it is as long as a batch may be.
    pub fn is_full(&self) -> bool {
        self.bytes >= limits::BATCH_BYTES_MAX
    }
}

impl<W: World> Committer<W> {
    /// Decides commands on top of `batch`, which follows `before`, the one that is being committed. The world has moved
    /// when this returns. If the store cannot be read the commands are refused, and nothing has moved.
    pub(super) async fn decide(
        &self,
        batch: &mut Batch,
        before: Option<&Batch>,
        submitted: Vec<Submitted<W>>,
    ) -> Deciding<W> {
        let is_known = |name: &ObjectKey| {
            batch.objects.contains_key(name) || before.is_some_and(|before| before.objects.contains_key(name))
        };
        let (names, keys) = wanted(&submitted, is_known);
        let records = if keys.is_empty() { Ok(Vec::new()) } else { self.store.read(&keys).await };
        match records {
            Ok(records) => batch.objects.extend(objects(names, records)),
            Err(error) => {
                self.writes.failed(&error);
                return Deciding::refused(submitted, &error);
            }
        }
        self.decide_all(batch, before, submitted)
    }

    /// Decides commands; the objects that they see are in the batches.
    pub(super) fn decide_all(
        &self,
        batch: &mut Batch,
        before: Option<&Batch>,
        submitted: Vec<Submitted<W>>,
    ) -> Deciding<W> {
        let callers = Vec::with_capacity(submitted.len());
        let mut deciding = Deciding { callers, rest: Vec::new(), abandoned: Vec::new() };
        for submitted in submitted {
            if submitted.is_abandoned() {
                deciding.abandoned.push(submitted);
            } else if batch.is_full() {
                deciding.rest.push(submitted);
            } else {
                deciding.callers.push(self.decide_one(batch, before, submitted));
            }
        }
        deciding
    }

    /// Adds the writes that sum up what the batch did: it is complete then.
    pub(super) fn settle(&self, batch: &mut Batch) {
        let Some(now) = batch.now else { return };
        let sums = self.world.read().unwrap_or_else(PoisonError::into_inner).settle(now);
        for write in sums {
            self.stage(batch, write, None);
        }
    }

    /// Moves the world back to where it was before the batch.
    pub(super) fn undo(&self, batch: &Batch) {
        let mut world = self.world.write().unwrap_or_else(PoisonError::into_inner);
        for Staged { write, .. } in batch.writes.iter().rev() {
            world.apply(&Write { key: write.key.clone(), old: write.new.clone(), new: write.old.clone() });
        }
    }

    /// Decides one command and, unless it is a dry run, moves the batch and the world on.
    fn decide_one(&self, batch: &mut Batch, before: Option<&Batch>, submitted: Submitted<W>) -> Caller {
        let Submitted { work, reads, home, counted, reply, .. } = submitted;
        let answered = |verdict, spent| Caller { reply, counted, verdict, spent };
        let versions = Versions { batch, before };
        let mut plan = match self.planned(work, &versions) {
            Ok(Ok(plan)) => plan,
            Ok(Err(outdated)) => return answered(Verdict::Outdated(outdated), None),
            Err(refusal) => return answered(Verdict::Refused(refusal), None),
        };
        let spent = plan.spend();
        let (dry_run, now) = (plan.dry_run, plan.now);
        let decided = self.decide_plan(plan, &versions, reads, home);
        batch.now = batch.now.max(Some(now));
        let verdict = match decided {
            Ok(decision) => Verdict::Done(self.take(batch, decision, dry_run)),
            Err(refusal) => Verdict::Refused(refusal),
        };
        answered(verdict, spent)
    }

    /// A plan for the version that is current. One for another version is made again here, unless that is too much work.
    fn planned(&self, work: Work<W>, versions: &Versions<'_>) -> Result<Result<Plan<W>, Box<Outdated>>, Refusal> {
        let current = versions.get(work.key());
        let command = match work {
            Work::Plan(plan) if plan.suits(current.map(Version::resource_version)) => return Ok(Ok(*plan)),
            Work::Plan(plan) => plan.into_command().expect("what suits not everything can be prepared again"),
            Work::Command(command) => *command,
        };
        let bytes = command.body_bytes + current.map_or(0, Version::len);
        if bytes > limits::SMALL_BYTES_MAX || command.action.multiplies() {
            return Ok(Err(Box::new(Outdated { command, current: current.cloned() })));
        }
        if !command.action.is_delete() {
            self.metrics.prepared_again(PreparedBy::Committer);
        }
        let current = current.map(Version::object).transpose().map_err(|error| convert::not_written(&error))?;
        self.prepare(command, current).map(Ok)
    }

    fn prepare(&self, command: Command, current: Option<&Arc<Object>>) -> Result<Plan<W>, Refusal> {
        let kind = self.seen_by(&command.key, command.view);
        let schema = self.schemas.get(kind.resource());
        let prepare = || verbs::prepare(kind, schema, command, current);
        panic::catch_unwind(AssertUnwindSafe(prepare)).unwrap_or_else(|_| Err(api::panicked()))
    }

    fn decide_plan(
        &self,
        plan: Plan<W>,
        versions: &Versions<'_>,
        reads: Vec<ObjectKey>,
        home: Option<ObjectKey>,
    ) -> Result<Decision, Refusal> {
        let kind = self.seen_by(&plan.key, plan.view);
        let corrupt = |error: store::Error| convert::not_written(&error);
        let present = |key: &ObjectKey| versions.get(key).map(Version::present).transpose().map_err(corrupt);
        if let Some(home) = home.filter(|_| plan.creates()) {
            namespace::admit(kind.resource(), &plan.key, present(&home)?)?;
        }
        let related = versions.related(reads).map_err(corrupt)?;
        let present = match plan.basis() {
            Some(basis) => Present::of(Some(basis)),
            None => present(&plan.key)?.unwrap_or(Present::Nothing),
        };
        let world = self.world.read().unwrap_or_else(PoisonError::into_inner);
        let decide = || plan.decide(kind, &*world, present, &related);
        // It only looks: one that panics leaves nothing half done.
        panic::catch_unwind(AssertUnwindSafe(decide)).unwrap_or_else(|_| Err(api::panicked()))
    }

    /// Moves the batch and the world on by a decision; a dry run only shows it.
    fn take(&self, batch: &mut Batch, decision: Decision, dry_run: bool) -> Outcome {
        let Decision { writes, answer, warnings, encoded } = decision;
        let first = if dry_run {
            writes.into_iter().next().map_or(Shown::Nothing, rehearse)
        } else {
            self.stage_all(batch, writes, encoded)
        };
        let shown = match &answer {
            Answer::Unchanged(object) | Answer::DeletedBy(object) => Shown::Object(Arc::clone(object)),
            Answer::Created | Answer::Changed => first,
            Answer::Deleted(_) => Shown::Nothing,
        };
        Outcome { answer, shown, warnings }
    }

    fn stage_all(&self, batch: &mut Batch, writes: Vec<Write>, mut encoded: Option<Template>) -> Shown {
        let first = batch.writes.len();
        for write in writes {
            self.stage(batch, write, encoded.take());
        }
        Shown::Write(first)
    }

    /// Gives a write its revision, moves the world on and adds it to the batch. `encoded` is its new version, if that has
    /// been encoded before.
    fn stage(&self, batch: &mut Batch, mut write: Write, encoded: Option<Template>) {
        let version = (batch.end() + 1).to_string();
        let bytes = write.new.as_mut().map(|new| {
            let bytes = encoded.map(|encoded| encoded.with_version(&version));
            Arc::make_mut(new).metadata.resource_version = version;
            Bytes::from(bytes.unwrap_or_else(|| new.to_bytes()))
        });
        let bytes = bytes.unwrap_or_default();
        self.world.write().unwrap_or_else(PoisonError::into_inner).apply(&write);
        let version = write.new.as_ref().map(|new| Version::decided(Arc::clone(new), bytes.clone()));
        let old = batch.objects.insert(write.key.clone(), version).flatten();
        let old_bytes = old.filter(|_| write.old.is_some()).map(Version::into_bytes);
        batch.bytes += bytes.len();
        let (releases, takes) = self.spans_moved(&write);
        let tied = [&write.old, &write.new].into_iter().flatten().any(|object| standalone::is_tied(object))
            && !self.kind(&write.key).follows();
        batch.writes.push(Staged { write, old_bytes, bytes, releases, takes, tied });
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
        self.seen_by(key, None)
    }

    fn seen_by(&self, key: &ObjectKey, view: Option<&View>) -> &dyn Kind<W> {
        self.registry.seen_by(key.resource, view).expect("keys are made from registered resources only")
    }
}

/// What commands see: the batch, before it the one that is being committed, and what was read for them.
struct Versions<'a> {
    batch: &'a Batch,
    before: Option<&'a Batch>,
}

impl<'a> Versions<'a> {
    fn get(&self, key: &ObjectKey) -> Option<&'a Version> {
        let before = || self.before?.objects.get(key);
        self.batch.objects.get(key).or_else(before)?.as_ref()
    }

    /// What a decision reads.
    fn related(&self, reads: Vec<ObjectKey>) -> Result<Related, store::Error> {
        let mut objects = BTreeMap::new();
        for key in reads {
            if let Some(version) = self.get(&key) {
                objects.insert(key, Arc::clone(version.object()?));
            }
        }
        Ok(Related { objects })
    }
}

/// The objects that commands are about and read, except those that are known, and their keys in the store.
pub fn wanted<W>(submitted: &[Submitted<W>], is_known: impl Fn(&ObjectKey) -> bool) -> (Vec<ObjectKey>, Vec<Key>) {
    let others = submitted.iter().flat_map(|submitted| submitted.reads.iter().chain(&submitted.home));
    // Many commands are about few namespaces.
    let wanted: BTreeSet<&ObjectKey> = submitted.iter().map(|submitted| submitted.work.key()).chain(others).collect();
    let wanted = wanted.into_iter().filter(|name| !is_known(name));
    // A key that the store could not hold names no object.
    wanted.filter_map(|name| Some((name.clone(), Key::new(name.to_text()).ok()?))).unzip()
}

/// Objects of these names, as the store had them.
pub fn objects(names: Vec<ObjectKey>, records: Vec<Option<Record>>) -> Objects {
    names.into_iter().zip(records).map(|(name, record)| (name, record.map(Version::stored))).collect()
}

/// All of these are refused because the store could not be read.
pub fn refused<W>(submitted: Vec<Submitted<W>>, error: &store::Error) -> Vec<Caller> {
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
