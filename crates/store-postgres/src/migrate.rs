//! What the database holds, and how an older one becomes a current one.
//!
//! Each step is one transaction, taken under a lock on the table that notes it, so that of two replicas that begin together
//! one makes the step and the other finds it made.

use deadpool_postgres::Pool;
use tokio_postgres::types::Type;

use crate::{OpenError, causes::causes_of_none};

/// Each entry takes the database from the version of its place to the next.
const STEPS: [&str; 1] = [include_str!("version_1.sql")];

const TABLE: &str = "
CREATE TABLE IF NOT EXISTS migration (version integer PRIMARY KEY, made timestamptz NOT NULL DEFAULT now())";

/// Where a database stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// The version that is there; 0: nothing is.
    pub version: i32,
    /// The version that this program makes.
    pub known: i32,
}

/// The version that this program reads and writes.
fn known() -> i32 {
    i32::try_from(STEPS.len()).unwrap_or(i32::MAX)
}

/// Asks where the database stands, and changes nothing.
pub async fn status(pool: &Pool) -> Result<Status, OpenError> {
    let client = pool.get().await.map_err(|error| OpenError::Connect(causes_of_none(error)))?;
    let there = "SELECT to_regclass('migration') IS NOT NULL";
    let there: bool = client.query_typed(there, &[]).await?[0].get(0);
    let version = if there {
        client.query_typed("SELECT coalesce(max(version), 0) FROM migration", &[]).await?[0].get(0)
    } else {
        0
    };
    Ok(Status { version, known: known() })
}

/// Brings the database up to date; of a current one nothing changes. Answers with where it stood before.
pub async fn migrate(pool: &Pool) -> Result<Status, OpenError> {
    let mut client = pool.get().await.map_err(|error| OpenError::Connect(causes_of_none(error)))?;
    // Two that make the table at the same moment meet in the catalogue, where IF NOT EXISTS does not look.
    if status(pool).await?.version == 0
        && let Err(error) = client.batch_execute(TABLE).await
        && status(pool).await.is_err()
    {
        return Err(error.into());
    }
    let mut before = None;
    loop {
        let transaction = client.transaction().await?;
        transaction.batch_execute("LOCK TABLE migration IN SHARE ROW EXCLUSIVE MODE").await?;
        let rows = transaction.query_typed("SELECT coalesce(max(version), 0) FROM migration", &[]).await?;
        let version: i32 = rows[0].get(0);
        let before = before.get_or_insert(version);
        let Some(step) = usize::try_from(version).ok().and_then(|place| STEPS.get(place)) else {
            return Ok(Status { version: *before, known: known() });
        };
        transaction.batch_execute(step).await?;
        let note = "INSERT INTO migration (version) VALUES ($1)";
        transaction.query_typed(note, &[(&(version + 1), Type::INT4)]).await?;
        transaction.commit().await?;
        tracing::info!(version = version + 1, "the database was migrated");
    }
}
