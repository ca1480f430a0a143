//! Compaction: removal of replaced versions and deletions up to a revision. Any replica may do it.
//!
//! Each log row names the version that it replaced, so the work is proportional to the compacted range. It is done in
//! chunks, one transaction each, concurrently with commits and without the head lock. Concurrent compactions of two
//! replicas are serialized by a lock on the row of `log_identity`.

use deadpool_postgres::Pool;
use store::{Error, Head, Revision};
use tokio_postgres::types::{ToSql, Type};

use crate::error::failed;
use crate::limits;
use crate::read::log_state;
use crate::row_codec::from_revision;
use crate::session::Session;

pub const DROP_REPLACED: &str = "
DELETE FROM log WHERE revision IN
    (SELECT previous FROM log WHERE revision > $1 AND revision <= $2 AND previous IS NOT NULL)";

/// A deletion's own row is not needed when earlier revisions can no longer be read.
pub const DROP_DELETIONS: &str = "DELETE FROM log WHERE revision > $1 AND revision <= $2 AND NOT live";

/// The log row at the new horizon may be a deletion and be removed, so its commit end and its token are stored in
/// `horizon`.
const ADD_HORIZON: &str = "
INSERT INTO horizon SELECT $1, (SELECT commit_end FROM log WHERE revision = $1), (SELECT token FROM log WHERE revision = $1)";

const DROP_HORIZON: &str = "DELETE FROM horizon WHERE compacted = $1";

/// Advances the horizon to `target`, at most to the head.
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

/// Begins a transaction, locks the row of `log_identity`, and returns the head.
async fn begin(session: &Session) -> Result<Head, Error> {
    let begin = format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = {}; SET LOCAL statement_timeout = {};
         SELECT FROM log_identity FOR UPDATE",
        limits::LOCK_MAX.as_millis(),
        limits::BULK_STATEMENT_MAX.as_millis(),
    );
    let taken = async {
        // Both statements are sent at once (pipelining). The second one runs after the first got the lock, so it sees
        // everything that was committed before.
        let (locked, found) = futures::join!(session.batch_execute(&begin), log_state(session, None));
        locked.map_err(failed)?;
        Ok(found?.head)
    };
    session.step("the beginning of a compaction", limits::LOCK_MAX, taken).await
}

/// Compacts the revisions after `from` up to `to`, and commits.
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
