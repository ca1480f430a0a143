//! The implementation of [`Store`].

use std::sync::Arc;

use async_trait::async_trait;
use store::{Entry, Error, Head, Key, Load, Page, Record, Revision, Snapshot, Span, Store, Transaction};
use tokio::runtime::Handle;
use tokio_postgres::Client;

use crate::{
    PostgresStore, compaction,
    load::{PostgresLoad, jump},
    read,
    snapshot::PostgresSnapshot,
    transaction::PostgresTransaction,
};

#[async_trait]
impl Store for PostgresStore {
    async fn begin(&self) -> Result<Box<dyn Transaction>, Error> {
        let mut turn = Arc::clone(&self.turn).lock_owned().await;
        // A connection is driven by the runtime on which it was opened. If another runtime calls, the connection is
        // reopened there, because the first runtime may be busy.
        let here = Some(Handle::current().id());
        if *turn != here {
            self.committing.retain(|_, _| false);
            *turn = here;
        }
        Ok(Box::new(PostgresTransaction::begin(self.committing.clone(), self.known.clone(), turn).await?))
    }

    fn is_shared(&self) -> bool {
        true
    }

    async fn changed(&self, known: Revision) {
        self.ears.wait(known).await;
    }

    async fn head(&self) -> Result<Head, Error> {
        self.reading(async |client| read::head(client, &self.known).await).await
    }

    async fn get(&self, key: &Key) -> Result<Option<Record>, Error> {
        let found = self.read(std::slice::from_ref(key)).await?;
        Ok(found.into_iter().next().flatten())
    }

    async fn read(&self, keys: &[Key]) -> Result<Vec<Option<Record>>, Error> {
        self.reading(async |client| read::read(client, keys).await).await
    }

    async fn list(&self, prefix: &str, after: Option<&Key>, at: Option<Revision>, limit: usize) -> Result<Page, Error> {
        self.reading_much(async |client| read::list(client, prefix, after, at, limit).await).await
    }

    async fn count(&self, prefix: &str, after: Option<&Key>, at: Revision, limit: usize) -> Result<usize, Error> {
        self.reading_much(async |client| read::count(client, prefix, after, at, limit).await).await
    }

    async fn tail(&self, after: Revision, limit: usize) -> Result<Vec<Entry>, Error> {
        // Both reads are sent at once (pipelining). The first one checks that the log is the one that this process
        // knows.
        let read = async |client: &Client| {
            let (head, entries) =
                futures::join!(read::head(client, &self.known), read::tail(client, &self.known, after, limit));
            head?;
            entries
        };
        self.reading(read).await
    }

    async fn holders(&self, space: &str, first: u128, last: u128, limit: usize) -> Result<Vec<Span>, Error> {
        self.reading(async |client| read::holders(client, space, first, last, limit).await).await
    }

    async fn compact(&self, revision: Revision) -> Result<(), Error> {
        compaction::compact(&self.pool, revision).await
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, Error> {
        Ok(Box::new(PostgresSnapshot::begin(&self.pool, &self.known).await?))
    }

    async fn load(&self) -> Result<Box<dyn Load>, Error> {
        Ok(Box::new(PostgresLoad::begin(&self.pool, self.known.clone()).await?))
    }

    async fn jump(&self, by: u64) -> Result<Revision, Error> {
        jump(&self.pool, &self.known, by).await
    }
}
