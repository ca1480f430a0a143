//! The live end of the log in memory: recent events by revision, shared by all watches.
//!
//! A watch keeps nothing here but its own cursor. It asks for what lies behind it, and waits for the head to move; one
//! that lags behind the oldest event in memory reads the store's tail instead. Writers never wait for a watch.

use std::{
    collections::VecDeque,
    sync::{Arc, OnceLock, PoisonError, RwLock},
};

use apimachinery::{object::Object, watch};
use bytes::Bytes;
use tokio::sync::watch as signal;

/// One change of one object.
#[derive(Debug)]
pub struct Event {
    /// The revision that made it.
    pub revision: u64,
    /// The text of its key: resource, scope, namespace and name.
    pub key: String,
    /// The version before; `None`: it was created.
    pub old: Option<Arc<Object>>,
    new: Option<Version>,
    tied: bool,
    frames: [OnceLock<Bytes>; 3],
}

/// A version as it is stored. Most are never looked into: a watch without a selector sends them as they are.
#[derive(Debug)]
struct Version {
    bytes: Bytes,
    object: OnceLock<Result<Arc<Object>, Unreadable>>,
}

/// The bytes of an object, which another program may have written, are not those of an object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key} at revision {revision} is not an object: {why}")]
pub struct Unreadable {
    key: String,
    revision: u64,
    why: String,
}

impl Event {
    /// An event; `new` is the version after it as this server encoded it, `None` if the object was deleted.
    pub fn new(revision: u64, key: String, old: Option<Arc<Object>>, new: Option<Bytes>) -> Self {
        let new = new.map(|bytes| Version { bytes, object: OnceLock::new() });
        Self { revision, key, old, new, tied: true, frames: Default::default() }
    }

    /// The event, of an object that no garbage collector need look at.
    #[must_use]
    pub fn untied(self) -> Self {
        Self { tied: false, ..self }
    }

    /// Whether the object may have, or have had, to do with owners or dependents.
    pub fn is_tied(&self) -> bool {
        self.tied
    }

    /// An event of which the version after it has been read already.
    pub fn read(revision: u64, key: String, old: Option<Arc<Object>>, new: Option<(Bytes, Arc<Object>)>) -> Self {
        let new = new.map(|(bytes, object)| Version { bytes, object: OnceLock::from(Ok(object)) });
        Self { revision, key, old, new, tied: true, frames: Default::default() }
    }

    /// Whether the object exists behind it.
    pub fn exists(&self) -> bool {
        self.new.is_some()
    }

    /// The version after; `None`: it was deleted. Read once for all watches.
    pub fn current(&self) -> Result<Option<&Arc<Object>>, Unreadable> {
        let Some(new) = &self.new else { return Ok(None) };
        let unreadable = |why: serde_json::Error| Unreadable {
            key: self.key.clone(),
            revision: self.revision,
            why: why.to_string(),
        };
        let read = || Object::from_bytes(&new.bytes).map(Arc::new).map_err(unreadable);
        new.object.get_or_init(read).as_ref().map(Some).map_err(Clone::clone)
    }

    /// What a watch shows of it as `event_type`: the new object, or the old one with this revision when it is gone from
    /// the watch's sight.
    pub fn object(&self, event_type: watch::EventType) -> Result<Arc<Object>, Unreadable> {
        let shown = match (&self.old, event_type) {
            (Some(old), watch::EventType::Deleted) => Some(old),
            (old, _) => self.current()?.or(old.as_ref()),
        };
        let mut object = shown.cloned().unwrap_or_default();
        let revision = self.revision.to_string();
        if object.metadata.resource_version != revision {
            Arc::make_mut(&mut object).metadata.resource_version = revision;
        }
        Ok(object)
    }

    /// The line of a plain JSON watch; made once for all watches.
    pub fn frame(&self, event_type: watch::EventType) -> Result<Bytes, Unreadable> {
        let slot = match event_type {
            watch::EventType::Added => &self.frames[0],
            watch::EventType::Modified => &self.frames[1],
            _ => &self.frames[2],
        };
        if let Some(frame) = slot.get() {
            return Ok(frame.clone());
        }
        let frame = match (&self.new, event_type) {
            (Some(new), watch::EventType::Added | watch::EventType::Modified) => watch::frame(event_type, &new.bytes),
            _ => watch::frame(event_type, &self.object(event_type)?.to_bytes()),
        };
        Ok(slot.get_or_init(|| frame).clone())
    }
}

/// What lies behind a cursor.
#[derive(Debug)]
pub enum Behind {
    /// These events, in order, and no other of the prefix up to the revision.
    Events(Vec<Arc<Event>>, u64),
    /// The cursor is older than what is in memory: read the store.
    Older,
}

/// Recent events and the head.
#[derive(Debug)]
pub struct Hub {
    recent: RwLock<VecDeque<Arc<Event>>>,
    capacity: usize,
    head: signal::Sender<u64>,
}

impl Hub {
    /// A hub at the end of the log `head`, that keeps `capacity` events.
    pub fn new(head: u64, capacity: usize) -> Self {
        Self { recent: RwLock::default(), capacity, head: signal::Sender::new(head) }
    }

    /// The last revision that was published.
    pub fn head(&self) -> u64 {
        *self.head.borrow()
    }

    /// Tells when the head has moved.
    pub fn subscribe(&self) -> signal::Receiver<u64> {
        self.head.subscribe()
    }

    /// Adds the events of one commit, which follow the head without a gap.
    pub fn publish(&self, events: Vec<Arc<Event>>) {
        let Some(last) = events.last().map(|event| event.revision) else { return };
        {
            let mut recent = self.recent.write().unwrap_or_else(PoisonError::into_inner);
            recent.extend(events);
            let excess = recent.len().saturating_sub(self.capacity);
            recent.drain(..excess);
        }
        self.head.send_replace(last);
    }

    /// The first `limit` events behind `cursor` whose key starts with `prefix`.
    pub fn behind(&self, cursor: u64, prefix: &str, limit: usize) -> Behind {
        let head = self.head();
        if cursor >= head {
            return Behind::Events(Vec::new(), cursor);
        }
        let recent = self.recent.read().unwrap_or_else(PoisonError::into_inner);
        let Some(first) = recent.front().map(|event| event.revision).filter(|first| *first <= cursor + 1) else {
            return Behind::Older;
        };
        // Revisions have no gaps, so the place of the cursor follows from its number.
        let skip = usize::try_from(cursor + 1 - first).unwrap_or(usize::MAX);
        let of_prefix = recent.iter().skip(skip).filter(|event| event.key.starts_with(prefix));
        let events: Vec<_> = of_prefix.take(limit).cloned().collect();
        // A full answer ends with its last event; what lies behind that was not looked at.
        let looked_at = if events.len() == limit { events.last() } else { recent.back() };
        let upto = looked_at.map_or(cursor, |event| event.revision);
        Behind::Events(events, upto)
    }

    /// Whether nothing that `is_meant` has changed behind `cursor` up to `head`, as far as memory reaches.
    pub fn is_quiet(&self, cursor: u64, head: u64, is_meant: impl Fn(&str) -> bool) -> bool {
        let recent = self.recent.read().unwrap_or_else(PoisonError::into_inner);
        let Some(first) = recent.front().map(|event| event.revision).filter(|first| *first <= cursor + 1) else {
            return cursor >= head;
        };
        let skip = usize::try_from(cursor + 1 - first).unwrap_or(usize::MAX);
        let mut changed = recent.iter().skip(skip).take_while(|event| event.revision <= head);
        !changed.any(|event| is_meant(&event.key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(revision: u64, key: &str) -> Arc<Event> {
        Arc::new(Event::new(revision, key.to_owned(), None, None))
    }

    fn revisions(behind: Behind) -> Option<(Vec<u64>, u64)> {
        match behind {
            Behind::Events(events, upto) => Some((events.iter().map(|event| event.revision).collect(), upto)),
            Behind::Older => None,
        }
    }

    #[test]
    fn a_cursor_gets_every_later_event_of_its_prefix_once() {
        let hub = Hub::new(10, 100);
        hub.publish(vec![event(11, "a/1"), event(12, "b/1"), event(13, "a/2")]);
        assert_eq!(revisions(hub.behind(10, "a/", 9)), Some((vec![11, 13], 13)));
        assert_eq!(revisions(hub.behind(11, "a/", 9)), Some((vec![13], 13)));
        assert_eq!(revisions(hub.behind(13, "a/", 9)), Some((vec![], 13)));
        assert_eq!(revisions(hub.behind(20, "a/", 9)), Some((vec![], 20)), "a cursor in the future stays there");
    }

    #[test]
    fn a_cursor_before_the_oldest_event_is_sent_to_the_store() {
        let hub = Hub::new(10, 2);
        assert_eq!(revisions(hub.behind(9, "a/", 9)), None);
        hub.publish(vec![event(11, "a/1"), event(12, "a/2"), event(13, "a/3")]);
        assert_eq!(revisions(hub.behind(10, "a/", 9)), None, "11 has been dropped");
        assert_eq!(revisions(hub.behind(11, "a/", 9)), Some((vec![12, 13], 13)));
    }

    #[test]
    fn silence_is_only_what_is_known() {
        let hub = Hub::new(10, 3);
        let quiet = |cursor, head| hub.is_quiet(cursor, head, |key| key.starts_with("a/"));
        assert!(quiet(10, 10));
        assert!(!quiet(9, 10), "what was before is not known");
        hub.publish(vec![event(11, "b/1"), event(12, "b/2"), event(13, "a/1")]);
        assert!(quiet(10, 12));
        assert!(!quiet(10, 13));
        assert!(quiet(13, 13));
        hub.publish(vec![event(14, "b/3")]);
        assert!(!quiet(10, 12), "11 has been dropped");
        assert!(quiet(13, 14));
    }

    #[test]
    fn no_more_is_taken_at_once_than_asked_for() {
        let hub = Hub::new(10, 100);
        hub.publish(vec![event(11, "a/1"), event(12, "b/1"), event(13, "a/2"), event(14, "a/3"), event(15, "b/2")]);
        assert_eq!(revisions(hub.behind(10, "a/", 2)), Some((vec![11, 13], 13)), "what follows is still to come");
        assert_eq!(revisions(hub.behind(13, "a/", 2)), Some((vec![14], 15)));
        assert_eq!(revisions(hub.behind(10, "a/", 3)), Some((vec![11, 13, 14], 14)));
    }
}
