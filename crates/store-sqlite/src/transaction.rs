//! Transactions.
//!
//! Beginning one only waits for the head lock. A read and the commit are one job each on the writer thread, whose page
//! cache stays valid because no other connection changes the file.

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

/// The guard of the head lock, and the head if it is known.
pub type Held = OwnedMutexGuard<Option<Revision>>;

/// A transaction on the writer thread.
pub struct SqliteTransaction {
    writer: WriterHandle,
    recent: Arc<Recent>,
    lock: Held,
    head: Revision,
    known: Mutex<Known>,
}

impl SqliteTransaction {
    /// Begins a transaction under the lock. After a failed commit it first resolves the outcome by reading the head
    /// from the file.
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

    /// Runs a read on the writer thread, in one SQLite transaction, because opening one costs as much as a look-up.
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
        // The job owns the lock: if the caller drops the future, the next transaction still waits for the commit.
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
        writer.run(job).await.map_err(|gone| {
            match gone {
            Gone::Before => closed(),
            Gone::During => Error::Unknown(
                "the store was closed during the commit: start the server again, then read the objects before repeating"
                    .to_owned(),
            ),
        }
        })?
    }
}
