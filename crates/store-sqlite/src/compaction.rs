//! Compaction: removal of replaced versions and deletions up to a revision.
//!
//! Each log row names the version that it replaced, so the work is proportional to the compacted range. It is done in
//! chunks, one `SQLite` transaction each, between which others write. Each chunk advances the horizon, so a crash only
//! leaves the store compacted less far. Compacted versions are also removed from the index in the file, so the index is
//! first flushed up to the range.

use std::sync::Arc;

use rusqlite::{Connection, TransactionBehavior};
use store::{Error, Revision};

use crate::memtable::IndexMemtables;
use crate::row_codec::{self, from_revision};
use crate::view::{bounds, commit_end};
use crate::writer::WriterHandle;

/// The number of revisions per chunk: a few milliseconds of the writer's time.
const CHUNK_REVISIONS: u64 = 1024;

const INDEXED: &str = "SELECT indexed FROM log_state";

pub const UNINDEX_REPLACED: &str = "
DELETE FROM version WHERE (key, revision) IN
    (SELECT key, previous FROM log WHERE revision > ?1 AND revision <= ?2 AND previous IS NOT NULL)";

pub const DROP_REPLACED: &str = "
DELETE FROM log WHERE revision IN
    (SELECT previous FROM log WHERE revision > ?1 AND revision <= ?2 AND previous IS NOT NULL)";

pub const UNINDEX_DELETIONS: &str = "
DELETE FROM version WHERE (key, revision) IN
    (SELECT key, revision FROM log WHERE revision > ?1 AND revision <= ?2 AND live = 0)";

/// A deletion's own row is not needed when earlier revisions can no longer be read.
const DROP_DELETIONS: &str = "DELETE FROM log WHERE revision > ?1 AND revision <= ?2 AND live = 0";

/// Sets the horizon, and the end of the commit that contains it.
pub const SET_COMPACTED: &str = "UPDATE log_state SET compacted = ?1, compacted_end = ?2";

/// Advances the horizon to `target`, at most to the head.
pub async fn compact(writer: &WriterHandle, index: &Arc<IndexMemtables>, mut target: Revision) -> Result<(), Error> {
    loop {
        let index = Arc::clone(index);
        let chunk = move |connection: &mut Connection| compact_chunk(connection, &index, target);
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

pub fn compact_chunk(
    connection: &mut Connection,
    index: &IndexMemtables,
    target: Revision,
) -> rusqlite::Result<Progress> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let bounds = bounds(&transaction)?;
    let from = bounds.compacted;
    let to = target.min(bounds.head).min(Revision(from.0 + CHUNK_REVISIONS));
    if to <= from {
        return Ok(Progress { head: bounds.head, reached: from });
    }
    let indexed = transaction.prepare_cached(INDEXED)?.query_row([], |row| row_codec::revision(row, 0))?;
    if indexed < to {
        let flushed = index.flush_all(&transaction, bounds.head)?;
        transaction.commit()?;
        index.flush_done(flushed);
        return Ok(Progress { head: bounds.head, reached: from });
    }
    let end = commit_end(&transaction, bounds, to)?;
    let range = (from_revision(from), from_revision(to));
    for step in [UNINDEX_REPLACED, DROP_REPLACED, UNINDEX_DELETIONS, DROP_DELETIONS] {
        transaction.prepare_cached(step)?.execute(range)?;
    }
    transaction.prepare_cached(SET_COMPACTED)?.execute((from_revision(to), from_revision(end)))?;
    transaction.commit()?;
    Ok(Progress { head: bounds.head, reached: to })
}
