//! The queue of the server's own events ([`EventQueue`]).
//!
//! Request tasks and an observer of the log add occurrences and never wait. A recorder takes them out and writes
//! events. The deployment mode provides the observer and the recorder; the committer uses neither.
//!
//! Occurrences with the same object and reason are merged: until an event is written, their number and the last note
//! are kept, and after it is written, the next is written only after an interval. The queue holds at most
//! [`limits::EVENT_QUEUE_MAX`] entries.

use std::{
    collections::{HashMap, VecDeque, hash_map},
    sync::{Mutex, MutexGuard, PoisonError},
};

use apimachinery::{command::ObjectKey, occurrence::Occurrence, time::Time};
use tokio::{sync::Notify, time::Instant};

use crate::limits;

/// Occurrences to be written, and events that were written recently.
#[derive(Default)]
pub struct EventQueue {
    state: Mutex<QueueState>,
    added: Notify,
}

/// The key of an entry: the uid of the object, and the reason.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EventKey {
    uid: String,
    reason: &'static str,
}

/// All occurrences of one reason for one object since an event was last written for them.
#[derive(Clone, Debug)]
pub struct DueEvent {
    /// The key.
    pub key: EventKey,
    /// The last occurrence.
    pub occurrence: Occurrence,
    /// The number of occurrences.
    pub count: u64,
    /// The time of the first one.
    pub first: Time,
    /// The time of the last one.
    pub last: Time,
    /// The event that was written for this key recently, if any.
    pub written: Option<WrittenEvent>,
}

/// An event that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenEvent {
    /// The key of the event object.
    pub key: ObjectKey,
    /// The count that the event has.
    pub count: u64,
}

#[derive(Default)]
struct QueueState {
    entries: HashMap<EventKey, Entry>,
    /// The keys in order of arrival.
    order: VecDeque<EventKey>,
    dropped: u64,
}

#[derive(Default)]
struct Entry {
    pending: Option<Pending>,
    written: Option<WrittenEvent>,
    /// The earliest time of the next write.
    quiet_until: Option<Instant>,
}

struct Pending {
    occurrence: Occurrence,
    count: u64,
    first: Time,
    last: Time,
}

impl EventQueue {
    /// Adds an occurrence. If the queue is full the oldest entry is dropped.
    pub fn record(&self, occurrence: Occurrence, now: Time) {
        self.state().record(occurrence, now);
        self.added.notify_one();
    }

    /// Takes the oldest entry that may be written now.
    pub fn take(&self, now: Instant) -> Option<DueEvent> {
        self.state().take(now)
    }

    /// Records that an event was written; the next one with its key is delayed by [`limits::EVENT_WRITE_INTERVAL`].
    pub fn written(&self, key: EventKey, written: WrittenEvent, now: Instant) {
        if let Some(entry) = self.state().entries.get_mut(&key) {
            entry.written = Some(written);
            entry.quiet_until = Some(now + limits::EVENT_WRITE_INTERVAL);
        }
    }

    /// Returns an entry that could not be written; it is due again at `at`.
    pub fn put_back(&self, due: DueEvent, at: Instant) {
        self.state().put_back(due, at);
    }

    /// Waits until an entry may be due. Spurious returns are possible.
    pub async fn wait(&self) {
        let next = self.state().next();
        tokio::select! {
            () = self.added.notified() => {}
            () = sleep_until(next) => {}
        }
    }

    /// The number of occurrences dropped so far.
    pub fn dropped(&self) -> u64 {
        self.state().dropped
    }

    fn state(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

impl QueueState {
    fn record(&mut self, occurrence: Occurrence, now: Time) {
        let key = EventKey { uid: occurrence.regarding.metadata.uid.clone(), reason: occurrence.content.reason };
        let entry = self.entry(key);
        match &mut entry.pending {
            Some(pending) => {
                pending.count += 1;
                (pending.occurrence, pending.last) = (occurrence, now);
            }
            none => *none = Some(Pending { occurrence, count: 1, first: now, last: now }),
        }
    }

    /// The entry of a key; a new one replaces the oldest one if the queue is full.
    fn entry(&mut self, key: EventKey) -> &mut Entry {
        if !self.entries.contains_key(&key) {
            if self.order.len() >= limits::EVENT_QUEUE_MAX
                && let Some(oldest) = self.order.pop_front()
            {
                let pending = self.entries.remove(&oldest).and_then(|entry| entry.pending);
                self.dropped += pending.map_or(0, |pending| pending.count);
            }
            self.order.push_back(key.clone());
        }
        self.entries.entry(key).or_default()
    }

    fn take(&mut self, now: Instant) -> Option<DueEvent> {
        let is_due = |entry: &Entry| entry.pending.is_some() && entry.quiet_until.is_none_or(|until| until <= now);
        let key = self.order.iter().find(|key| self.entries.get(*key).is_some_and(is_due))?.clone();
        let entry = self.entries.get_mut(&key)?;
        let Pending { occurrence, count, first, last } = entry.pending.take()?;
        Some(DueEvent { key, occurrence, count, first, last, written: entry.written.clone() })
    }

    fn put_back(&mut self, due: DueEvent, at: Instant) {
        let DueEvent { key, occurrence, count, first, last, .. } = due;
        // An entry that was dropped in the meantime is not restored.
        let hash_map::Entry::Occupied(mut entry) = self.entries.entry(key) else { return };
        let entry = entry.get_mut();
        entry.quiet_until = Some(at);
        match &mut entry.pending {
            Some(later) => {
                later.count += count;
                later.first = first;
            }
            none => *none = Some(Pending { occurrence, count, first, last }),
        }
    }

    /// The earliest time at which a waiting entry may be written.
    fn next(&self) -> Option<Instant> {
        let pending = self.entries.values().filter(|entry| entry.pending.is_some());
        pending.map(|entry| entry.quiet_until.unwrap_or_else(Instant::now)).min()
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use apimachinery::{
        command::Scope,
        object::{Object, ObjectMeta},
        occurrence::{EventContent, EventType},
    };

    use super::*;

    fn occurrence(uid: &str, note: &str) -> Occurrence {
        let metadata = ObjectMeta { uid: uid.to_owned(), ..ObjectMeta::default() };
        Occurrence {
            regarding: Arc::new(Object { metadata, ..Object::default() }),
            scope: Scope::platform(),
            content: EventContent { reason: "Full", event_type: EventType::Warning, note: note.to_owned() },
        }
    }

    fn at(second: u32) -> Time {
        format!("2026-01-01T00:00:{second:02}Z").parse().unwrap()
    }

    fn event(count: u64) -> WrittenEvent {
        let (namespace, name) = ("default".to_owned(), "a".to_owned());
        WrittenEvent { key: ObjectKey { resource: "events", scope: Scope::platform(), namespace, name }, count }
    }

    #[test]
    fn occurrences_are_counted_between_two_writes() {
        let (event_queue, start) = (EventQueue::default(), Instant::now());
        event_queue.record(occurrence("a", "one"), at(1));
        let due = event_queue.take(start).unwrap();
        assert_eq!((due.count, due.written, &*due.occurrence.content.note), (1, None, "one"));
        event_queue.written(due.key, event(1), start);
        for (second, note) in [(2, "two"), (3, "three")] {
            event_queue.record(occurrence("a", note), at(second));
        }
        event_queue.record(occurrence("b", "other"), at(4));
        assert_eq!(event_queue.take(start).unwrap().occurrence.content.note, "other", "the first one is quiet");
        assert!(event_queue.take(start + limits::EVENT_WRITE_INTERVAL - Duration::from_millis(1)).is_none());
        let due = event_queue.take(start + limits::EVENT_WRITE_INTERVAL).unwrap();
        assert_eq!((due.count, due.first, due.last, due.written), (2, at(2), at(3), Some(event(1))));
        assert_eq!(due.occurrence.content.note, "three");
    }

    #[test]
    fn occurrences_of_a_failed_write_are_merged_with_later_ones() {
        let (event_queue, start) = (EventQueue::default(), Instant::now());
        event_queue.record(occurrence("a", "one"), at(1));
        let due = event_queue.take(start).unwrap();
        event_queue.record(occurrence("a", "two"), at(2));
        let later = start + Duration::from_secs(1);
        event_queue.put_back(due, later);
        assert!(event_queue.take(start).is_none());
        let due = event_queue.take(later).unwrap();
        assert_eq!((due.count, due.first, due.last, &*due.occurrence.content.note), (2, at(1), at(2), "two"));
    }

    #[test]
    fn full_event_queue_drops_the_oldest_occurrence() {
        let event_queue = EventQueue::default();
        for n in 0..limits::EVENT_QUEUE_MAX + 3 {
            event_queue.record(occurrence(&n.to_string(), ""), at(1));
            event_queue.record(occurrence(&n.to_string(), ""), at(1));
        }
        {
            let state = event_queue.state();
            assert_eq!((state.entries.len(), state.order.len()), (limits::EVENT_QUEUE_MAX, limits::EVENT_QUEUE_MAX));
        }
        assert_eq!(event_queue.dropped(), 6);
        assert_eq!(event_queue.take(Instant::now()).unwrap().key.uid, "3");
    }
}
