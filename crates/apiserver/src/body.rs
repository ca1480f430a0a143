//! Response bodies: a complete body, a document that is written while it is sent, or the events of a watch.
//!
//! A body keeps resources, such as the permit of its request, until its last byte is handed over or the connection
//! drops the body. It is handed over in pieces, so that a client that does not read occupies one piece of it in the
//! connection's buffers.

use std::{
    error::Error,
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream::BoxStream};
use http_body::{Frame, SizeHint};

use crate::limits;

/// A response body.
pub struct Body {
    content: Content,
    /// Dropped when the last byte is handed over.
    held: Option<Box<dyn Send>>,
    /// Called with the number of bytes sent when the last byte is handed over.
    ended: Option<Box<dyn FnOnce(u64) + Send>>,
    sent: u64,
}

/// The content of a body.
pub enum Content {
    /// A complete body.
    Buffered(Bytes),
    /// A document that is written while it is sent.
    Document(Pieces),
    /// Watch events. Each is sent to the client immediately.
    Events(Pieces),
}

/// Pieces of a body. Nothing follows an error.
pub type Pieces = BoxStream<'static, Result<Bytes, BodyError>>;

/// A body could not be sent completely. The connection is aborted, so that the client detects that the response is
/// incomplete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodyError(pub String);

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the response was aborted: {}", self.0)
    }
}

impl Error for BodyError {}

impl From<Content> for Body {
    fn from(content: Content) -> Self {
        Self { content, held: None, ended: None, sent: 0 }
    }
}

impl<B: Into<Bytes>> From<B> for Body {
    fn from(bytes: B) -> Self {
        Content::Buffered(bytes.into()).into()
    }
}

impl Body {
    /// A document that is written while it is sent.
    pub fn document(pieces: impl Stream<Item = Result<Bytes, BodyError>> + Send + 'static) -> Self {
        Content::Document(pieces.boxed()).into()
    }

    /// The body of a watch.
    pub fn events(events: impl Stream<Item = Bytes> + Send + 'static) -> Self {
        Content::Events(events.map(Ok).boxed()).into()
    }

    /// Keeps `held` until the last byte is handed over, in addition to what the body already keeps.
    #[must_use]
    pub fn with_guard(mut self, held: impl Send + 'static) -> Self {
        if !self.is_exhausted() {
            self.held = Some(Box::new((self.held.take(), held)));
        }
        self
    }

    /// Calls `ended` with the number of bytes when the last byte is handed over. It is never called for a body that
    /// ends early.
    #[must_use]
    pub fn on_end(mut self, ended: impl FnOnce(u64) + Send + 'static) -> Self {
        self.ended = Some(Box::new(ended));
        if self.is_exhausted() {
            self.end();
        }
        self
    }

    /// True for the body of a watch.
    pub fn is_events(&self) -> bool {
        matches!(self.content, Content::Events(_))
    }

    /// Replaces the content. Measurements and kept values remain.
    pub async fn map(self, change: impl AsyncFnOnce(Content) -> Content) -> Self {
        Self { content: change(self.content).await, ..self }
    }

    fn is_exhausted(&self) -> bool {
        matches!(&self.content, Content::Buffered(rest) if rest.is_empty())
    }

    fn end(&mut self) {
        self.held = None;
        if let Some(ended) = self.ended.take() {
            ended(self.sent);
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, ctx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let next = match &mut self.content {
            Content::Buffered(rest) => {
                let piece = rest.split_to(rest.len().min(limits::BODY_PIECE_BYTES));
                Poll::Ready((!piece.is_empty()).then_some(Ok(piece)))
            }
            Content::Document(pieces) | Content::Events(pieces) => pieces.poll_next_unpin(ctx),
        };
        let Poll::Ready(next) = next else { return Poll::Pending };
        match &next {
            Some(Ok(piece)) => {
                self.sent += piece.len() as u64;
                // Before the last piece is handed over: a client that has received the last byte finds the permit
                // released.
                if self.is_exhausted() {
                    self.end();
                }
            }
            Some(Err(_)) => self.held = None,
            None => self.end(),
        }
        Poll::Ready(next.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.is_exhausted()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Buffered(rest) => SizeHint::with_exact(rest.len() as u64),
            Content::Document(_) | Content::Events(_) => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::{FutureExt as _, stream};
    use http_body_util::BodyExt as _;

    use super::*;

    async fn piece(body: &mut Body) -> Option<Result<Bytes, BodyError>> {
        body.frame().await.map(|frame| frame.map(|frame| frame.into_data().unwrap()))
    }

    #[tokio::test]
    async fn whole_body_is_sent_in_pieces_and_releases_its_permit_with_the_last() {
        let held = Arc::new(());
        let text = "x".repeat(limits::BODY_PIECE_BYTES + 1);
        let mut body = Body::from(text).with_guard(Arc::clone(&held)).with_guard(Arc::clone(&held));
        assert_eq!(http_body::Body::size_hint(&body).exact(), Some(limits::BODY_PIECE_BYTES as u64 + 1));
        assert_eq!(piece(&mut body).await.unwrap().unwrap().len(), limits::BODY_PIECE_BYTES);
        assert_eq!((Arc::strong_count(&held), http_body::Body::is_end_stream(&body)), (3, false));
        assert_eq!(piece(&mut body).await.unwrap().unwrap().len(), 1);
        assert_eq!((Arc::strong_count(&held), http_body::Body::is_end_stream(&body)), (1, true));
        assert_eq!(piece(&mut body).await, None);
        assert_eq!(Arc::strong_count(&held), 1, "an empty body keeps nothing");
        drop(Body::from("").with_guard(Arc::clone(&held)));
    }

    #[tokio::test]
    async fn document_releases_its_permit_at_end_error_and_drop() {
        let (held, told) = (Arc::new(()), Arc::new(std::sync::Mutex::new(None)));
        let start = |pieces: Vec<Result<Bytes, BodyError>>| {
            let told = Arc::clone(&told);
            let body = Body::document(stream::iter(pieces)).with_guard(Arc::clone(&held));
            body.on_end(move |bytes| *told.lock().unwrap() = Some(bytes))
        };
        let mut body = start(vec![Ok("ab".into()), Ok("c".into())]);
        assert_eq!(piece(&mut body).await, Some(Ok("ab".into())));
        assert_eq!(piece(&mut body).await, Some(Ok("c".into())));
        assert_eq!((Arc::strong_count(&held), *told.lock().unwrap()), (2, None));
        assert_eq!(piece(&mut body).now_or_never(), Some(None));
        assert_eq!((Arc::strong_count(&held), told.lock().unwrap().take()), (1, Some(3)));
        let mut body = start(vec![Ok("ab".into()), Err(BodyError("x".to_owned()))]);
        piece(&mut body).await.unwrap().unwrap();
        assert_eq!(piece(&mut body).await, Some(Err(BodyError("x".to_owned()))));
        assert_eq!((Arc::strong_count(&held), *told.lock().unwrap()), (1, None), "it did not end");
        drop(start(vec![Ok("ab".into())]));
        assert_eq!((Arc::strong_count(&held), *told.lock().unwrap()), (1, None));
    }
}
