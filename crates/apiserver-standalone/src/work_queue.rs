//! The work queue of a background task: each key at most once, with retries after increasing delays.

use std::collections::{BTreeSet, HashMap};

use apiserver::limits;
use tokio::time::Instant;

/// Keys to process.
#[derive(Debug, Default)]
pub struct WorkQueue {
    due: BTreeSet<String>,
    later: BTreeSet<(Instant, String)>,
    /// Consecutive failures of each key.
    failures: HashMap<String, u32>,
}

impl WorkQueue {
    /// Adds a key to be processed as soon as possible.
    pub fn add(&mut self, key: impl Into<String>) {
        self.due.insert(key.into());
    }

    /// Adds several keys.
    pub fn extend(&mut self, keys: impl IntoIterator<Item = String>) {
        self.due.extend(keys);
    }

    /// Takes up to `limit` keys that are due.
    pub fn take(&mut self, now: Instant, limit: usize) -> Vec<String> {
        while self.later.first().is_some_and(|(at, _)| *at <= now) {
            self.due.extend(self.later.pop_first().map(|(_, key)| key));
        }
        std::iter::from_fn(|| self.due.pop_first()).take(limit).collect()
    }

    /// Schedules a retry of a key, with a delay that doubles with each failure.
    pub fn failed(&mut self, key: String, now: Instant) {
        let failures = self.failures.entry(key.clone()).or_default();
        let delay = limits::BACKGROUND_RETRY_MIN.saturating_mul(1_u32.checked_shl(*failures).unwrap_or(u32::MAX));
        *failures += 1;
        self.later.insert((now + delay.min(limits::BACKGROUND_RETRY_MAX), key));
    }

    /// Records the success of a key.
    pub fn done(&mut self, key: &str) {
        self.failures.remove(key);
    }

    /// True if no key is due now.
    pub fn is_idle(&self) -> bool {
        self.due.is_empty()
    }

    /// The time of the next retry.
    pub fn next(&self) -> Option<Instant> {
        self.later.first().map(|(at, _)| *at)
    }

    /// Waits until a retry is due; forever, if there is none.
    pub async fn wait(&self) {
        match self.next() {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_keys_are_retried_with_growing_delays() {
        let (mut work_queue, start) = (WorkQueue::default(), Instant::now());
        work_queue.add("a");
        work_queue.add("a");
        assert_eq!(work_queue.take(start, 9), ["a"]);
        work_queue.failed("a".to_owned(), start);
        let first = work_queue.next().unwrap();
        assert_eq!(work_queue.take(start, 9), [""; 0]);
        assert_eq!(work_queue.take(first, 9), ["a"]);
        work_queue.failed("a".to_owned(), first);
        assert!(work_queue.next().unwrap() - first > first - start, "the second wait is longer");
        for _ in 0..100 {
            work_queue.failed("a".to_owned(), start);
        }
        assert!(work_queue.later.last().unwrap().0 <= first + limits::BACKGROUND_RETRY_MAX);
        work_queue.done("a");
        work_queue.later.clear();
        work_queue.failed("a".to_owned(), start);
        assert_eq!(work_queue.next(), Some(first), "success resets the delay");
    }

    #[test]
    fn work_queue_returns_at_most_the_requested_keys() {
        let mut work_queue = WorkQueue::default();
        for key in ["a", "b", "c"] {
            work_queue.add(key);
        }
        assert_eq!(work_queue.take(Instant::now(), 2), ["a", "b"]);
        assert_eq!(work_queue.take(Instant::now(), 2), ["c"]);
    }
}
