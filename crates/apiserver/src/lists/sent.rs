//! A list that is sent while it is read.
//!
//! An error after the first byte can no longer be reported by a status code. The connection is broken instead, so that
//! the client does not take what was sent for the whole list.

use std::vec;

use apimachinery::{
    kind::State, list::document::Document, negotiate::Representation, status_error::StatusError, time::Time, view::View,
};
use bytes::Bytes;
use futures::stream;
use tokio::time::Instant;

use super::{Failure, Reader};
use crate::{
    body::{Body, Broken},
    limits,
};

/// A document of `head`, `items` and the rest of `reader`. It is aborted at `ends`.
pub fn body<W: State>(reader: Reader<W>, form: Form, head: Vec<u8>, items: Vec<Bytes>, ends: Instant) -> Body {
    let list = Sent { reader, form, piece: head, items: items.into_iter(), has_items: false, ends };
    // After the end or an error the list is dropped, and its memory freed.
    Body::document(stream::unfold(Some(list), move |list| async move {
        let mut list = list?;
        match list.next().await {
            Ok(Next::Piece(piece)) => Some((Ok(piece), Some(list))),
            Ok(Next::Last(piece)) => Some((Ok(piece), None)),
            Err(broken) => {
                tracing::warn!(resource = form.plural, why = broken.0, "a list response was aborted");
                Some((Err(broken), None))
            }
        }
    }))
}

/// How a list is encoded.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    /// The plural of the listed resource.
    pub plural: &'static str,
    /// The view of the requested API version, if any.
    pub view: Option<&'static View>,
    /// The representation that the client accepts.
    pub representation: Representation,
    /// The time from which ages are counted.
    pub now: Time,
}

impl Form {
    fn document<W: State>(self, reader: &Reader<W>) -> Document<'_> {
        let kind = reader.api.registry.find_view(self.plural, self.view).expect("what is listed is registered");
        Document { resource: kind.resource(), representation: self.representation, now: self.now }
    }
}

/// The state of a list in progress.
struct Sent<W> {
    reader: Reader<W>,
    form: Form,
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

impl<W: State> Sent<W> {
    async fn next(&mut self) -> Result<Next, Broken> {
        loop {
            if Instant::now() >= self.ends {
                return Err(Broken("it took too long".to_owned()));
            }
            self.write().map_err(|refusal| Broken(refusal.message))?;
            if self.piece.len() >= limits::BODY_PIECE_BYTES {
                return Ok(Next::Piece(self.take_piece()));
            }
            if !self.reader.more {
                let end = self.form.document(&self.reader).end(self.has_items);
                self.piece.extend_from_slice(end);
                return Ok(Next::Last(self.take_piece()));
            }
            self.items = self.read().await?.into_iter();
        }
    }

    /// Encodes items until a piece is full or no items are left.
    fn write(&mut self) -> Result<(), StatusError> {
        let document = self.form.document(&self.reader);
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

    async fn read(&mut self) -> Result<Vec<Bytes>, Broken> {
        let read = tokio::time::timeout_at(self.ends, self.reader.next(usize::MAX)).await;
        match read.map_err(|_| Broken("the store took too long".to_owned()))? {
            Ok(records) => Ok(records.into_iter().map(|record| record.value).collect()),
            Err(Failure::Refused(refusal)) => Err(Broken(refusal.message)),
            Err(Failure::Expired(status)) => Err(Broken(status.message)),
        }
    }
}
