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

use crate::limits;

/// One change of one object.
#[derive(Debug)]
pub struct Event {
    /// The revision that made it.
    pub revision: u64,
    /// The text of its key: resource, scope, namespace and name.
    pub key: String,
    old: Option<Version>,
    new: Option<Version>,
    tied: bool,
    own: bool,
    frames: [OnceLock<Bytes>; 3],
}

/// A version of an object, encoded, read or both. Most are never looked into: a watch without a selector sends them as they are.
#[derive(Debug)]
pub struct Version {
    encoded: Option<Bytes>,
    object: OnceLock<Result<Arc<Object>, Unreadable>>,
    /// The length of its encoding.
    bytes: usize,
}

impl Version {
    /// As it is stored.
    pub fn encoded(encoded: Bytes) -> Self {
        Self { bytes: encoded.len(), encoded: Some(encoded), object: OnceLock::new() }
    }

    /// Whose encoding is not at hand.
    pub fn object(object: Arc<Object>) -> Self {
        Self { bytes: object.encoded_len(), encoded: None, object: OnceLock::from(Ok(object)) }
    }

    /// Reads it, once for all watches.
    fn get(&self, event: &Event) -> Result<&Arc<Object>, Unreadable> {
        let read = || {
            let object = Object::from_bytes(self.encoded.as_deref().unwrap_or_default()).map(Arc::new);
            let unreadable = |why: serde_json::Error| Unreadable {
                key: event.key.clone(),
                revision: event.revision,
                why: why.to_string(),
            };
            object.map_err(unreadable)
        };
        self.object.get_or_init(read).as_ref().map_err(Clone::clone)
    }
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
    /// An event: the versions before and after it, `None` where the object does not exist.
    pub fn new(revision: u64, key: String, old: Option<Version>, new: Option<Version>) -> Self {
        Self { revision, key, old, new, tied: true, own: false, frames: Default::default() }
    }

    /// The event, of an object that no garbage collector need look at.
    #[must_use]
    pub fn untied(self) -> Self {
        Self { tied: false, ..self }
    }

    /// The event, committed by this server.
    #[must_use]
    pub fn own(self) -> Self {
        Self { own: true, ..self }
    }

    /// Whether this server has committed it. Of one that was read from the log that is not known.
    pub fn is_own(&self) -> bool {
        self.own
    }

    /// The length of the version after it, encoded; 0: it was deleted.
    pub fn current_bytes(&self) -> usize {
        self.new.as_ref().map_or(0, |new| new.bytes)
    }

    /// Whether the object may have, or have had, to do with owners or dependents.
    pub fn is_tied(&self) -> bool {
        self.tied
    }

    /// Whether the object existed before it.
    pub fn existed(&self) -> bool {
        self.old.is_some()
    }

    /// Whether the object exists behind it.
    pub fn exists(&self) -> bool {
        self.new.is_some()
    }

    /// The length of its key and its versions, encoded.
    pub fn bytes(&self) -> usize {
        let versions = [&self.old, &self.new].into_iter().flatten();
        self.key.len() + versions.map(|version| version.bytes).sum::<usize>()
    }

    /// The version before; `None`: it was created.
    pub fn previous(&self) -> Result<Option<&Arc<Object>>, Unreadable> {
        self.old.as_ref().map(|old| old.get(self)).transpose()
    }

    /// The version after; `None`: it was deleted.
    pub fn current(&self) -> Result<Option<&Arc<Object>>, Unreadable> {
        self.new.as_ref().map(|new| new.get(self)).transpose()
    }

    /// What a watch shows of it as `event_type`: the new object, or the old one with this revision when it is gone from
    /// the watch's sight.
    pub fn object(&self, event_type: watch::EventType) -> Result<Arc<Object>, Unreadable> {
        let shown = match event_type {
            watch::EventType::Deleted => self.previous()?.map_or_else(|| self.current(), |old| Ok(Some(old)))?,
            _ => self.current()?.map_or_else(|| self.previous(), |new| Ok(Some(new)))?,
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
        let encoded = self.new.as_ref().and_then(|new| new.encoded.as_ref());
        let frame = match (encoded, event_type) {
            (Some(encoded), watch::EventType::Added | watch::EventType::Modified) => watch::frame(event_type, encoded),
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
    recent: RwLock<Recent>,
    /// How many events it keeps, unless they are large.
    capacity: usize,
    head: signal::Sender<u64>,
}

#[derive(Debug, Default)]
struct Recent {
    events: VecDeque<Arc<Event>>,
    /// What they have together.
    bytes: usize,
}

impl Recent {
    /// Where the first event behind `cursor` is; `None` if it is no longer here. Revisions have no gaps, so its place follows
    /// from its number.
    fn place_behind(&self, cursor: u64) -> Option<usize> {
        let first = self.events.front()?.revision;
        usize::try_from((cursor + 1).checked_sub(first)?).ok()
    }

    /// Takes out what is too much.
    fn trim(&mut self, capacity: usize) -> Vec<Arc<Event>> {
        let mut gone = Vec::new();
        while (self.events.len() > capacity || self.bytes > limits::RECENT_BYTES_MAX)
            && let Some(event) = self.events.pop_front()
        {
            self.bytes -= event.bytes();
            gone.push(event);
        }
        gone
    }
}

impl Hub {
    /// A hub at the end of the log `head`, that keeps up to `capacity` events.
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
        let bytes: usize = events.iter().map(|event| event.bytes()).sum();
        let gone = {
            let mut recent = self.recent.write().unwrap_or_else(PoisonError::into_inner);
            recent.events.extend(events);
            recent.bytes += bytes;
            recent.trim(self.capacity)
        };
        self.head.send_replace(last);
        // Freeing many objects takes a while: not under the lock.
        drop(gone);
    }

    /// The first events behind `cursor` whose key starts with `prefix`: up to `limit`, and none behind the one that brings them
    /// to `bytes`.
    pub fn behind(&self, cursor: u64, prefix: &str, limit: usize, bytes: usize) -> Behind {
        let head = self.head();
        if cursor >= head {
            return Behind::Events(Vec::new(), cursor);
        }
        let recent = self.recent.read().unwrap_or_else(PoisonError::into_inner);
        let Some(skip) = recent.place_behind(cursor) else { return Behind::Older };
        let of_prefix = recent.events.iter().skip(skip).filter(|event| event.key.starts_with(prefix));
        let (mut events, mut taken) = (Vec::new(), 0);
        for event in of_prefix {
            taken += event.bytes();
            events.push(Arc::clone(event));
            if events.len() == limit || taken >= bytes {
                // What lies behind it was not looked at.
                return Behind::Events(events, event.revision);
            }
        }
        Behind::Events(events, recent.events.back().map_or(cursor, |event| event.revision))
    }

    /// Whether nothing that `is_meant` has changed behind `cursor` up to `head`, as far as memory reaches.
    pub fn is_quiet(&self, cursor: u64, head: u64, is_meant: impl Fn(&str) -> bool) -> bool {
        let recent = self.recent.read().unwrap_or_else(PoisonError::into_inner);
        let Some(skip) = recent.place_behind(cursor) else { return cursor >= head };
        let mut changed = recent.events.iter().skip(skip).take_while(|event| event.revision <= head);
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
        assert_eq!(revisions(hub.behind(10, "a/", 9, usize::MAX)), Some((vec![11, 13], 13)));
        assert_eq!(revisions(hub.behind(11, "a/", 9, usize::MAX)), Some((vec![13], 13)));
        assert_eq!(revisions(hub.behind(13, "a/", 9, usize::MAX)), Some((vec![], 13)));
        assert_eq!(
            revisions(hub.behind(20, "a/", 9, usize::MAX)),
            Some((vec![], 20)),
            "a cursor in the future stays there"
        );
    }

    #[test]
    fn a_cursor_before_the_oldest_event_is_sent_to_the_store() {
        let hub = Hub::new(10, 2);
        assert_eq!(revisions(hub.behind(9, "a/", 9, usize::MAX)), None);
        hub.publish(vec![event(11, "a/1"), event(12, "a/2"), event(13, "a/3")]);
        assert_eq!(revisions(hub.behind(10, "a/", 9, usize::MAX)), None, "11 has been dropped");
        assert_eq!(revisions(hub.behind(11, "a/", 9, usize::MAX)), Some((vec![12, 13], 13)));
    }

    /// An event of so many bytes.
    fn large(revision: u64, bytes: usize) -> Arc<Event> {
        let version = Version::encoded(vec![b'x'; bytes - "a/1".len()].into());
        Arc::new(Event::new(revision, "a/1".to_owned(), None, Some(version)))
    }

    #[test]
    fn hub_is_bounded_in_bytes() {
        let hub = Hub::new(0, 100);
        let part = limits::RECENT_BYTES_MAX / 8;
        for revision in 1..=20 {
            hub.publish(vec![large(revision, part)]);
        }
        assert_eq!(hub.recent.read().unwrap().bytes, 8 * part);
        assert_eq!(revisions(hub.behind(11, "", 9, usize::MAX)), None);
        assert_eq!(revisions(hub.behind(12, "", 9, usize::MAX)), Some(((13..=20).collect(), 20)));
        hub.publish(vec![large(21, limits::RECENT_BYTES_MAX + 1), large(22, 10)]);
        assert_eq!(revisions(hub.behind(20, "", 9, usize::MAX)), None, "what is too large is not kept at all");
        assert_eq!(revisions(hub.behind(21, "", 9, usize::MAX)), Some((vec![22], 22)));
        assert_eq!(hub.recent.read().unwrap().bytes, 10);
    }

    #[test]
    fn events_are_taken_up_to_a_size() {
        let hub = Hub::new(10, 100);
        hub.publish(vec![large(11, 100), large(12, 100), event(13, "b/1"), large(14, 500), large(15, 100)]);
        assert_eq!(revisions(hub.behind(10, "a/", 9, 1)), Some((vec![11], 11)), "one at least");
        assert_eq!(revisions(hub.behind(10, "a/", 9, 101)), Some((vec![11, 12], 12)));
        assert_eq!(revisions(hub.behind(12, "a/", 9, 600)), Some((vec![14, 15], 15)), "to the end: all was looked at");
        assert_eq!(revisions(hub.behind(12, "a/", 9, 100)), Some((vec![14], 14)));
    }

    #[test]
    fn unreadable_version_is_an_error_and_no_panic() {
        let event =
            Event::new(1, "a/1".to_owned(), Some(Version::encoded("{}".into())), Some(Version::encoded("{".into())));
        assert!(event.current().is_err());
        assert!(event.object(watch::EventType::Modified).is_err());
        assert!(event.previous().unwrap().is_some());
        assert_eq!(
            event.frame(watch::EventType::Modified).unwrap(),
            "{\"type\":\"MODIFIED\",\"object\":{}\n",
            "as it is"
        );
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
        assert_eq!(
            revisions(hub.behind(10, "a/", 2, usize::MAX)),
            Some((vec![11, 13], 13)),
            "what follows is still to come"
        );
        assert_eq!(revisions(hub.behind(13, "a/", 2, usize::MAX)), Some((vec![14], 15)));
        assert_eq!(revisions(hub.behind(10, "a/", 3, usize::MAX)), Some((vec![11, 13, 14], 14)));
    }
}
