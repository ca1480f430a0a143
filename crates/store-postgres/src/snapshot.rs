//! Everything as it was at one moment: a transaction that reads only, and sees nothing of what is committed after it began.

use async_trait::async_trait;
use deadpool_postgres::{Object, Pool};
use store::{Error, Key, Page, Revision, Snapshot, Span};
use uuid::Uuid;

use crate::commit::release_later;
use crate::failure::{failed, no_connection};
use crate::read;

const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// The transaction. Dropping it ends it.
pub struct PostgresSnapshot {
    client: Option<Object>,
    revision: Revision,
}

impl PostgresSnapshot {
    /// Begins now.
    pub async fn begin(pool: &Pool, epoch: Uuid) -> Result<Self, Error> {
        let client = pool.get().await.map_err(no_connection)?;
        let mut this = Self { client: Some(client), revision: Revision(0) };
        this.client()?.batch_execute(BEGIN).await.map_err(failed)?;
        this.revision = read::standing(this.client()?).await?.within(epoch)?.revision;
        Ok(this)
    }

    fn client(&self) -> Result<&Object, Error> {
        self.client.as_ref().ok_or_else(|| Error::Unavailable("the snapshot is over".to_owned()))
    }
}

#[async_trait]
impl Snapshot for PostgresSnapshot {
    fn revision(&self) -> Revision {
        self.revision
    }

    async fn list(&mut self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<Page, Error> {
        read::list(self.client()?, prefix, after, None, limit).await
    }

    async fn spans(&mut self, after: Option<(&str, u128)>, limit: usize) -> Result<Vec<Span>, Error> {
        read::spans(self.client()?, after, limit).await
    }
}

impl Drop for PostgresSnapshot {
    fn drop(&mut self) {
        release_later(self.client.take(), ());
    }
}
