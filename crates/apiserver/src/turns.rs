//! Whose turn it is to tell a watch what happened.
//!
//! Every commit is news to every watch, and thousands of them that are told at once leave nothing of the processor to
//! whoever writes. So they queue here, and a few at a time are let go, each time behind everything else that the server has
//! to do at that moment. Under load a round takes longer, and a watch is told more at once when its turn comes.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{Notify, oneshot};

use crate::limits;

/// The queue. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Turns {
    queue: Arc<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    /// No longer than there are watches.
    waiting: Mutex<VecDeque<oneshot::Sender<()>>>,
    came: Notify,
}

impl Turns {
    /// Calls a few, lets everybody else go first, and calls the next, until it is dropped. One task does this for all.
    pub async fn call(self) {
        loop {
            if !self.queue.call_some(limits::TURNS_AT_ONCE) {
                self.queue.came.notified().await;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Waits for a turn. Giving up the wait gives up the turn.
    pub async fn turn(&self) {
        let (call, called) = oneshot::channel();
        self.queue.waiting.lock().unwrap_or_else(PoisonError::into_inner).push_back(call);
        self.queue.came.notify_one();
        // The queue keeps the other end until it calls.
        called.await.ok();
    }
}

impl Queue {
    /// Calls up to `count`; whether anybody waited.
    fn call_some(&self, count: usize) -> bool {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut called = 0;
        while called < count
            && let Some(next) = waiting.pop_front()
        {
            // Who has given up the wait is passed over.
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

    /// An empty queue, and the task that calls who waits in it.
    fn begin() -> (Turns, AbortOnDropHandle<()>) {
        let turns = Turns::default();
        let calling = AbortOnDropHandle::new(tokio::spawn(turns.clone().call()));
        (turns, calling)
    }

    /// Watches that wait for a turn, and in which order they had it.
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
