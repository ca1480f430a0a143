//! Bulk load of an empty log, and advancing the revision.

use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::{Connection, TransactionBehavior};
use store::{Error, Load, Record, Revision, Span};

use crate::commit::{self, TAKE};
use crate::compaction::{self, MOVE_HORIZON};
use crate::failure::{closed, failed};
use crate::recent::{Recent, SET_INDEXED};
use crate::rows::from_revision;
use crate::transaction::Held;
use crate::view::horizon;
use crate::writer::WriterHandle;

const INSERT: &str = "INSERT INTO log (revision, key, to_commit_end, live, value) VALUES (?1, ?2, 0, 1, ?3)";

const INDEX: &str = "INSERT INTO version (key, revision, live) VALUES (?1, ?2, 1)";

/// A writer transaction that spans several jobs. It holds the head lock, so no other job writes in between.
pub struct SqliteLoad {
    writer: WriterHandle,
    head: Held,
    is_open: bool,
}

impl SqliteLoad {
    /// Begins the load if the log is empty.
    pub async fn begin(writer: WriterHandle, head: Held) -> Result<Self, Error> {
        let this = Self { writer, head, is_open: true };
        let found = this.writer.write(|connection| {
            connection.execute_batch("BEGIN IMMEDIATE")?;
            Ok(horizon(connection)?.head)
        });
        match found.await? {
            Revision(0) => Ok(this),
            found => Err(Error::Unavailable(format!("only an empty log can be loaded, and this one ends at {found}"))),
        }
    }
}

#[async_trait]
impl Load for SqliteLoad {
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
        let condition = Arc::clone(self.writer.condition());
        let work = move |connection: &mut Connection| {
            let mut take = connection.prepare_cached(TAKE).map_err(failed)?;
            spans.iter().try_for_each(|span| commit::take(connection, &condition, &mut take, span))
        };
        self.writer.run(work).await.map_err(|_| closed())?
    }

    async fn finish(mut self: Box<Self>, head: Revision) -> Result<(), Error> {
        self.writer
            .write(move |connection| {
                let end = from_revision(head);
                connection.prepare_cached(MOVE_HORIZON)?.execute((end, end))?;
                connection.prepare_cached(SET_INDEXED)?.execute([end])?;
                connection.execute_batch("COMMIT")
            })
            .await?;
        self.is_open = false;
        *self.head = Some(head);
        Ok(())
    }
}

impl Drop for SqliteLoad {
    fn drop(&mut self) {
        if !self.is_open {
            return;
        }
        // If the writer has stopped, the transaction has ended; if the rollback fails, it has ended as well.
        let _ = self.writer.send(Box::new(|connection| drop(connection.execute_batch("ROLLBACK"))));
    }
}

/// Advances the head by `by` and the horizon to the new head.
pub async fn jump(writer: &WriterHandle, recent: &Arc<Recent>, mut head: Held, by: u64) -> Result<Revision, Error> {
    compaction::compact(writer, recent, Revision(u64::MAX)).await?;
    let moved = writer.write(move |connection| {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let moved = Revision(horizon(&transaction)?.head.0.saturating_add(by));
        let end = from_revision(moved);
        transaction.prepare_cached(MOVE_HORIZON)?.execute((end, end))?;
        transaction.commit()?;
        Ok(moved)
    });
    let moved = moved.await?;
    *head = Some(moved);
    Ok(moved)
}
