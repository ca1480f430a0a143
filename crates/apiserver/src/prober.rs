//! The one task that asks the store how it is. Probes are answered from what it found, so that no number of them reaches the store.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use store::Store;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::{limits, outage::Outage, write_path::WritePath};

/// What was found so far.
#[derive(Debug)]
pub struct Prober {
    found: Mutex<Found>,
    outage: Outage,
}

#[derive(Debug)]
struct Found {
    state: State,
    since: Instant,
    /// The last answer; `None`: there was none yet.
    answer: Option<Result<(), String>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The store has been asked and has not answered.
    Asked,
    /// The store has answered.
    Answered,
}

impl Default for Prober {
    fn default() -> Self {
        let found = Found { state: State::Asked, since: Instant::now(), answer: None };
        Self { found: Mutex::new(found), outage: Outage::new("the store does not answer") }
    }
}

impl Prober {
    /// Asks the store, and has the committer try again after a commit failed, at every interval until it is dropped.
    pub async fn run(&self, store: &Arc<dyn Store>, writes: &WritePath) {
        let mut interval = interval(limits::PROBE_INTERVAL);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            writes.ask_for_heartbeat();
            self.ask(&**store).await;
        }
    }

    /// Whether the store answers, and why not.
    pub fn check(&self, now: Instant) -> Result<(), String> {
        let found = self.found();
        let age = now.saturating_duration_since(found.since);
        match found.state {
            State::Asked if age > limits::PROBE_TIMEOUT => Err(format!("no answer for {} s", age.as_secs())),
            State::Answered if age > limits::PROBE_INTERVAL + limits::PROBE_TIMEOUT => {
                Err(format!("the store has not been asked for {} s", age.as_secs()))
            }
            _ => found.answer.clone().unwrap_or_else(|| Err("the store has not answered yet".to_owned())),
        }
    }

    /// One question at a time: the answer to one that hangs is waited for, however long it takes.
    async fn ask(&self, store: &dyn Store) {
        self.note(State::Asked, None);
        let mut head = store.head();
        let answer = match timeout(limits::PROBE_TIMEOUT, &mut head).await {
            Ok(answer) => answer,
            Err(late) => {
                self.outage.failed(&late);
                head.await
            }
        };
        match &answer {
            Ok(_) => self.outage.over(),
            Err(error) => self.outage.failed(error),
        }
        self.note(State::Answered, Some(answer.map(drop).map_err(|error| error.to_string())));
    }

    /// The store has answered so.
    #[cfg(test)]
    pub fn answered(&self, answer: Result<(), String>) {
        self.note(State::Answered, Some(answer));
    }

    fn note(&self, state: State, answer: Option<Result<(), String>>) {
        let mut found = self.found();
        found.state = state;
        found.since = Instant::now();
        if answer.is_some() {
            found.answer = answer;
        }
    }

    fn found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn answer_that_does_not_come_is_a_failure() {
        let prober = Prober::default();
        let check = || prober.check(Instant::now());
        assert_eq!(check().unwrap_err(), "the store has not answered yet");
        prober.answered(Ok(()));
        assert_eq!(check(), Ok(()));
        prober.note(State::Asked, None);
        tokio::time::advance(limits::PROBE_TIMEOUT).await;
        assert_eq!(check(), Ok(()), "the last answer counts until the next is late");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(check().unwrap_err(), "no answer for 4 s");
        prober.answered(Err("it is away".to_owned()));
        assert_eq!(check().unwrap_err(), "it is away");
    }

    #[tokio::test(start_paused = true)]
    async fn old_answer_is_a_failure() {
        let prober = Prober::default();
        prober.answered(Ok(()));
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(prober.check(Instant::now()).unwrap_err(), "the store has not been asked for 5 s");
    }
}
