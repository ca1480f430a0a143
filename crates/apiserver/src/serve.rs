//! Connections: their limits, the TLS handshake, HTTP/1.1, HTTP/2 and WebSockets, and their end.
//!
//! No client can hold a connection indefinitely: [`deadlines`] limits the time of each step, [`body`] and [`streams`]
//! detect a client that does not read, [`unauthenticated_connections`] limits the connections of unauthenticated
//! clients.
//!
//! Shutdown: no new connection is accepted, open connections finish their requests (the handler ends watches by a
//! separate signal), and what is still open at the deadline is closed.

mod body;
mod connection;
mod deadlines;
mod socket;
mod streams;
mod unauthenticated_connections;
mod websocket;

use std::{future::Future, io, sync::Arc, time::Duration};

use http::{Request, Response};
use hyper::body::Incoming;
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::Instant,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::unauthenticated_connections::Peer;
pub(crate) use self::websocket::{WebSocketUpgrade, put_text};
use self::{connection::Connection, unauthenticated_connections::UnauthenticatedConnections};
use crate::{
    body::Body,
    limits::{self, Limits},
    metrics::Metrics,
    tls::Tls,
};

/// Answers requests.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request of this client.
    fn handle(&self, peer: Arc<Peer>, request: Request<Incoming>) -> impl Future<Output = Response<Body>> + Send;
}

/// Accepts connections.
pub struct Listener<H> {
    /// The bound socket.
    pub socket: TcpListener,
    /// The TLS configuration.
    pub tls: Arc<Tls>,
    /// The handler of requests.
    pub handler: Arc<H>,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// The limits of connections and streams.
    pub limits: Limits,
    /// Stops accepting and begins the shutdown.
    pub stop: CancellationToken,
    /// The deadline of the shutdown.
    pub drain: Duration,
}

impl<H: Handler> Listener<H> {
    /// Serves until `stop`, then shuts down.
    pub async fn run(self) {
        let connections = TaskTracker::new();
        let abort = CancellationToken::new();
        let places = Arc::new(Semaphore::new(self.limits.connections));
        let unauthenticated_connections =
            Arc::new(UnauthenticatedConnections::new(self.limits.unauthenticated_connections));
        let (mut failed, mut refused) = (LogThrottle::default(), LogThrottle::default());
        loop {
            let stream = tokio::select! {
                () = self.stop.cancelled() => break,
                accepted = self.socket.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    Err(error) => {
                        self.not_accepted(&error, &mut failed).await;
                        continue;
                    }
                },
            };
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                // Closed immediately, so that the client can try another server instead of waiting in the backlog.
                self.metrics.connection_ended("limit");
                if let Some(times) = refused.now() {
                    tracing::warn!(limit = self.limits.connections, times, "too many connections: new ones are closed");
                }
                continue;
            };
            let connection = Connection {
                acceptor: TlsAcceptor::from(self.tls.config()),
                handler: Arc::clone(&self.handler),
                metrics: Arc::clone(&self.metrics),
                unauthenticated: unauthenticated_connections.enter(),
                streams_max: self.limits.http2_streams,
                stop: self.stop.clone(),
            };
            let (abort, metrics) = (abort.clone(), Arc::clone(&self.metrics));
            connections.spawn(async move {
                let _open = metrics.connection();
                tokio::select! { () = connection.run(stream) => {}, () = abort.cancelled() => {} }
                drop(place);
            });
        }
        drop(self.socket);
        connections.close();
        if tokio::time::timeout(self.drain, connections.wait()).await.is_err() {
            tracing::warn!(
                connections = connections.len(),
                "connections were still open at the deadline and are closed"
            );
            abort.cancel();
            connections.wait().await;
        }
    }

    /// Handles a failed accept: logs it and waits for [`limits::ACCEPT_RETRY_INTERVAL`]. The usual cause is that the
    /// process has no file descriptors left, so that a connection must close before the next attempt can succeed.
    async fn not_accepted(&self, error: &io::Error, failed: &mut LogThrottle) {
        self.metrics.connection_ended("accept");
        if let Some(times) = failed.now() {
            tracing::warn!(%error, times, "connections could not be accepted");
        }
        tokio::time::sleep(limits::ACCEPT_RETRY_INTERVAL).await;
    }
}

/// Rate-limits a log line.
#[derive(Default)]
struct LogThrottle {
    logged: Option<Instant>,
    times: u64,
}

impl LogThrottle {
    /// Counts an occurrence. Returns the number of occurrences since the last logged one if the next line is due.
    fn now(&mut self) -> Option<u64> {
        self.times += 1;
        if self.logged.is_some_and(|logged| logged.elapsed() < limits::CONNECTION_LOG_INTERVAL) {
            return None;
        }
        self.logged = Some(Instant::now());
        Some(std::mem::take(&mut self.times))
    }
}

/// Sets the options of an accepted socket. Errors are ignored, because the connection works without them.
fn configure_socket(stream: &TcpStream) {
    // Responses are small and latency matters; without this a delayed ACK can delay one by 40 ms.
    drop(stream.set_nodelay(true));
    let keepalive = TcpKeepalive::new().with_time(limits::TCP_KEEPALIVE).with_interval(limits::TCP_KEEPALIVE_INTERVAL);
    drop(SockRef::from(stream).set_tcp_keepalive(&keepalive));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn frequent_occurrences_are_logged_once_per_interval() {
        let mut often = LogThrottle::default();
        assert_eq!(often.now(), Some(1));
        for _ in 0..1_000 {
            assert_eq!(often.now(), None);
        }
        tokio::time::advance(limits::CONNECTION_LOG_INTERVAL).await;
        assert_eq!(often.now(), Some(1_001));
        assert_eq!(often.now(), None);
    }
}
