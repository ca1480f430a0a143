//! A snapshot of the store: a read-only REPEATABLE READ transaction.

use async_trait::async_trait;
use deadpool_postgres::Pool;
use store::{Error, Key, Page, Revision, Snapshot, Span};

use crate::error::failed;
use crate::limits;
use crate::log_identity::LogIdentity;
use crate::read;
use crate::session::Session;

/// The snapshot. Dropping it ends the transaction.
pub struct PostgresSnapshot {
    /// `None` while it is being dropped.
    session: Option<Session>,
    revision: Revision,
}

impl PostgresSnapshot {
    /// Begins the snapshot.
    pub async fn begin(pool: &Pool, identity: &LogIdentity) -> Result<Self, Error> {
        let mut this = Self { session: Some(Session::open(pool).await?), revision: Revision(0) };
        let begin = format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = {}",
            limits::LONG_READ_MAX.as_millis()
        );
        let taken = this.read(async |session| {
            session.batch_execute(&begin).await.map_err(failed)?;
            read::head(session, identity).await
        });
        this.revision = taken.await?.revision;
        Ok(this)
    }

    async fn read<T>(&self, read: impl AsyncFnOnce(&Session) -> Result<T, Error>) -> Result<T, Error> {
        let over = || Error::Unavailable("the snapshot is over".to_owned());
        let session = self.session.as_ref().ok_or_else(over)?;
        session.step("a page of a snapshot", limits::LONG_READ_MAX, read(session)).await
    }
}

#[async_trait]
impl Snapshot for PostgresSnapshot {
    fn revision(&self) -> Revision {
        self.revision
    }

    async fn list(&mut self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<Page, Error> {
        self.read(async |session| read::list(session, prefix, after, None, limit).await).await
    }

    async fn spans(&mut self, after: Option<(&str, u128)>, limit: usize) -> Result<Vec<Span>, Error> {
        self.read(async |session| read::spans(session, after, limit).await).await
    }
}

impl Drop for PostgresSnapshot {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            session.rollback_detached(());
        }
    }
}
