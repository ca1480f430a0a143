//! Deletes events an hour after their last write, and the oldest events beyond the limits of a namespace. They are
//! deleted like other objects, so that watches see it.
//!
//! A create is never rejected because of the limits: surplus events are deleted immediately afterwards. Every replica
//! does this; an event that another replica has deleted is ignored.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    convert::Infallible,
    sync::Arc,
    time::Duration,
};

use apimachinery::{
    kind::State,
    object::Object,
    options::{DeleteOptions, Propagation},
    time::Time,
};
use apiserver::{
    clock,
    context::ApiContext,
    keys,
    limits::{BACKGROUND_RETRY_MAX, BACKGROUND_RETRY_MIN},
    outage::Outage,
    watch_cache::Event,
};
use futures::future::join_all;
use serde_json::json;
use store::Record;

use super::{PREFIX, columns};
use crate::{
    limits,
    log_follower::{LogFollower, ReconcileError, delete, each_object, patch, run_with_restart},
};

/// Runs until dropped. `events_max` is the maximum number of events of one namespace.
pub async fn run<W: State>(api: Arc<ApiContext<W>>, events_max: usize) {
    let outage = Outage::new("events cannot be read for their expiry");
    let work = async || {
        let (retention, log_follower) = Retention::read(&api, events_max).await?;
        outage.over();
        retention.follow(log_follower).await
    };
    run_with_restart(&outage, work).await;
}

struct Retention<'a, W> {
    api: &'a ApiContext<W>,
    index: RetentionIndex,
}

impl<'a, W: State> Retention<'a, W> {
    /// Reads all events once; the log provides later changes.
    async fn read(api: &'a ApiContext<W>, events_max: usize) -> Result<(Self, LogFollower<'a, W>), store::Error> {
        let mut index = RetentionIndex::new(events_max, limits::EVENTS_BYTES_PER_NAMESPACE_MAX);
        let now = clock::now().as_second();
        let put = |record: &Record, event: &Object| {
            let entry = Entry::of(event, record.revision.0, record.value.len(), last_written(event, now));
            index.put(record.key.as_str(), entry);
        };
        let revision = each_object(api, PREFIX, None, put).await?;
        Ok((Self { api, index }, LogFollower::after(api, revision.0)))
    }

    /// Follows the log until it cannot be read.
    async fn follow(mut self, mut log_follower: LogFollower<'a, W>) -> Result<Infallible, store::Error> {
        let mut pause = BACKGROUND_RETRY_MIN;
        loop {
            let now = clock::now().as_second();
            log_follower.catch_up(PREFIX, |event| self.index.observe(event, now)).await?;
            let surplus = self.index.surplus(now, limits::BACKGROUND_WRITES_MAX);
            if surplus.is_empty() {
                log_follower.wait_until(until(self.index.next_end())).await;
                continue;
            }
            let dropped = join_all(surplus.into_iter().map(|(key, entry)| self.delete(key, entry))).await;
            match dropped.into_iter().find_map(Result::err) {
                None => pause = BACKGROUND_RETRY_MIN,
                Some(trouble) => {
                    tracing::warn!(error = %trouble, "events could not be deleted; retrying");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(BACKGROUND_RETRY_MAX);
                }
            }
        }
    }

    /// Deletes this version of an event; one that was written in the meantime remains. Finalizers do not keep an event,
    /// as in Kubernetes.
    async fn delete(&self, key: Arc<str>, entry: Entry) -> Result<(), ReconcileError> {
        let Some(key) = keys::object_key(&self.api.registry, &key) else { return Ok(()) };
        let mut version = Some(entry.revision.to_string());
        if entry.has_finalizers {
            let change = json!({"metadata": {"resourceVersion": version.take(), "finalizers": null}});
            patch(self.api, key.clone(), &change, None, "").await?;
        }
        let propagation = Some(Propagation::Background);
        let options = DeleteOptions { resource_version: version, propagation, ..DeleteOptions::default() };
        delete(self.api, key, options).await
    }
}

async fn until(end: Option<i64>) {
    match end {
        None => std::future::pending().await,
        Some(end) => {
            let left = u64::try_from(end - clock::now().as_second()).unwrap_or_default();
            tokio::time::sleep(Duration::from_secs(left)).await;
        }
    }
}

/// The time of an event's last write according to its own fields, in seconds since the Unix epoch. Times in the future
/// are ignored.
fn last_written(event: &Object, now: i64) -> i64 {
    let managed = event.metadata.managed_fields.iter().filter_map(|entry| entry["time"].as_str()?.parse::<Time>().ok());
    let told = [event.metadata.creation_timestamp, columns::first_seen(event), columns::last_seen(event)];
    let times = told.into_iter().flatten().chain(managed).map(Time::as_second);
    times.filter(|time| *time <= now).max().unwrap_or(now)
}

/// The properties of an event that decide when it is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    revision: u64,
    bytes: usize,
    /// In seconds since the Unix epoch.
    written: i64,
    has_finalizers: bool,
}

impl Entry {
    fn of(event: &Object, revision: u64, bytes: usize, written: i64) -> Self {
        Self { revision, bytes, written, has_finalizers: !event.metadata.finalizers.is_empty() }
    }
}

/// All events, in the order in which they expire.
struct RetentionIndex {
    events_max: usize,
    bytes_max: usize,
    entries: HashMap<Arc<str>, Entry>,
    /// By the time and the revision of the last write.
    by_time: BTreeMap<(i64, u64), Arc<str>>,
    /// By the key prefix of the namespace.
    namespaces: HashMap<Box<str>, Namespace>,
    /// The namespaces over their limits.
    crowded: BTreeSet<Box<str>>,
}

#[derive(Default)]
struct Namespace {
    /// By the revision of the last write.
    events: BTreeMap<u64, Arc<str>>,
    bytes: usize,
}

impl RetentionIndex {
    fn new(events_max: usize, bytes_max: usize) -> Self {
        let (entries, by_time, namespaces) = (HashMap::new(), BTreeMap::new(), HashMap::new());
        Self { events_max, bytes_max, entries, by_time, namespaces, crowded: BTreeSet::new() }
    }

    /// Applies a change that was seen at `now`.
    fn observe(&mut self, event: &Event, now: i64) {
        match event.current() {
            Ok(Some(object)) => {
                self.put(&event.key, Entry::of(object, event.revision, event.current_bytes(), now));
            }
            Ok(None) => self.remove(&event.key),
            Err(unreadable) => tracing::error!(error = %unreadable, "an event could not be read and is ignored"),
        }
    }

    fn put(&mut self, key: &str, entry: Entry) {
        self.remove(key);
        let key: Arc<str> = key.into();
        let namespace = self.namespaces.entry(place(&key).into()).or_default();
        namespace.events.insert(entry.revision, Arc::clone(&key));
        namespace.bytes += entry.bytes;
        self.by_time.insert((entry.written, entry.revision), Arc::clone(&key));
        let place = place(&key).to_owned();
        self.entries.insert(key, entry);
        self.update_crowded(&place);
    }

    fn remove(&mut self, key: &str) {
        let Some(entry) = self.entries.remove(key) else { return };
        self.by_time.remove(&(entry.written, entry.revision));
        let place = place(key);
        if let Some(namespace) = self.namespaces.get_mut(place) {
            namespace.events.remove(&entry.revision);
            namespace.bytes -= entry.bytes;
            if namespace.events.is_empty() {
                self.namespaces.remove(place);
            }
        }
        self.update_crowded(place);
    }

    fn update_crowded(&mut self, place: &str) {
        let is_over =
            |namespace: &Namespace| namespace.events.len() > self.events_max || namespace.bytes > self.bytes_max;
        if self.namespaces.get(place).is_some_and(is_over) {
            self.crowded.insert(place.into());
        } else {
            self.crowded.remove(place);
        }
    }

    /// Up to `limit` events that must be deleted now.
    fn surplus(&self, now: i64, limit: usize) -> Vec<(Arc<str>, Entry)> {
        let expired = self.by_time.range(..=(now - seconds(limits::EVENT_AGE_MAX), u64::MAX)).map(|(_, key)| key);
        let crowding = self.crowded.iter().filter_map(|place| self.namespaces.get(place)).flat_map(|namespace| {
            let (mut left, mut bytes) = (namespace.events.len(), namespace.bytes);
            namespace.events.values().take_while(move |key| {
                let is_too_much = left > self.events_max || bytes > self.bytes_max;
                left -= 1;
                bytes -= self.entries[*key].bytes;
                is_too_much
            })
        });
        let mut seen = BTreeSet::new();
        let once = expired.chain(crowding).filter(|key| seen.insert(Arc::clone(key)));
        once.take(limit).map(|key| (Arc::clone(key), self.entries[key])).collect()
    }

    /// The expiry of the next event, in seconds since the Unix epoch.
    fn next_end(&self) -> Option<i64> {
        self.by_time.first_key_value().map(|((written, _), _)| written + seconds(limits::EVENT_AGE_MAX))
    }
}

/// Resource, scope and namespace of a key.
fn place(key: &str) -> &str {
    key.rsplit_once('/').map_or(key, |(place, _)| place)
}

fn seconds(time: Duration) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600;

    fn entry(revision: u64, bytes: usize, written: i64) -> Entry {
        Entry { revision, bytes, written, has_finalizers: false }
    }

    fn names(index: &RetentionIndex, now: i64, limit: usize) -> Vec<String> {
        let name = |(key, _): (Arc<str>, Entry)| key.rsplit_once('/').unwrap().1.to_owned();
        index.surplus(now, limit).into_iter().map(name).collect()
    }

    #[test]
    fn event_expires_an_hour_after_its_last_write() {
        let mut index = RetentionIndex::new(9, 900);
        index.put("events/p/n/a", entry(1, 10, 100));
        index.put("events/p/n/b", entry(2, 10, 200));
        assert_eq!((index.next_end(), names(&index, 99 + HOUR, 9)), (Some(100 + HOUR), vec![]));
        assert_eq!(names(&index, 100 + HOUR, 9), ["a"]);
        index.put("events/p/n/a", entry(3, 10, 300));
        assert_eq!((index.next_end(), names(&index, 200 + HOUR, 9)), (Some(200 + HOUR), vec!["b".to_owned()]));
        assert_eq!(names(&index, 300 + HOUR, 1), ["b"], "at most the limit");
        index.remove("events/p/n/b");
        index.remove("events/p/n/a");
        assert!(index.entries.is_empty() && index.by_time.is_empty() && index.namespaces.is_empty());
    }

    #[test]
    fn events_of_a_namespace_are_limited_in_number_and_bytes() {
        let mut index = RetentionIndex::new(3, 100);
        for (revision, name) in ["a", "b", "c", "d"].iter().enumerate() {
            index.put(&format!("events/p/n/{name}"), entry(revision as u64, 10, 0));
            index.put(&format!("events/p/m/{name}"), entry(10 + revision as u64, 10, 0));
        }
        index.remove("events/p/m/b");
        assert_eq!(names(&index, 0, 9), ["a"], "the oldest of the one namespace that has too many");
        index.put("events/p/n/a", entry(20, 10, 0));
        assert_eq!(names(&index, 0, 9), ["b"], "a new write makes an event the newest");
        index.put("events/p/m/e", entry(21, 60, 0));
        assert_eq!(names(&index, 0, 9), ["a", "b"], "{:?}", index.crowded);
        index.put("events/p/m/e", entry(22, 95, 0));
        assert_eq!(names(&index, 0, 9), ["a", "c", "d", "b"]);
        index.put("events/p/m/e", entry(23, 101, 0));
        assert_eq!(names(&index, 0, 9), ["a", "c", "d", "e", "b"], "an event larger than the limit is deleted");
        let mut index = RetentionIndex::new(3, 100);
        index.put("events/p/n/a", entry(1, 60, 0));
        index.put("events/p/n/b", entry(2, 40, 0));
        assert_eq!(names(&index, 0, 9), Vec::<String>::new());
        index.put("events/p/n/c", entry(3, 1, 0));
        assert_eq!(names(&index, 0, 9), ["a"], "the total of several events exceeds the limit");
    }

    #[test]
    fn event_times_in_the_future_are_ignored_for_expiry() {
        let event = |last: &str| {
            Object::from_value(json!({
                "metadata": {"name": "a", "creationTimestamp": "1970-01-01T00:01:40Z"}, "lastTimestamp": last,
            }))
            .unwrap()
        };
        assert_eq!(last_written(&event("1970-01-01T00:03:20Z"), 300), 200);
        assert_eq!(last_written(&event("2970-01-01T00:00:00Z"), 300), 100);
        let mut series = event("1970-01-01T00:03:20Z");
        series.set_field("series", json!({"count": 2, "lastObservedTime": "1970-01-01T00:04:10.000000Z"}));
        assert_eq!(last_written(&series, 300), 250, "a series says when it was last seen");
    }
}
