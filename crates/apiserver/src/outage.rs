//! Logs a continuing failure: when it begins, at intervals while it lasts, and when it ends.

use std::{
    fmt::Display,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::limits;

/// A failure that lasts until an attempt succeeds.
#[derive(Debug)]
pub struct Outage {
    /// The failure, as a sentence.
    what: &'static str,
    state: Mutex<Option<State>>,
}

#[derive(Clone, Copy, Debug)]
struct State {
    began: Instant,
    logged: Instant,
    failures: u64,
}

impl Outage {
    /// No failure so far. `what` is the sentence for the log.
    pub const fn new(what: &'static str) -> Self {
        Self { what, state: Mutex::new(None) }
    }

    /// Records a failed attempt.
    pub fn failed(&self, error: &dyn Display) {
        if let Some((failures, lasted)) = self.note(Instant::now()) {
            tracing::warn!(error = %error, failures, seconds = lasted.as_secs(), "{}; retrying", self.what);
        }
    }

    /// Records a successful attempt.
    pub fn over(&self) {
        let ended = self.state.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(State { began, failures, .. }) = ended {
            tracing::info!(failures, seconds = began.elapsed().as_secs(), "resolved: {}", self.what);
        }
    }

    /// The number of failures and the duration, if they are to be logged now.
    fn note(&self, now: Instant) -> Option<(u64, Duration)> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = state.is_none();
        let state = state.get_or_insert(State { began: now, logged: now, failures: 0 });
        state.failures += 1;
        let is_due = is_new || now.duration_since(state.logged) >= limits::OUTAGE_LOG_INTERVAL;
        is_due.then(|| {
            state.logged = now;
            (state.failures, now.duration_since(state.began))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outage_is_logged_when_it_begins_and_then_at_intervals() {
        let (outage, start) = (Outage::new("nothing works"), Instant::now());
        let at = |seconds| outage.note(start + Duration::from_secs(seconds));
        assert_eq!(at(0), Some((1, Duration::ZERO)));
        let logged: Vec<_> = (1..=180).filter_map(at).collect();
        let minutes = [(61, 60), (121, 120), (181, 180)];
        assert_eq!(logged, minutes.map(|(failures, seconds)| (failures, Duration::from_secs(seconds))));
        outage.over();
        assert_eq!(at(181), Some((1, Duration::ZERO)), "the next failure is a new outage");
    }
}
