//! Reads that end.
//!
//! A connection that does not answer is given up. A read that may be long has a limit of the database's own as well, in a
//! transaction, because no pooler lets one through that is of a session.

use futures::join;
use store::Error;
use tokio_postgres::Client;

use crate::{PostgresStore, failure::failed, limits, session::Session};

impl PostgresStore {
    /// A read by one of the connections.
    pub async fn reading<T>(&self, read: impl AsyncFnOnce(&Client) -> Result<T, Error>) -> Result<T, Error> {
        let session = Session::open(&self.pool).await?;
        session.step("a read", limits::STATEMENT_MAX, read(&session)).await
    }

    /// One statement that may read much.
    pub async fn reading_much<T>(&self, read: impl AsyncFnOnce(&Client) -> Result<T, Error>) -> Result<T, Error> {
        let session = Session::open(&self.pool).await?;
        session.step("a read of much", limits::LONG_READ_MAX, limited(&session, read)).await
    }
}

/// One round trip: all of it is sent before the first is answered. If the read fails, the end of the transaction rolls it back.
async fn limited<T>(client: &Client, read: impl AsyncFnOnce(&Client) -> Result<T, Error>) -> Result<T, Error> {
    let begin = format!("BEGIN READ ONLY; SET LOCAL statement_timeout = {}", limits::LONG_READ_MAX.as_millis());
    let (started, outcome, _) = join!(client.batch_execute(&begin), read(client), client.batch_execute("COMMIT"));
    started.map_err(failed)?;
    outcome
}
