//! The implementation of [`Store`].

use std::sync::Arc;

use async_trait::async_trait;
use store::{BulkLoad, Entry, Error, Head, Key, Page, Record, Revision, Snapshot, Span, Store, Transaction};
use tokio::runtime::Handle;
use tokio_postgres::Client;

use crate::{
    PostgresStore,
    bulk_load::{PostgresBulkLoad, advance_revision},
    compaction, read,
    snapshot::PostgresSnapshot,
    transaction::PostgresTransaction,
};

#[async_trait]
impl Store for PostgresStore {
    async fn begin(&self) -> Result<Box<dyn Transaction>, Error> {
        let mut commit_lock = Arc::clone(&self.commit_lock).lock_owned().await;
        // A connection is driven by the runtime on which it was opened. If another runtime calls, the connection is
        // reopened there, because the first runtime may be busy.
        let here = Some(Handle::current().id());
        if *commit_lock != here {
            self.commit_pool.retain(|_, _| false);
            *commit_lock = here;
        }
        Ok(Box::new(PostgresTransaction::begin(self.commit_pool.clone(), self.identity.clone(), commit_lock).await?))
    }

    fn is_shared(&self) -> bool {
        true
    }

    async fn wait_for_commits(&self, known: Revision) {
        self.listener.wait(known).await;
    }

    async fn head(&self) -> Result<Head, Error> {
        self.read_in_session(async |client| read::head(client, &self.identity).await).await
    }

    async fn get(&self, key: &Key) -> Result<Option<Record>, Error> {
        let found = self.read(std::slice::from_ref(key)).await?;
        Ok(found.into_iter().next().flatten())
    }

    async fn read(&self, keys: &[Key]) -> Result<Vec<Option<Record>>, Error> {
        self.read_in_session(async |client| read::read(client, keys).await).await
    }

    async fn list(&self, prefix: &str, after: Option<&Key>, at: Option<Revision>, limit: usize) -> Result<Page, Error> {
        self.read_with_statement_timeout(async |client| read::list(client, prefix, after, at, limit).await).await
    }

    async fn count(&self, prefix: &str, after: Option<&Key>, at: Revision, limit: usize) -> Result<usize, Error> {
        self.read_with_statement_timeout(async |client| read::count(client, prefix, after, at, limit).await).await
    }

    async fn tail(&self, after: Revision, limit: usize) -> Result<Vec<Entry>, Error> {
        // Both reads are sent at once (pipelining). The first one checks that the log is the one that this process
        // knows.
        let read = async |client: &Client| {
            let (head, entries) =
                futures::join!(read::head(client, &self.identity), read::tail(client, &self.identity, after, limit));
            head?;
            entries
        };
        self.read_in_session(read).await
    }

    async fn overlapping_spans(&self, space: &str, first: u128, last: u128, limit: usize) -> Result<Vec<Span>, Error> {
        self.read_in_session(async |client| read::overlapping_spans(client, space, first, last, limit).await).await
    }

    async fn compact(&self, revision: Revision) -> Result<(), Error> {
        compaction::compact(&self.pool, revision).await
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, Error> {
        Ok(Box::new(PostgresSnapshot::begin(&self.pool, &self.identity).await?))
    }

    async fn bulk_load(&self) -> Result<Box<dyn BulkLoad>, Error> {
        Ok(Box::new(PostgresBulkLoad::begin(&self.pool, self.identity.clone()).await?))
    }

    async fn advance_revision(&self, by: u64) -> Result<Revision, Error> {
        advance_revision(&self.pool, &self.identity, by).await
    }
}
