//! Rules for events: which changes and failed requests are reported. The recorder builds the Event objects and limits
//! their rate.

use std::sync::Arc;

use crate::{command::Scope, object::Object};

/// A fact about an object that an event reports.
#[derive(Clone, Debug)]
pub struct Occurrence {
    /// The object at that time.
    pub regarding: Arc<Object>,
    /// The scope of the object.
    pub scope: Scope,
    /// Content of the event.
    pub content: EventContent,
}

/// Content of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventContent {
    /// Machine-readable reason: `PoolExhausted`.
    pub reason: &'static str,
    /// Severity.
    pub event_type: EventType,
    /// Human-readable description.
    pub note: String,
}

/// The type of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventType {
    /// Informational.
    Normal,
    /// A user may have to act.
    Warning,
}

impl EventType {
    /// The spelling in an Event.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

/// State that a kind's event rules keep for an object between two changes. Each kind defines its numbers; the default
/// is not stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventState(pub u8);

/// Rules for events about changes of a kind's objects.
pub trait EventRules: Send + Sync {
    /// Initial state of an object. `last` is the reason of its latest stored event.
    fn initial_state(&self, object: &Object, last: Option<&str>) -> EventState;

    /// Computes the new state of a changed object from the previous one, and the event that reports the change, if any.
    fn on_change(&self, object: &Object, before: EventState) -> (EventState, Option<EventContent>);
}
