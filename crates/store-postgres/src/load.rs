//! Filling an empty log, and letting one go on further ahead. Both begin another epoch.

use async_trait::async_trait;
use deadpool_postgres::{Object, Pool};
use store::{Error, Head, Key, Load, Record, Revision, Span};
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use crate::columns::Columns;
use crate::commit::{release, release_later};
use crate::compaction::{self, DROP_DELETIONS, DROP_REPLACED};
use crate::epoch::Epoch;
use crate::failure::{failed, no_connection, refused};
use crate::read::standing;
use crate::rows::{self, from_revision};
use crate::transaction::take_head;

/// Without the time limits of a commit: it lasts as long as whoever fills it.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; SELECT FROM head FOR UPDATE";

const RECORDS: &str = "
INSERT INTO log (revision, key, commit_end, live, value)
SELECT revision, key, revision, true, value FROM unnest($1::bigint[], $2::text[], $3::bytea[]) AS row (revision, key, value)";

const SPANS: &str = "INSERT INTO span SELECT * FROM unnest($1::text[], $2::bytea[], $3::bytea[], $4::text[])";

const BEGIN_EPOCH: &str = "
UPDATE history SET compacted = $1, compacted_end = $1, epoch = gen_random_uuid() RETURNING epoch";

/// A transaction that fills the log.
pub struct PostgresLoad {
    /// `None` once it is finished.
    client: Option<Object>,
    epoch: Epoch,
}

impl PostgresLoad {
    /// Begins, if the log is empty.
    pub async fn begin(pool: &Pool, epoch: Epoch) -> Result<Self, Error> {
        let client = pool.get().await.map_err(no_connection)?;
        let this = Self { client: Some(client), epoch };
        this.client()?.batch_execute(BEGIN).await.map_err(failed)?;
        match standing(this.client()?).await?.head.revision {
            Revision(0) => Ok(this),
            found => Err(Error::Unavailable(format!("only an empty log can be filled, and this one ends at {found}"))),
        }
    }

    fn client(&self) -> Result<&Object, Error> {
        self.client.as_ref().ok_or_else(|| Error::Unavailable("the log is filled".to_owned()))
    }
}

#[async_trait]
impl Load for PostgresLoad {
    async fn records(&mut self, records: Vec<Record>) -> Result<(), Error> {
        let revisions: Vec<i64> = records.iter().map(|record| from_revision(record.revision)).collect();
        let keys: Vec<&str> = records.iter().map(|record| record.key.as_str()).collect();
        let values: Vec<&[u8]> = records.iter().map(|record| &record.value[..]).collect();
        let parameters: [(&(dyn ToSql + Sync), Type); 3] =
            [(&revisions, Type::INT8_ARRAY), (&keys, Type::TEXT_ARRAY), (&values, Type::BYTEA_ARRAY)];
        self.client()?.query_typed(RECORDS, &parameters).await.map(drop).map_err(failed)
    }

    async fn spans(&mut self, spans: Vec<Span>) -> Result<(), Error> {
        let columns = Columns::of(spans.iter());
        let inserted = self.client()?.query_typed(SPANS, &columns.parameters()).await;
        inserted.map(drop).map_err(|error| refused(error, |_: &Key| None))
    }

    async fn finish(mut self: Box<Self>, head: Revision) -> Result<(), Error> {
        let epoch = begin_epoch(self.client()?, head).await?;
        self.epoch.set(epoch);
        self.client = None;
        Ok(())
    }
}

impl Drop for PostgresLoad {
    fn drop(&mut self) {
        release_later(self.client.take(), ());
    }
}

/// Moves the end of the log ahead, and its horizon with it.
pub async fn jump(pool: &Pool, epoch: &Epoch, by: u64) -> Result<Revision, Error> {
    let mut client = pool.get().await.map_err(no_connection)?;
    // Most of what is history goes before the head is held.
    compaction::compact(&mut client, Revision(u64::MAX)).await?;
    let moved = jump_under_the_head(&client, epoch, by).await;
    if moved.is_err() {
        release(client).await;
    }
    moved
}

async fn jump_under_the_head(client: &Object, epoch: &Epoch, by: u64) -> Result<Revision, Error> {
    let Head { revision: head, compacted } = take_head(client, epoch.get()).await?;
    let (first, last) = (from_revision(compacted), from_revision(head));
    for forget in [DROP_REPLACED, DROP_DELETIONS] {
        client.query_typed(forget, &[(&first, Type::INT8), (&last, Type::INT8)]).await.map_err(failed)?;
    }
    let moved = Revision(head.0.saturating_add(by));
    epoch.set(begin_epoch(client, moved).await?);
    Ok(moved)
}

/// Ends the transaction with a log that has no history, and another epoch.
async fn begin_epoch(client: &Object, head: Revision) -> Result<Uuid, Error> {
    let rows = client.query_typed(BEGIN_EPOCH, &[(&from_revision(head), Type::INT8)]).await.map_err(failed)?;
    let epoch = rows::column(&rows[0], 0)?;
    client.batch_execute("COMMIT").await.map_err(failed)?;
    Ok(epoch)
}
