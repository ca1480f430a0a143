//! The head, held.

use std::time::Duration;

use async_trait::async_trait;
use deadpool_postgres::{Object, Pool};
use store::{Entry, Error, Head, Key, Record, Revision, Span, Transaction, Write};
use tokio::{runtime::Id, sync::OwnedMutexGuard};
use uuid::Uuid;

use crate::commit::{commit, release, release_later};
use crate::failure::{failed, no_connection};
use crate::read;

/// How long the head is waited for, and how long a statement may take.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a replica may hold the head without a word, before the database takes it away: it may be frozen, or cut off.
const SILENCE_MAX: Duration = Duration::from_secs(3);

/// A transaction that holds the head. It may be dropped at any time.
pub struct PostgresTransaction {
    pool: Pool,
    epoch: Uuid,
    /// `None` once it is committed.
    client: Option<Object>,
    turn: Option<OwnedMutexGuard<Option<Id>>>,
    head: Revision,
}

impl PostgresTransaction {
    /// Takes the head, in this process's turn.
    pub async fn begin(pool: Pool, epoch: Uuid, turn: OwnedMutexGuard<Option<Id>>) -> Result<Self, Error> {
        let client = pool.get().await.map_err(no_connection)?;
        let mut this = Self { pool, epoch, client: Some(client), turn: Some(turn), head: Revision(0) };
        this.head = take_head(this.client()?, epoch).await?.revision;
        Ok(this)
    }

    fn client(&self) -> Result<&Object, Error> {
        self.client.as_ref().ok_or_else(|| Error::Unavailable("the transaction is over".to_owned()))
    }
}

/// Begins a transaction and takes the head's lock. Answers with where the log stands, which changes no more until the transaction is
/// over.
///
/// One round trip: both are sent before the first is answered. At this isolation level each statement sees what was committed before
/// it began, and the second begins when the first has got the lock.
pub async fn take_head(client: &Object, epoch: Uuid) -> Result<Head, Error> {
    let begin = format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = {}; SET LOCAL statement_timeout = {};
         SET LOCAL idle_in_transaction_session_timeout = {}; SELECT FROM head FOR UPDATE",
        LOCK_TIMEOUT.as_millis(),
        STATEMENT_TIMEOUT.as_millis(),
        SILENCE_MAX.as_millis(),
    );
    let (locked, found) = futures::join!(client.batch_execute(&begin), read::standing(client));
    locked.map_err(failed)?;
    found?.within(epoch)
}

#[async_trait]
impl Transaction for PostgresTransaction {
    fn head(&self) -> Revision {
        self.head
    }

    async fn read(&self, keys: &[Key]) -> Result<Vec<Option<Record>>, Error> {
        read::read(self.client()?, keys).await
    }

    async fn tail(&self, after: Revision, limit: usize) -> Result<Vec<Entry>, Error> {
        read::tail(self.client()?, self.epoch, after, limit).await
    }

    async fn holders(&self, space: &str, first: u128, last: u128, limit: usize) -> Result<Vec<Span>, Error> {
        read::holders(self.client()?, space, first, last, limit).await
    }

    async fn commit(mut self: Box<Self>, writes: Vec<Write>) -> Result<(), Error> {
        let (pool, epoch, head) = (self.pool.clone(), self.epoch, self.head);
        let (client, turn) = (self.client.take(), self.turn.take());
        let Some(client) = client else { return Err(Error::Unavailable("the transaction is over".to_owned())) };
        // A caller that goes away does not stop it half way.
        let job = tokio::spawn(async move {
            let outcome = if writes.is_empty() {
                release(client).await;
                Ok(())
            } else {
                commit(&pool, epoch, client, head, &writes).await
            };
            drop(turn);
            outcome
        });
        job.await.unwrap_or_else(|error| Err(Error::Unknown(format!("the commit was given up: {error}"))))
    }
}

impl Drop for PostgresTransaction {
    fn drop(&mut self) {
        release_later(self.client.take(), self.turn.take());
    }
}
