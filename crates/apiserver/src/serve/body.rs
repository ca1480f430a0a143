//! The body of a response as it is sent: in pieces, so that the buffers of a connection hold no more than the client
//! takes, and so that a client that does not read is detected.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};

use super::deadlines::{Delivery, RequestGuard};
use crate::{
    body::{Body, BodyError},
    limits,
};

/// The body of one response. Its request is in progress until this is dropped.
pub struct Outgoing {
    body: Body,
    /// The bytes of the current frame that have not been handed to the connection.
    rest: Bytes,
    delivery: Arc<Delivery>,
    _request: RequestGuard,
}

impl Outgoing {
    /// Wraps `body`, whose progress is recorded in `delivery`.
    pub fn new(body: Body, delivery: Arc<Delivery>, request: RequestGuard) -> Self {
        if body.is_end_stream() {
            delivery.complete();
        }
        Self { body, rest: Bytes::new(), delivery, _request: request }
    }

    fn piece(&mut self) -> Frame<Bytes> {
        let piece = self.rest.split_to(self.rest.len().min(limits::PIECE_BYTES_MAX));
        self.delivery.piece_offered(self.is_end_stream());
        Frame::data(piece)
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.delivery.piece_requested();
    }
}

impl http_body::Body for Outgoing {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, ctx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.delivery.piece_requested();
        if !self.rest.is_empty() {
            return Poll::Ready(Some(Ok(self.piece())));
        }
        let frame = match ready!(Pin::new(&mut self.body).poll_frame(ctx)) {
            Some(Ok(frame)) => frame,
            end => {
                self.delivery.complete();
                return Poll::Ready(end);
            }
        };
        match frame.into_data() {
            Ok(data) => {
                self.rest = data;
                Poll::Ready(Some(Ok(self.piece())))
            }
            Err(trailers) => Poll::Ready(Some(Ok(trailers))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (hint, rest) = (self.body.size_hint(), self.rest.len() as u64);
        let mut all = SizeHint::new();
        all.set_lower(hint.lower() + rest);
        if let Some(upper) = hint.upper() {
            all.set_upper(upper + rest);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::{super::deadlines::ConnectionDeadlines, *};

    #[tokio::test]
    async fn long_response_is_sent_in_pieces() {
        let bytes: Bytes = (0..=250).cycle().take(3 * limits::PIECE_BYTES_MAX + 7).collect();
        let deadlines = ConnectionDeadlines::new(true);
        let delivery = Arc::new(Delivery::default());
        let mut body = Outgoing::new(Body::from(bytes.clone()), Arc::clone(&delivery), deadlines.request());
        let (mut sent, mut lengths) = (Vec::new(), Vec::new());
        while !body.is_end_stream() {
            assert_eq!(body.size_hint().exact(), Some((bytes.len() - sent.len()) as u64));
            assert!(!delivery.is_complete());
            let piece = body.frame().await.unwrap().unwrap().into_data().unwrap();
            lengths.push(piece.len());
            sent.extend_from_slice(&piece);
        }
        assert!(delivery.is_complete());
        assert_eq!(lengths, [limits::PIECE_BYTES_MAX, limits::PIECE_BYTES_MAX, limits::PIECE_BYTES_MAX, 7]);
        assert_eq!(sent, bytes);
        assert!(body.frame().await.is_none());
    }
}
