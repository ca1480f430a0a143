//! Timeouts for reads.
//!
//! A connection that does not answer is closed. Long reads also set `statement_timeout` with SET LOCAL inside a
//! transaction, because poolers do not preserve session settings.

use futures::join;
use store::Error;
use tokio_postgres::Client;

use crate::{PostgresStore, error::failed, limits, session::Session};

impl PostgresStore {
    /// Runs a short read.
    pub async fn read_in_session<T>(&self, read: impl AsyncFnOnce(&Client) -> Result<T, Error>) -> Result<T, Error> {
        let session = Session::open(&self.pool).await?;
        session.step("a read", limits::STATEMENT_MAX, read(&session)).await
    }

    /// Runs a long read, which must be one statement.
    pub async fn read_with_statement_timeout<T>(
        &self,
        read: impl AsyncFnOnce(&Client) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let session = Session::open(&self.pool).await?;
        session.step("a long read", limits::LONG_READ_MAX, with_statement_timeout(&session, read)).await
    }
}

/// One round trip: all statements are sent at once. If the read fails, COMMIT rolls the transaction back.
async fn with_statement_timeout<T>(
    client: &Client,
    read: impl AsyncFnOnce(&Client) -> Result<T, Error>,
) -> Result<T, Error> {
    let begin = format!("BEGIN READ ONLY; SET LOCAL statement_timeout = {}", limits::LONG_READ_MAX.as_millis());
    let (started, outcome, _) = join!(client.batch_execute(&begin), read(client), client.batch_execute("COMMIT"));
    started.map_err(failed)?;
    outcome
}
