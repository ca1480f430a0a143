//! Forgetting: replaced versions and deletions up to a revision, by any replica.
//!
//! Each row of the log names the version that it replaced, so the work follows the stretch of log that is being forgotten and
//! never looks at the rest. It goes in chunks, one transaction each, beside the commits, and never holds the head; two replicas
//! that compact at once take turns by the row of `history`.

use deadpool_postgres::Pool;
use store::{Error, Head, Revision};
use tokio_postgres::types::{ToSql, Type};

use crate::failure::failed;
use crate::limits;
use crate::read::standing;
use crate::rows::from_revision;
use crate::session::Session;

pub const DROP_REPLACED: &str = "
DELETE FROM log WHERE revision IN
    (SELECT previous FROM log WHERE revision > $1 AND revision <= $2 AND previous IS NOT NULL)";

/// A deletion's own row says nothing once nobody can ask for the time before it.
pub const DROP_DELETIONS: &str = "DELETE FROM log WHERE revision > $1 AND revision <= $2 AND NOT live";

/// The row at the new horizon may be a deletion, and go: what it says is kept.
const ADD_HORIZON: &str = "
INSERT INTO horizon SELECT $1, (SELECT commit_end FROM log WHERE revision = $1), (SELECT token FROM log WHERE revision = $1)";

const DROP_HORIZON: &str = "DELETE FROM horizon WHERE compacted = $1";

/// Moves the horizon to `target`, or to the head if that comes first.
pub async fn compact(pool: &Pool, mut target: Revision) -> Result<(), Error> {
    loop {
        let session = Session::open(pool).await?;
        let Head { revision: head, compacted: from } = match begin(&session).await {
            Ok(head) => head,
            Err(error) => {
                session.release().await;
                return Err(error);
            }
        };
        target = target.min(head);
        let to = target.min(Revision(from.0.saturating_add(limits::COMPACTION_CHUNK_REVISIONS)));
        if to <= from {
            session.release().await;
            return Ok(());
        }
        let forgotten = session.step("a compaction", limits::BULK_STATEMENT_MAX, forget(&session, from, to)).await;
        if forgotten.is_err() {
            session.release().await;
            return forgotten;
        }
    }
}

/// Takes the turn, and answers with where the log stands.
async fn begin(session: &Session) -> Result<Head, Error> {
    let begin = format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = {}; SET LOCAL statement_timeout = {};
         SELECT FROM history FOR UPDATE",
        limits::LOCK_MAX.as_millis(),
        limits::BULK_STATEMENT_MAX.as_millis(),
    );
    let taken = async {
        // Both are sent before the first is answered; the second sees what was committed when the first had got the lock.
        let (locked, found) = futures::join!(session.batch_execute(&begin), standing(session, None));
        locked.map_err(failed)?;
        Ok(found?.head)
    };
    session.step("the beginning of a compaction", limits::LOCK_MAX, taken).await
}

/// Forgets what is behind `from` up to `to`, and ends the transaction.
async fn forget(session: &Session, from: Revision, to: Revision) -> Result<(), Error> {
    let (from, to) = (from_revision(from), from_revision(to));
    let stretch = [(&from as &(dyn ToSql + Sync), Type::INT8), (&to, Type::INT8)];
    session.execute_typed(ADD_HORIZON, &stretch[1..]).await.map_err(failed)?;
    session.execute_typed(DROP_HORIZON, &stretch[..1]).await.map_err(failed)?;
    for drop in [DROP_REPLACED, DROP_DELETIONS] {
        session.execute_typed(drop, &stretch).await.map_err(failed)?;
    }
    session.batch_execute("COMMIT").await.map_err(failed)
}
