//! A commit: one round trip, and if its answer is lost, the search for what became of it.

use std::time::Duration;

use deadpool_postgres::{Object, Pool};
use store::{Error, Key, Revision, Write};
use tokio::{
    runtime::Handle,
    time::{Instant, sleep, timeout_at},
};
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use crate::columns::Columns;
use crate::failure::{self, failed, no_connection};
use crate::ledger::Ledger;
use crate::rows::from_revision;
use crate::transaction::take_head;

/// How long the outcome of a commit is searched for when its answer was lost.
const SEARCH_MAX: Duration = Duration::from_secs(30);
const SEARCH_AGAIN: Duration = Duration::from_millis(200);

/// How often a commit is tried again that the database chose to give way.
const TRIES_MAX: usize = 5;

const APPEND: &str = "SELECT append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";

const TOKEN_AT: &str = "SELECT count(*) FROM log WHERE revision = $1 AND token = $2";

/// Writes everything behind `head`, which this connection holds, or nothing.
pub async fn commit(
    pool: &Pool,
    epoch: Uuid,
    mut client: Object,
    head: Revision,
    writes: &[Write],
) -> Result<(), Error> {
    let prepared = Ledger::of(head, writes).and_then(|ledger| Ok((ledger, token()?)));
    let (ledger, token) = match prepared {
        Ok(prepared) => prepared,
        Err(refusal) => {
            release(client).await;
            return Err(refusal);
        }
    };
    for _ in 0..TRIES_MAX {
        let error = match append(&client, head, writes, &ledger, token).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        if error.is_closed() || error.as_db_error().is_none() {
            drop(Object::take(client));
            return search(pool, epoch, head, writes.len(), token).await;
        }
        release(client).await;
        if !failure::gave_way(&error) {
            let expected = |key: &Key| writes.iter().find(|write| write.key == *key).and_then(|write| write.expected);
            return Err(failure::refused(error, expected));
        }
        // Nothing was written. The same may be tried again only behind the same head.
        client = pool.get().await.map_err(no_connection)?;
        let again = take_head(&client, epoch).await.and_then(|now| match now.revision {
            now if now == head => Ok(()),
            _ => Err(Error::Unavailable("another replica committed meanwhile".to_owned())),
        });
        if let Err(error) = again {
            release(client).await;
            return Err(error);
        }
    }
    release(client).await;
    Err(Error::Unavailable(format!("the database chose this commit to give way {TRIES_MAX} times")))
}

fn token() -> Result<Uuid, Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::Unavailable(format!("the system gives no random bytes: {error}")))?;
    Ok(uuid::Builder::from_random_bytes(bytes).into_uuid())
}

/// Ends the transaction without a commit, and gives the connection back if that worked.
pub async fn release(client: Object) {
    if client.batch_execute("ROLLBACK").await.is_err() {
        drop(Object::take(client));
    }
}

/// Like [`release`], for whoever cannot wait; `held` is held until it is done.
pub fn release_later(client: Option<Object>, held: impl Send + 'static) {
    let Some(client) = client else { return };
    match Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn(async move {
            release(client).await;
            drop(held);
        })),
        Err(_) => drop(Object::take(client)),
    }
}

async fn append(
    client: &Object,
    head: Revision,
    writes: &[Write],
    ledger: &Ledger<'_>,
    token: Uuid,
) -> Result<(), tokio_postgres::Error> {
    let keys: Vec<&str> = writes.iter().map(|write| write.key.as_str()).collect();
    let bodies: Vec<Option<&[u8]>> = writes.iter().map(|write| write.value.as_deref()).collect();
    let expected: Vec<Option<i64>> = ledger.expected.iter().map(|expected| expected.map(from_revision)).collect();
    let ended = Columns::of(ledger.released.iter().copied());
    let begun = Columns::of(ledger.taken.values().copied());
    let head = from_revision(head);
    let mut parameters: Vec<(&(dyn ToSql + Sync), Type)> = vec![
        (&head, Type::INT8),
        (&keys, Type::TEXT_ARRAY),
        (&bodies, Type::BYTEA_ARRAY),
        (&expected, Type::INT8_ARRAY),
        (&ledger.checked, Type::BOOL_ARRAY),
        (&token, Type::UUID),
    ];
    parameters.extend(ended.parameters());
    parameters.extend(begun.parameters());
    // Both are sent before the first is answered; if the first is refused, the second ends the transaction without a commit.
    let (appended, committed) = futures::join!(client.query_typed(APPEND, &parameters), client.batch_execute("COMMIT"));
    appended?;
    committed
}

/// Finds out what became of a commit whose answer was lost. Under the head's lock it is over, one way or the other.
async fn search(pool: &Pool, epoch: Uuid, head: Revision, size: usize, token: Uuid) -> Result<(), Error> {
    let deadline = Instant::now() + SEARCH_MAX;
    let mut last = String::new();
    while Instant::now() < deadline {
        match timeout_at(deadline, is_committed(pool, epoch, head, size, token)).await {
            Ok(Ok(true)) => return Ok(()),
            Ok(Ok(false)) => {
                let message = "the connection to PostgreSQL was lost in a commit, of which nothing was written";
                return Err(Error::Unavailable(message.to_owned()));
            }
            Ok(Err(error)) => last = error.to_string(),
            Err(_) => break,
        }
        sleep(SEARCH_AGAIN).await;
    }
    Err(Error::Unknown(format!("the connection to PostgreSQL was lost in the commit, and since then: {last}")))
}

async fn is_committed(pool: &Pool, epoch: Uuid, head: Revision, size: usize, token: Uuid) -> Result<bool, Error> {
    let client = pool.get().await.map_err(no_connection)?;
    let found = async {
        take_head(&client, epoch).await?;
        let end = from_revision(Revision(head.0 + size as u64));
        client.query_typed(TOKEN_AT, &[(&end, Type::INT8), (&token, Type::UUID)]).await.map_err(failed)
    };
    let found = found.await;
    release(client).await;
    Ok(found?[0].get::<_, i64>(0) == 1)
}
