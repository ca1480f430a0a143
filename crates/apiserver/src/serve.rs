//! Connections: how many there may be, the TLS handshake, HTTP/1.1, HTTP/2 and WebSockets, and their end.
//!
//! Nothing that a client does or leaves undone holds a connection for ever: [`pace`] bounds the time of each step, [`body`]
//! and [`streams`] notice a client that does not read, [`newcomers`] make room for clients that the server knows.
//!
//! Draining: no new connection is accepted, the open ones finish the requests they have (watches are told to end by the
//! handler's own signal), and what is left at the deadline is cut off.

mod body;
mod connection;
mod newcomers;
mod pace;
mod socket;
mod streams;
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

pub use self::newcomers::Peer;
pub(crate) use self::websocket::{Switch, put_text};
use self::{connection::Connection, newcomers::Newcomers};
use crate::{
    body::Body,
    limits::{self, Limits},
    metrics::Metrics,
    tls::Tls,
};

/// What answers requests.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request of this client.
    fn handle(&self, peer: Arc<Peer>, request: Request<Incoming>) -> impl Future<Output = Response<Body>> + Send;
}

/// The accepting side of a server.
pub struct Listener<H> {
    /// The bound socket.
    pub socket: TcpListener,
    /// Certificates.
    pub tls: Arc<Tls>,
    /// What answers.
    pub handler: Arc<H>,
    /// Counts connections, and why the server ended them.
    pub metrics: Arc<Metrics>,
    /// How many connections, and streams of one.
    pub limits: Limits,
    /// Ends accepting and begins to drain.
    pub stop: CancellationToken,
    /// How long the open connections have to finish.
    pub drain: Duration,
}

impl<H: Handler> Listener<H> {
    /// Serves until `stop`, then drains.
    pub async fn run(self) {
        let connections = TaskTracker::new();
        let abort = CancellationToken::new();
        let places = Arc::new(Semaphore::new(self.limits.connections));
        let newcomers = Arc::new(Newcomers::new(self.limits.newcomers));
        let (mut failed, mut refused) = (Occasionally::default(), Occasionally::default());
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
                // Closed at once: a client that is refused tries elsewhere, one that waits in the backlog does not.
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
                newcomer: newcomers.enter(),
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
                "connections were still open at the deadline and are cut off"
            );
            abort.cancel();
            connections.wait().await;
        }
    }

    /// Out of file descriptors, most likely: others must close before another attempt helps.
    async fn not_accepted(&self, error: &io::Error, failed: &mut Occasionally) {
        self.metrics.connection_ended("accept");
        if let Some(times) = failed.now() {
            tracing::warn!(%error, times, "connections could not be accepted");
        }
        tokio::time::sleep(limits::ACCEPT_RETRY_INTERVAL).await;
    }
}

/// Something that may happen often, and is logged now and then.
#[derive(Default)]
struct Occasionally {
    logged: Option<Instant>,
    times: u64,
}

impl Occasionally {
    /// It happened. How often since the last time that this was answered, when it is time to log it again.
    fn now(&mut self) -> Option<u64> {
        self.times += 1;
        if self.logged.is_some_and(|logged| logged.elapsed() < limits::CONNECTION_LOG_INTERVAL) {
            return None;
        }
        self.logged = Some(Instant::now());
        Some(std::mem::take(&mut self.times))
    }
}

/// Options of an accepted socket. A system that refuses one is no reason to refuse the client.
fn set_up(stream: &TcpStream) {
    // Answers are small and latency matters; without this a delayed ACK may hold one back for 40 ms.
    drop(stream.set_nodelay(true));
    let keepalive = TcpKeepalive::new().with_time(limits::TCP_KEEPALIVE).with_interval(limits::TCP_KEEPALIVE_INTERVAL);
    drop(SockRef::from(stream).set_tcp_keepalive(&keepalive));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_happens_often_is_logged_now_and_then() {
        let mut often = Occasionally::default();
        assert_eq!(often.now(), Some(1));
        for _ in 0..1_000 {
            assert_eq!(often.now(), None);
        }
        tokio::time::advance(limits::CONNECTION_LOG_INTERVAL).await;
        assert_eq!(often.now(), Some(1_001));
        assert_eq!(often.now(), None);
    }
}
