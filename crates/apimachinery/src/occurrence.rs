//! What a service tells about its objects by events: which change of an object, or which refusal, makes one. How an
//! event looks, how often it is written and where it goes is not said here.

use std::sync::Arc;

use crate::{command::Scope, object::Object};

/// Something that is to be told about an object.
#[derive(Clone, Debug)]
pub struct Occurrence {
    /// The object, as it was then.
    pub regarding: Arc<Object>,
    /// Whose it is.
    pub scope: Scope,
    /// What is told.
    pub content: EventContent,
}

/// What is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventContent {
    /// Why, in a word: `PoolExhausted`.
    pub reason: &'static str,
    /// How it is meant.
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

/// How an object stands, as far as that decides what is told of its next change. What the numbers mean is the kind's to
/// know; the default needs not be remembered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventState(pub u8);

/// What a kind tells about its objects as they change.
pub trait EventRules: Send + Sync {
    /// How an object stands of which nothing is remembered. `last` is the reason of the last event about it that is left.
    fn begin(&self, object: &Object, last: Option<&str>) -> EventState;

    /// How an object stands that has changed and stood like this before, and what is to be told of that.
    fn on_change(&self, object: &Object, before: EventState) -> (EventState, Option<EventContent>);
}
