//! Prepared commands, and their decision, which needs the decision state.

use std::sync::Arc;

use super::delete::Deletion;
use crate::{
    command::{Command, Decision, ObjectKey, RequestEntropy, Write, WriteResult},
    kind::{Context, DecideFn, Kind, MutationResult, RelatedObjects},
    object::{Object, Template},
    resource::Resource,
    status_error::StatusError,
    time::Time,
    view::View,
};

/// The result of [`super::prepare`]: a write that is computed and validated as far as possible without the decision
/// state.
pub struct PreparedCommand<W> {
    /// Key of the object.
    pub key: ObjectKey,
    /// View of the request, if any. The object is prepared in stored form.
    pub view: Option<&'static View>,
    /// Time at which the request was received.
    pub now: Time,
    /// Compute and validate everything, persist nothing.
    pub dry_run: bool,
    pub(super) entropy: RequestEntropy,
    pub(super) change: PreparedChange<W>,
    pub(super) warnings: Vec<String>,
    pub(super) command: Option<Box<Command>>,
    pub(super) encoded: Option<Template>,
}

/// The prepared write.
pub(super) enum PreparedChange<W> {
    /// A new object.
    Create(Object, Option<DecideFn<W>>),
    /// A new version of an object.
    Update {
        old: Arc<Object>,
        new: Object,
        /// True if `new` equals `old`.
        unchanged: bool,
        decide: Option<DecideFn<W>>,
    },
    /// The deletion of an object, or the beginning of its deletion.
    Delete(Arc<Object>, Deletion),
}

impl<W> PreparedChange<W> {
    /// Converts the change to the stored form; `current` is the stored version.
    pub(super) fn stored(self, view: &View, current: Option<&Arc<Object>>) -> Self {
        match (self, current) {
            (Self::Create(object, decide), _) => Self::Create(view.to_stored(object), decide),
            (Self::Update { new, unchanged, decide, .. }, Some(current)) => {
                Self::Update { old: Arc::clone(current), new: view.to_stored(new), unchanged, decide }
            }
            (Self::Delete(_, Deletion::Started(marked)), Some(current)) => {
                Self::Delete(Arc::clone(current), Deletion::Started(Box::new(view.to_stored(*marked))))
            }
            (Self::Delete(_, deletion), Some(current)) => Self::Delete(Arc::clone(current), deletion),
            // A change or deletion always has a current version.
            (change, None) => change,
        }
    }
}

/// The current state under the key of a prepared command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existence {
    /// No object.
    Absent,
    /// An object.
    Live,
    /// An object whose deletion has begun.
    Terminating,
}

impl Existence {
    /// State of an optional object.
    pub fn of(object: Option<&Object>) -> Self {
        match object {
            None => Self::Absent,
            Some(object) if object.is_terminating() => Self::Terminating,
            Some(_) => Self::Live,
        }
    }
}

/// The original command, which may be large. The decision does not need it; the committer sends it to the request's
/// runtime to be dropped there.
pub type SpentCommand = Option<Box<Command>>;

impl<W> PreparedCommand<W> {
    /// True if the command was prepared for the current version, identified by its resourceVersion. A create is valid
    /// for any: the decision rejects a name that is taken.
    pub fn is_for_version(&self, version: Option<&str>) -> bool {
        match (&self.change, version) {
            (PreparedChange::Create(..), None) => true,
            // An apply that was prepared as a create must be prepared again if the object exists by now.
            (PreparedChange::Create(..), Some(_)) => self.command.is_none(),
            (PreparedChange::Update { old, .. } | PreparedChange::Delete(old, _), version) => {
                version == Some(&*old.metadata.resource_version)
            }
        }
    }

    /// True if the command creates an object.
    pub fn creates(&self) -> bool {
        matches!(self.change, PreparedChange::Create(..))
    }

    /// The version that the command was prepared for; `None` for a create.
    pub fn base_object(&self) -> Option<&Arc<Object>> {
        match &self.change {
            PreparedChange::Create(..) => None,
            PreparedChange::Update { old, .. } | PreparedChange::Delete(old, _) => Some(old),
        }
    }

    /// The new version as prepared; the decision may still change it. `None` for a deletion.
    pub fn new_object(&self) -> Option<&Object> {
        match &self.change {
            PreparedChange::Create(new, _) | PreparedChange::Update { new, .. } => Some(new),
            PreparedChange::Delete(..) => None,
        }
    }

    /// Returns the command, to prepare it again for another version; `None` for a create, which is never prepared
    /// again.
    pub fn into_command(self) -> Option<Command> {
        self.command.map(|command| *command)
    }

    /// Encodes the new version in advance, unless the decision may change it. Worthwhile for large objects.
    pub fn encode(&mut self) {
        self.encoded = match &mut self.change {
            PreparedChange::Create(new, None) | PreparedChange::Update { new, unchanged: false, decide: None, .. } => {
                new.to_template()
            }
            PreparedChange::Delete(_, Deletion::Started(marked)) => marked.to_template(),
            _ => None,
        };
    }

    /// Removes the command, which the decision does not need.
    pub fn take_spent_command(&mut self) -> SpentCommand {
        self.command.take()
    }

    /// Decides the prepared command, which must be prepared for the current version
    /// ([`PreparedCommand::is_for_version`]).
    pub fn decide(
        self,
        kind: &dyn Kind<W>,
        state: &W,
        present: Existence,
        related: &RelatedObjects,
    ) -> Result<Decision, StatusError> {
        let Self { key, view: _, now, dry_run, entropy, change, warnings, command: _, encoded } = self;
        let ctx = Context { now, entropy, dry_run, related };
        let context = DecisionContext { kind, resource: kind.resource(), state, key: &key, ctx };
        let decided = match change {
            PreparedChange::Create(object, decide) => context.create(object, decide, present),
            PreparedChange::Update { old, new, unchanged, decide } => context.update(&old, new, unchanged, decide),
            PreparedChange::Delete(old, deletion) => context.delete(&old, deletion),
        };
        match decided {
            Ok(decision) => Ok(Decision { warnings: [warnings, decision.warnings].concat(), encoded, ..decision }),
            Err(refusal) => Err(refusal.with_warnings(warnings)),
        }
    }
}

/// Context of one decision.
struct DecisionContext<'a, W> {
    kind: &'a dyn Kind<W>,
    resource: &'a Resource,
    state: &'a W,
    key: &'a ObjectKey,
    ctx: Context<'a>,
}

impl<W> DecisionContext<'_, W> {
    /// Runs the remaining decision of the kind, if any.
    fn run_decision(&self, object: Object, decide: Option<DecideFn<W>>) -> Result<MutationResult, StatusError> {
        match decide {
            Some(decide) => decide(self.state, self.key, object, &self.ctx),
            None => Ok(MutationResult { object, ..MutationResult::default() }),
        }
    }

    fn create(&self, object: Object, decide: Option<DecideFn<W>>, present: Existence) -> Result<Decision, StatusError> {
        if present != Existence::Absent {
            return Err(self.already_exists(present));
        }
        let MutationResult { object, secondary_writes, warnings } = self.run_decision(object, decide)?;
        let writes = self.all_writes(secondary_writes, None, Some(object));
        Ok(Decision { writes, answer: WriteResult::Created, warnings, encoded: None })
    }

    fn already_exists(&self, present: Existence) -> StatusError {
        let mut refusal = StatusError::already_exists(self.resource.group, self.resource.plural, &self.key.name);
        if present == Existence::Terminating {
            refusal.message = format!("object is being deleted: {}", refusal.message);
        }
        refusal
    }

    fn update(
        &self,
        old: &Arc<Object>,
        new: Object,
        mut unchanged: bool,
        decide: Option<DecideFn<W>>,
    ) -> Result<Decision, StatusError> {
        let is_complete = decide.is_none();
        let MutationResult { object: new, secondary_writes, warnings } = self.run_decision(new, decide)?;
        if new.is_terminating() && new.metadata.finalizers.is_empty() && !self.kind.has_extra_finalizers(&new) {
            return self.finish_deletion(old, new, warnings);
        }
        unchanged = if is_complete { unchanged } else { new == **old };
        if unchanged && secondary_writes.is_empty() {
            let answer = WriteResult::Unchanged(Arc::clone(old));
            return Ok(Decision { writes: Vec::new(), answer, warnings, encoded: None });
        }
        let writes = self.all_writes(secondary_writes, Some(old), Some(new));
        Ok(Decision { writes, answer: WriteResult::Changed, warnings, encoded: None })
    }

    /// An update that removes the last finalizer deletes the object.
    fn finish_deletion(&self, old: &Arc<Object>, new: Object, warnings: Vec<String>) -> Result<Decision, StatusError> {
        self.kind.validate_delete(self.state, self.key, &new, &self.ctx)?;
        let secondary_writes = self.kind.delete(self.state, self.key, &new, &self.ctx)?;
        let writes = self.all_writes(secondary_writes, Some(old), None);
        Ok(Decision { writes, answer: WriteResult::DeletedByUpdate(Arc::new(new)), warnings, encoded: None })
    }

    fn delete(&self, old: &Arc<Object>, deletion: Deletion) -> Result<Decision, StatusError> {
        let (writes, answer) = match deletion {
            Deletion::Pending => (Vec::new(), WriteResult::Unchanged(Arc::clone(old))),
            Deletion::Started(marked) => {
                self.kind.validate_delete(self.state, self.key, old, &self.ctx)?;
                (self.all_writes(Vec::new(), Some(old), Some(*marked)), WriteResult::Changed)
            }
            Deletion::Finished(details) => {
                self.kind.validate_delete(self.state, self.key, old, &self.ctx)?;
                let secondary_writes = self.kind.delete(self.state, self.key, old, &self.ctx)?;
                (self.all_writes(secondary_writes, Some(old), None), WriteResult::Deleted(details))
            }
        };
        Ok(Decision { writes, answer, warnings: Vec::new(), encoded: None })
    }

    /// The write of the object, followed by the secondary writes.
    fn all_writes(&self, secondary_writes: Vec<Write>, old: Option<&Arc<Object>>, new: Option<Object>) -> Vec<Write> {
        let mut writes = Vec::with_capacity(1 + secondary_writes.len());
        writes.push(Write { key: self.key.clone(), old: old.cloned(), new: new.map(Arc::new) });
        writes.extend(secondary_writes);
        writes
    }
}
