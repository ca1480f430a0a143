//! How far a connection has come, and until when it must come further.

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
    /// The head of a request did not come.
    Head,
    /// There was no request for a while.
    Idle,
    /// The client does not read what it is sent.
    Send,
    /// The client gave up more requests than it may.
    Resets,
}

impl Overdue {
    /// As it is counted.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::Idle => "idle",
            Self::Send => "send",
            Self::Resets => "resets",
        }
    }
}

/// What is known of one connection.
pub struct Pace {
    state: Mutex<State>,
}

struct State {
    is_http1: bool,
    phase: Phase,
    requests: usize,
    /// Since when the socket takes nothing.
    blocked: Option<Instant>,
    resets: Bucket,
}

#[derive(Clone, Copy)]
enum Phase {
    /// The head of a request is on its way.
    Head(Instant),
    /// No request is under way.
    Idle(Instant),
    /// Some are.
    Busy,
}

impl Pace {
    /// Of a connection that has just been made: its first request is due.
    pub fn new(is_http1: bool) -> Arc<Self> {
        let now = Instant::now();
        let phase = Phase::Head(now);
        let state = State { is_http1, phase, requests: 0, blocked: None, resets: Bucket::full(now) };
        Arc::new(Self { state: Mutex::new(state) })
    }

    /// Bytes came.
    pub fn received(&self) {
        let mut state = self.lock();
        // Over HTTP/2 it may be anything.
        if state.is_http1 && matches!(state.phase, Phase::Idle(_)) {
            state.phase = Phase::Head(Instant::now());
        }
    }

    /// The socket took something.
    pub fn sent(&self) {
        let mut state = self.lock();
        state.blocked = None;
        // The end of an answer may still be on its way out. Over HTTP/2 it may be a ping as well.
        if state.is_http1
            && let Phase::Idle(since) = &mut state.phase
        {
            *since = Instant::now();
        }
    }

    /// The socket takes nothing at present.
    pub fn blocked(&self) {
        self.lock().blocked.get_or_insert_with(Instant::now);
    }

    /// A request is under way until what is returned is dropped.
    pub fn request(self: &Arc<Self>) -> Request {
        let mut state = self.lock();
        state.requests += 1;
        state.phase = Phase::Busy;
        Request(Arc::clone(self))
    }

    /// A client gave up a request.
    pub fn reset(&self) {
        self.lock().resets.take(Instant::now());
    }

    fn is_reset_too_often(&self) -> bool {
        self.lock().resets.is_overdrawn()
    }

    /// Until when something must happen, and why.
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

/// A request that is under way.
pub struct Request(Arc<Pace>);

impl Drop for Request {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.requests -= 1;
        if state.requests == 0 {
            state.phase = Phase::Idle(Instant::now());
        }
    }
}

/// Looks whether a connection is overdue, in the task that drives it: whenever that has run, and when time is over.
#[derive(Default)]
pub struct Watchdog {
    alarm: Alarm,
}

impl Watchdog {
    /// Ready when it is.
    pub fn poll(&mut self, pace: &Pace, ctx: &mut Context<'_>) -> Poll<Overdue> {
        if pace.is_reset_too_often() {
            return Poll::Ready(Overdue::Resets);
        }
        loop {
            let Some((deadline, why)) = pace.deadline() else { return Poll::Pending };
            ready!(self.alarm.poll(deadline, ctx));
            // Another task may have moved it meanwhile.
            if pace.deadline().is_some_and(|(deadline, _)| deadline <= Instant::now()) {
                return Poll::Ready(why);
            }
        }
    }
}

/// A timer for a deadline that mostly moves on before it is reached: it is set again only when it has gone off.
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

/// Tokens that are taken one by one and come back with time.
struct Bucket {
    left: f64,
    filled: Instant,
}

impl Bucket {
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

/// Since when an answer waits for its client: between a piece that was handed to the connection and the next one that the
/// connection asks for.
#[derive(Default)]
pub struct Delivery {
    state: Mutex<DeliveryState>,
}

#[derive(Clone, Copy, Default)]
struct DeliveryState {
    offered: Option<Instant>,
    is_whole: bool,
}

impl Delivery {
    /// A piece was handed over; `is_last` if nothing comes after it.
    pub fn offered(&self, is_last: bool) {
        *self.lock() = DeliveryState { offered: Some(Instant::now()), is_whole: is_last };
    }

    /// The connection asks for more, or has no use for it.
    pub fn wanted(&self) {
        self.lock().offered = None;
    }

    /// All of it was handed over.
    pub fn whole(&self) {
        self.lock().is_whole = true;
    }

    /// Whether all of it was handed over.
    pub fn is_whole(&self) -> bool {
        self.lock().is_whole
    }

    /// Ready when the client has not taken a piece in the time that it may take.
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
    fn resets_are_earned_with_time() {
        let start = Instant::now();
        let mut bucket = Bucket::full(start);
        (0..limits::RESETS_BURST).for_each(|_| bucket.take(start));
        assert!(!bucket.is_overdrawn());
        let later = start + Duration::from_secs(1);
        (0..limits::RESETS_PER_SECOND).for_each(|_| bucket.take(later));
        assert!(!bucket.is_overdrawn());
        bucket.take(later);
        assert!(bucket.is_overdrawn());
    }

    #[test]
    fn a_bucket_holds_no_more_than_a_burst() {
        let start = Instant::now();
        let mut bucket = Bucket::full(start);
        let later = start + Duration::from_hours(24);
        (0..limits::RESETS_BURST).for_each(|_| bucket.take(later));
        assert!(!bucket.is_overdrawn());
        bucket.take(later);
        assert!(bucket.is_overdrawn());
    }
}
