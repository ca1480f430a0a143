//! The head, held.
//!
//! Beginning costs nothing but the wait for the head; a read and the commit are one trip each to the writer, whose
//! page cache is warm because nobody else changes the file.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use store::{Entry, Error, Key, Record, Revision, Span, Transaction, Write};
use tokio::sync::OwnedMutexGuard;

use crate::commit::{Known, commit, settle};
use crate::failure::{closed, failed};
use crate::writer::{Gone, WriterHandle};
use crate::{snapshot, span};

/// What holds the head: the lock, and inside it the head itself where it is known.
pub type Held = OwnedMutexGuard<Option<Revision>>;

/// A transaction on the writer.
pub struct SqliteTransaction {
    writer: WriterHandle,
    lock: Held,
    head: Revision,
    known: Mutex<Known>,
}

impl SqliteTransaction {
    /// Begins under the lock. After a failed commit the file is asked first where the log ends.
    pub async fn begin(writer: WriterHandle, mut lock: Held) -> Result<Self, Error> {
        let head = match *lock {
            Some(head) => head,
            None => writer.run(|connection| settle(connection)).await.map_err(|_| closed())?.map_err(failed)?,
        };
        *lock = Some(head);
        Ok(Self { writer, lock, head, known: Mutex::default() })
    }
}

#[async_trait]
impl Transaction for SqliteTransaction {
    fn head(&self) -> Revision {
        self.head
    }

    async fn read(&self, keys: &[Key]) -> Result<Vec<Option<Record>>, Error> {
        let keys = keys.to_vec();
        let read = move |connection: &mut rusqlite::Connection| {
            // One SQLite transaction for all of them: opening one costs as much as a look-up.
            let file = connection.transaction().map_err(failed)?;
            let records = snapshot::read(&file, &keys)?;
            Ok::<_, Error>((keys, records))
        };
        let (keys, records) = self.writer.run(read).await.map_err(|_| closed())??;
        let revisions = records.iter().map(|record| record.as_ref().map(|record| record.revision));
        self.known.lock().unwrap_or_else(PoisonError::into_inner).extend(keys.into_iter().zip(revisions));
        Ok(records)
    }

    async fn tail(&self, after: Revision, limit: usize) -> Result<Vec<Entry>, Error> {
        let read = move |connection: &mut rusqlite::Connection| snapshot::tail(connection, after, limit);
        self.writer.run(read).await.map_err(|_| closed())?
    }

    async fn holders(&self, space: &str, first: u128, last: u128, limit: usize) -> Result<Vec<Span>, Error> {
        let space = space.to_owned();
        let read = move |connection: &mut rusqlite::Connection| span::holders(connection, &space, first, last, limit);
        self.writer.run(read).await.map_err(|_| closed())?
    }

    async fn commit(self: Box<Self>, writes: Vec<Write>) -> Result<(), Error> {
        let Self { writer, mut lock, head, known } = *self;
        let known = known.into_inner().unwrap_or_else(PoisonError::into_inner);
        // The lock travels with the job: a caller that goes away does not let the next one in too early.
        let job = move |connection: &mut rusqlite::Connection| {
            *lock = None;
            let outcome = commit(connection, head, &known, &writes);
            *lock = match outcome {
                Ok(()) => Some(Revision(head.0 + writes.len() as u64)),
                Err(Error::Precondition { .. } | Error::Guard(_)) => Some(head),
                Err(_) => None,
            };
            outcome
        };
        writer.run(job).await.map_err(|gone| match gone {
            Gone::Before => closed(),
            Gone::During => Error::Unknown(
                "the store was closed meanwhile: start the server again, then read the objects before repeating"
                    .to_owned(),
            ),
        })?
    }
}
