//! Transactions.
//!
//! Beginning one only waits for the head lock. A read and the commit are one job each on the writer thread, whose page
//! cache stays valid because no other connection changes the file.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use store::{Entry, Error, Key, Record, Revision, Transaction, Write};
use tokio::sync::OwnedMutexGuard;

use crate::commit::{ReadSet, commit, write_barrier};
use crate::error::{closed, failed};
use crate::memtable::IndexMemtables;
use crate::snapshot;
use crate::view::{self, ReadView};
use crate::writer::{WriterGone, WriterHandle};

/// The guard of the head lock, and the head if it is known.
pub type HeadGuard = OwnedMutexGuard<Option<Revision>>;

/// A transaction on the writer thread.
pub struct SqliteTransaction {
    writer: WriterHandle,
    index: Arc<IndexMemtables>,
    lock: HeadGuard,
    head: Revision,
    read_set: Mutex<ReadSet>,
}

impl SqliteTransaction {
    /// Begins a transaction under the lock. After a failed commit it first resolves the outcome by reading the head
    /// from the file.
    pub async fn begin(writer: WriterHandle, index: Arc<IndexMemtables>, mut lock: HeadGuard) -> Result<Self, Error> {
        if writer.failure_flag().is_failed() {
            return Err(closed());
        }
        let head = if let Some(head) = *lock {
            head
        } else {
            let head = writer.write(|connection| write_barrier(connection)).await?;
            index.rollback_to(head);
            head
        };
        *lock = Some(head);
        Ok(Self { writer, index, lock, head, read_set: Mutex::default() })
    }

    /// Runs a read on the writer thread, in one SQLite transaction, because opening one costs as much as a look-up.
    async fn read_on_writer<T: Send + 'static>(
        &self,
        read: impl FnOnce(&ReadView<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let index = Arc::clone(&self.index);
        let work = move |connection: &mut rusqlite::Connection| {
            let file = connection.transaction().map_err(failed)?;
            let bounds = view::bounds(&file).map_err(failed)?;
            read(&ReadView { connection: &file, memtables: &index.memtables(), bounds })
        };
        self.writer.run(work).await.map_err(|_| closed())?
    }
}

#[async_trait]
impl Transaction for SqliteTransaction {
    fn head(&self) -> Revision {
        self.head
    }

    async fn read(&self, keys: &[Key]) -> Result<Vec<Option<Record>>, Error> {
        let keys = keys.to_vec();
        let read = self.read_on_writer(move |view| {
            let records = snapshot::read(view, &keys)?;
            Ok((keys, records))
        });
        let (keys, records) = read.await?;
        let revisions = records.iter().map(|record| record.as_ref().map(|record| record.revision));
        self.read_set.lock().unwrap_or_else(PoisonError::into_inner).extend(keys.into_iter().zip(revisions));
        Ok(records)
    }

    async fn tail(&self, after: Revision, limit: usize) -> Result<Vec<Entry>, Error> {
        self.read_on_writer(move |view| snapshot::tail(view, after, limit)).await
    }

    async fn commit(self: Box<Self>, writes: Vec<Write>) -> Result<(), Error> {
        let Self { writer, index, mut lock, head, read_set } = *self;
        let read_set = read_set.into_inner().unwrap_or_else(PoisonError::into_inner);
        // The job owns the lock: if the caller drops the future, the next transaction still waits for the commit.
        let failure_flag = Arc::clone(writer.failure_flag());
        let job = move |connection: &mut rusqlite::Connection| {
            *lock = None;
            let outcome = commit(connection, &failure_flag, &index, head, &read_set, &writes);
            *lock = match outcome {
                Ok(()) => Some(Revision(head.0 + writes.len() as u64)),
                Err(Error::Precondition { .. } | Error::SpanConflict(_)) => Some(head),
                Err(_) => None,
            };
            outcome
        };
        writer.run(job).await.map_err(|gone| {
            match gone {
            WriterGone::NotRun => closed(),
            WriterGone::OutcomeUnknown => Error::OutcomeUnknown(
                "the store was closed during the commit: start the server again, then read the objects before repeating"
                    .to_owned(),
            ),
        }
        })?
    }
}
