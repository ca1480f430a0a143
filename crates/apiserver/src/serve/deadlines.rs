//! The progress of a connection and the deadlines of its next step.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use tokio::time::{Instant, Sleep, sleep_until};

use crate::limits;

/// Why the server ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overdue {
    /// The head of a request did not arrive in time.
    Head,
    /// No request arrived for [`limits::IDLE_TIMEOUT`].
    Idle,
    /// The client does not read.
    Send,
    /// The client canceled more requests than it may.
    Resets,
}

impl Overdue {
    /// The label in the metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::Idle => "idle",
            Self::Send => "send",
            Self::Resets => "resets",
        }
    }
}

/// The state of one connection.
pub struct ConnectionDeadlines {
    state: Mutex<State>,
}

struct State {
    is_http1: bool,
    phase: Phase,
    requests: usize,
    /// The time since which the socket has accepted no bytes.
    blocked: Option<Instant>,
    resets: TokenBucket,
}

#[derive(Clone, Copy)]
enum Phase {
    /// The head of a request is incomplete.
    Head(Instant),
    /// No request is in progress.
    Idle(Instant),
    /// At least one request is in progress.
    Busy,
}

impl ConnectionDeadlines {
    /// The state of a new connection, whose first request is due.
    pub fn new(is_http1: bool) -> Arc<Self> {
        let now = Instant::now();
        let phase = Phase::Head(now);
        let state = State { is_http1, phase, requests: 0, blocked: None, resets: TokenBucket::full(now) };
        Arc::new(Self { state: Mutex::new(state) })
    }

    /// Records that bytes were received.
    pub fn received(&self) {
        let mut state = self.lock();
        // Over HTTP/2 the bytes may belong to any frame, not only to a request.
        if state.is_http1 && matches!(state.phase, Phase::Idle(_)) {
            state.phase = Phase::Head(Instant::now());
        }
    }

    /// Records that the socket accepted bytes.
    pub fn sent(&self) {
        let mut state = self.lock();
        state.blocked = None;
        // The end of a response may still be in the buffers. Over HTTP/2 the bytes may be a ping as well.
        if state.is_http1
            && let Phase::Idle(since) = &mut state.phase
        {
            *since = Instant::now();
        }
    }

    /// Records that the socket accepts no bytes at present.
    pub fn blocked(&self) {
        self.lock().blocked.get_or_insert_with(Instant::now);
    }

    /// Records that a request is in progress until the returned value is dropped.
    pub fn request(self: &Arc<Self>) -> RequestGuard {
        let mut state = self.lock();
        state.requests += 1;
        state.phase = Phase::Busy;
        RequestGuard(Arc::clone(self))
    }

    /// Records that the client canceled a request.
    pub fn reset(&self) {
        self.lock().resets.take(Instant::now());
    }

    fn is_reset_too_often(&self) -> bool {
        self.lock().resets.is_overdrawn()
    }

    /// The next deadline and its reason.
    fn deadline(&self) -> Option<(Instant, Overdue)> {
        let state = self.lock();
        let phase = match state.phase {
            Phase::Head(since) => Some((since + limits::HEADER_TIMEOUT, Overdue::Head)),
            Phase::Idle(since) => Some((since + limits::IDLE_TIMEOUT, Overdue::Idle)),
            Phase::Busy => None,
        };
        let blocked = state.blocked.map(|since| (since + limits::SEND_TIMEOUT, Overdue::Send));
        phase.into_iter().chain(blocked).min_by_key(|(deadline, _)| *deadline)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request in progress.
pub struct RequestGuard(Arc<ConnectionDeadlines>);

impl Drop for RequestGuard {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.requests -= 1;
        if state.requests == 0 {
            state.phase = Phase::Idle(Instant::now());
        }
    }
}

/// Checks in the task that drives a connection whether it is overdue: after each poll, and when a deadline passes.
#[derive(Default)]
pub struct Watchdog {
    alarm: Alarm,
}

impl Watchdog {
    /// Ready when the connection is overdue.
    pub fn poll(&mut self, deadlines: &ConnectionDeadlines, ctx: &mut Context<'_>) -> Poll<Overdue> {
        if deadlines.is_reset_too_often() {
            return Poll::Ready(Overdue::Resets);
        }
        loop {
            let Some((deadline, why)) = deadlines.deadline() else { return Poll::Pending };
            ready!(self.alarm.poll(deadline, ctx));
            // Another task may have moved the deadline.
            if deadlines.deadline().is_some_and(|(deadline, _)| deadline <= Instant::now()) {
                return Poll::Ready(why);
            }
        }
    }
}

/// A timer for a deadline that is usually moved before it is reached: it is reset only after it has fired.
#[derive(Default)]
pub struct Alarm {
    timer: Option<Pin<Box<Sleep>>>,
}

impl Alarm {
    /// Ready at the deadline.
    pub fn poll(&mut self, deadline: Instant, ctx: &mut Context<'_>) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if timer.deadline() > deadline {
            timer.as_mut().reset(deadline);
        }
        loop {
            ready!(timer.as_mut().poll(ctx));
            if timer.deadline() >= deadline {
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline);
        }
    }
}

/// A token bucket.
struct TokenBucket {
    left: f64,
    filled: Instant,
}

impl TokenBucket {
    fn full(now: Instant) -> Self {
        Self { left: f64::from(limits::RESETS_BURST), filled: now }
    }

    fn take(&mut self, now: Instant) {
        let earned = now.saturating_duration_since(self.filled).as_secs_f64() * f64::from(limits::RESETS_PER_SECOND);
        self.left = (self.left + earned).min(f64::from(limits::RESETS_BURST)) - 1.0;
        self.filled = now;
    }

    fn is_overdrawn(&self) -> bool {
        self.left < 0.0
    }
}

/// The time since which a response waits for its client: from handing a piece to the connection until the connection
/// requests the next one.
#[derive(Default)]
pub struct Delivery {
    state: Mutex<DeliveryState>,
}

#[derive(Clone, Copy, Default)]
struct DeliveryState {
    offered: Option<Instant>,
    is_complete: bool,
}

impl Delivery {
    /// Records that a piece was handed over; `is_last` if it is the last one.
    pub fn piece_offered(&self, is_last: bool) {
        *self.lock() = DeliveryState { offered: Some(Instant::now()), is_complete: is_last };
    }

    /// Records that the connection requests more, or has dropped the body.
    pub fn piece_requested(&self) {
        self.lock().offered = None;
    }

    /// Records that the whole response was handed over.
    pub fn complete(&self) {
        self.lock().is_complete = true;
    }

    /// True if the whole response was handed over.
    pub fn is_complete(&self) -> bool {
        self.lock().is_complete
    }

    /// Ready when the client has not taken a piece within [`limits::SEND_TIMEOUT`].
    pub fn poll_overdue(&self, alarm: &mut Alarm, ctx: &mut Context<'_>) -> Poll<()> {
        let offered = self.lock().offered;
        offered.map_or(Poll::Pending, |offered| alarm.poll(offered + limits::SEND_TIMEOUT, ctx))
    }

    fn lock(&self) -> MutexGuard<'_, DeliveryState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn reset_budget_refills_over_time() {
        let start = Instant::now();
        let mut bucket = TokenBucket::full(start);
        (0..limits::RESETS_BURST).for_each(|_| bucket.take(start));
        assert!(!bucket.is_overdrawn());
        let later = start + Duration::from_secs(1);
        (0..limits::RESETS_PER_SECOND).for_each(|_| bucket.take(later));
        assert!(!bucket.is_overdrawn());
        bucket.take(later);
        assert!(bucket.is_overdrawn());
    }

    #[test]
    fn reset_budget_never_exceeds_the_burst() {
        let start = Instant::now();
        let mut bucket = TokenBucket::full(start);
        let later = start + Duration::from_hours(24);
        (0..limits::RESETS_BURST).for_each(|_| bucket.take(later));
        assert!(!bucket.is_overdrawn());
        bucket.take(later);
        assert!(bucket.is_overdrawn());
    }
}
