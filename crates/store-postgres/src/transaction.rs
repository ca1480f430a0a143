//! Transactions.

use async_trait::async_trait;
use deadpool_postgres::Pool;
use store::{Entry, Error, Key, Record, Revision, Transaction, Write};
use tokio::{runtime::Id, sync::OwnedMutexGuard};

use crate::commit::commit;
use crate::head::take_head;
use crate::limits;
use crate::log_identity::LogIdentity;
use crate::read;
use crate::session::Session;

/// A transaction that holds the head lock. It may be dropped at any time.
pub struct PostgresTransaction {
    pool: Pool,
    identity: LogIdentity,
    /// `None` after the commit.
    session: Option<Session>,
    commit_lock: Option<OwnedMutexGuard<Option<Id>>>,
    head: Revision,
}

impl PostgresTransaction {
    /// Takes the head lock. `commit_lock` serializes the transactions of this process.
    pub async fn begin(
        pool: Pool,
        identity: LogIdentity,
        commit_lock: OwnedMutexGuard<Option<Id>>,
    ) -> Result<Self, Error> {
        let session = Session::open(&pool).await?;
        let mut this =
            Self { pool, identity, session: Some(session), commit_lock: Some(commit_lock), head: Revision(0) };
        this.head = take_head(this.session()?, &this.identity).await?.revision;
        Ok(this)
    }

    fn session(&self) -> Result<&Session, Error> {
        self.session.as_ref().ok_or_else(|| Error::Unavailable("the transaction is over".to_owned()))
    }

    async fn read<T>(&self, read: impl AsyncFnOnce(&Session) -> Result<T, Error>) -> Result<T, Error> {
        let session = self.session()?;
        session.step("a read of a transaction", limits::STATEMENT_MAX, read(session)).await
    }
}

#[async_trait]
impl Transaction for PostgresTransaction {
    fn head(&self) -> Revision {
        self.head
    }

    async fn read(&self, keys: &[Key]) -> Result<Vec<Option<Record>>, Error> {
        self.read(async |session| read::read(session, keys).await).await
    }

    async fn tail(&self, after: Revision, limit: usize) -> Result<Vec<Entry>, Error> {
        self.read(async |session| read::tail(session, &self.identity, after, limit).await).await
    }

    async fn commit(mut self: Box<Self>, writes: Vec<Write>) -> Result<(), Error> {
        let (pool, identity, head) = (self.pool.clone(), self.identity.clone(), self.head);
        let (session, commit_lock) = (self.session.take(), self.commit_lock.take());
        let Some(session) = session else { return Err(Error::Unavailable("the transaction is over".to_owned())) };
        // A task, so that the commit completes even if the caller drops the future.
        let job = tokio::spawn(async move {
            let outcome = if writes.is_empty() {
                session.release().await;
                Ok(())
            } else {
                commit(&pool, &identity, session, head, &writes).await
            };
            drop(commit_lock);
            outcome
        });
        job.await.unwrap_or_else(|error| Err(Error::OutcomeUnknown(format!("the commit task ended early: {error}"))))
    }
}

impl Drop for PostgresTransaction {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            session.rollback_detached(self.commit_lock.take());
        }
    }
}
