//! Forgetting: replaced versions and deletions up to a revision.
//!
//! Each row of the log names the version that it replaced, so the work follows the stretch of log that is being
//! forgotten and never looks at the rest. It goes in chunks, one `SQLite` transaction each, between which others write;
//! a chunk moves the horizon with it, so that a crash in between leaves a store compacted less far. What is forgotten goes
//! from the index too; so where the file's index has not come that far, it is brought there first.

use std::sync::Arc;

use rusqlite::{Connection, TransactionBehavior};
use store::{Error, Revision};

use crate::recent::Recent;
use crate::rows::{self, from_revision};
use crate::view::{commit_end, horizon};
use crate::writer::WriterHandle;

/// How many revisions one chunk covers: a few milliseconds of the writer's time.
const CHUNK_REVISIONS: u64 = 1024;

const INDEXED: &str = "SELECT indexed FROM history";

pub const UNINDEX_REPLACED: &str = "
DELETE FROM version WHERE (key, revision) IN
    (SELECT key, previous FROM log WHERE revision > ?1 AND revision <= ?2 AND previous IS NOT NULL)";

pub const DROP_REPLACED: &str = "
DELETE FROM log WHERE revision IN
    (SELECT previous FROM log WHERE revision > ?1 AND revision <= ?2 AND previous IS NOT NULL)";

pub const UNINDEX_DELETIONS: &str = "
DELETE FROM version WHERE (key, revision) IN
    (SELECT key, revision FROM log WHERE revision > ?1 AND revision <= ?2 AND live = 0)";

/// A deletion's own row says nothing once nobody can ask for the time before it.
const DROP_DELETIONS: &str = "DELETE FROM log WHERE revision > ?1 AND revision <= ?2 AND live = 0";

/// Says how far history is gone, and where the commit ends in which that lies.
pub const MOVE_HORIZON: &str = "UPDATE history SET compacted = ?1, compacted_end = ?2";

/// Moves the horizon to `target`, or to the head if that comes first.
pub async fn compact(writer: &WriterHandle, recent: &Arc<Recent>, mut target: Revision) -> Result<(), Error> {
    loop {
        let recent = Arc::clone(recent);
        let chunk = move |connection: &mut Connection| compact_chunk(connection, &recent, target);
        let progress = writer.write(chunk).await?;
        target = target.min(progress.head);
        if progress.reached >= target {
            return Ok(());
        }
    }
}

pub struct Progress {
    pub head: Revision,
    pub reached: Revision,
}

pub fn compact_chunk(connection: &mut Connection, recent: &Recent, target: Revision) -> rusqlite::Result<Progress> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let horizon = horizon(&transaction)?;
    let from = horizon.compacted;
    let to = target.min(horizon.head).min(Revision(from.0 + CHUNK_REVISIONS));
    if to <= from {
        return Ok(Progress { head: horizon.head, reached: from });
    }
    let indexed = transaction.prepare_cached(INDEXED)?.query_row([], |row| rows::revision(row, 0))?;
    if indexed < to {
        let folded = recent.fold_now(&transaction, horizon.head)?;
        transaction.commit()?;
        recent.folded(folded);
        return Ok(Progress { head: horizon.head, reached: from });
    }
    let end = commit_end(&transaction, horizon, to)?;
    let range = (from_revision(from), from_revision(to));
    for step in [UNINDEX_REPLACED, DROP_REPLACED, UNINDEX_DELETIONS, DROP_DELETIONS] {
        transaction.prepare_cached(step)?.execute(range)?;
    }
    transaction.prepare_cached(MOVE_HORIZON)?.execute((from_revision(to), from_revision(end)))?;
    transaction.commit()?;
    Ok(Progress { head: horizon.head, reached: to })
}
