//! A whole snapshot, page by page: first its objects in the order of their keys, then its spans in the order of (space, first).

use store::{Error, Key, Record, Revision, Snapshot, Span};

use super::{RECORDS_PER_PAGE, SPANS_PER_PAGE};

/// A reader of a snapshot.
pub struct SnapshotReader {
    snapshot: Box<dyn Snapshot>,
    next: Next,
}

/// The position of the next page.
enum Next {
    Records { after: Option<Key> },
    Spans { after: Option<(String, u128)> },
    Nothing,
}

/// A page. Only the last page of objects and the last page of spans may be empty.
pub enum Chunk {
    /// Objects.
    Records(Vec<Record>),
    /// Spans.
    Spans(Vec<Span>),
}

impl SnapshotReader {
    /// Creates a reader at the first object.
    pub fn of(snapshot: Box<dyn Snapshot>) -> Self {
        Self { snapshot, next: Next::Records { after: None } }
    }

    /// Returns the revision of the snapshot.
    pub fn revision(&self) -> Revision {
        self.snapshot.revision()
    }

    /// Reads the next page. Returns `None` after the last.
    ///
    /// # Errors
    /// The error of the store.
    pub async fn next(&mut self) -> Result<Option<Chunk>, Error> {
        match &self.next {
            Next::Records { after } => {
                let page = self.snapshot.list("", after.as_ref(), RECORDS_PER_PAGE).await?;
                let last = page.records.last().filter(|_| page.more);
                self.next = match last {
                    Some(last) => Next::Records { after: Some(last.key.clone()) },
                    None => Next::Spans { after: None },
                };
                Ok(Some(Chunk::Records(page.records)))
            }
            Next::Spans { after } => {
                let after = after.as_ref().map(|(space, first)| (space.as_str(), *first));
                let spans = self.snapshot.spans(after, SPANS_PER_PAGE).await?;
                self.next = match spans.last().filter(|_| spans.len() == SPANS_PER_PAGE) {
                    Some(last) => Next::Spans { after: Some((last.space.clone(), last.first)) },
                    None => Next::Nothing,
                };
                Ok(Some(Chunk::Spans(spans)))
            }
            Next::Nothing => Ok(None),
        }
    }
}
