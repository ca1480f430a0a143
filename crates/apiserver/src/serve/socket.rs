//! The TCP side of a connection, below TLS: records reads and writes in its [`ConnectionDeadlines`].

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use super::deadlines::ConnectionDeadlines;

/// A socket. Nothing is recorded before the handshake is done, which has a separate timeout.
pub struct Socket {
    stream: TcpStream,
    deadlines: Arc<OnceLock<Arc<ConnectionDeadlines>>>,
}

impl Socket {
    /// Wraps a stream.
    pub fn new(stream: TcpStream, deadlines: Arc<OnceLock<Arc<ConnectionDeadlines>>>) -> Self {
        Self { stream, deadlines }
    }

    fn record(&self, poll: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match (self.deadlines.get(), &poll) {
            (Some(deadlines), Poll::Ready(Ok(_))) => deadlines.sent(),
            (Some(deadlines), Poll::Pending) => deadlines.blocked(),
            _ => {}
        }
        poll
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, ctx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let poll = Pin::new(&mut self.stream).poll_read(ctx, buf);
        if poll.is_ready()
            && buf.filled().len() > before
            && let Some(deadlines) = self.deadlines.get()
        {
            deadlines.received();
        }
        poll
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, ctx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(ctx, buf);
        self.record(poll)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        ctx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write_vectored(ctx, bufs);
        self.record(poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, ctx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(ctx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, ctx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(ctx)
    }
}
