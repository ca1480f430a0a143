//! Forgetting: replaced versions and deletions up to a revision, by any replica.
//!
//! Each row of the log names the version that it replaced, so the work follows the stretch of log that is being forgotten and
//! never looks at the rest. It goes in chunks, one transaction each, beside the commits, and never holds the head; two replicas
//! that compact at once take turns by the row that says how far it went.

use deadpool_postgres::Object;
use store::{Error, Revision};
use tokio_postgres::types::Type;

use crate::failure::failed;
use crate::rows::{self, from_revision};

/// How many revisions one chunk covers: a few milliseconds of the database's time.
const CHUNK_REVISIONS: u64 = 1024;

const HORIZON: &str = "
SELECT compacted, greatest(coalesce((SELECT max(revision) FROM log), 0), compacted) FROM history FOR UPDATE";

pub const DROP_REPLACED: &str = "
DELETE FROM log WHERE revision IN
    (SELECT previous FROM log WHERE revision > $1 AND revision <= $2 AND previous IS NOT NULL)";

/// A deletion's own row says nothing once nobody can ask for the time before it.
pub const DROP_DELETIONS: &str = "DELETE FROM log WHERE revision > $1 AND revision <= $2 AND NOT live";

/// The row at the new horizon may be a deletion, and go: its end is read before.
const MOVE_HORIZON: &str = "
UPDATE history SET compacted = $1, compacted_end = (SELECT commit_end FROM log WHERE revision = $1)";

/// Moves the horizon to `target`, or to the head if that comes first.
pub async fn compact(client: &mut Object, mut target: Revision) -> Result<(), Error> {
    loop {
        let (head, reached) = chunk(client, target).await.map_err(failed)??;
        target = target.min(head);
        if reached >= target {
            return Ok(());
        }
    }
}

/// Answers with the head, and how far it is compacted now.
async fn chunk(
    client: &mut Object,
    target: Revision,
) -> Result<Result<(Revision, Revision), Error>, tokio_postgres::Error> {
    let transaction = client.transaction().await?;
    let rows = transaction.query_typed(HORIZON, &[]).await?;
    let (from, head) = match (rows::revision(&rows[0], 0), rows::revision(&rows[0], 1)) {
        (Ok(from), Ok(head)) => (from, head),
        (Err(error), _) | (_, Err(error)) => return Ok(Err(error)),
    };
    let to = target.min(head).min(Revision(from.0 + CHUNK_REVISIONS));
    if to <= from {
        return Ok(Ok((head, from)));
    }
    let (first, last) = (from_revision(from), from_revision(to));
    transaction.execute_typed(MOVE_HORIZON, &[(&last, Type::INT8)]).await?;
    transaction.execute_typed(DROP_REPLACED, &[(&first, Type::INT8), (&last, Type::INT8)]).await?;
    transaction.execute_typed(DROP_DELETIONS, &[(&first, Type::INT8), (&last, Type::INT8)]).await?;
    transaction.commit().await?;
    Ok(Ok((head, to)))
}
