//! Bulk load of an empty log, and advancing the revision. Both create a new log ID.

use async_trait::async_trait;
use deadpool_postgres::Pool;
use store::{Error, Head, Key, Load, Record, Revision, Span};
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use crate::columns::Columns;
use crate::commit::token;
use crate::compaction::{self, DROP_DELETIONS, DROP_REPLACED};
use crate::failure::{failed, is_refusal, refused};
use crate::head::take_head;
use crate::known::Known;
use crate::limits;
use crate::read::standing;
use crate::rows::from_revision;
use crate::search::Trace;
use crate::session::{Session, late};

const RECORDS: &str = "
INSERT INTO log (revision, key, commit_end, live, value)
SELECT revision, key, revision, true, value FROM unnest($1::bigint[], $2::text[], $3::bytea[]) AS row (revision, key, value)";

const SPANS: &str = "INSERT INTO span SELECT * FROM unnest($1::text[], $2::bytea[], $3::bytea[], $4::text[])";

const MOVE_HORIZON: &str = "
INSERT INTO horizon VALUES ($1, $1, $2) ON CONFLICT (compacted) DO UPDATE SET ends = EXCLUDED.ends, token = EXCLUDED.token";

const DROP_HORIZONS: &str = "DELETE FROM horizon WHERE compacted < $1";

const BEGIN_EPOCH: &str = "UPDATE history SET epoch = $1";

/// A transaction that loads the log.
pub struct PostgresLoad {
    /// For resolving the outcome if the answer of the commit is lost.
    pool: Pool,
    /// `None` once it is finished.
    session: Option<Session>,
    known: Known,
}

impl PostgresLoad {
    /// Begins the load if the log is empty.
    pub async fn begin(pool: &Pool, known: Known) -> Result<Self, Error> {
        let session = Session::open(pool).await?;
        let this = Self { pool: pool.clone(), session: Some(session), known };
        // The limits apply to single statements; the whole load may take as long as the caller needs.
        let begin = format!(
            "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = {}; SET LOCAL statement_timeout = {};
             SELECT FROM head FOR UPDATE",
            limits::LOCK_MAX.as_millis(),
            limits::BULK_STATEMENT_MAX.as_millis(),
        );
        let taken = this.step(async |session| {
            session.batch_execute(&begin).await.map_err(failed)?;
            standing(session, None).await
        });
        match taken.await?.head.revision {
            Revision(0) => Ok(this),
            found => Err(Error::Unavailable(format!("only an empty log can be loaded, and this one ends at {found}"))),
        }
    }

    async fn step<T>(&self, step: impl AsyncFnOnce(&Session) -> Result<T, Error>) -> Result<T, Error> {
        let session = self.session.as_ref().ok_or_else(over)?;
        session.step("loading the log", limits::BULK_STATEMENT_MAX, step(session)).await
    }
}

fn over() -> Error {
    Error::Unavailable("the load is finished".to_owned())
}

#[async_trait]
impl Load for PostgresLoad {
    async fn records(&mut self, records: Vec<Record>) -> Result<(), Error> {
        let revisions: Vec<i64> = records.iter().map(|record| from_revision(record.revision)).collect();
        let keys: Vec<&str> = records.iter().map(|record| record.key.as_str()).collect();
        let values: Vec<&[u8]> = records.iter().map(|record| &record.value[..]).collect();
        let parameters: [(&(dyn ToSql + Sync), Type); 3] =
            [(&revisions, Type::INT8_ARRAY), (&keys, Type::TEXT_ARRAY), (&values, Type::BYTEA_ARRAY)];
        let step = async |session: &Session| session.query_typed(RECORDS, &parameters).await.map(drop).map_err(failed);
        self.step(step).await
    }

    async fn spans(&mut self, spans: Vec<Span>) -> Result<(), Error> {
        let columns = Columns::of(spans.iter());
        let step = async |session: &Session| {
            let inserted = session.query_typed(SPANS, &columns.parameters()).await;
            inserted.map(drop).map_err(|error| refused(error, |_: &Key| None))
        };
        self.step(step).await
    }

    async fn finish(mut self: Box<Self>, head: Revision) -> Result<(), Error> {
        let session = self.session.take().ok_or_else(over)?;
        begin_epoch(&self.pool, &self.known, session, head).await
    }
}

impl Drop for PostgresLoad {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            session.release_later(());
        }
    }
}

/// Advances the head by `by` and the horizon to the new head.
pub async fn jump(pool: &Pool, known: &Known, by: u64) -> Result<Revision, Error> {
    // Most of the history is compacted before the head lock is taken.
    compaction::compact(pool, Revision(u64::MAX)).await?;
    let session = Session::open(pool).await?;
    match forget_the_rest(&session, known).await {
        Ok(head) => {
            let moved = Revision(head.0.saturating_add(by));
            begin_epoch(pool, known, session, moved).await?;
            Ok(moved)
        }
        Err(error) => {
            session.release().await;
            Err(error)
        }
    }
}

/// Takes the head lock, and compacts what was written since the last compaction.
async fn forget_the_rest(session: &Session, known: &Known) -> Result<Revision, Error> {
    let Head { revision: head, compacted } = take_head(session, known).await?;
    let (first, last) = (from_revision(compacted), from_revision(head));
    for forget in [DROP_REPLACED, DROP_DELETIONS] {
        let parameters: [(&(dyn ToSql + Sync), Type); 2] = [(&first, Type::INT8), (&last, Type::INT8)];
        let forgotten = async { session.query_typed(forget, &parameters).await.map(drop).map_err(failed) };
        session.step("compacting the history", limits::STATEMENT_MAX, forgotten).await?;
    }
    Ok(head)
}

/// Commits a log that ends at `head`, has no history, and has a new log ID.
async fn begin_epoch(pool: &Pool, known: &Known, session: Session, head: Revision) -> Result<(), Error> {
    let epoch = token()?;
    let ended = session.wait(limits::BULK_STATEMENT_MAX, end_with(&session, epoch, head)).await;
    let why = match ended {
        Some(Ok(())) => {
            known.begin(epoch);
            return Ok(());
        }
        Some(Err(error)) if is_refusal(&error) => {
            session.release().await;
            return Err(failed(error));
        }
        Some(Err(error)) => failed(error),
        None => late("the end of the transaction", limits::BULK_STATEMENT_MAX),
    };
    session.close();
    match Trace::Epoch(epoch).search(pool).await {
        Ok(true) => {
            known.begin(epoch);
            Ok(())
        }
        Ok(false) => Err(Error::Unavailable(format!("the answer was lost, and nothing was written: {why}"))),
        Err(last) => {
            Err(Error::Unknown(format!("the answer was lost ({why}), and looking up the outcome failed: {last}")))
        }
    }
}

async fn end_with(session: &Session, epoch: Uuid, head: Revision) -> Result<(), tokio_postgres::Error> {
    let head = from_revision(head);
    session.query_typed(MOVE_HORIZON, &[(&head, Type::INT8), (&epoch, Type::UUID)]).await?;
    session.query_typed(DROP_HORIZONS, &[(&head, Type::INT8)]).await?;
    session.query_typed(BEGIN_EPOCH, &[(&epoch, Type::UUID)]).await?;
    session.batch_execute("COMMIT").await
}
