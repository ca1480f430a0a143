//! A command that has been prepared, and its decision: what is left to do with the world.

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

/// A command as far as it can be decided without the world.
pub struct Plan<W> {
    /// The address of its object.
    pub key: ObjectKey,
    /// How its caller sees the object, if that is not as it is stored. The plan is about it as it is stored.
    pub view: Option<&'static View>,
    /// When it was received.
    pub now: Time,
    /// Compute and validate everything, persist nothing.
    pub dry_run: bool,
    pub(super) seed: Seed,
    pub(super) step: Step<W>,
    pub(super) warnings: Vec<String>,
    pub(super) command: Option<Box<Command>>,
    pub(super) encoded: Option<Template>,
}

/// What is planned.
pub(super) enum Step<W> {
    /// A new object.
    Create(Object, Option<Decide<W>>),
    /// Another version of an object.
    Update {
        old: Arc<Object>,
        new: Object,
        /// Whether `new` is the same as `old`.
        unchanged: bool,
        decide: Option<Decide<W>>,
    },
    /// The deletion of an object, or its beginning.
    Delete(Arc<Object>, Deletion),
}

impl<W> Step<W> {
    /// The same of the object as it is stored; `current` is the version that is.
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
            // What changes or deletes has a version to start from.
            (step, None) => step,
        }
    }
}

/// What is there under the name of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Present {
    /// Nothing.
    Nothing,
    /// An object.
    Object,
    /// An object whose deletion has begun.
    Terminating,
}

impl Present {
    /// As what is there.
    pub fn of(object: Option<&Object>) -> Self {
        match object {
            None => Self::Nothing,
            Some(object) if object.is_terminating() => Self::Terminating,
            Some(_) => Self::Object,
        }
    }
}

/// What a decision was made of, beside what it decided: of no more use, and perhaps large.
pub type Spent = Option<Box<Command>>;

impl<W> Plan<W> {
    /// Whether it was prepared for the version that is there, which is told by its resourceVersion. A create is for
    /// whatever there is: that a name is taken is its refusal.
    pub fn suits(&self, version: Option<&str>) -> bool {
        match (&self.step, version) {
            (Step::Create(..), None) => true,
            // An apply that was to create changes what is there by now.
            (Step::Create(..), Some(_)) => self.command.is_none(),
            (Step::Update { old, .. } | Step::Delete(old, _), version) => {
                version == Some(&*old.metadata.resource_version)
            }
        }
    }

    /// Whether it creates an object.
    pub fn creates(&self) -> bool {
        matches!(self.step, Step::Create(..))
    }

    /// The version that it was prepared for.
    pub fn basis(&self) -> Option<&Arc<Object>> {
        match &self.step {
            Step::Create(..) => None,
            Step::Update { old, .. } | Step::Delete(old, _) => Some(old),
        }
    }

    /// The version that it is to make, as far as that is known before the decision; `None` for a deletion.
    pub fn proposed(&self) -> Option<&Object> {
        match &self.step {
            Step::Create(new, _) | Step::Update { new, .. } => Some(new),
            Step::Delete(..) => None,
        }
    }

    /// The command, to prepare it again for another version; `None` for a create, which suits any.
    pub fn into_command(self) -> Option<Command> {
        self.command.map(|command| *command)
    }

    /// Encodes the new version, unless the decision adds something to it. It pays for a large one.
    pub fn encode(&mut self) {
        self.encoded = match &mut self.step {
            Step::Create(new, None) | Step::Update { new, unchanged: false, decide: None, .. } => new.to_template(),
            Step::Delete(_, Deletion::Begins(marked)) => marked.to_template(),
            _ => None,
        };
    }

    /// Takes the command out, which the decision does not need.
    pub fn spend(&mut self) -> Spent {
        self.command.take()
    }

    /// Decides. The plan must suit what is there.
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

/// Everything that a decision is about.
struct Case<'a, W> {
    kind: &'a dyn Kind<W>,
    resource: &'a Resource,
    world: &'a W,
    key: &'a ObjectKey,
    ctx: Context<'a>,
}

impl<W> Case<'_, W> {
    /// What the kind makes of an object with the world.
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

    /// The update that removes the last finalizer completes the deletion.
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

    /// The write of the object, and those that come with it.
    fn with(&self, companions: Vec<Write>, old: Option<&Arc<Object>>, new: Option<Object>) -> Vec<Write> {
        let mut writes = Vec::with_capacity(1 + companions.len());
        writes.push(Write { key: self.key.clone(), old: old.cloned(), new: new.map(Arc::new) });
        writes.extend(companions);
        writes
    }
}
