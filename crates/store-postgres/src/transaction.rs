//! Transactions.

use async_trait::async_trait;
use deadpool_postgres::Pool;
use store::{Entry, Error, Key, Record, Revision, Transaction, Write};
use tokio::{runtime::Id, sync::OwnedMutexGuard};

use crate::commit::commit;
use crate::head::take_head;
use crate::known::Known;
use crate::limits;
use crate::read;
use crate::session::Session;

/// A transaction that holds the head lock. It may be dropped at any time.
pub struct PostgresTransaction {
    pool: Pool,
    known: Known,
    /// `None` after the commit.
    session: Option<Session>,
    turn: Option<OwnedMutexGuard<Option<Id>>>,
    head: Revision,
}

impl PostgresTransaction {
    /// Takes the head lock. `turn` serializes the transactions of this process.
    pub async fn begin(pool: Pool, known: Known, turn: OwnedMutexGuard<Option<Id>>) -> Result<Self, Error> {
        let session = Session::open(&pool).await?;
        let mut this = Self { pool, known, session: Some(session), turn: Some(turn), head: Revision(0) };
        this.head = take_head(this.session()?, &this.known).await?.revision;
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
        self.read(async |session| read::tail(session, &self.known, after, limit).await).await
    }

    async fn commit(mut self: Box<Self>, writes: Vec<Write>) -> Result<(), Error> {
        let (pool, known, head) = (self.pool.clone(), self.known.clone(), self.head);
        let (session, turn) = (self.session.take(), self.turn.take());
        let Some(session) = session else { return Err(Error::Unavailable("the transaction is over".to_owned())) };
        // A task, so that the commit completes even if the caller drops the future.
        let job = tokio::spawn(async move {
            let outcome = if writes.is_empty() {
                session.release().await;
                Ok(())
            } else {
                commit(&pool, &known, session, head, &writes).await
            };
            drop(turn);
            outcome
        });
        job.await.unwrap_or_else(|error| Err(Error::Unknown(format!("the commit task ended early: {error}"))))
    }
}

impl Drop for PostgresTransaction {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            session.release_later(self.turn.take());
        }
    }
}
