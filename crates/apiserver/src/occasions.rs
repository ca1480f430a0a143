//! The queue of what is to be told by events ([`Occasions`]).
//!
//! Tasks of requests and the [`observer`] put occasions in, and never wait. A recorder takes them out and writes events. Where
//! there is no cluster around the server that is [`crate::standalone`]'s; elsewhere another one can take its place. The
//! committer has nothing to do with either.
//!
//! An occasion is known by its object and its reason: of what happens again before it was written, the number and the last note
//! are kept, and an event is written again only after a while. There are no more than [`limits::OCCASIONS_MAX`] of them.

pub mod observer;

use std::{
    collections::{HashMap, VecDeque, hash_map},
    sync::{Mutex, MutexGuard, PoisonError},
};

use apimachinery::{command::ObjectKey, occasion::Occasion, time::Time};
use tokio::{sync::Notify, time::Instant};

use crate::limits;

/// What is to be told, and what was told lately.
#[derive(Default)]
pub struct Occasions {
    book: Mutex<Book>,
    news: Notify,
}

/// What an event is about: the uid of the object, and the reason.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Topic {
    uid: String,
    reason: &'static str,
}

/// What happened for one reason to one object since an event was last written of it.
#[derive(Clone, Debug)]
pub struct Due {
    /// What it is known by.
    pub topic: Topic,
    /// The last time.
    pub occasion: Occasion,
    /// How often.
    pub count: u64,
    /// When first.
    pub first: Time,
    /// When last.
    pub last: Time,
    /// The event that was written of it lately.
    pub written: Option<Written>,
}

/// An event that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Its key.
    pub key: ObjectKey,
    /// How often it says that this happened.
    pub count: u64,
}

#[derive(Default)]
struct Book {
    entries: HashMap<Topic, Entry>,
    /// The topics in the order in which they came.
    order: VecDeque<Topic>,
    dropped: u64,
}

#[derive(Default)]
struct Entry {
    pending: Option<Pending>,
    written: Option<Written>,
    /// When an event may be written again.
    quiet_until: Option<Instant>,
}

struct Pending {
    occasion: Occasion,
    count: u64,
    first: Time,
    last: Time,
}

impl Occasions {
    /// Takes note of an occasion. Beyond the bound the oldest one is dropped.
    pub fn tell(&self, occasion: Occasion, now: Time) {
        self.book().tell(occasion, now);
        self.news.notify_one();
    }

    /// The oldest of what may be written now, which is taken out.
    pub fn take(&self, now: Instant) -> Option<Due> {
        self.book().take(now)
    }

    /// Takes note that an event was written; its topic is quiet for a while then.
    pub fn written(&self, topic: Topic, written: Written, now: Instant) {
        if let Some(entry) = self.book().entries.get_mut(&topic) {
            entry.written = Some(written);
            entry.quiet_until = Some(now + limits::EVENT_WRITE_INTERVAL);
        }
    }

    /// Puts back what could not be written; it is due again at this time.
    pub fn put_back(&self, due: Due, at: Instant) {
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
    fn tell(&mut self, occasion: Occasion, now: Time) {
        let topic = Topic { uid: occasion.regarding.metadata.uid.clone(), reason: occasion.telling.reason };
        let entry = self.entry(topic);
        match &mut entry.pending {
            Some(pending) => {
                pending.count += 1;
                (pending.occasion, pending.last) = (occasion, now);
            }
            none => *none = Some(Pending { occasion, count: 1, first: now, last: now }),
        }
    }

    /// The entry of a topic, for which the oldest one makes room if it must.
    fn entry(&mut self, topic: Topic) -> &mut Entry {
        if !self.entries.contains_key(&topic) {
            if self.order.len() >= limits::OCCASIONS_MAX
                && let Some(oldest) = self.order.pop_front()
            {
                let pending = self.entries.remove(&oldest).and_then(|entry| entry.pending);
                self.dropped += pending.map_or(0, |pending| pending.count);
            }
            self.order.push_back(topic.clone());
        }
        self.entries.entry(topic).or_default()
    }

    fn take(&mut self, now: Instant) -> Option<Due> {
        let is_due = |entry: &Entry| entry.pending.is_some() && entry.quiet_until.is_none_or(|until| until <= now);
        let topic = self.order.iter().find(|topic| self.entries.get(*topic).is_some_and(is_due))?.clone();
        let entry = self.entries.get_mut(&topic)?;
        let Pending { occasion, count, first, last } = entry.pending.take()?;
        Some(Due { topic, occasion, count, first, last, written: entry.written.clone() })
    }

    fn put_back(&mut self, due: Due, at: Instant) {
        let Due { topic, occasion, count, first, last, .. } = due;
        // What was dropped meanwhile stays dropped.
        let hash_map::Entry::Occupied(mut entry) = self.entries.entry(topic) else { return };
        let entry = entry.get_mut();
        entry.quiet_until = Some(at);
        match &mut entry.pending {
            Some(later) => {
                later.count += count;
                later.first = first;
            }
            none => *none = Some(Pending { occasion, count, first, last }),
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
        occasion::{Severity, Telling},
    };

    use super::*;

    fn occasion(uid: &str, note: &str) -> Occasion {
        let metadata = ObjectMeta { uid: uid.to_owned(), ..ObjectMeta::default() };
        Occasion {
            regarding: Arc::new(Object { metadata, ..Object::default() }),
            scope: Scope::platform(),
            telling: Telling { reason: "Full", severity: Severity::Warning, note: note.to_owned() },
        }
    }

    fn at(second: u32) -> Time {
        format!("2026-01-01T00:00:{second:02}Z").parse().unwrap()
    }

    fn event(count: u64) -> Written {
        let (namespace, name) = ("default".to_owned(), "a".to_owned());
        Written { key: ObjectKey { resource: "events", scope: Scope::platform(), namespace, name }, count }
    }

    #[test]
    fn occasions_are_counted_between_two_writes() {
        let (occasions, start) = (Occasions::default(), Instant::now());
        occasions.tell(occasion("a", "one"), at(1));
        let due = occasions.take(start).unwrap();
        assert_eq!((due.count, due.written, &*due.occasion.telling.note), (1, None, "one"));
        occasions.written(due.topic, event(1), start);
        for (second, note) in [(2, "two"), (3, "three")] {
            occasions.tell(occasion("a", note), at(second));
        }
        occasions.tell(occasion("b", "other"), at(4));
        assert_eq!(occasions.take(start).unwrap().occasion.telling.note, "other", "the first one is quiet");
        assert!(occasions.take(start + limits::EVENT_WRITE_INTERVAL - Duration::from_millis(1)).is_none());
        let due = occasions.take(start + limits::EVENT_WRITE_INTERVAL).unwrap();
        assert_eq!((due.count, due.first, due.last, due.written), (2, at(2), at(3), Some(event(1))));
        assert_eq!(due.occasion.telling.note, "three");
    }

    #[test]
    fn what_could_not_be_written_is_counted_with_what_came_later() {
        let (occasions, start) = (Occasions::default(), Instant::now());
        occasions.tell(occasion("a", "one"), at(1));
        let due = occasions.take(start).unwrap();
        occasions.tell(occasion("a", "two"), at(2));
        let later = start + Duration::from_secs(1);
        occasions.put_back(due, later);
        assert!(occasions.take(start).is_none());
        let due = occasions.take(later).unwrap();
        assert_eq!((due.count, due.first, due.last, &*due.occasion.telling.note), (2, at(1), at(2), "two"));
    }

    #[test]
    fn oldest_occasion_is_dropped_beyond_the_bound() {
        let occasions = Occasions::default();
        for n in 0..limits::OCCASIONS_MAX + 3 {
            occasions.tell(occasion(&n.to_string(), ""), at(1));
            occasions.tell(occasion(&n.to_string(), ""), at(1));
        }
        {
            let book = occasions.book();
            assert_eq!((book.entries.len(), book.order.len()), (limits::OCCASIONS_MAX, limits::OCCASIONS_MAX));
        }
        assert_eq!(occasions.dropped(), 6);
        assert_eq!(occasions.take(Instant::now()).unwrap().topic.uid, "3");
    }
}
