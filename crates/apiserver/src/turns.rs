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
pub struct Turns {
    queue: Arc<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    /// At most one entry per watch.
    waiting: Mutex<VecDeque<oneshot::Sender<()>>>,
    came: Notify,
}

impl Turns {
    /// Releases a few watches, yields to all other tasks, and repeats, until dropped. One task runs this for all
    /// watches.
    pub async fn call(self) {
        loop {
            if !self.queue.call_some(limits::TURNS_AT_ONCE) {
                self.queue.came.notified().await;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Waits to be released. Cancel-safe: a dropped wait is skipped.
    pub async fn turn(&self) {
        let (call, called) = oneshot::channel();
        self.queue.waiting.lock().unwrap_or_else(PoisonError::into_inner).push_back(call);
        self.queue.came.notify_one();
        // The sender is dropped only with the queue.
        called.await.ok();
    }
}

impl Queue {
    /// Releases up to `count` watches. Returns false if none was waiting.
    fn call_some(&self, count: usize) -> bool {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut called = 0;
        while called < count
            && let Some(next) = waiting.pop_front()
        {
            // A watch that has stopped waiting is skipped.
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
    fn begin() -> (Turns, AbortOnDropHandle<()>) {
        let turns = Turns::default();
        let calling = AbortOnDropHandle::new(tokio::spawn(turns.clone().call()));
        (turns, calling)
    }

    /// Tasks that wait in the queue, and the order in which they are released.
    fn waiting(turns: &Turns, count: usize) -> (Vec<JoinHandle<()>>, Arc<Mutex<Vec<usize>>>) {
        let told = Arc::new(Mutex::new(Vec::new()));
        let wait = |number: usize| {
            let (turns, told) = (turns.clone(), Arc::clone(&told));
            tokio::spawn(async move {
                turns.turn().await;
                told.lock().unwrap().push(number);
            })
        };
        ((0..count).map(wait).collect(), told)
    }

    #[tokio::test]
    async fn turns_come_in_order_and_those_who_gave_up_are_passed_over() {
        let (turns, _calling) = begin();
        let (waits, told) = waiting(&turns, 3 * limits::TURNS_AT_ONCE);
        tokio::task::yield_now().await;
        waits[1].abort();
        for wait in waits {
            wait.await.ok();
        }
        let expected: Vec<_> = (0..3 * limits::TURNS_AT_ONCE).filter(|number| *number != 1).collect();
        assert_eq!(*told.lock().unwrap(), expected);
    }

    #[tokio::test]
    async fn everybody_else_comes_between_two_turns() {
        const COUNT: usize = 50 * limits::TURNS_AT_ONCE;
        let (turns, _calling) = begin();
        let (_waits, told) = waiting(&turns, COUNT);
        let mut before = 0;
        while before < COUNT {
            tokio::task::yield_now().await;
            let now = told.lock().unwrap().len();
            assert!(now - before <= 2 * limits::TURNS_AT_ONCE, "{} turns at once", now - before);
            before = now;
        }
    }
}
