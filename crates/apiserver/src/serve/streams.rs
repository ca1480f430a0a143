//! The tasks of the streams of an HTTP/2 connection. A stream whose client does not open its flow-control window is
//! reset; the other streams of the connection, which may belong to other users of a proxy, continue.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    task::Poll,
};

use hyper::rt::Executor;

use super::deadlines::{Alarm, ConnectionDeadlines, Delivery};
use crate::metrics::Metrics;

tokio::task_local! {
    /// The delivery of the response that this task creates and sends.
    static DELIVERY: Arc<Delivery>;
}

/// The delivery of the response that the current task creates.
pub fn delivery() -> Arc<Delivery> {
    DELIVERY.try_with(Arc::clone).unwrap_or_default()
}

/// Runs code that sends responses with `delivery` as the current one.
pub fn with_delivery<T>(delivery: &Arc<Delivery>, run: impl FnOnce() -> T) -> T {
    DELIVERY.sync_scope(Arc::clone(delivery), run)
}

/// Spawns the tasks of streams.
#[derive(Clone)]
pub struct Streams {
    /// The deadlines of their connection.
    pub deadlines: Arc<ConnectionDeadlines>,
    /// Counts streams that are reset.
    pub metrics: Arc<Metrics>,
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        let Self { deadlines, metrics } = self.clone();
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
            } else if !delivery.is_complete() {
                deadlines.reset();
            }
        });
    }
}
