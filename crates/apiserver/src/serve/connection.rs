//! One connection, from its handshake to its end.

use std::{
    convert::Infallible,
    future::{Future, poll_fn},
    mem,
    pin::{Pin, pin},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    task::{Context, Poll},
};

use apimachinery::rbac::UserInfo;
use bytes::Bytes;
use http::{Request, Response};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
    upgrade,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::sync::CancellationToken;

use super::{
    Handler,
    body::Outgoing,
    configure_socket,
    deadlines::{Alarm, ConnectionDeadlines, Delivery, Overdue, Watchdog},
    socket::Socket,
    streams::{self, Streams},
    unauthenticated_connections::{Peer, UnauthenticatedConnection},
    websocket::{WebSocket, WebSocketUpgrade},
};
use crate::{authentication, body::Body, limits, metrics::Metrics};

type Stream = TlsStream<Socket>;

/// The WebSocket that takes over a connection after a response with an upgrade. HTTP/2 has no such response.
type PendingUpgrade = Arc<Mutex<Option<WebSocket>>>;

/// The parts that a connection needs.
pub struct Connection<H> {
    pub acceptor: TlsAcceptor,
    pub handler: Arc<H>,
    pub metrics: Arc<Metrics>,
    pub unauthenticated: UnauthenticatedConnection,
    pub streams_max: u32,
    pub stop: CancellationToken,
}

impl<H: Handler> Connection<H> {
    /// Serves the connection until it ends.
    pub async fn run(self, stream: TcpStream) {
        configure_socket(&stream);
        let evicted = self.unauthenticated.evicted();
        let metrics = Arc::clone(&self.metrics);
        tokio::select! {
            () = Box::pin(self.accept_tls(stream)) => {}
            () = evicted.cancelled() => metrics.connection_ended("unknown"),
        }
    }

    async fn accept_tls(self, stream: TcpStream) {
        let deadlines = Arc::new(OnceLock::new());
        let socket = Socket::new(stream, Arc::clone(&deadlines));
        let handshake = tokio::time::timeout(limits::HANDSHAKE_TIMEOUT, self.acceptor.accept(socket));
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
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let deadlines = deadlines.get_or_init(|| ConnectionDeadlines::new(!is_http2));
        if is_http2 { self.serve_http2(stream, deadlines).await } else { self.serve_http1(stream, deadlines).await }
    }

    async fn serve_http1(self, stream: Stream, deadlines: &Arc<ConnectionDeadlines>) {
        let Self { handler, metrics, unauthenticated, stop, .. } = self;
        let peer = Arc::new(Peer::new(identity_of(&stream), unauthenticated));
        let pending_upgrade = PendingUpgrade::default();
        {
            let service = service_fn(|request| answer(&handler, &peer, deadlines, &pending_upgrade, request));
            let connection = http1_builder().serve_connection(TokioIo::new(stream), service).with_upgrades();
            drive(pin!(connection), http1::UpgradeableConnection::graceful_shutdown, deadlines, &stop, &metrics).await;
        }
        let websocket = pending_upgrade.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(websocket) = websocket {
            serve_websocket(websocket, deadlines, &metrics).await;
        }
    }

    async fn serve_http2(self, stream: Stream, deadlines: &Arc<ConnectionDeadlines>) {
        let Self { handler, metrics, unauthenticated, stop, streams_max, .. } = self;
        let peer = Arc::new(Peer::new(identity_of(&stream), unauthenticated));
        let streams = Streams { deadlines: Arc::clone(deadlines), metrics: Arc::clone(&metrics) };
        let of_connection = Arc::clone(deadlines);
        let none = PendingUpgrade::default();
        let service = service_fn(move |request| answer(&handler, &peer, &of_connection, &none, request));
        let connection = http2_builder(streams, streams_max).serve_connection(TokioIo::new(stream), service);
        drive(pin!(connection), http2::Connection::graceful_shutdown, deadlines, &stop, &metrics).await;
    }
}

/// Answers one request. It is in progress from its head to the last piece of its response.
fn answer<H: Handler>(
    handler: &Arc<H>,
    peer: &Arc<Peer>,
    deadlines: &Arc<ConnectionDeadlines>,
    pending_upgrade: &PendingUpgrade,
    mut request: Request<Incoming>,
) -> impl Future<Output = Result<Response<Outgoing>, Infallible>> + Send + use<H> {
    let (handler, peer, deadlines) = (Arc::clone(handler), Arc::clone(peer), Arc::clone(deadlines));
    let (pending_upgrade, under_way) = (Arc::clone(pending_upgrade), deadlines.request());
    let upgrade = upgrade::on(&mut request);
    async move {
        let mut response = handler.handle(peer, request).await;
        if let Some(switch) = response.extensions_mut().remove::<WebSocketUpgrade>() {
            let frames = mem::replace(response.body_mut(), Body::from(Bytes::new()));
            let websocket = WebSocket::new(upgrade, frames, switch, deadlines.request());
            *pending_upgrade.lock().unwrap_or_else(PoisonError::into_inner) = Some(websocket);
        }
        Ok(response.map(|body| Outgoing::new(body, streams::delivery(), under_way)))
    }
}

/// Drives a connection until it ends, is overdue, or the server stops and its requests have been answered.
async fn drive<C, E>(
    mut connection: Pin<&mut C>,
    shut_down: impl Fn(Pin<&mut C>),
    deadlines: &ConnectionDeadlines,
    stop: &CancellationToken,
    metrics: &Metrics,
) where
    C: Future<Output = Result<(), E>>,
    E: std::fmt::Display,
{
    let mut stopping = pin!(stop.cancelled());
    // `monitor.delivery` tracks the response over HTTP/1, of which there is one at a time. Over HTTP/2 it is unused:
    // each stream runs in its own task with its own `Delivery` (see `streams`).
    let (mut monitor, mut is_stopping) = (DeadlineMonitor::default(), false);
    let delivery = Arc::clone(&monitor.delivery);
    let mut run = async |connection: &mut Pin<&mut C>| {
        poll_fn(|ctx| {
            // Polled first, so that a request that has just arrived is read before the deadlines are checked.
            if let Poll::Ready(result) = streams::with_delivery(&delivery, || connection.as_mut().poll(ctx)) {
                return Poll::Ready(Ok(result));
            }
            if !is_stopping && stopping.as_mut().poll(ctx).is_ready() {
                is_stopping = true;
                shut_down(connection.as_mut());
                ctx.waker().wake_by_ref();
            }
            monitor.poll(deadlines, ctx).map(Err)
        })
        .await
    };
    let mut ended = run(&mut connection).await;
    if let Err(Overdue::Idle) = ended {
        // The client is notified, so that it sends its next request on another connection.
        metrics.connection_ended(Overdue::Idle.as_str());
        shut_down(connection.as_mut());
        let rest = tokio::time::timeout(limits::CLOSE_TIMEOUT, connection);
        ended = rest.await.map_or(Ok(Ok(())), Ok);
    }
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a connection ended with an error"),
        Err(overdue) => metrics.connection_ended(overdue.as_str()),
    }
}

/// Drives a connection that has become a WebSocket until it ends or is overdue. When the server stops, its events end.
async fn serve_websocket(websocket: WebSocket, deadlines: &ConnectionDeadlines, metrics: &Metrics) {
    let mut monitor = DeadlineMonitor::default();
    let mut run = pin!(websocket.run(Arc::clone(&monitor.delivery)));
    let ended = poll_fn(|ctx| match run.as_mut().poll(ctx) {
        Poll::Ready(()) => Poll::Ready(Ok(())),
        Poll::Pending => monitor.poll(deadlines, ctx).map(Err),
    });
    if let Err(overdue) = ended.await {
        metrics.connection_ended(overdue.as_str());
    }
}

/// Checks in the task that drives a connection whether it is overdue: after each poll, and when a deadline passes.
#[derive(Default)]
struct DeadlineMonitor {
    /// The delivery of responses that are sent by the connection's own task.
    delivery: Arc<Delivery>,
    alarm: Alarm,
    watchdog: Watchdog,
}

impl DeadlineMonitor {
    fn poll(&mut self, deadlines: &ConnectionDeadlines, ctx: &mut Context<'_>) -> Poll<Overdue> {
        if self.delivery.poll_overdue(&mut self.alarm, ctx).is_ready() {
            return Poll::Ready(Overdue::Send);
        }
        self.watchdog.poll(deadlines, ctx)
    }
}

fn http1_builder() -> http1::Builder {
    let head = limits::HEADER_BYTES_MAX as usize;
    let mut builder = http1::Builder::new();
    // `ConnectionDeadlines` distinguishes a head in progress from none, which hyper's timer does not.
    builder.timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(head).max_header_size(head);
    builder
}

fn http2_builder(streams: Streams, streams_max: u32) -> http2::Builder<Streams> {
    let mut builder = http2::Builder::new(streams);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(streams_max)
        .initial_stream_window_size(limits::HTTP2_WINDOW_BYTES)
        .initial_connection_window_size(limits::HTTP2_WINDOW_BYTES.saturating_mul(streams_max).min(LARGEST_WINDOW))
        .max_frame_size(limits::HTTP2_FRAME_BYTES_MAX)
        .max_header_list_size(limits::HEADER_BYTES_MAX)
        .max_send_buf_size(limits::HTTP2_SEND_BYTES_MAX)
        .max_pending_accept_reset_streams(limits::HTTP2_PENDING_RESETS_MAX)
        .max_local_error_reset_streams(limits::HTTP2_ERRORS_MAX)
        .keep_alive_interval(limits::HTTP2_PING_INTERVAL)
        .keep_alive_timeout(limits::HTTP2_PING_TIMEOUT);
    builder
}

/// The largest flow-control window of HTTP/2.
const LARGEST_WINDOW: u32 = (1 << 31) - 1;

fn identity_of(stream: &Stream) -> Option<UserInfo> {
    let (_, session) = stream.get_ref();
    session.peer_certificates().and_then(<[_]>::first).and_then(authentication::user_from_certificate)
}
