//! The tasks of the streams of an HTTP/2 connection. A stream whose client leaves its window shut is reset; the others of the
//! connection go on, which may be other people's behind a proxy.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    task::Poll,
};

use hyper::rt::Executor;

use super::pace::{Alarm, Delivery, Pace};
use crate::metrics::Metrics;

tokio::task_local! {
    /// Of the answer that is made and sent by this task.
    static DELIVERY: Arc<Delivery>;
}

/// The delivery of the answer that is being made.
pub fn delivery() -> Arc<Delivery> {
    DELIVERY.try_with(Arc::clone).unwrap_or_default()
}

/// Runs what sends answers with a delivery that they can find.
pub fn with_delivery<T>(delivery: &Arc<Delivery>, run: impl FnOnce() -> T) -> T {
    DELIVERY.sync_scope(Arc::clone(delivery), run)
}

/// Starts them.
#[derive(Clone)]
pub struct Streams {
    /// Of their connection.
    pub pace: Arc<Pace>,
    /// Counts those that are reset.
    pub metrics: Arc<Metrics>,
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        let Self { pace, metrics } = self.clone();
        tokio::spawn(async move {
            let (mut stream, mut alarm) = (pin!(stream), Alarm::default());
            let delivery = Arc::new(Delivery::default());
            let is_overdue = poll_fn(|ctx| {
                if with_delivery(&delivery, || stream.as_mut().poll(ctx)).is_ready() {
                    return Poll::Ready(false);
                }
                delivery.poll_overdue(&mut alarm, ctx).map(|()| true)
            });
            if is_overdue.await {
                metrics.connection_ended("stream");
            } else if !delivery.is_whole() {
                pace.reset();
            }
        });
    }
}
