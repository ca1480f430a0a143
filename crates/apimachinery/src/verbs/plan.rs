//! Prepared commands, and their decision: the rest of the work, which needs the decision state.

use std::sync::Arc;

use super::delete::Deletion;
use crate::{
    command::{Answer, Command, Decision, ObjectKey, Seed, Write},
    kind::{Context, Decide, Decided, Kind, Related, Resource},
    object::{Object, Template},
    refusal::Refusal,
    time::Time,
    view::View,
};

/// A prepared command: everything that can be computed without the decision state.
pub struct Plan<W> {
    /// Key of the object.
    pub key: ObjectKey,
    /// View of the request, if any. The object is prepared in stored form.
    pub view: Option<&'static View>,
    /// Time at which the request was received.
    pub now: Time,
    /// Compute and validate everything, persist nothing.
    pub dry_run: bool,
    pub(super) seed: Seed,
    pub(super) step: Step<W>,
    pub(super) warnings: Vec<String>,
    pub(super) command: Option<Box<Command>>,
    pub(super) encoded: Option<Template>,
}

/// The prepared write.
pub(super) enum Step<W> {
    /// A new object.
    Create(Object, Option<Decide<W>>),
    /// A new version of an object.
    Update {
        old: Arc<Object>,
        new: Object,
        /// True if `new` equals `old`.
        unchanged: bool,
        decide: Option<Decide<W>>,
    },
    /// The deletion of an object, or the beginning of its deletion.
    Delete(Arc<Object>, Deletion),
}

impl<W> Step<W> {
    /// Converts the step to the stored form; `current` is the stored version.
    pub(super) fn stored(self, view: &View, current: Option<&Arc<Object>>) -> Self {
        match (self, current) {
            (Self::Create(object, decide), _) => Self::Create(view.store(object), decide),
            (Self::Update { new, unchanged, decide, .. }, Some(current)) => {
                Self::Update { old: Arc::clone(current), new: view.store(new), unchanged, decide }
            }
            (Self::Delete(_, Deletion::Begins(marked)), Some(current)) => {
                Self::Delete(Arc::clone(current), Deletion::Begins(Box::new(view.store(*marked))))
            }
            (Self::Delete(_, deletion), Some(current)) => Self::Delete(Arc::clone(current), deletion),
            // A change or deletion always has a current version.
            (step, None) => step,
        }
    }
}

/// The current state under the key of a prepared command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Present {
    /// No object.
    Nothing,
    /// An object.
    Object,
    /// An object whose deletion has begun.
    Terminating,
}

impl Present {
    /// State of an optional object.
    pub fn of(object: Option<&Object>) -> Self {
        match object {
            None => Self::Nothing,
            Some(object) if object.is_terminating() => Self::Terminating,
            Some(_) => Self::Object,
        }
    }
}

/// The original command, not needed after preparation and possibly large, so that it can be dropped elsewhere.
pub type Spent = Option<Box<Command>>;

impl<W> Plan<W> {
    /// True if the command was prepared for the current version, identified by its resourceVersion. A create is valid
    /// for any: the decision rejects a name that is taken.
    pub fn suits(&self, version: Option<&str>) -> bool {
        match (&self.step, version) {
            (Step::Create(..), None) => true,
            // An apply that was prepared as a create must be prepared again if the object exists by now.
            (Step::Create(..), Some(_)) => self.command.is_none(),
            (Step::Update { old, .. } | Step::Delete(old, _), version) => {
                version == Some(&*old.metadata.resource_version)
            }
        }
    }

    /// True if the command creates an object.
    pub fn creates(&self) -> bool {
        matches!(self.step, Step::Create(..))
    }

    /// The version that the command was prepared for.
    pub fn basis(&self) -> Option<&Arc<Object>> {
        match &self.step {
            Step::Create(..) => None,
            Step::Update { old, .. } | Step::Delete(old, _) => Some(old),
        }
    }

    /// The new version as prepared; the decision may still change it. `None` for a deletion.
    pub fn proposed(&self) -> Option<&Object> {
        match &self.step {
            Step::Create(new, _) | Step::Update { new, .. } => Some(new),
            Step::Delete(..) => None,
        }
    }

    /// Returns the command, to prepare it again for another version; `None` for a create, which is never prepared
    /// again.
    pub fn into_command(self) -> Option<Command> {
        self.command.map(|command| *command)
    }

    /// Encodes the new version in advance, unless the decision may change it. Worthwhile for large objects.
    pub fn encode(&mut self) {
        self.encoded = match &mut self.step {
            Step::Create(new, None) | Step::Update { new, unchanged: false, decide: None, .. } => new.to_template(),
            Step::Delete(_, Deletion::Begins(marked)) => marked.to_template(),
            _ => None,
        };
    }

    /// Removes the command, which the decision does not need.
    pub fn spend(&mut self) -> Spent {
        self.command.take()
    }

    /// Decides the prepared command, which must suit the current version ([`Plan::suits`]).
    pub fn decide(
        self,
        kind: &dyn Kind<W>,
        world: &W,
        present: Present,
        related: &Related,
    ) -> Result<Decision, Refusal> {
        let Self { key, view: _, now, dry_run, seed, step, warnings, command: _, encoded } = self;
        let ctx = Context { now, seed, dry_run, related };
        let case = Case { kind, resource: kind.resource(), world, key: &key, ctx };
        let decided = match step {
            Step::Create(object, decide) => case.create(object, decide, present),
            Step::Update { old, new, unchanged, decide } => case.update(&old, new, unchanged, decide),
            Step::Delete(old, deletion) => case.delete(&old, deletion),
        };
        match decided {
            Ok(decision) => Ok(Decision { warnings: [warnings, decision.warnings].concat(), encoded, ..decision }),
            Err(refusal) => Err(refusal.warned(warnings)),
        }
    }
}

/// Context of one decision.
struct Case<'a, W> {
    kind: &'a dyn Kind<W>,
    resource: &'a Resource,
    world: &'a W,
    key: &'a ObjectKey,
    ctx: Context<'a>,
}

impl<W> Case<'_, W> {
    /// Runs the remaining decision of the kind, if any.
    fn rest(&self, object: Object, decide: Option<Decide<W>>) -> Result<Decided, Refusal> {
        match decide {
            Some(decide) => decide(self.world, self.key, object, &self.ctx),
            None => Ok(Decided { object, ..Decided::default() }),
        }
    }

    fn create(&self, object: Object, decide: Option<Decide<W>>, present: Present) -> Result<Decision, Refusal> {
        if present != Present::Nothing {
            return Err(self.taken(present));
        }
        let Decided { object, companions, warnings } = self.rest(object, decide)?;
        let writes = self.with(companions, None, Some(object));
        Ok(Decision { writes, answer: Answer::Created, warnings, encoded: None })
    }

    fn taken(&self, present: Present) -> Refusal {
        let mut refusal = Refusal::already_exists(self.resource.group, self.resource.plural, &self.key.name);
        if present == Present::Terminating {
            refusal.message = format!("object is being deleted: {}", refusal.message);
        }
        refusal
    }

    fn update(
        &self,
        old: &Arc<Object>,
        new: Object,
        mut unchanged: bool,
        decide: Option<Decide<W>>,
    ) -> Result<Decision, Refusal> {
        let is_complete = decide.is_none();
        let Decided { object: new, companions, warnings } = self.rest(new, decide)?;
        if new.is_terminating() && new.metadata.finalizers.is_empty() && !self.kind.is_held(&new) {
            return self.last_finalizer_gone(old, new, warnings);
        }
        unchanged = if is_complete { unchanged } else { new == **old };
        if unchanged && companions.is_empty() {
            let answer = Answer::Unchanged(Arc::clone(old));
            return Ok(Decision { writes: Vec::new(), answer, warnings, encoded: None });
        }
        let writes = self.with(companions, Some(old), Some(new));
        Ok(Decision { writes, answer: Answer::Changed, warnings, encoded: None })
    }

    /// An update that removes the last finalizer deletes the object.
    fn last_finalizer_gone(&self, old: &Arc<Object>, new: Object, warnings: Vec<String>) -> Result<Decision, Refusal> {
        self.kind.may_delete(self.world, self.key, &new, &self.ctx)?;
        let companions = self.kind.delete(self.world, self.key, &new, &self.ctx)?;
        let writes = self.with(companions, Some(old), None);
        Ok(Decision { writes, answer: Answer::DeletedBy(Arc::new(new)), warnings, encoded: None })
    }

    fn delete(&self, old: &Arc<Object>, deletion: Deletion) -> Result<Decision, Refusal> {
        let (writes, answer) = match deletion {
            Deletion::Waits => (Vec::new(), Answer::Unchanged(Arc::clone(old))),
            Deletion::Begins(marked) => {
                self.kind.may_delete(self.world, self.key, old, &self.ctx)?;
                (self.with(Vec::new(), Some(old), Some(*marked)), Answer::Changed)
            }
            Deletion::Ends(details) => {
                self.kind.may_delete(self.world, self.key, old, &self.ctx)?;
                let companions = self.kind.delete(self.world, self.key, old, &self.ctx)?;
                (self.with(companions, Some(old), None), Answer::Deleted(details))
            }
        };
        Ok(Decision { writes, answer, warnings: Vec::new(), encoded: None })
    }

    /// The write of the object, followed by the secondary writes.
    fn with(&self, companions: Vec<Write>, old: Option<&Arc<Object>>, new: Option<Object>) -> Vec<Write> {
        let mut writes = Vec::with_capacity(1 + companions.len());
        writes.push(Write { key: self.key.clone(), old: old.cloned(), new: new.map(Arc::new) });
        writes.extend(companions);
        writes
    }
}
