//! Connections: accepting them, the TLS handshake, HTTP/1.1 and HTTP/2, and their end.
//!
//! Draining: no new connection is accepted, the open ones finish the requests they have (watches are told to end by the
//! handler's own signal), and what is left at the deadline is cut off.

use std::{convert::Infallible, future::Future, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{Either, Full, combinators::UnsyncBoxBody};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use apimachinery::access::Identity;

use crate::{identity, limits, metrics::Metrics, tls::Tls};

/// The body of an answer: whole, or a stream.
pub type Body = Either<Full<Bytes>, UnsyncBoxBody<Bytes, Infallible>>;

/// What answers requests. `identity` is `None` for a connection without a client certificate.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request.
    fn handle(
        &self,
        identity: Option<Arc<Identity>>,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<Body>> + Send;
}

/// The accepting side of a server.
pub struct Listener<H> {
    /// The bound socket.
    pub socket: TcpListener,
    /// Certificates.
    pub tls: Arc<Tls>,
    /// What answers.
    pub handler: Arc<H>,
    /// Counts failed handshakes.
    pub metrics: Arc<Metrics>,
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
        loop {
            let stream = tokio::select! {
                () = self.stop.cancelled() => break,
                accepted = self.socket.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    Err(error) => {
                        // Out of file descriptors, most likely: others must close before this helps.
                        tracing::warn!(error = %error, "a connection could not be accepted");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        continue;
                    }
                },
            };
            let connection = Connection {
                acceptor: TlsAcceptor::from(self.tls.config()),
                handler: Arc::clone(&self.handler),
                metrics: Arc::clone(&self.metrics),
                stop: self.stop.clone(),
            };
            let abort = abort.clone();
            connections.spawn(async move {
                tokio::select! { () = connection.run(stream) => {}, () = abort.cancelled() => {} }
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
}

struct Connection<H> {
    acceptor: TlsAcceptor,
    handler: Arc<H>,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
}

impl<H: Handler> Connection<H> {
    async fn run(self, stream: TcpStream) {
        // Answers are small and latency matters; without this a delayed ACK may hold one back for 40 ms.
        drop(stream.set_nodelay(true));
        let handshake = tokio::time::timeout(limits::HANDSHAKE_TIMEOUT, self.acceptor.accept(stream));
        let stream = tokio::select! {
            () = self.stop.cancelled() => return,
            finished = handshake => match finished {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => {
                    self.metrics.handshake_failed();
                    tracing::debug!(error = %error, "a TLS handshake failed");
                    return;
                }
                Err(_) => return self.metrics.handshake_failed(),
            },
        };
        self.talk(stream).await;
    }

    async fn talk(self, stream: TlsStream<TcpStream>) {
        let identity = identity_of(&stream).map(Arc::new);
        let handler = self.handler;
        let spoken = CancellationToken::new();
        let first_request = spoken.clone();
        let service = service_fn(move |request| {
            first_request.cancel();
            let (handler, identity) = (Arc::clone(&handler), identity.clone());
            async move { Ok::<_, Infallible>(handler.handle(identity, request).await) }
        });
        let builder = builder();
        let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
        let result = tokio::select! {
            // In this order: a request that has come just in time is read before anybody asks whether there was one.
            biased;
            result = connection.as_mut() => result,
            () = self.stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
            () = silence(&spoken) => return,
        };
        if let Err(error) = result {
            tracing::debug!(error = %error, "a connection ended with an error");
        }
    }
}

/// Ends when no request has come in the time that a first one may take. hyper's own timer begins with the first byte.
async fn silence(spoken: &CancellationToken) {
    if tokio::time::timeout(limits::HEADER_TIMEOUT, spoken.cancelled()).await.is_ok() {
        std::future::pending::<()>().await;
    }
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(limits::HEADER_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits::HTTP2_STREAMS_MAX)
        .max_header_list_size(limits::HEADER_BYTES_MAX)
        .keep_alive_interval(Some(Duration::from_secs(30)))
        .keep_alive_timeout(Duration::from_secs(20));
    builder
}

fn identity_of(stream: &TlsStream<TcpStream>) -> Option<Identity> {
    let (_, session) = stream.get_ref();
    session.peer_certificates().and_then(<[_]>::first).and_then(identity::of_certificate)
}
