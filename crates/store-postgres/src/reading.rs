//! Reads that end.
//!
//! A connection that does not answer is given up. The database is not asked to cancel what it does there, because not every
//! pooler survives that; a read that may be long has a limit of the database's own, in a transaction, because no pooler lets
//! one through that is of a session.

use std::time::Duration;

use deadpool_postgres::Object;
use futures::join;
use store::Error;
use tokio::time::timeout;
use tokio_postgres::Client;

use crate::{
    PostgresStore,
    failure::{failed, no_connection},
};

/// How long the database may work on a read.
const READ_MAX: Duration = Duration::from_secs(30);

/// How long its answer may take until it is here.
const ANSWER_MAX: Duration = Duration::from_secs(40);

impl PostgresStore {
    /// A read by one of the connections.
    pub async fn reading<T>(&self, read: impl AsyncFnOnce(&Client) -> Result<T, Error>) -> Result<T, Error> {
        let client = self.pool.get().await.map_err(no_connection)?;
        if let Ok(outcome) = timeout(ANSWER_MAX, read(&client)).await {
            return outcome;
        }
        // Whoever got it next would wait for the same answer.
        drop(Object::take(client));
        Err(Error::Unavailable(format!("PostgreSQL did not answer a read in {} s", ANSWER_MAX.as_secs())))
    }

    /// One statement that may read much.
    pub async fn reading_much<T>(&self, read: impl AsyncFnOnce(&Client) -> Result<T, Error>) -> Result<T, Error> {
        self.reading(async |client| limited(client, read).await).await
    }
}

/// One round trip: all of it is sent before the first is answered. If the read fails, the end of the transaction rolls it back.
async fn limited<T>(client: &Client, read: impl AsyncFnOnce(&Client) -> Result<T, Error>) -> Result<T, Error> {
    let begin = format!("BEGIN READ ONLY; SET LOCAL statement_timeout = {}", READ_MAX.as_millis());
    let (started, outcome, _) = join!(client.batch_execute(&begin), read(client), client.batch_execute("COMMIT"));
    started.map_err(failed)?;
    outcome
}
