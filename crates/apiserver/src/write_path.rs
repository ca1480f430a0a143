//! The health of the write path: the commands that wait for their results, and the outcome of the last commit.
//!
//! The committer reports here, and the check `commits` of `/readyz` reads it. After a failed commit there may be no
//! further writes, because a server that is not ready gets no requests. Therefore the prober requests a heartbeat, a
//! small commit, from the committer until a commit succeeds.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use store::Error;
use tokio::{sync::Notify, time::Instant};

use crate::{limits, outage::Outage};

/// The state of all writes of a server.
#[derive(Debug)]
pub struct WritePath {
    open_tickets: Mutex<OpenTickets>,
    failure: Mutex<Option<Failure>>,
    heartbeat: Notify,
    outage: Outage,
}

/// Waiting commands in order of arrival. Their number is limited by the committer's queue and batches.
#[derive(Debug, Default)]
struct OpenTickets {
    next: u64,
    since: BTreeMap<u64, Instant>,
}

/// The last commit failed.
#[derive(Clone, Debug)]
struct Failure {
    at: Instant,
    error: String,
}

/// A command that waits for its result, until this is dropped.
#[derive(Debug)]
pub struct Ticket {
    path: Arc<WritePath>,
    number: u64,
}

impl Default for WritePath {
    fn default() -> Self {
        Self {
            open_tickets: Mutex::default(),
            failure: Mutex::default(),
            heartbeat: Notify::new(),
            outage: Outage::new("writes cannot be committed"),
        }
    }
}

impl WritePath {
    /// Records a new command.
    pub fn enter(self: &Arc<Self>) -> Ticket {
        let mut open_tickets = self.open_tickets();
        let number = open_tickets.next;
        open_tickets.next += 1;
        open_tickets.since.insert(number, Instant::now());
        Ticket { path: Arc::clone(self), number }
    }

    /// Records a successful commit.
    pub fn succeeded(&self) {
        let failure = self.failure().take();
        if failure.is_some() {
            self.outage.over();
        }
    }

    /// Records a failed commit or read of the committer. Rejected writes, such as a violated precondition, are not
    /// failures of the store.
    pub fn failed(&self, error: &Error) {
        let is_refusal = matches!(
            error,
            Error::SpanConflict(_)
                | Error::Precondition { .. }
                | Error::Compacted { .. }
                | Error::FutureRevision { .. }
        );
        if is_refusal {
            tracing::error!(error = %error, "the store rejected a commit");
            return;
        }
        *self.failure() = Some(Failure { at: Instant::now(), error: error.to_string() });
        self.outage.failed(error);
    }

    /// Requests a heartbeat if the last commit failed.
    pub fn request_heartbeat(&self) {
        if self.failure().is_some() {
            self.heartbeat.notify_one();
        }
    }

    /// Waits until a heartbeat is requested.
    pub async fn heartbeat_requested(&self) {
        loop {
            self.heartbeat.notified().await;
            // A commit may have succeeded since.
            if self.failure().is_some() {
                return;
            }
        }
    }

    /// The waiting time of the oldest command.
    pub fn oldest_age(&self, now: Instant) -> Option<Duration> {
        self.open_tickets().since.values().next().map(|since| now.saturating_duration_since(*since))
    }

    /// Returns an error with the reason if the last commit failed, or if a write has waited too long for its commit.
    pub fn check(&self, now: Instant) -> Result<(), String> {
        if let Some(age) = self.oldest_age(now).filter(|age| *age > limits::COMMAND_AGE_MAX) {
            return Err(format!("the oldest write has been waiting for its commit for {} s", age.as_secs()));
        }
        match &*self.failure() {
            Some(Failure { at, error }) => {
                let age = now.saturating_duration_since(*at).as_secs();
                Err(format!("the last commit failed {age} s ago, and none has succeeded since: {error}"))
            }
            None => Ok(()),
        }
    }

    fn open_tickets(&self) -> MutexGuard<'_, OpenTickets> {
        self.open_tickets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failure(&self) -> MutexGuard<'_, Option<Failure>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.path.open_tickets().since.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    fn unavailable() -> Error {
        Error::Unavailable("the disk is full".to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn commit_check_fails_while_a_command_waits_too_long() {
        let path = Arc::<WritePath>::default();
        assert_eq!((path.oldest_age(Instant::now()), path.check(Instant::now())), (None, Ok(())));
        let first = path.enter();
        tokio::time::advance(limits::COMMAND_AGE_MAX).await;
        let second = path.enter();
        assert_eq!(path.check(Instant::now()), Ok(()), "not longer than the limit");
        tokio::time::advance(Duration::from_secs(2)).await;
        let why = path.check(Instant::now()).unwrap_err();
        assert_eq!(why, "the oldest write has been waiting for its commit for 7 s");
        drop(first);
        assert_eq!(path.oldest_age(Instant::now()), Some(Duration::from_secs(2)));
        assert_eq!(path.check(Instant::now()), Ok(()));
        drop(second);
        assert_eq!(path.oldest_age(Instant::now()), None);
    }

    #[tokio::test(start_paused = true)]
    async fn commit_check_fails_from_a_failed_commit_until_the_next_success() {
        let path = WritePath::default();
        path.failed(&unavailable());
        tokio::time::advance(Duration::from_secs(12)).await;
        let why = path.check(Instant::now()).unwrap_err();
        assert_eq!(
            why,
            "the last commit failed 12 s ago, and none has succeeded since: the store is unavailable: the disk is full"
        );
        path.succeeded();
        assert_eq!(path.check(Instant::now()), Ok(()));
        path.failed(&Error::SpanConflict("two of one".to_owned()));
        assert_eq!(path.check(Instant::now()), Ok(()), "a rejected write is not a failure of the store");
    }

    #[tokio::test]
    async fn heartbeat_is_requested_only_after_a_failed_commit() {
        let path = WritePath::default();
        path.request_heartbeat();
        assert!(path.heartbeat_requested().now_or_never().is_none(), "nothing has failed");
        path.failed(&unavailable());
        path.request_heartbeat();
        path.heartbeat_requested().await;
        path.request_heartbeat();
        path.succeeded();
        assert!(path.heartbeat_requested().now_or_never().is_none(), "the failure is over");
    }
}
