//! A connection that has become a WebSocket: it sends the frames of a watch; the client sends no data.
//!
//! Frames of the client are read, because they include pings and the close frame. Its messages are discarded, as in
//! kube-apiserver. [`tungstenite`] parses them and implements the protocol; it has no socket here, and the frames of
//! events bypass it, so that an event of several megabytes leaves no buffer of its size in every connection.

use std::{
    io::{self, Read, Write},
    mem,
    sync::Arc,
};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_util::sync::CancellationToken;
use tungstenite::{
    Error,
    protocol::{
        CloseFrame, Role, WebSocketConfig, WebSocketContext,
        frame::{
            FrameHeader,
            coding::{CloseCode, Data, OpCode},
        },
    },
};

use super::deadlines::{Delivery, RequestGuard};
use crate::{body::Body, limits};

/// An extension of a response: its connection becomes a WebSocket, over which its body is sent.
#[derive(Clone, Debug)]
pub struct WebSocketUpgrade {
    /// Canceled when the server ends its watches.
    pub stop: CancellationToken,
}

/// Appends a text message to frames to be sent.
pub fn put_text(frames: &mut BytesMut, text: &[u8]) {
    let header = FrameHeader { opcode: OpCode::Data(Data::Text), ..FrameHeader::default() };
    header.format(text.len() as u64, &mut frames.writer()).expect("writing to memory does not fail");
    frames.extend_from_slice(text);
}

/// A WebSocket that starts when the response of its handshake has been sent.
pub struct WebSocket {
    upgrade: OnUpgrade,
    frames: Body,
    stop: CancellationToken,
    under_way: RequestGuard,
}

impl WebSocket {
    /// Creates a WebSocket from a request and its response. For the deadlines of the connection, the request stays in
    /// progress until the WebSocket is dropped.
    pub fn new(upgrade: OnUpgrade, frames: Body, switch: WebSocketUpgrade, under_way: RequestGuard) -> Self {
        Self { upgrade, frames, stop: switch.stop, under_way }
    }

    /// Serves the WebSocket until it ends. Progress in sending is recorded in `delivery`.
    pub async fn run(self, delivery: Arc<Delivery>) {
        let Self { upgrade, frames, stop, under_way: _under_way } = self;
        // The connection ended before the response was sent.
        let Ok(upgraded) = upgrade.await else { return };
        let mut link = Link { io: TokioIo::new(upgraded), protocol: Protocol::new(), delivery };
        if let Err(error) = link.serve(frames, &stop).await {
            tracing::debug!(%error, "a WebSocket ended with an error");
        }
    }
}

/// The connection and the state of the protocol.
struct Link {
    io: TokioIo<Upgraded>,
    protocol: Protocol,
    delivery: Arc<Delivery>,
}

impl Link {
    async fn serve(&mut self, mut frames: Body, stop: &CancellationToken) -> io::Result<()> {
        let mut is_over = false;
        while !is_over {
            tokio::select! {
                next = frames.frame() => match next.and_then(Result::ok).and_then(|next| next.into_data().ok()) {
                    Some(data) => self.send(data).await?,
                    None => break,
                },
                received = self.io.read_buf(&mut self.protocol.wire.incoming) => is_over = self.answer(received?).await?,
            }
        }
        // Releases the permit of the watch.
        drop(frames);
        tokio::time::timeout(limits::CLOSE_TIMEOUT, self.end(is_over, stop)).await.unwrap_or(Ok(()))
    }

    /// Processes `received` bytes from the client and sends the replies. Returns true if the closing handshake is
    /// complete.
    async fn answer(&mut self, received: usize) -> io::Result<bool> {
        let is_over = received == 0 || self.protocol.receive();
        self.send_replies().await?;
        Ok(is_over)
    }

    /// Performs the closing handshake, unless it is complete, and ends the connection.
    async fn end(&mut self, mut is_over: bool, stop: &CancellationToken) -> io::Result<()> {
        if !is_over {
            if stop.is_cancelled() {
                self.protocol.close(CloseCode::Away, "the server ends its watches");
            } else {
                self.protocol.close(CloseCode::Normal, "");
            }
            self.send_replies().await?;
        }
        while !is_over {
            let received = self.io.read_buf(&mut self.protocol.wire.incoming).await?;
            is_over = self.answer(received).await?;
        }
        self.io.shutdown().await?;
        if !self.protocol.is_broken {
            return Ok(());
        }
        // Closing the socket with unread bytes could reset the connection before the client has read the close frame.
        loop {
            self.protocol.wire.incoming.clear();
            if self.io.read_buf(&mut self.protocol.wire.incoming).await? == 0 {
                return Ok(());
            }
        }
    }

    async fn send_replies(&mut self) -> io::Result<()> {
        let replies = mem::take(&mut self.protocol.wire.outgoing);
        self.send(replies.into()).await
    }

    /// Sends whole frames, in pieces that the client must take in time. Nothing is read in the meantime.
    async fn send(&mut self, mut frames: Bytes) -> io::Result<()> {
        while !frames.is_empty() {
            let piece = frames.split_to(frames.len().min(limits::PIECE_BYTES_MAX));
            self.delivery.piece_offered(false);
            self.io.write_all(&piece).await?;
            self.io.flush().await?;
            self.delivery.piece_requested();
        }
        Ok(())
    }
}

/// The protocol without a socket: received bytes, and replies to send.
struct Protocol {
    context: WebSocketContext,
    wire: Wire,
    /// True if the client violated the protocol.
    is_broken: bool,
}

impl Protocol {
    fn new() -> Self {
        let longest = limits::WEBSOCKET_MESSAGE_BYTES_MAX;
        let config = WebSocketConfig::default()
            .read_buffer_size(longest)
            .write_buffer_size(0)
            .max_message_size(Some(longest))
            .max_frame_size(Some(longest));
        let wire = Wire { incoming: BytesMut::with_capacity(longest), outgoing: Vec::new() };
        Self { context: WebSocketContext::new(Role::Server, Some(config)), wire, is_broken: false }
    }

    /// Parses received bytes and puts replies into the buffer. Returns true if the closing handshake is complete.
    fn receive(&mut self) -> bool {
        loop {
            let (code, reason) = match self.context.read(&mut self.wire) {
                // Messages are discarded. Pings are answered by the next read.
                Ok(_) => continue,
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(Error::Capacity(_)) => (CloseCode::Size, "the message is too long; a watch accepts none"),
                Err(Error::Utf8(_)) => (CloseCode::Invalid, "the text message is not UTF-8"),
                Err(Error::Protocol(_)) => (CloseCode::Protocol, "the frame violates RFC 6455"),
                // Both sides have sent a close frame.
                Err(_) => return true,
            };
            self.is_broken = true;
            self.close(code, reason);
            return true;
        }
    }

    /// Begins the closing handshake, if neither side has.
    fn close(&mut self, code: CloseCode, reason: &'static str) {
        let frame = CloseFrame { code, reason: reason.into() };
        // The only possible error is that both sides have closed.
        drop(self.context.close(&mut self.wire, Some(frame)));
    }
}

/// In-memory buffers that [`WebSocketContext`] reads from and writes to in place of a socket.
struct Wire {
    incoming: BytesMut,
    outgoing: Vec<u8>,
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.incoming.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let length = self.incoming.len().min(buffer.len());
        self.incoming.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}

impl Write for Wire {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.outgoing.extend_from_slice(buffer);
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
