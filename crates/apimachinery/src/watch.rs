//! Watches: the start of a stream, the filtering of changes, and the encoding of events.
//!
//! Delivery, history and the end of a stream are up to the server.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::{
    object::{Object, ObjectMeta},
    options::{ListOptions, ResourceVersion},
    resource::Resource,
    selector::{FieldSelector, LabelSelector},
    status_error::{Status, StatusError, StatusReason},
};

/// Annotation of the bookmark after the last initial event; client-go waits for it.
pub const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

/// The start of a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Only later changes.
    Now,
    /// All current objects as `Added`, then later changes.
    Initial {
        /// Minimum revision of the current state; 0 allows any, `None` requires the latest.
        not_older_than: Option<u64>,
        /// Send a [`bookmark`] with `initial_end` after the initial events.
        bookmark: bool,
    },
    /// All changes after this revision.
    After(u64),
}

/// Returns the start of a watch request. `options` must be consistent, as [`ListOptions::parse`] ensures.
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
        // Legacy clients (before WatchList) do not wait for the bookmark.
        (None, _) => Start::Initial { not_older_than, bookmark: false },
    }
}

/// The selectors of a watch or list.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Label selector.
    pub labels: LabelSelector,
    /// Field selector.
    pub fields: FieldSelector,
}

impl Filter {
    /// True if the object matches both selectors.
    pub fn matches(&self, object: &Object) -> bool {
        self.labels.matches(&object.metadata.labels) && self.fields.matches(object)
    }

    /// True if all objects match.
    pub fn is_everything(&self) -> bool {
        self.labels.is_everything() && self.fields.is_everything()
    }
}

/// Type of a watch event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventType {
    /// The object was created, or matches the filter now.
    Added,
    /// The object was changed.
    Modified,
    /// The object was deleted, or does not match the filter any more.
    Deleted,
    /// All events up to a revision have been sent.
    Bookmark,
    /// The watch ends with an error.
    Error,
}

impl EventType {
    /// The type as encoded.
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

/// The event of a change for a filter; `None` if neither version matches. `Added` and `Modified` contain `new`,
/// `Deleted` contains `old` with the revision of the change.
pub fn transition(filter: &Filter, old: Option<&Object>, new: Option<&Object>) -> Option<EventType> {
    let shows = |object: Option<&Object>| object.is_some_and(|object| filter.matches(object));
    event_type(shows(old), shows(new))
}

/// The event type of a change. `before` and `after` are true if the filter matches the object before and after the
/// change; `None` if both are false.
pub fn event_type(before: bool, after: bool) -> Option<EventType> {
    match (before, after) {
        (false, false) => None,
        (false, true) => Some(EventType::Added),
        (true, true) => Some(EventType::Modified),
        (true, false) => Some(EventType::Deleted),
    }
}

/// Encodes an event as a line of JSON. `object` is JSON.
pub fn encode_event(event: EventType, object: &[u8]) -> Bytes {
    let event = event.as_str();
    let mut line = Vec::with_capacity(object.len() + event.len() + 24);
    line.extend_from_slice(b"{\"type\":\"");
    line.extend_from_slice(event.as_bytes());
    line.extend_from_slice(b"\",\"object\":");
    line.extend_from_slice(object);
    line.extend_from_slice(b"}\n");
    Bytes::from(line)
}

/// The object of a bookmark. It has the watched kind, because reflectors ignore others. `initial_end` marks the end of
/// the initial events.
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

/// The object of the `Error` event for a watch after revision `requested`, if history before `oldest` has been
/// compacted.
pub fn expired(requested: u64, oldest: u64) -> Status {
    StatusError::new(StatusReason::Expired, format!("too old resource version: {requested} ({oldest})")).to_status()
}

#[cfg(test)]
mod tests;
