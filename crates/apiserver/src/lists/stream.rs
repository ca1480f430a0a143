//! A list that is sent while it is read.
//!
//! An error after the first byte can no longer be reported by a status code. The connection is aborted instead, so that
//! the client detects that the list is incomplete.

use std::vec;

use apimachinery::{
    kind::State, list::document::Document, negotiate::Representation, status_error::StatusError, time::Time, view::View,
};
use bytes::Bytes;
use futures::stream;
use tokio::time::Instant;

use super::{ListError, ListReader};
use crate::{
    body::{Body, BodyError},
    limits,
};

/// A document of `head`, `items` and the rest of `reader`. It is aborted at `ends`.
pub fn body<W: State>(
    reader: ListReader<W>,
    format: ListFormat,
    head: Vec<u8>,
    items: Vec<Bytes>,
    ends: Instant,
) -> Body {
    let list = ListStream { reader, format, piece: head, items: items.into_iter(), has_items: false, ends };
    // After the end or an error the list is dropped, and its memory freed.
    Body::document(stream::unfold(Some(list), move |list| async move {
        let mut list = list?;
        match list.next().await {
            Ok(Next::Piece(piece)) => Some((Ok(piece), Some(list))),
            Ok(Next::Last(piece)) => Some((Ok(piece), None)),
            Err(broken) => {
                tracing::warn!(resource = format.plural, why = broken.0, "a list response was aborted");
                Some((Err(broken), None))
            }
        }
    }))
}

/// How a list is encoded.
#[derive(Clone, Copy, Debug)]
pub struct ListFormat {
    /// The plural of the listed resource.
    pub plural: &'static str,
    /// The view of the requested API version, if any.
    pub view: Option<&'static View>,
    /// The representation that the client accepts.
    pub representation: Representation,
    /// The time from which ages are counted.
    pub now: Time,
}

impl ListFormat {
    fn document<W: State>(self, reader: &ListReader<W>) -> Document<'_> {
        let kind = reader.api.registry.find_view(self.plural, self.view).expect("the listed resource is registered");
        Document { resource: kind.resource(), representation: self.representation, now: self.now }
    }
}

/// The state of a list in progress.
struct ListStream<W> {
    reader: ListReader<W>,
    format: ListFormat,
    /// Encoded bytes that have not been sent.
    piece: Vec<u8>,
    /// Items that have been read but not encoded.
    items: vec::IntoIter<Bytes>,
    has_items: bool,
    ends: Instant,
}

/// The next piece of the body.
enum Next {
    Piece(Bytes),
    Last(Bytes),
}

impl<W: State> ListStream<W> {
    async fn next(&mut self) -> Result<Next, BodyError> {
        loop {
            if Instant::now() >= self.ends {
                return Err(BodyError("it took too long".to_owned()));
            }
            self.write().map_err(|refusal| BodyError(refusal.message))?;
            if self.piece.len() >= limits::BODY_PIECE_BYTES {
                return Ok(Next::Piece(self.take_piece()));
            }
            if !self.reader.more {
                let end = self.format.document(&self.reader).end(self.has_items);
                self.piece.extend_from_slice(end);
                return Ok(Next::Last(self.take_piece()));
            }
            self.items = self.read().await?.into_iter();
        }
    }

    /// Encodes items until a piece is full or no items are left.
    fn write(&mut self) -> Result<(), StatusError> {
        let document = self.format.document(&self.reader);
        while self.piece.len() < limits::BODY_PIECE_BYTES
            && let Some(item) = self.items.next()
        {
            document.item(&mut self.piece, &item, !self.has_items)?;
            self.has_items = true;
        }
        Ok(())
    }

    fn take_piece(&mut self) -> Bytes {
        std::mem::take(&mut self.piece).into()
    }

    async fn read(&mut self) -> Result<Vec<Bytes>, BodyError> {
        let read = tokio::time::timeout_at(self.ends, self.reader.next(usize::MAX)).await;
        match read.map_err(|_| BodyError("the store took too long".to_owned()))? {
            Ok(records) => Ok(records.into_iter().map(|record| record.value).collect()),
            Err(ListError::Refused(refusal)) => Err(BodyError(refusal.message)),
            Err(ListError::Expired(status)) => Err(BodyError(status.message)),
        }
    }
}
