//! The schema of the database, and its migrations.
//!
//! Each migration is one transaction, under a lock on the table `schema_migration`. If two replicas start together, one
//! runs the migration and the other finds it done.

use std::time::Duration;

use deadpool_postgres::Pool;
use tokio_postgres::types::Type;

use crate::{
    OpenError,
    error_chain::pool_error,
    limits,
    session::{Session, timed_out},
};

/// The migrations; the n-th entry (from 0) migrates from version n to n + 1.
const STEPS: [&str; 1] = [include_str!("version_1.sql")];

const TABLE: &str = "
CREATE TABLE IF NOT EXISTS schema_migration (version integer PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())";

/// The schema versions of a database and of this program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// The schema version of the database; 0: no schema.
    pub version: i32,
    /// The schema version that this program needs.
    pub known: i32,
}

/// Returns the schema version that this program reads and writes.
fn known() -> i32 {
    i32::try_from(STEPS.len()).unwrap_or(i32::MAX)
}

/// Reads the schema version, without changes.
pub async fn status(pool: &Pool) -> Result<Status, OpenError> {
    let session = open(pool).await?;
    let asked = async {
        let tables = "SELECT to_regclass('schema_migration') IS NOT NULL, to_regclass('migration') IS NOT NULL";
        let tables = session.query_typed(tables, &[]).await?;
        match (tables[0].get(0), tables[0].get(1)) {
            (true, _) => version(&session).await.map(Some),
            (false, true) => Ok(None),
            (false, false) => Ok(Some(0)),
        }
    };
    let version = wait(&session, "reading the schema version", limits::STATEMENT_MAX, asked).await?;
    let version = version.ok_or(OpenError::Earlier)?;
    Ok(Status { version, known: known() })
}

/// Migrates the database to the current version. Returns the version before.
pub async fn migrate(pool: &Pool) -> Result<Status, OpenError> {
    // If two processes create the table at the same moment, one fails with a unique violation in the catalog despite IF
    // NOT EXISTS.
    if status(pool).await?.version == 0
        && let Err(error) = make_table(pool).await
        && status(pool).await.is_err()
    {
        return Err(error);
    }
    let mut before = None;
    loop {
        let session = open(pool).await?;
        let made = wait(&session, "a step of the migration", limits::MIGRATION_STATEMENT_MAX, step(&session)).await;
        if !matches!(made, Ok((_, true))) {
            session.release().await;
        }
        let (version, is_made) = made?;
        let before = *before.get_or_insert(version);
        if !is_made {
            return Ok(Status { version: before, known: known() });
        }
        tracing::info!(version = version + 1, "the database was migrated");
    }
}

async fn make_table(pool: &Pool) -> Result<(), OpenError> {
    let session = open(pool).await?;
    wait(&session, "creating the table of migrations", limits::STATEMENT_MAX, session.batch_execute(TABLE)).await
}

/// Runs the next migration in a transaction. Returns the version before it, and whether there was a migration to run.
async fn step(session: &Session) -> Result<(i32, bool), tokio_postgres::Error> {
    let begin = format!(
        "BEGIN; SET LOCAL lock_timeout = {}; SET LOCAL statement_timeout = {};
         LOCK TABLE schema_migration IN SHARE ROW EXCLUSIVE MODE",
        limits::LOCK_MAX.as_millis(),
        limits::MIGRATION_STATEMENT_MAX.as_millis(),
    );
    session.batch_execute(&begin).await?;
    let version = version(session).await?;
    let Some(step) = usize::try_from(version).ok().and_then(|place| STEPS.get(place)) else {
        return Ok((version, false));
    };
    session.batch_execute(step).await?;
    let note = "INSERT INTO schema_migration (version) VALUES ($1)";
    session.query_typed(note, &[(&(version + 1), Type::INT4)]).await?;
    session.batch_execute("COMMIT").await?;
    Ok((version, true))
}

async fn version(session: &Session) -> Result<i32, tokio_postgres::Error> {
    Ok(session.query_typed("SELECT coalesce(max(version), 0) FROM schema_migration", &[]).await?[0].get(0))
}

async fn wait<T>(
    session: &Session,
    what: &str,
    database_max: Duration,
    work: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, OpenError> {
    let timed_out = || OpenError::Connect(timed_out(what, database_max).to_string());
    Ok(session.wait(database_max, work).await.ok_or_else(timed_out)??)
}

async fn open(pool: &Pool) -> Result<Session, OpenError> {
    pool.get().await.map(Session::of).map_err(|error| OpenError::Connect(pool_error(error)))
}
