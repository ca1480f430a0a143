//! The head, held.
//!
//! Beginning costs nothing but the wait for the head; a read and the commit are one trip each to the writer, whose
//! page cache is warm because nobody else changes the file.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use store::{Entry, Error, Key, Record, Revision, Transaction, Write};
use tokio::sync::OwnedMutexGuard;

use crate::commit::{Known, commit, settle};
use crate::failure::{closed, failed};
use crate::recent::Recent;
use crate::snapshot;
use crate::view::{self, View};
use crate::writer::{Gone, WriterHandle};

/// What holds the head: the lock, and inside it the head itself where it is known.
pub type Held = OwnedMutexGuard<Option<Revision>>;

/// A transaction on the writer.
pub struct SqliteTransaction {
    writer: WriterHandle,
    recent: Arc<Recent>,
    lock: Held,
    head: Revision,
    known: Mutex<Known>,
}

impl SqliteTransaction {
    /// Begins under the lock. After a failed commit the file is asked first where the log ends.
    pub async fn begin(writer: WriterHandle, recent: Arc<Recent>, mut lock: Held) -> Result<Self, Error> {
        if writer.condition().is_failed() {
            return Err(closed());
        }
        let head = if let Some(head) = *lock {
            head
        } else {
            let head = writer.write(|connection| settle(connection)).await?;
            recent.forget_after(head);
            head
        };
        *lock = Some(head);
        Ok(Self { writer, recent, lock, head, known: Mutex::default() })
    }

    /// Has the writer look at the store. In one SQLite transaction: opening one costs as much as a look-up.
    async fn look<T: Send + 'static>(
        &self,
        read: impl FnOnce(&View<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let recent = Arc::clone(&self.recent);
        let look = move |connection: &mut rusqlite::Connection| {
            let file = connection.transaction().map_err(failed)?;
            let horizon = view::horizon(&file).map_err(failed)?;
            read(&View { connection: &file, recent: &recent.layers(), horizon })
        };
        self.writer.run(look).await.map_err(|_| closed())?
    }
}

#[async_trait]
impl Transaction for SqliteTransaction {
    fn head(&self) -> Revision {
        self.head
    }

    async fn read(&self, keys: &[Key]) -> Result<Vec<Option<Record>>, Error> {
        let keys = keys.to_vec();
        let read = self.look(move |view| {
            let records = snapshot::read(view, &keys)?;
            Ok((keys, records))
        });
        let (keys, records) = read.await?;
        let revisions = records.iter().map(|record| record.as_ref().map(|record| record.revision));
        self.known.lock().unwrap_or_else(PoisonError::into_inner).extend(keys.into_iter().zip(revisions));
        Ok(records)
    }

    async fn tail(&self, after: Revision, limit: usize) -> Result<Vec<Entry>, Error> {
        self.look(move |view| snapshot::tail(view, after, limit)).await
    }

    async fn commit(self: Box<Self>, writes: Vec<Write>) -> Result<(), Error> {
        let Self { writer, recent, mut lock, head, known } = *self;
        let known = known.into_inner().unwrap_or_else(PoisonError::into_inner);
        // The lock travels with the job: a caller that goes away does not let the next one in too early.
        let condition = Arc::clone(writer.condition());
        let job = move |connection: &mut rusqlite::Connection| {
            *lock = None;
            let outcome = commit(connection, &condition, &recent, head, &known, &writes);
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
