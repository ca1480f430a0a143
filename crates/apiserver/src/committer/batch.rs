//! Decides commands one after the other against the decision state, which is updated after each.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    panic::{self, AssertUnwindSafe},
    sync::{Arc, PoisonError},
};

use apimachinery::{
    command::{Command, Decision, ObjectKey, Write, WriteResult},
    kind::{Kind, RelatedObjects, Span, State},
    metadata,
    object::{Object, Template},
    rest::{self, Existence, PreparedCommand, SpentCommand},
    status_error::StatusError,
    time::Time,
    view::View,
};
use bytes::Bytes;
use store::{Key, Record};

use super::{
    Committer, convert,
    queue::{Outdated, PendingCommand, ReplySender, Work},
    version::Version,
};
use crate::{
    errors, keys, limits,
    metrics::{CommandLabels, PreparedBy},
};

/// The objects that the commands of a batch read or wrote, in their latest version; `None` if an object does not exist.
pub type Objects = HashMap<ObjectKey, Option<Version>>;

/// The contents of one commit, so far.
#[derive(Debug, Default)]
pub struct Batch {
    /// The revision before its first write.
    pub base: u64,
    /// Its writes, in order.
    pub writes: Vec<Staged>,
    /// The objects that its commands read.
    pub objects: Objects,
    /// The size of all versions that it writes, in bytes.
    pub bytes: usize,
    /// The latest time of its commands.
    now: Option<Time>,
}

/// A write that is part of an open batch.
#[derive(Debug)]
pub struct Staged {
    /// The key, and the old and new version.
    pub write: Write,
    /// The encoded version that is replaced or deleted, if it is available.
    pub old_bytes: Option<Bytes>,
    /// The encoded new version; empty for a deletion.
    pub bytes: Bytes,
    /// The spans that it releases.
    pub releases: Vec<Span>,
    /// The spans that it takes.
    pub takes: Vec<Span>,
    /// True if the garbage collector has to process it.
    pub gc_relevant: bool,
}

/// A caller that waits for the commit of a batch, and its result if the commit succeeds.
pub struct PendingReply {
    /// The channel to the caller.
    pub reply: ReplySender,
    /// The labels of its command in the metrics.
    pub labels: CommandLabels,
    /// The result of the decision.
    pub verdict: Verdict,
    /// Values that the decision no longer needs. They may be large, and are dropped by the task that answers the
    /// caller.
    pub spent: SpentCommand,
}

/// The result of a decision.
pub enum Verdict {
    /// Accepted.
    Done(CommandOutcome),
    /// Rejected.
    Refused(StatusError),
    /// The command has to be prepared again.
    Outdated(Box<Outdated>),
}

/// The result of deciding several commands.
pub struct DecidedCommands<W> {
    /// The callers that wait for the commit.
    pub pending_replies: Vec<PendingReply>,
    /// Commands for which the batch had no room left.
    pub rest: Vec<PendingCommand<W>>,
    /// Commands that were not decided because their callers had timed out or disconnected.
    pub abandoned: Vec<PendingCommand<W>>,
}

impl<W> DecidedCommands<W> {
    /// Rejects all commands because the store could not be read.
    fn refused(submitted: Vec<PendingCommand<W>>, error: &store::Error) -> Self {
        Self { pending_replies: refused(submitted, error), rest: Vec::new(), abandoned: Vec::new() }
    }
}

/// The result of an accepted command.
pub struct CommandOutcome {
    /// The kind of response.
    pub answer: WriteResult,
    /// The object of the response.
    pub response_object: ResponseObject,
    /// Texts for the `Warning` header.
    pub warnings: Vec<String>,
}

/// The object of a response.
pub enum ResponseObject {
    /// The new version of the write with this index in the batch.
    Write(usize),
    /// An object that is not written.
    Object(Arc<Object>),
    /// No object.
    None,
}

impl Batch {
    /// An empty batch whose first write has the revision after `base`.
    pub fn after(base: u64) -> Self {
        Self { base, ..Self::default() }
    }

    /// The last revision of the batch.
    pub fn end(&self) -> u64 {
        self.base + self.writes.len() as u64
    }

    /// True if the batch has reached its maximum size in bytes.
    pub fn is_full(&self) -> bool {
        self.bytes >= limits::BATCH_BYTES_MAX
    }
}

impl<W: State> Committer<W> {
    /// Decides commands on top of `batch`, which follows `before`, the batch that is being committed, and updates the
    /// decision state. If the store cannot be read, all commands are rejected and nothing changes.
    pub(super) async fn decide(
        &self,
        batch: &mut Batch,
        before: Option<&Batch>,
        submitted: Vec<PendingCommand<W>>,
    ) -> DecidedCommands<W> {
        let is_known = |name: &ObjectKey| {
            batch.objects.contains_key(name) || before.is_some_and(|before| before.objects.contains_key(name))
        };
        let (names, keys) = keys_to_read(&submitted, is_known);
        let records = if keys.is_empty() { Ok(Vec::new()) } else { self.store.read(&keys).await };
        match records {
            Ok(records) => batch.objects.extend(objects(names, records)),
            Err(error) => {
                self.writes.failed(&error);
                return DecidedCommands::refused(submitted, &error);
            }
        }
        self.decide_all(batch, before, submitted)
    }

    /// Decides commands whose objects have been read into the batches.
    pub(super) fn decide_all(
        &self,
        batch: &mut Batch,
        before: Option<&Batch>,
        submitted: Vec<PendingCommand<W>>,
    ) -> DecidedCommands<W> {
        let pending_replies = Vec::with_capacity(submitted.len());
        let mut deciding = DecidedCommands { pending_replies, rest: Vec::new(), abandoned: Vec::new() };
        for submitted in submitted {
            if submitted.is_abandoned() {
                deciding.abandoned.push(submitted);
            } else if batch.is_full() {
                deciding.rest.push(submitted);
            } else {
                deciding.pending_replies.push(self.decide_one(batch, before, submitted));
            }
        }
        deciding
    }

    /// Adds the status updates that follow from the whole batch, such as those of pools; the batch is then complete.
    pub(super) fn stage_status_updates(&self, batch: &mut Batch) {
        let Some(now) = batch.now else { return };
        let sums = self.state.read().unwrap_or_else(PoisonError::into_inner).pending_status_updates(now);
        for write in sums {
            self.stage(batch, write, None);
        }
    }

    /// Rolls the decision state back to what it was before the batch.
    pub(super) fn undo(&self, batch: &Batch) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        for Staged { write, .. } in batch.writes.iter().rev() {
            state.apply(&Write { key: write.key.clone(), old: write.new.clone(), new: write.old.clone() });
        }
    }

    /// Decides one command and, unless it is a dry run, adds its writes to the batch and the state.
    fn decide_one(&self, batch: &mut Batch, before: Option<&Batch>, submitted: PendingCommand<W>) -> PendingReply {
        let PendingCommand { work, reads, namespace_to_check, labels, reply, .. } = submitted;
        let answered = |verdict, spent| PendingReply { reply, labels, verdict, spent };
        let versions = Versions { batch, before };
        let mut plan = match self.ensure_prepared(work, &versions) {
            Ok(Ok(plan)) => plan,
            Ok(Err(outdated)) => return answered(Verdict::Outdated(outdated), None),
            Err(refusal) => return answered(Verdict::Refused(refusal), None),
        };
        let spent = plan.take_spent_command();
        let (dry_run, now) = (plan.dry_run, plan.now);
        let decided = self.decide_prepared(plan, &versions, reads, namespace_to_check);
        batch.now = batch.now.max(Some(now));
        let verdict = match decided {
            Ok(decision) => Verdict::Done(self.take(batch, decision, dry_run)),
            Err(refusal) => Verdict::Refused(refusal),
        };
        answered(verdict, spent)
    }

    /// Returns the prepared command if it was prepared for the current version. Otherwise prepares it again here, or
    /// returns [`Outdated`] if that is too much work for this thread.
    fn ensure_prepared(
        &self,
        work: Work<W>,
        versions: &Versions<'_>,
    ) -> Result<Result<PreparedCommand<W>, Box<Outdated>>, StatusError> {
        let current = versions.get(work.key());
        let command = match work {
            Work::Plan(plan) if plan.is_for_version(current.map(Version::resource_version)) => return Ok(Ok(*plan)),
            Work::Plan(plan) => {
                plan.into_command().expect("a command that may not fit the current version keeps its original")
            }
            Work::Command(command) => *command,
        };
        let bytes = command.body_bytes + current.map_or(0, Version::len);
        if bytes > limits::SMALL_BYTES_MAX || command.action.has_copy() {
            return Ok(Err(Box::new(Outdated { command, current: current.cloned() })));
        }
        if !command.action.is_delete() {
            self.metrics.prepared_again(PreparedBy::Committer);
        }
        let current = current.map(Version::object).transpose().map_err(|error| convert::not_written(&error))?;
        self.prepare(command, current).map(Ok)
    }

    fn prepare(&self, command: Command, current: Option<&Arc<Object>>) -> Result<PreparedCommand<W>, StatusError> {
        let kind = self.find_view(&command.key, command.view);
        let schema = self.schemas.get(kind.resource());
        let prepare = || rest::prepare(kind, schema, command, current);
        panic::catch_unwind(AssertUnwindSafe(prepare)).unwrap_or_else(|_| Err(errors::panic_error()))
    }

    fn decide_prepared(
        &self,
        plan: PreparedCommand<W>,
        versions: &Versions<'_>,
        reads: Vec<ObjectKey>,
        namespace_to_check: Option<ObjectKey>,
    ) -> Result<Decision, StatusError> {
        let kind = self.find_view(&plan.key, plan.view);
        let corrupt = |error: store::Error| convert::not_written(&error);
        let present = |key: &ObjectKey| versions.get(key).map(Version::present).transpose().map_err(corrupt);
        if let Some(namespace_to_check) = namespace_to_check.filter(|_| plan.creates()) {
            self.admission.validate_create(kind.resource(), &plan.key, present(&namespace_to_check)?)?;
        }
        let related = versions.related(reads).map_err(corrupt)?;
        let present = match plan.base_object() {
            Some(basis) => Existence::of(Some(basis)),
            None => present(&plan.key)?.unwrap_or(Existence::Absent),
        };
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let decide = || plan.decide(kind, &*state, present, &related);
        // A decision only reads the state, so a panic leaves it unchanged.
        panic::catch_unwind(AssertUnwindSafe(decide)).unwrap_or_else(|_| Err(errors::panic_error()))
    }

    /// Adds the writes of a decision to the batch and the state; a dry run only returns the result.
    fn take(&self, batch: &mut Batch, decision: Decision, dry_run: bool) -> CommandOutcome {
        let Decision { writes, answer, warnings, encoded } = decision;
        let first = if dry_run {
            writes.into_iter().next().map_or(ResponseObject::None, dry_run_result)
        } else {
            self.stage_all(batch, writes, encoded)
        };
        let response_object = match &answer {
            WriteResult::Unchanged(object) | WriteResult::DeletedByUpdate(object) => {
                ResponseObject::Object(Arc::clone(object))
            }
            WriteResult::Created | WriteResult::Changed => first,
            WriteResult::Deleted(_) => ResponseObject::None,
        };
        CommandOutcome { answer, response_object, warnings }
    }

    fn stage_all(&self, batch: &mut Batch, writes: Vec<Write>, mut encoded: Option<Template>) -> ResponseObject {
        let first = batch.writes.len();
        for write in writes {
            self.stage(batch, write, encoded.take());
        }
        ResponseObject::Write(first)
    }

    /// Assigns a revision to a write, applies it to the state and adds it to the batch. `encoded` is the encoded new
    /// version, if there is one already.
    fn stage(&self, batch: &mut Batch, mut write: Write, encoded: Option<Template>) {
        let version = (batch.end() + 1).to_string();
        let bytes = write.new.as_mut().map(|new| {
            let bytes = encoded.map(|encoded| encoded.with_version(&version));
            Arc::make_mut(new).metadata.resource_version = version;
            Bytes::from(bytes.unwrap_or_else(|| new.to_bytes()))
        });
        let bytes = bytes.unwrap_or_default();
        self.state.write().unwrap_or_else(PoisonError::into_inner).apply(&write);
        let version = write.new.as_ref().map(|new| Version::decided(Arc::clone(new), bytes.clone()));
        let old = batch.objects.insert(write.key.clone(), version).flatten();
        let old_bytes = old.filter(|_| write.old.is_some()).map(Version::into_bytes);
        batch.bytes += bytes.len();
        let (releases, takes) = self.span_diff(&write);
        let gc_relevant = [&write.old, &write.new].into_iter().flatten().any(|object| metadata::is_gc_relevant(object))
            && !self.kind(&write.key).is_managed_by_owner();
        batch.writes.push(Staged { write, old_bytes, bytes, releases, takes, gc_relevant });
    }

    /// The spans that a write releases, and those that it takes.
    fn span_diff(&self, write: &Write) -> (Vec<Span>, Vec<Span>) {
        let held = |version: &Option<Arc<Object>>| {
            version.as_ref().map(|object| self.kind(&write.key).spans(&write.key, object)).unwrap_or_default()
        };
        let (mut old, mut new) = (held(&write.old), held(&write.new));
        let kept: Vec<Span> = old.extract_if(.., |span| new.contains(span)).collect();
        new.retain(|span| !kept.contains(span));
        (old, new)
    }

    fn kind(&self, key: &ObjectKey) -> &dyn Kind<W> {
        self.find_view(key, None)
    }

    fn find_view(&self, key: &ObjectKey, view: Option<&View>) -> &dyn Kind<W> {
        self.registry.find_view(key.resource, view).expect("keys are made from registered resources only")
    }
}

/// The versions of objects for a decision: those of the batch, or else those of `before`, the batch that is being
/// committed.
struct Versions<'a> {
    batch: &'a Batch,
    before: Option<&'a Batch>,
}

impl<'a> Versions<'a> {
    fn get(&self, key: &ObjectKey) -> Option<&'a Version> {
        let before = || self.before?.objects.get(key);
        self.batch.objects.get(key).or_else(before)?.as_ref()
    }

    /// The objects of a command's read set.
    fn related(&self, reads: Vec<ObjectKey>) -> Result<RelatedObjects, store::Error> {
        let mut objects = BTreeMap::new();
        for key in reads {
            if let Some(version) = self.get(&key) {
                objects.insert(key, Arc::clone(version.object()?));
            }
        }
        Ok(RelatedObjects { objects })
    }
}

/// The objects that commands change or read, except those for which `is_known` is true, with their store keys.
pub fn keys_to_read<W>(
    submitted: &[PendingCommand<W>],
    is_known: impl Fn(&ObjectKey) -> bool,
) -> (Vec<ObjectKey>, Vec<Key>) {
    let others = submitted.iter().flat_map(|submitted| submitted.reads.iter().chain(&submitted.namespace_to_check));
    // Many commands share few namespaces.
    let keys_to_read: BTreeSet<&ObjectKey> =
        submitted.iter().map(|submitted| submitted.work.key()).chain(others).collect();
    let keys_to_read = keys_to_read.into_iter().filter(|name| !is_known(name));
    // An object whose key is invalid in the store cannot exist.
    keys_to_read.filter_map(|name| Some((name.clone(), keys::store_key(name)?))).unzip()
}

/// Pairs object keys with the records that the store returned for them.
pub fn objects(names: Vec<ObjectKey>, records: Vec<Option<Record>>) -> Objects {
    names.into_iter().zip(records).map(|(name, record)| (name, record.map(Version::stored))).collect()
}

/// Rejects all commands because the store could not be read.
pub fn refused<W>(submitted: Vec<PendingCommand<W>>, error: &store::Error) -> Vec<PendingReply> {
    let refusal = convert::not_written(error);
    submitted.into_iter().map(|submitted| submitted.refused(refusal.clone())).collect()
}

/// The object that a dry run returns for a write. An update keeps the resourceVersion that it would replace.
fn dry_run_result(mut write: Write) -> ResponseObject {
    let revision = write.old.as_ref().map(|old| old.metadata.resource_version.clone()).unwrap_or_default();
    write.new.take().map_or(ResponseObject::None, |mut new| {
        Arc::make_mut(&mut new).metadata.resource_version = revision;
        ResponseObject::Object(new)
    })
}
