//! Probes the store periodically. Readiness probes are answered from the last result, so that their number does not
//! load the store.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use store::Store;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::{limits, outage::Outage, write_path::WritePath};

/// The result of the last probe.
#[derive(Debug)]
pub struct Prober {
    last_probe: Mutex<LastProbe>,
    outage: Outage,
}

#[derive(Debug)]
struct LastProbe {
    state: ProbeState,
    since: Instant,
    /// The last response; `None` before the first.
    answer: Option<Result<(), String>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ProbeState {
    /// A probe is waiting for the store.
    Pending,
    /// The store has responded.
    Completed,
}

impl Default for Prober {
    fn default() -> Self {
        let last_probe = LastProbe { state: ProbeState::Pending, since: Instant::now(), answer: None };
        Self { last_probe: Mutex::new(last_probe), outage: Outage::new("the store does not answer") }
    }
}

impl Prober {
    /// Runs until dropped. At every [`limits::PROBE_INTERVAL`], probes the store and, if the last commit failed,
    /// requests a heartbeat from the committer.
    pub async fn run(&self, store: &Arc<dyn Store>, writes: &WritePath) {
        let mut interval = interval(limits::PROBE_INTERVAL);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            writes.request_heartbeat();
            self.probe(&**store).await;
        }
    }

    /// Returns an error with the reason if the last probe failed, is overdue or has not completed yet.
    pub fn check(&self, now: Instant) -> Result<(), String> {
        let last_probe = self.last_probe();
        let age = now.saturating_duration_since(last_probe.since);
        match last_probe.state {
            ProbeState::Pending if age > limits::PROBE_TIMEOUT => Err(format!("no answer for {} s", age.as_secs())),
            ProbeState::Completed if age > limits::PROBE_INTERVAL + limits::PROBE_TIMEOUT => {
                Err(format!("the store has not been probed for {} s", age.as_secs()))
            }
            _ => last_probe.answer.clone().unwrap_or_else(|| Err("the store has not answered yet".to_owned())),
        }
    }

    /// Probes the store once. Waits for the response even after [`limits::PROBE_TIMEOUT`], so that probes never run
    /// concurrently.
    async fn probe(&self, store: &dyn Store) {
        self.set_state(ProbeState::Pending, None);
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
        self.set_state(ProbeState::Completed, Some(answer.map(drop).map_err(|error| error.to_string())));
    }

    /// Records a response of the store.
    #[cfg(test)]
    pub fn record_answer(&self, answer: Result<(), String>) {
        self.set_state(ProbeState::Completed, Some(answer));
    }

    fn set_state(&self, state: ProbeState, answer: Option<Result<(), String>>) {
        let mut last_probe = self.last_probe();
        last_probe.state = state;
        last_probe.since = Instant::now();
        if answer.is_some() {
            last_probe.answer = answer;
        }
    }

    fn last_probe(&self) -> MutexGuard<'_, LastProbe> {
        self.last_probe.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn store_check_fails_when_the_probe_times_out() {
        let prober = Prober::default();
        let check = || prober.check(Instant::now());
        assert_eq!(check().unwrap_err(), "the store has not answered yet");
        prober.record_answer(Ok(()));
        assert_eq!(check(), Ok(()));
        prober.set_state(ProbeState::Pending, None);
        tokio::time::advance(limits::PROBE_TIMEOUT).await;
        assert_eq!(check(), Ok(()), "the last response counts until the next one is late");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(check().unwrap_err(), "no answer for 4 s");
        prober.record_answer(Err("it is away".to_owned()));
        assert_eq!(check().unwrap_err(), "it is away");
    }

    #[tokio::test(start_paused = true)]
    async fn store_check_fails_when_the_last_probe_is_too_old() {
        let prober = Prober::default();
        prober.record_answer(Ok(()));
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(prober.check(Instant::now()).unwrap_err(), "the store has not been probed for 5 s");
    }
}
