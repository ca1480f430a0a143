//! Watches: where a stream starts, what a change looks like through a filter, how an event looks on
//! the wire.
//!
//! Who is served, with what history, and when a stream ends is the server's.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::{
    kind::Resource,
    object::{Object, ObjectMeta},
    options::{ListOptions, ResourceVersion},
    refusal::{Reason, Refusal, Status},
    selector::{FieldSelector, LabelSelector},
};

/// Marks the bookmark after the last initial event; client-go waits for it.
pub const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

/// Where a watch starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With what happens from now on.
    Now,
    /// With all current objects as `Added`, then with what happens after that.
    Initial {
        /// The current state must have reached this revision; 0: any will do; `None`: it must be
        /// the most recent.
        not_older_than: Option<u64>,
        /// Whether a [`bookmark`] with `initial_end` follows the last of them.
        bookmark: bool,
    },
    /// With what happened after this revision.
    After(u64),
}

/// Where a watch request wants to start. The options agree with each other: [`ListOptions::parse`]
/// saw to it.
pub fn start(options: &ListOptions) -> Start {
    let not_older_than = match options.resource_version {
        ResourceVersion::Unset => None,
        ResourceVersion::Any => Some(0),
        ResourceVersion::At(revision) => Some(revision),
    };
    match (options.send_initial_events, options.resource_version) {
        (Some(true), _) => Start::Initial { not_older_than, bookmark: options.allow_bookmarks },
        (_, ResourceVersion::At(revision)) => Start::After(revision),
        (Some(false), _) => Start::Now,
        // Clients from before WatchList do not wait for the bookmark.
        (None, _) => Start::Initial { not_older_than, bookmark: false },
    }
}

/// What a watch or a list looks at.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// By labels.
    pub labels: LabelSelector,
    /// By fields.
    pub fields: FieldSelector,
}

impl Filter {
    /// Whether it shows this object.
    pub fn matches(&self, object: &Object) -> bool {
        self.labels.matches(&object.metadata.labels) && self.fields.matches(object)
    }

    /// Whether it shows all objects.
    pub fn is_everything(&self) -> bool {
        self.labels.is_everything() && self.fields.is_everything()
    }
}

/// The type of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventType {
    /// The object came into view.
    Added,
    /// It changed.
    Modified,
    /// It went out of view.
    Deleted,
    /// All up to this revision was sent.
    Bookmark,
    /// The stream cannot go on.
    Error,
}

impl EventType {
    /// As it stands on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted => "DELETED",
            Self::Bookmark => "BOOKMARK",
            Self::Error => "ERROR",
        }
    }
}

/// How a change looks through a filter; `None`: it is out of sight. `Added` and `Modified` carry
/// `new`, `Deleted` carries what [`last_seen`] makes of `old`.
pub fn transition(filter: &Filter, old: Option<&Object>, new: Option<&Object>) -> Option<EventType> {
    let shows = |object: Option<&Object>| object.is_some_and(|object| filter.matches(object));
    change(shows(old), shows(new))
}

/// How a change looks to whom showed, or shows, the object before and after it.
pub fn change(before: bool, after: bool) -> Option<EventType> {
    match (before, after) {
        (false, false) => None,
        (false, true) => Some(EventType::Added),
        (true, true) => Some(EventType::Modified),
        (true, false) => Some(EventType::Deleted),
    }
}

/// What a `Deleted` event carries: the last content that was in view, at the revision at which it
/// went.
#[must_use]
pub fn last_seen(old: &Object, revision: u64) -> Object {
    let mut object = old.clone();
    object.metadata.resource_version = revision.to_string();
    object
}

/// An event on the wire, a line of JSON. `object` is JSON already.
pub fn frame(event: EventType, object: &[u8]) -> Bytes {
    let event = event.as_str();
    let mut line = Vec::with_capacity(object.len() + event.len() + 24);
    line.extend_from_slice(b"{\"type\":\"");
    line.extend_from_slice(event.as_bytes());
    line.extend_from_slice(b"\",\"object\":");
    line.extend_from_slice(object);
    line.extend_from_slice(b"}\n");
    Bytes::from(line)
}

/// The object of a bookmark: of the watched kind, since reflectors drop others. `initial_end`:
/// whether it ends the initial events.
pub fn bookmark(resource: &Resource, revision: u64, initial_end: bool) -> Object {
    let annotations = if initial_end {
        BTreeMap::from([(INITIAL_EVENTS_END.to_owned(), "true".to_owned())])
    } else {
        BTreeMap::new()
    };
    Object {
        api_version: resource.api_version(),
        kind: resource.kind.to_owned(),
        metadata: ObjectMeta { annotations, resource_version: revision.to_string(), ..ObjectMeta::default() },
        ..Object::default()
    }
}

/// The object of the `Error` event for a watch after `requested`, when history is kept only after
/// `oldest`.
pub fn expired(requested: u64, oldest: u64) -> Status {
    Refusal::new(Reason::Expired, format!("too old resource version: {requested} ({oldest})")).to_status()
}

#[cfg(test)]
mod tests;
