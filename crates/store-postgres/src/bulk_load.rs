//! Bulk load of an empty log, and advancing the revision. Both create a new log ID.

use async_trait::async_trait;
use deadpool_postgres::Pool;
use store::{BulkLoad, Error, Head, Key, Record, Revision, Span};
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use crate::commit::token;
use crate::compaction::{self, DROP_DELETIONS, DROP_REPLACED};
use crate::error::{commit_error, failed, is_refusal};
use crate::head::take_head;
use crate::limits;
use crate::log_identity::LogIdentity;
use crate::lost_commit::LostCommit;
use crate::read::log_state;
use crate::row_codec::from_revision;
use crate::session::{Session, timed_out};
use crate::span_params::SpanParams;

const RECORDS: &str = "
INSERT INTO log (revision, key, commit_end, live, value)
SELECT revision, key, revision, true, value FROM unnest($1::bigint[], $2::text[], $3::bytea[]) AS row (revision, key, value)";

const SPANS: &str = "INSERT INTO span SELECT * FROM unnest($1::text[], $2::bytea[], $3::bytea[], $4::text[])";

const MOVE_HORIZON: &str = "
INSERT INTO horizon VALUES ($1, $1, $2) ON CONFLICT (compacted) DO UPDATE SET commit_end = EXCLUDED.commit_end, token = EXCLUDED.token";

const DROP_HORIZONS: &str = "DELETE FROM horizon WHERE compacted < $1";

const SET_LOG_ID: &str = "UPDATE log_identity SET log_id = $1";

/// A transaction that loads the log.
pub struct PostgresBulkLoad {
    /// For resolving the outcome if the answer of the commit is lost.
    pool: Pool,
    /// `None` once it is finished.
    session: Option<Session>,
    identity: LogIdentity,
}

impl PostgresBulkLoad {
    /// Begins the load if the log is empty.
    pub async fn begin(pool: &Pool, identity: LogIdentity) -> Result<Self, Error> {
        let session = Session::open(pool).await?;
        let this = Self { pool: pool.clone(), session: Some(session), identity };
        // The limits apply to single statements; the whole load may take as long as the caller needs.
        let begin = format!(
            "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = {}; SET LOCAL statement_timeout = {};
             SELECT FROM commit_lock FOR UPDATE",
            limits::LOCK_MAX.as_millis(),
            limits::BULK_STATEMENT_MAX.as_millis(),
        );
        let taken = this.step(async |session| {
            session.batch_execute(&begin).await.map_err(failed)?;
            log_state(session, None).await
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
impl BulkLoad for PostgresBulkLoad {
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
        let columns = SpanParams::of(spans.iter());
        let step = async |session: &Session| {
            let inserted = session.query_typed(SPANS, &columns.parameters()).await;
            inserted.map(drop).map_err(|error| commit_error(error, |_: &Key| None))
        };
        self.step(step).await
    }

    async fn finish(mut self: Box<Self>, head: Revision) -> Result<(), Error> {
        let session = self.session.take().ok_or_else(over)?;
        set_log_id(&self.pool, &self.identity, session, head).await
    }
}

impl Drop for PostgresBulkLoad {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            session.rollback_detached(());
        }
    }
}

/// Advances the head by `by` and the horizon to the new head.
pub async fn advance_revision(pool: &Pool, identity: &LogIdentity, by: u64) -> Result<Revision, Error> {
    // Most of the history is compacted before the head lock is taken.
    compaction::compact(pool, Revision(u64::MAX)).await?;
    let session = Session::open(pool).await?;
    match compact_locked(&session, identity).await {
        Ok(head) => {
            let moved = Revision(head.0.saturating_add(by));
            set_log_id(pool, identity, session, moved).await?;
            Ok(moved)
        }
        Err(error) => {
            session.release().await;
            Err(error)
        }
    }
}

/// Takes the head lock, and compacts what was written since the last compaction.
async fn compact_locked(session: &Session, identity: &LogIdentity) -> Result<Revision, Error> {
    let Head { revision: head, compacted } = take_head(session, identity).await?;
    let (first, last) = (from_revision(compacted), from_revision(head));
    for forget in [DROP_REPLACED, DROP_DELETIONS] {
        let parameters: [(&(dyn ToSql + Sync), Type); 2] = [(&first, Type::INT8), (&last, Type::INT8)];
        let forgotten = async { session.query_typed(forget, &parameters).await.map(drop).map_err(failed) };
        session.step("compacting the history", limits::STATEMENT_MAX, forgotten).await?;
    }
    Ok(head)
}

/// Commits a log that ends at `head`, has no history, and has a new log ID.
async fn set_log_id(pool: &Pool, identity: &LogIdentity, session: Session, head: Revision) -> Result<(), Error> {
    let log_id = token()?;
    let ended = session.wait(limits::BULK_STATEMENT_MAX, finish_with(&session, log_id, head)).await;
    let why = match ended {
        Some(Ok(())) => {
            identity.reset(log_id);
            return Ok(());
        }
        Some(Err(error)) if is_refusal(&error) => {
            session.release().await;
            return Err(failed(error));
        }
        Some(Err(error)) => failed(error),
        None => timed_out("the end of the transaction", limits::BULK_STATEMENT_MAX),
    };
    session.close();
    match LostCommit::LogId(log_id).resolve(pool).await {
        Ok(true) => {
            identity.reset(log_id);
            Ok(())
        }
        Ok(false) => Err(Error::Unavailable(format!("the answer was lost, and nothing was written: {why}"))),
        Err(last) => Err(Error::OutcomeUnknown(format!(
            "the answer was lost ({why}), and looking up the outcome failed: {last}"
        ))),
    }
}

async fn finish_with(session: &Session, log_id: Uuid, head: Revision) -> Result<(), tokio_postgres::Error> {
    let head = from_revision(head);
    session.query_typed(MOVE_HORIZON, &[(&head, Type::INT8), (&log_id, Type::UUID)]).await?;
    session.query_typed(DROP_HORIZONS, &[(&head, Type::INT8)]).await?;
    session.query_typed(SET_LOG_ID, &[(&log_id, Type::UUID)]).await?;
    session.batch_execute("COMMIT").await
}
