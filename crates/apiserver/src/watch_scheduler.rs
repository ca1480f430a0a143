//! Schedules the watches that have events to send.
//!
//! Every commit causes work for every watch, and thousands of watches at once would starve the writers of CPU time. So
//! the watches queue here, and a few at a time are released, each time after all other tasks that are ready to run.
//! Under load a round takes longer, and each watch sends more events at once.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{Notify, oneshot};

use crate::limits;

/// The queue of waiting watches. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct WatchScheduler {
    queue: Arc<WaitingWatches>,
}

#[derive(Debug, Default)]
struct WaitingWatches {
    /// At most one entry per watch.
    waiting: Mutex<VecDeque<oneshot::Sender<()>>>,
    added: Notify,
}

impl WatchScheduler {
    /// Releases a few watches, yields to all other tasks, and repeats, until dropped. One task runs this for all
    /// watches.
    pub async fn run(self) {
        loop {
            if !self.queue.release_next(limits::WATCHES_PER_ROUND) {
                self.queue.added.notified().await;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Waits to be released. Cancel-safe: a dropped wait is skipped.
    pub async fn acquire(&self) {
        let (call, called) = oneshot::channel();
        self.queue.waiting.lock().unwrap_or_else(PoisonError::into_inner).push_back(call);
        self.queue.added.notify_one();
        // The sender is dropped only with the queue.
        called.await.ok();
    }
}

impl WaitingWatches {
    /// Releases up to `count` watches. Returns false if none was waiting.
    fn release_next(&self, count: usize) -> bool {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut called = 0;
        while called < count
            && let Some(next) = waiting.pop_front()
        {
            // A watch whose wait was dropped is skipped.
            called += usize::from(next.send(()).is_ok());
        }
        called > 0
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::JoinHandle;
    use tokio_util::task::AbortOnDropHandle;

    use super::*;

    /// An empty queue, and the task that releases its watches.
    fn begin() -> (WatchScheduler, AbortOnDropHandle<()>) {
        let watch_scheduler = WatchScheduler::default();
        let calling = AbortOnDropHandle::new(tokio::spawn(watch_scheduler.clone().run()));
        (watch_scheduler, calling)
    }

    /// Tasks that wait in the queue, and the order in which they are released.
    fn waiting(watch_scheduler: &WatchScheduler, count: usize) -> (Vec<JoinHandle<()>>, Arc<Mutex<Vec<usize>>>) {
        let told = Arc::new(Mutex::new(Vec::new()));
        let wait = |number: usize| {
            let (watch_scheduler, told) = (watch_scheduler.clone(), Arc::clone(&told));
            tokio::spawn(async move {
                watch_scheduler.acquire().await;
                told.lock().unwrap().push(number);
            })
        };
        ((0..count).map(wait).collect(), told)
    }

    #[tokio::test]
    async fn watches_are_released_in_order_and_dropped_waits_skipped() {
        let (watch_scheduler, _calling) = begin();
        let (waits, told) = waiting(&watch_scheduler, 3 * limits::WATCHES_PER_ROUND);
        tokio::task::yield_now().await;
        waits[1].abort();
        for wait in waits {
            wait.await.ok();
        }
        let expected: Vec<_> = (0..3 * limits::WATCHES_PER_ROUND).filter(|number| *number != 1).collect();
        assert_eq!(*told.lock().unwrap(), expected);
    }

    #[tokio::test]
    async fn other_tasks_run_between_two_releases_of_watches() {
        const COUNT: usize = 50 * limits::WATCHES_PER_ROUND;
        let (watch_scheduler, _calling) = begin();
        let (_waits, told) = waiting(&watch_scheduler, COUNT);
        let mut before = 0;
        while before < COUNT {
            tokio::task::yield_now().await;
            let now = told.lock().unwrap().len();
            assert!(now - before <= 2 * limits::WATCHES_PER_ROUND, "{} turns at once", now - before);
            before = now;
        }
    }
}
