//! A fault that goes on, as the log tells it: when it begins, once in a while as long as it lasts, and when it is over.

use std::{
    fmt::Display,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::limits;

/// A fault that goes on for as long as nothing succeeds.
#[derive(Debug)]
pub struct Outage {
    /// What cannot be done, as a sentence.
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
    /// None so far. `what` says what cannot be done while it lasts.
    pub const fn new(what: &'static str) -> Self {
        Self { what, state: Mutex::new(None) }
    }

    /// It failed, once more.
    pub fn failed(&self, error: &dyn Display) {
        if let Some((failures, lasted)) = self.note(Instant::now()) {
            tracing::warn!(error = %error, failures, seconds = lasted.as_secs(), "{}; it is tried again", self.what);
        }
    }

    /// It succeeded.
    pub fn over(&self) {
        let ended = self.state.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(State { began, failures, .. }) = ended {
            tracing::info!(failures, seconds = began.elapsed().as_secs(), "this is over: {}", self.what);
        }
    }

    /// How often it has failed and for how long, if that is to be logged now.
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
        assert_eq!(at(181), Some((1, Duration::ZERO)), "the next one is another");
    }
}
