//! Removes old history from the store: replaced versions and deletions that are older than watches and list pages may
//! request.

use std::{collections::VecDeque, sync::Arc};

use store::{Revision, Store};
use tokio::time::{Duration, Instant};

use crate::{limits, outage::Outage};

/// The head of the log at points in time, oldest first.
#[derive(Debug, Default)]
struct RevisionTimestamps(VecDeque<(Instant, Revision)>);

impl RevisionTimestamps {
    /// Records the head, and returns the revision up to which history is older than `age`.
    fn mark(&mut self, now: Instant, head: Revision, age: Duration) -> Option<Revision> {
        self.0.push_back((now, head));
        let mut old = None;
        while let Some((_, revision)) = self.0.pop_front_if(|(at, _)| now.duration_since(*at) >= age) {
            old = Some(revision);
        }
        old
    }
}

/// Compacts at every interval until dropped. A failure is logged and retried after the next interval.
pub async fn run(store: Arc<dyn Store>) {
    let (mut marks, outage) = (RevisionTimestamps::default(), Outage::new("history cannot be compacted"));
    let mut interval = tokio::time::interval(limits::COMPACTION_INTERVAL);
    loop {
        interval.tick().await;
        let result = match store.head().await {
            Ok(head) => match marks.mark(Instant::now(), head.revision, limits::HISTORY_AGE_MIN) {
                Some(revision) => store.compact(revision).await.map(|()| Some(revision)),
                None => Ok(None),
            },
            Err(error) => Err(error),
        };
        match result {
            Ok(Some(revision)) => {
                outage.over();
                tracing::debug!(%revision, "history was compacted");
            }
            Ok(None) => outage.over(),
            Err(error) => outage.failed(&error),
        }
    }
}

#[cfg(test)]
mod tests {
    use store::memory::MemoryStore;

    use super::*;

    /// The first tick is immediate and records the revision; it is compacted a little more than the age later.
    #[tokio::test(start_paused = true)]
    async fn history_is_compacted_every_minute_and_kept_for_ten_minutes() {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let write = store::Write {
            key: store::Key::new("k").unwrap(),
            value: Some("v".into()),
            expected: None,
            releases: Vec::new(),
            takes: Vec::new(),
        };
        store.begin().await.unwrap().commit(vec![write]).await.unwrap();
        let started = Instant::now();
        let running = tokio::spawn(run(Arc::clone(&store)));
        while store.head().await.unwrap().compacted == Revision(0) {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let (kept, interval) = (started.elapsed(), Duration::from_mins(1));
        assert!((Duration::from_mins(10)..Duration::from_mins(10) + interval).contains(&kept), "{kept:?}");
        running.abort();
    }

    #[test]
    fn history_is_compacted_only_after_its_minimum_age() {
        let mut marks = RevisionTimestamps::default();
        let (start, age, second) = (Instant::now(), Duration::from_secs(10), Duration::from_secs(1));
        assert_eq!(marks.mark(start, Revision(5), age), None);
        assert_eq!(marks.mark(start + 9 * second, Revision(7), age), None);
        assert_eq!(marks.mark(start + 10 * second, Revision(9), age), Some(Revision(5)));
        assert_eq!(marks.mark(start + 20 * second, Revision(9), age), Some(Revision(9)));
        assert_eq!(marks.mark(start + 21 * second, Revision(9), age), None);
    }
}
