//! The queue of the server's own events ([`EventQueue`]).
//!
//! Tasks of requests and the [`observer`] put occurrences in, and never wait. A recorder takes them out and writes events. Where
//! there is no cluster around the server that is [`crate::standalone`]'s; elsewhere another one can take its place. The
//! committer has nothing to do with either.
//!
//! An occurrence is known by its object and its reason: of what happens again before it was written, the number and the last note
//! are kept, and an event is written again only after a while. There are no more than [`limits::EVENT_QUEUE_MAX`] of them.

pub mod observer;

use std::{
    collections::{HashMap, VecDeque, hash_map},
    sync::{Mutex, MutexGuard, PoisonError},
};

use apimachinery::{command::ObjectKey, occurrence::Occurrence, time::Time};
use tokio::{sync::Notify, time::Instant};

use crate::limits;

/// The events that wait to be written, and those that were written lately.
#[derive(Default)]
pub struct EventQueue {
    book: Mutex<Book>,
    news: Notify,
}

/// What an event is about: the uid of the object, and the reason.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EventKey {
    uid: String,
    reason: &'static str,
}

/// What happened for one reason to one object since an event was last written of it.
#[derive(Clone, Debug)]
pub struct DueEvent {
    /// What it is known by.
    pub key: EventKey,
    /// The last time.
    pub occurrence: Occurrence,
    /// How often.
    pub count: u64,
    /// When first.
    pub first: Time,
    /// When last.
    pub last: Time,
    /// The event that was written of it lately.
    pub written: Option<WrittenEvent>,
}

/// An event that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenEvent {
    /// Its key.
    pub key: ObjectKey,
    /// How often it says that this happened.
    pub count: u64,
}

#[derive(Default)]
struct Book {
    entries: HashMap<EventKey, Entry>,
    /// The topics in the order in which they came.
    order: VecDeque<EventKey>,
    dropped: u64,
}

#[derive(Default)]
struct Entry {
    pending: Option<Pending>,
    written: Option<WrittenEvent>,
    /// When an event may be written again.
    quiet_until: Option<Instant>,
}

struct Pending {
    occurrence: Occurrence,
    count: u64,
    first: Time,
    last: Time,
}

impl EventQueue {
    /// Takes note of an occurrence. Beyond the bound the oldest one is dropped.
    pub fn tell(&self, occurrence: Occurrence, now: Time) {
        self.book().tell(occurrence, now);
        self.news.notify_one();
    }

    /// The oldest of what may be written now, which is taken out.
    pub fn take(&self, now: Instant) -> Option<DueEvent> {
        self.book().take(now)
    }

    /// Takes note that an event was written; its key is quiet for a while then.
    pub fn written(&self, key: EventKey, written: WrittenEvent, now: Instant) {
        if let Some(entry) = self.book().entries.get_mut(&key) {
            entry.written = Some(written);
            entry.quiet_until = Some(now + limits::EVENT_WRITE_INTERVAL);
        }
    }

    /// Puts back what could not be written; it is due again at this time.
    pub fn put_back(&self, due: DueEvent, at: Instant) {
        self.book().put_back(due, at);
    }

    /// Waits until something may be written.
    pub async fn any(&self) {
        let next = self.book().next();
        tokio::select! {
            () = self.news.notified() => {}
            () = sleep_until(next) => {}
        }
    }

    /// How many were dropped so far.
    pub fn dropped(&self) -> u64 {
        self.book().dropped
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

impl Book {
    fn tell(&mut self, occurrence: Occurrence, now: Time) {
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

    /// The entry of a key, for which the oldest one makes room if it must.
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
        // What was dropped meanwhile stays dropped.
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

    /// When something may be written that waits.
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
            content: EventContent { reason: "Full", severity: EventType::Warning, note: note.to_owned() },
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
        event_queue.tell(occurrence("a", "one"), at(1));
        let due = event_queue.take(start).unwrap();
        assert_eq!((due.count, due.written, &*due.occurrence.content.note), (1, None, "one"));
        event_queue.written(due.key, event(1), start);
        for (second, note) in [(2, "two"), (3, "three")] {
            event_queue.tell(occurrence("a", note), at(second));
        }
        event_queue.tell(occurrence("b", "other"), at(4));
        assert_eq!(event_queue.take(start).unwrap().occurrence.content.note, "other", "the first one is quiet");
        assert!(event_queue.take(start + limits::EVENT_WRITE_INTERVAL - Duration::from_millis(1)).is_none());
        let due = event_queue.take(start + limits::EVENT_WRITE_INTERVAL).unwrap();
        assert_eq!((due.count, due.first, due.last, due.written), (2, at(2), at(3), Some(event(1))));
        assert_eq!(due.occurrence.content.note, "three");
    }

    #[test]
    fn what_could_not_be_written_is_counted_with_what_came_later() {
        let (event_queue, start) = (EventQueue::default(), Instant::now());
        event_queue.tell(occurrence("a", "one"), at(1));
        let due = event_queue.take(start).unwrap();
        event_queue.tell(occurrence("a", "two"), at(2));
        let later = start + Duration::from_secs(1);
        event_queue.put_back(due, later);
        assert!(event_queue.take(start).is_none());
        let due = event_queue.take(later).unwrap();
        assert_eq!((due.count, due.first, due.last, &*due.occurrence.content.note), (2, at(1), at(2), "two"));
    }

    #[test]
    fn oldest_occurrence_is_dropped_beyond_the_bound() {
        let event_queue = EventQueue::default();
        for n in 0..limits::EVENT_QUEUE_MAX + 3 {
            event_queue.tell(occurrence(&n.to_string(), ""), at(1));
            event_queue.tell(occurrence(&n.to_string(), ""), at(1));
        }
        {
            let book = event_queue.book();
            assert_eq!((book.entries.len(), book.order.len()), (limits::EVENT_QUEUE_MAX, limits::EVENT_QUEUE_MAX));
        }
        assert_eq!(event_queue.dropped(), 6);
        assert_eq!(event_queue.take(Instant::now()).unwrap().key.uid, "3");
    }
}
