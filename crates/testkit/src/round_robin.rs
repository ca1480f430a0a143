//! Round-robin selection among several servers, skipping servers that are down.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The state of the servers and the position of the next one.
#[derive(Debug)]
pub(crate) struct RoundRobin {
    up: Vec<AtomicBool>,
    turn: AtomicUsize,
}

impl RoundRobin {
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
    fn round_robin_skips_servers_that_are_down() {
        let round_robin = RoundRobin::of(3);
        let turns = |count| (0..count).map(|_| round_robin.next()).collect::<Vec<_>>();
        assert_eq!(turns(4), [0, 1, 2, 0]);
        round_robin.set(1, false);
        assert_eq!(turns(4), [2, 2, 0, 2]);
        round_robin.set(0, false);
        round_robin.set(2, false);
        assert_eq!(turns(2), [2, 0], "if all are down, all are selected");
        round_robin.set(1, true);
        assert_eq!(turns(3), [1, 1, 1]);
    }
}
