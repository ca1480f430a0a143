//! Which of several servers gets the next request: one after the other, as a load balancer does it, past those that are down.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The turn, and who is there.
#[derive(Debug)]
pub(crate) struct Balance {
    up: Vec<AtomicBool>,
    turn: AtomicUsize,
}

impl Balance {
    /// Among so many servers, all of them up.
    pub(crate) fn of(servers: usize) -> Self {
        Self { up: (0..servers).map(|_| AtomicBool::new(true)).collect(), turn: AtomicUsize::new(0) }
    }

    /// Whose turn it is. Where all are down it is anybody's.
    pub(crate) fn next(&self) -> usize {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let mut order = (turn..turn + self.up.len()).map(|place| place % self.up.len());
        order.find(|place| self.up[*place].load(Ordering::SeqCst)).unwrap_or(turn % self.up.len())
    }

    /// A server is there, or is not.
    pub(crate) fn set(&self, server: usize, is_up: bool) {
        self.up[server].store(is_up, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_take_turns_but_those_that_are_down() {
        let balance = Balance::of(3);
        let turns = |count| (0..count).map(|_| balance.next()).collect::<Vec<_>>();
        assert_eq!(turns(4), [0, 1, 2, 0]);
        balance.set(1, false);
        assert_eq!(turns(4), [2, 2, 0, 2]);
        balance.set(0, false);
        balance.set(2, false);
        assert_eq!(turns(2), [2, 0], "somebody has to say that it does not answer");
        balance.set(1, true);
        assert_eq!(turns(3), [1, 1, 1]);
    }
}
