//! The watch cache: recent events by revision, shared by all watches.
//!
//! A watch keeps only a cursor. It reads the events after the cursor and waits for the head to advance; a watch whose
//! cursor is older than the oldest cached event reads the log from the store instead. Writers never wait for a watch.

use std::{
    collections::VecDeque,
    sync::{Arc, OnceLock, PoisonError, RwLock},
};

use apimachinery::{object::Object, watch};
use bytes::Bytes;
use store::Entry;
use tokio::sync::watch as signal;

use crate::limits;

/// A change of one object.
#[derive(Debug)]
pub struct Event {
    /// The revision of the change.
    pub revision: u64,
    /// The text of the key: resource, scope, namespace and name.
    pub key: String,
    old: Option<EventObject>,
    new: Option<EventObject>,
    gc_relevant: bool,
    local: bool,
    frames: [OnceLock<Bytes>; 3],
}

/// A version of an object: encoded, parsed or both. Most are never parsed, because a watch without a selector sends the
/// encoded bytes.
#[derive(Debug)]
pub struct EventObject {
    encoded: Option<Bytes>,
    object: OnceLock<Result<Arc<Object>, Unreadable>>,
    /// The size of the encoding in bytes.
    bytes: usize,
}

impl EventObject {
    /// A version from its stored bytes.
    pub fn encoded(encoded: Bytes) -> Self {
        Self { bytes: encoded.len(), encoded: Some(encoded), object: OnceLock::new() }
    }

    /// A version from an object whose encoding is not available.
    pub fn object(object: Arc<Object>) -> Self {
        Self { bytes: object.encoded_len(), encoded: None, object: OnceLock::from(Ok(object)) }
    }

    /// The parsed object, cached for all watches.
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

/// The stored bytes, which another program may have written, are not an object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key} at revision {revision} is not an object: {why}")]
pub struct Unreadable {
    key: String,
    revision: u64,
    why: String,
}

impl Event {
    /// An event with the versions before and after it, `None` where the object does not exist.
    pub fn new(revision: u64, key: String, old: Option<EventObject>, new: Option<EventObject>) -> Self {
        Self { revision, key, old, new, gc_relevant: true, local: false, frames: Default::default() }
    }

    /// The event of an entry of the log.
    pub fn from_entry(entry: Entry) -> Self {
        let Entry { revision, key, value, previous } = entry;
        let old = previous.map(|record| EventObject::encoded(record.value));
        Self::new(revision.0, key.to_string(), old, value.map(EventObject::encoded))
    }

    /// Marks the event as irrelevant for the garbage collector.
    #[must_use]
    pub fn without_gc(self) -> Self {
        Self { gc_relevant: false, ..self }
    }

    /// Marks the event as committed by this server.
    #[must_use]
    pub fn local(self) -> Self {
        Self { local: true, ..self }
    }

    /// True if this server is known to have committed the event; false for events that were read from the log.
    pub fn is_local(&self) -> bool {
        self.local
    }

    /// The size of the version after the event in bytes; 0 for a deletion.
    pub fn current_bytes(&self) -> usize {
        self.new.as_ref().map_or(0, |new| new.bytes)
    }

    /// True if the object may have, or may have had, owners or dependents.
    pub fn is_gc_relevant(&self) -> bool {
        self.gc_relevant
    }

    /// True if the object existed before the event.
    pub fn existed(&self) -> bool {
        self.old.is_some()
    }

    /// True if the object exists after the event.
    pub fn exists(&self) -> bool {
        self.new.is_some()
    }

    /// The size of the key and of both versions in bytes.
    pub fn bytes(&self) -> usize {
        let versions = [&self.old, &self.new].into_iter().flatten();
        self.key.len() + versions.map(|version| version.bytes).sum::<usize>()
    }

    /// The version before the event; `None` for a creation.
    pub fn previous(&self) -> Result<Option<&Arc<Object>>, Unreadable> {
        self.old.as_ref().map(|old| old.get(self)).transpose()
    }

    /// The version after the event; `None` for a deletion.
    pub fn current(&self) -> Result<Option<&Arc<Object>>, Unreadable> {
        self.new.as_ref().map(|new| new.get(self)).transpose()
    }

    /// The object that a watch sends for `event_type`: the new version, or, if the watch no longer selects the object,
    /// the old version with the revision of this event.
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

    /// The line of a watch in plain JSON, encoded once for all watches.
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
            (Some(encoded), watch::EventType::Added | watch::EventType::Modified) => {
                watch::encode_event(event_type, encoded)
            }
            _ => watch::encode_event(event_type, &self.object(event_type)?.to_bytes()),
        };
        Ok(slot.get_or_init(|| frame).clone())
    }
}

/// The result of reading events after a cursor.
#[derive(Debug)]
pub enum EventsAfter {
    /// Events in order, and the revision up to which they are all events with the prefix.
    Events(Vec<Arc<Event>>, u64),
    /// The cursor is older than the cache: read the store.
    TooOld,
}

/// The recent events and the head.
#[derive(Debug)]
pub struct WatchCache {
    recent: RwLock<Recent>,
    /// The maximum number of events, unless [`limits::RECENT_BYTES_MAX`] is reached before.
    capacity: usize,
    head: signal::Sender<u64>,
}

#[derive(Debug, Default)]
struct Recent {
    events: VecDeque<Arc<Event>>,
    /// The size of all events in bytes.
    bytes: usize,
}

impl Recent {
    /// The index of the first event after `cursor`; `None` if it is no longer cached. Revisions have no gaps, so the
    /// index follows from the revision.
    fn index_after(&self, cursor: u64) -> Option<usize> {
        let first = self.events.front()?.revision;
        usize::try_from((cursor + 1).checked_sub(first)?).ok()
    }

    /// Removes the oldest events beyond the limits and returns them.
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

impl WatchCache {
    /// An empty cache at the revision `head`, with up to `capacity` events.
    pub fn new(head: u64, capacity: usize) -> Self {
        Self { recent: RwLock::default(), capacity, head: signal::Sender::new(head) }
    }

    /// The last revision that was published.
    pub fn head(&self) -> u64 {
        *self.head.borrow()
    }

    /// Returns a receiver of the head, which is notified when the head advances.
    pub fn subscribe(&self) -> signal::Receiver<u64> {
        self.head.subscribe()
    }

    /// Adds the events of one commit. Their revisions follow the head without a gap.
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
        // Freeing many objects takes time, so it is done after the lock is released.
        drop(gone);
    }

    /// The first events after `cursor` whose key starts with `prefix`: at most `limit`, and none after the one with
    /// which their size reaches `bytes`.
    pub fn events_after(&self, cursor: u64, prefix: &str, limit: usize, bytes: usize) -> EventsAfter {
        let head = self.head();
        if cursor >= head {
            return EventsAfter::Events(Vec::new(), cursor);
        }
        let recent = self.recent.read().unwrap_or_else(PoisonError::into_inner);
        let Some(skip) = recent.index_after(cursor) else { return EventsAfter::TooOld };
        let of_prefix = recent.events.iter().skip(skip).filter(|event| event.key.starts_with(prefix));
        let (mut events, mut taken) = (Vec::new(), 0);
        for event in of_prefix {
            taken += event.bytes();
            events.push(Arc::clone(event));
            if events.len() == limit || taken >= bytes {
                // Later events were not examined.
                return EventsAfter::Events(events, event.revision);
            }
        }
        EventsAfter::Events(events, recent.events.back().map_or(cursor, |event| event.revision))
    }

    /// True if no cached event in `(cursor, head]` has a key for which `is_meant` is true; false if the cache no longer
    /// covers that range.
    pub fn unchanged_since(&self, cursor: u64, head: u64, is_meant: impl Fn(&str) -> bool) -> bool {
        let recent = self.recent.read().unwrap_or_else(PoisonError::into_inner);
        let Some(skip) = recent.index_after(cursor) else { return cursor >= head };
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

    fn revisions(events_after: EventsAfter) -> Option<(Vec<u64>, u64)> {
        match events_after {
            EventsAfter::Events(events, upto) => Some((events.iter().map(|event| event.revision).collect(), upto)),
            EventsAfter::TooOld => None,
        }
    }

    #[test]
    fn cursor_gets_every_later_event_of_its_prefix_once() {
        let watch_cache = WatchCache::new(10, 100);
        watch_cache.publish(vec![event(11, "a/1"), event(12, "b/1"), event(13, "a/2")]);
        assert_eq!(revisions(watch_cache.events_after(10, "a/", 9, usize::MAX)), Some((vec![11, 13], 13)));
        assert_eq!(revisions(watch_cache.events_after(11, "a/", 9, usize::MAX)), Some((vec![13], 13)));
        assert_eq!(revisions(watch_cache.events_after(13, "a/", 9, usize::MAX)), Some((vec![], 13)));
        assert_eq!(
            revisions(watch_cache.events_after(20, "a/", 9, usize::MAX)),
            Some((vec![], 20)),
            "a cursor in the future is unchanged"
        );
    }

    #[test]
    fn cursor_older_than_the_cache_must_read_the_store() {
        let watch_cache = WatchCache::new(10, 2);
        assert_eq!(revisions(watch_cache.events_after(9, "a/", 9, usize::MAX)), None);
        watch_cache.publish(vec![event(11, "a/1"), event(12, "a/2"), event(13, "a/3")]);
        assert_eq!(revisions(watch_cache.events_after(10, "a/", 9, usize::MAX)), None, "11 has been dropped");
        assert_eq!(revisions(watch_cache.events_after(11, "a/", 9, usize::MAX)), Some((vec![12, 13], 13)));
    }

    /// An event of `bytes` bytes.
    fn large(revision: u64, bytes: usize) -> Arc<Event> {
        let version = EventObject::encoded(vec![b'x'; bytes - "a/1".len()].into());
        Arc::new(Event::new(revision, "a/1".to_owned(), None, Some(version)))
    }

    #[test]
    fn watch_cache_is_limited_in_bytes() {
        let watch_cache = WatchCache::new(0, 100);
        let part = limits::RECENT_BYTES_MAX / 8;
        for revision in 1..=20 {
            watch_cache.publish(vec![large(revision, part)]);
        }
        assert_eq!(watch_cache.recent.read().unwrap().bytes, 8 * part);
        assert_eq!(revisions(watch_cache.events_after(11, "", 9, usize::MAX)), None);
        assert_eq!(revisions(watch_cache.events_after(12, "", 9, usize::MAX)), Some(((13..=20).collect(), 20)));
        watch_cache.publish(vec![large(21, limits::RECENT_BYTES_MAX + 1), large(22, 10)]);
        assert_eq!(
            revisions(watch_cache.events_after(20, "", 9, usize::MAX)),
            None,
            "an event larger than the limit is not kept"
        );
        assert_eq!(revisions(watch_cache.events_after(21, "", 9, usize::MAX)), Some((vec![22], 22)));
        assert_eq!(watch_cache.recent.read().unwrap().bytes, 10);
    }

    #[test]
    fn events_are_read_up_to_the_byte_limit() {
        let watch_cache = WatchCache::new(10, 100);
        watch_cache.publish(vec![large(11, 100), large(12, 100), event(13, "b/1"), large(14, 500), large(15, 100)]);
        assert_eq!(revisions(watch_cache.events_after(10, "a/", 9, 1)), Some((vec![11], 11)), "one at least");
        assert_eq!(revisions(watch_cache.events_after(10, "a/", 9, 101)), Some((vec![11, 12], 12)));
        assert_eq!(
            revisions(watch_cache.events_after(12, "a/", 9, 600)),
            Some((vec![14, 15], 15)),
            "up to the end: all events were examined"
        );
        assert_eq!(revisions(watch_cache.events_after(12, "a/", 9, 100)), Some((vec![14], 14)));
    }

    #[test]
    fn invalid_stored_object_is_an_error() {
        let event = Event::new(
            1,
            "a/1".to_owned(),
            Some(EventObject::encoded("{}".into())),
            Some(EventObject::encoded("{".into())),
        );
        assert!(event.current().is_err());
        assert!(event.object(watch::EventType::Modified).is_err());
        assert!(event.previous().unwrap().is_some());
        assert_eq!(
            event.frame(watch::EventType::Modified).unwrap(),
            "{\"type\":\"MODIFIED\",\"object\":{}\n",
            "the stored bytes, unparsed"
        );
    }

    #[test]
    fn unchanged_since_is_false_when_history_was_dropped() {
        let watch_cache = WatchCache::new(10, 3);
        let quiet = |cursor, head| watch_cache.unchanged_since(cursor, head, |key| key.starts_with("a/"));
        assert!(quiet(10, 10));
        assert!(!quiet(9, 10), "events before the cache are unknown");
        watch_cache.publish(vec![event(11, "b/1"), event(12, "b/2"), event(13, "a/1")]);
        assert!(quiet(10, 12));
        assert!(!quiet(10, 13));
        assert!(quiet(13, 13));
        watch_cache.publish(vec![event(14, "b/3")]);
        assert!(!quiet(10, 12), "11 has been dropped");
        assert!(quiet(13, 14));
    }

    #[test]
    fn events_are_read_up_to_the_count_limit() {
        let watch_cache = WatchCache::new(10, 100);
        watch_cache.publish(vec![
            event(11, "a/1"),
            event(12, "b/1"),
            event(13, "a/2"),
            event(14, "a/3"),
            event(15, "b/2"),
        ]);
        assert_eq!(
            revisions(watch_cache.events_after(10, "a/", 2, usize::MAX)),
            Some((vec![11, 13], 13)),
            "later events were not examined"
        );
        assert_eq!(revisions(watch_cache.events_after(13, "a/", 2, usize::MAX)), Some((vec![14], 15)));
        assert_eq!(revisions(watch_cache.events_after(10, "a/", 3, usize::MAX)), Some((vec![11, 13, 14], 14)));
    }
}
