//! Round-robin selection among several servers, skipping servers that are down.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The state of the servers and the position of the next one.
#[derive(Debug)]
pub(crate) struct Balance {
    up: Vec<AtomicBool>,
    turn: AtomicUsize,
}

impl Balance {
    /// Creates a balance over `servers` servers, all of them up.
    pub(crate) fn of(servers: usize) -> Self {
        Self { up: (0..servers).map(|_| AtomicBool::new(true)).collect(), turn: AtomicUsize::new(0) }
    }

    /// Returns the next server that is up; if all are down, the next server.
    pub(crate) fn next(&self) -> usize {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let mut order = (turn..turn + self.up.len()).map(|place| place % self.up.len());
        order.find(|place| self.up[*place].load(Ordering::SeqCst)).unwrap_or(turn % self.up.len())
    }

    /// Marks a server as up or down.
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
        assert_eq!(turns(2), [2, 0], "if all are down, all are selected");
        balance.set(1, true);
        assert_eq!(turns(3), [1, 1, 1]);
    }
}
