//! Bulk load of an empty log, and advancing the revision.

use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::{Connection, TransactionBehavior};
use store::{BulkLoad, Error, Record, Revision, Span};

use crate::commit::{self, TAKE};
use crate::compaction::{self, SET_COMPACTED};
use crate::error::{closed, failed};
use crate::memtable::{IndexMemtables, SET_INDEXED};
use crate::row_codec::from_revision;
use crate::transaction::HeadGuard;
use crate::view::bounds;
use crate::writer::WriterHandle;

const INSERT: &str = "INSERT INTO log (revision, key, commit_remaining, live, value) VALUES (?1, ?2, 0, 1, ?3)";

const INDEX: &str = "INSERT INTO version (key, revision, live) VALUES (?1, ?2, 1)";

/// A writer transaction that spans several jobs. It holds the head lock, so no other job writes in between.
pub struct SqliteBulkLoad {
    writer: WriterHandle,
    head: HeadGuard,
    is_open: bool,
}

impl SqliteBulkLoad {
    /// Begins the load if the log is empty.
    pub async fn begin(writer: WriterHandle, head: HeadGuard) -> Result<Self, Error> {
        let this = Self { writer, head, is_open: true };
        let found = this.writer.write(|connection| {
            connection.execute_batch("BEGIN IMMEDIATE")?;
            Ok(bounds(connection)?.head)
        });
        match found.await? {
            Revision(0) => Ok(this),
            found => Err(Error::Unavailable(format!("only an empty log can be loaded, and this one ends at {found}"))),
        }
    }
}

#[async_trait]
impl BulkLoad for SqliteBulkLoad {
    async fn records(&mut self, records: Vec<Record>) -> Result<(), Error> {
        self.writer
            .write(move |connection| {
                let mut insert = connection.prepare_cached(INSERT)?;
                let mut index = connection.prepare_cached(INDEX)?;
                for Record { key, revision, value } in &records {
                    insert.execute((from_revision(*revision), key.as_str(), &value[..]))?;
                    index.execute((key.as_str(), from_revision(*revision)))?;
                }
                Ok(())
            })
            .await
    }

    async fn spans(&mut self, spans: Vec<Span>) -> Result<(), Error> {
        let failure_flag = Arc::clone(self.writer.failure_flag());
        let work = move |connection: &mut Connection| {
            let mut take = connection.prepare_cached(TAKE).map_err(failed)?;
            spans.iter().try_for_each(|span| commit::take_span(connection, &failure_flag, &mut take, span))
        };
        self.writer.run(work).await.map_err(|_| closed())?
    }

    async fn finish(mut self: Box<Self>, head: Revision) -> Result<(), Error> {
        self.writer
            .write(move |connection| {
                let end = from_revision(head);
                connection.prepare_cached(SET_COMPACTED)?.execute((end, end))?;
                connection.prepare_cached(SET_INDEXED)?.execute([end])?;
                connection.execute_batch("COMMIT")
            })
            .await?;
        self.is_open = false;
        *self.head = Some(head);
        Ok(())
    }
}

impl Drop for SqliteBulkLoad {
    fn drop(&mut self) {
        if !self.is_open {
            return;
        }
        // If the writer has stopped, the transaction has ended; if the rollback fails, it has ended as well.
        let _ = self.writer.send(Box::new(|connection| drop(connection.execute_batch("ROLLBACK"))));
    }
}

/// Advances the head by `by` and the horizon to the new head.
pub async fn advance_revision(
    writer: &WriterHandle,
    index: &Arc<IndexMemtables>,
    mut head: HeadGuard,
    by: u64,
) -> Result<Revision, Error> {
    compaction::compact(writer, index, Revision(u64::MAX)).await?;
    let moved = writer.write(move |connection| {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let moved = Revision(bounds(&transaction)?.head.0.saturating_add(by));
        let end = from_revision(moved);
        transaction.prepare_cached(SET_COMPACTED)?.execute((end, end))?;
        transaction.commit()?;
        Ok(moved)
    });
    let moved = moved.await?;
    *head = Some(moved);
    Ok(moved)
}
