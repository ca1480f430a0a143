//! The implementation of [`Store`], which delegates to the reader or writer connections.

use std::sync::Arc;

use async_trait::async_trait;
use store::{BulkLoad, Entry, Error, Head, Key, Page, Record, Revision, Snapshot, Span, Store, Transaction};

use crate::bulk_load::{SqliteBulkLoad, advance_revision};
use crate::read_transaction::SqliteSnapshot;
use crate::transaction::SqliteTransaction;
use crate::{SqliteStore, compaction, snapshot, span};

#[async_trait]
impl Store for SqliteStore {
    async fn begin(&self) -> Result<Box<dyn Transaction>, Error> {
        let held = Arc::clone(&self.head).lock_owned().await;
        let transaction = SqliteTransaction::begin(self.writer.handle().clone(), Arc::clone(&self.index), held).await?;
        Ok(Box::new(transaction))
    }

    async fn failed(&self) -> String {
        self.writer.handle().failure_flag().failed().await
    }

    async fn head(&self) -> Result<Head, Error> {
        self.readers.run(|view| Ok(view.bounds.into())).await
    }

    async fn get(&self, key: &Key) -> Result<Option<Record>, Error> {
        let key = key.clone();
        self.readers.run(move |view| snapshot::get(view, &key)).await
    }

    async fn read(&self, keys: &[Key]) -> Result<Vec<Option<Record>>, Error> {
        // Runs on the calling thread: switching threads costs more than a few look-ups.
        self.decisions.run_inline(|view| snapshot::read(view, keys)).await
    }

    async fn list(&self, prefix: &str, after: Option<&Key>, at: Option<Revision>, limit: usize) -> Result<Page, Error> {
        let (prefix, after) = (prefix.to_owned(), after.cloned());
        self.readers.run(move |view| snapshot::list(view, &prefix, after.as_ref(), at, limit)).await
    }

    async fn count(&self, prefix: &str, after: Option<&Key>, at: Revision, limit: usize) -> Result<usize, Error> {
        let (prefix, after) = (prefix.to_owned(), after.cloned());
        self.readers.run(move |view| snapshot::count(view, &prefix, after.as_ref(), at, limit)).await
    }

    async fn tail(&self, after: Revision, limit: usize) -> Result<Vec<Entry>, Error> {
        self.readers.run(move |view| snapshot::tail(view, after, limit)).await
    }

    async fn overlapping_spans(&self, space: &str, first: u128, last: u128, limit: usize) -> Result<Vec<Span>, Error> {
        let space = space.to_owned();
        self.readers.run(move |view| span::overlapping_spans(view.connection, &space, first, last, limit)).await
    }

    async fn compact(&self, revision: Revision) -> Result<(), Error> {
        compaction::compact(self.writer.handle(), &self.index, revision).await
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, Error> {
        Ok(Box::new(SqliteSnapshot::begin(Arc::clone(&self.data), Arc::clone(&self.index)).await?))
    }

    async fn bulk_load(&self) -> Result<Box<dyn BulkLoad>, Error> {
        let held = Arc::clone(&self.head).lock_owned().await;
        Ok(Box::new(SqliteBulkLoad::begin(self.writer.handle().clone(), held).await?))
    }

    async fn advance_revision(&self, by: u64) -> Result<Revision, Error> {
        let held = Arc::clone(&self.head).lock_owned().await;
        advance_revision(self.writer.handle(), &self.index, held, by).await
    }
}
