//! Which changes of an object, and which refusals, make an event. The form of the event and how often it is written are the
//! recorder's.

use std::sync::Arc;

use crate::{command::Scope, object::Object};

/// Something that happened to an object and that an event reports.
#[derive(Clone, Debug)]
pub struct Occurrence {
    /// The object, as it was then.
    pub regarding: Arc<Object>,
    /// The tenant of the object.
    pub scope: Scope,
    /// What the event says.
    pub content: EventContent,
}

/// What an event says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventContent {
    /// Why, in one word: `PoolExhausted`.
    pub reason: &'static str,
    /// Whether something may have to be done.
    pub severity: EventType,
    /// The same for people.
    pub note: String,
}

/// The type of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventType {
    /// For information.
    Normal,
    /// Something may have to be done.
    Warning,
}

impl EventType {
    /// As it stands in an event.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

/// What the rules of a kind remember of an object between two of its changes. Each kind defines its numbers; the default is not
/// stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventState(pub u8);

/// Which changes of the objects of a kind make events.
pub trait EventRules: Send + Sync {
    /// The state of an object that has none yet. `last` is the reason of the latest event about it that is still there.
    fn begin(&self, object: &Object, last: Option<&str>) -> EventState;

    /// The state of an object that has changed and had this state before, and the event that reports the change.
    fn on_change(&self, object: &Object, before: EventState) -> (EventState, Option<EventContent>);
}
