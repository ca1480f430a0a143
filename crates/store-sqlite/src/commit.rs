//! Commits, and the handling of disk failures during a commit.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{CachedStatement, Connection, ErrorCode, TransactionBehavior, ffi};
use store::{Error, Key, Revision, Span, Write};

use crate::error::failed;
use crate::failure_flag::{FailureFlag, is_sync};
use crate::memtable::{IndexMemtables, MemtableSet};
use crate::row_codec::{self, from_revision};
use crate::{scan, span, view};

const INSERT: &str = "
INSERT INTO log (revision, key, previous, commit_remaining, live, value) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";

pub const TAKE: &str = "INSERT INTO span (space, first, last, holder) VALUES (?1, ?2, ?3, ?4)";

const RELEASE: &str = "DELETE FROM span WHERE space = ?1 AND first = ?2 AND last = ?3 AND holder = ?4";

const WRITE_BARRIER: &str = "UPDATE log_state SET write_barrier = write_barrier + 1";

/// The revisions that the transaction has read under the head lock; `None`: the object does not exist.
pub type ReadSet = HashMap<Key, Option<Revision>>;

/// Commits `writes` after `head`.
pub fn commit(
    connection: &mut Connection,
    failure_flag: &FailureFlag,
    index: &IndexMemtables,
    head: Revision,
    read_set: &ReadSet,
    writes: &[Write],
) -> Result<(), Error> {
    let written = |error| failure_flag.written(error);
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(written)?;
    Commit::new(&transaction, failure_flag, index, head, read_set).map_err(written)?.write_all(writes)?;
    let flushed = index.flush_some(&transaction, head, writes.len()).map_err(written)?;
    index.add(head, writes);
    let outcome = match transaction.commit() {
        Ok(()) => Ok(()),
        Err(cause) if failed_before_commit_frame(&cause) => Err(failed(cause)),
        Err(cause) if is_sync(&cause) => Err(failure_flag.written(cause)),
        Err(cause) => resolve_outcome(connection, failure_flag, head, writes.len() as u64, cause),
    };
    match outcome {
        Ok(()) => index.flush_done(flushed),
        // The next `begin` resolves the outcome, and rolls the index back if the commit was lost.
        Err(Error::OutcomeUnknown(_)) => {}
        Err(_) => index.rollback_to(head),
    }
    outcome
}

/// Writes a no-op commit as a barrier, and returns the head of the log.
///
/// If a commit fails after its fsync, `SQLite` rolls it back in memory, but its frames may be complete in the WAL and
/// would be replayed after a crash. This no-op commit overwrites those frames.
pub fn write_barrier(connection: &Connection) -> rusqlite::Result<Revision> {
    connection.prepare_cached(WRITE_BARRIER)?.execute([])?;
    Ok(view::bounds(connection)?.head)
}

/// True if the commit failed before its last frame, the commit frame, was written.
///
/// A failed write leaves the commit incomplete in the WAL. Only the steps after it, the sync and the update of the WAL
/// index, can fail with a complete commit.
fn failed_before_commit_frame(cause: &rusqlite::Error) -> bool {
    let code = cause.sqlite_error().map(|error| error.extended_code);
    matches!(code, Some(ffi::SQLITE_FULL | ffi::SQLITE_IOERR_WRITE | ffi::SQLITE_BUSY))
}

/// Resolves the outcome of a commit that failed after its sync.
pub fn resolve_outcome(
    connection: &Connection,
    failure_flag: &FailureFlag,
    head: Revision,
    writes: u64,
    cause: rusqlite::Error,
) -> Result<(), Error> {
    match write_barrier(connection) {
        Ok(found) if found == head => Err(failed(cause)),
        Ok(found) if found == Revision(head.0 + writes) => Ok(()),
        Ok(found) => Err(Error::OutcomeUnknown(format!(
            "{cause}; the log ends at {found} and should end at {head}: another program writes the data file; stop it"
        ))),
        Err(error) => {
            failure_flag.check(&error);
            Err(Error::OutcomeUnknown(format!(
                "{cause}; resolving the outcome of the commit failed as well ({error}): \
                 check the data file's disk, then read the objects again before repeating the call"
            )))
        }
    }
}

/// The state of one commit: its statements, and the writes so far.
struct Commit<'a> {
    connection: &'a Connection,
    failure_flag: &'a FailureFlag,
    memtables: Arc<MemtableSet>,
    insert: CachedStatement<'a>,
    take: CachedStatement<'a>,
    release: CachedStatement<'a>,
    head: Revision,
    read_set: &'a ReadSet,
    /// The revision of each key after the writes so far.
    written: HashMap<&'a str, Option<Revision>>,
}

impl<'a> Commit<'a> {
    fn new(
        connection: &'a Connection,
        failure_flag: &'a FailureFlag,
        index: &IndexMemtables,
        head: Revision,
        read_set: &'a ReadSet,
    ) -> rusqlite::Result<Self> {
        Ok(Self {
            connection,
            failure_flag,
            memtables: index.memtables(),
            insert: connection.prepare_cached(INSERT)?,
            take: connection.prepare_cached(TAKE)?,
            release: connection.prepare_cached(RELEASE)?,
            head,
            read_set,
            written: HashMap::new(),
        })
    }

    fn write_all(mut self, writes: &'a [Write]) -> Result<(), Error> {
        self.written.reserve(writes.len());
        for (place, write) in writes.iter().enumerate() {
            let found = self.current(&write.key)?;
            if found != write.expected {
                return Err(Error::Precondition { key: write.key.clone(), expected: write.expected, found });
            }
            for span in &write.releases {
                self.release(span)?;
            }
            for span in &write.takes {
                self.take(span)?;
            }
            self.insert(write, writes.len() - place - 1)?;
        }
        Ok(())
    }

    /// Returns the revision of `key` after the writes so far.
    fn current(&mut self, key: &Key) -> Result<Option<Revision>, Error> {
        if let Some(revision) = self.written.get(key.as_str()).or_else(|| self.read_set.get(key)) {
            return Ok(*revision);
        }
        match self.memtables.newest(key.as_str(), self.head) {
            Some(version) => Ok(version.live.then_some(version.revision)),
            None => scan::newest_in_file(self.connection, key.as_str(), self.head),
        }
    }

    fn insert(&mut self, write: &'a Write, commit_remaining: usize) -> Result<(), Error> {
        self.head = self.head.next();
        let inserted = self.insert.execute((
            from_revision(self.head),
            write.key.as_str(),
            write.expected.map(from_revision),
            row_codec::from_limit(commit_remaining),
            write.value.is_some(),
            write.value.as_deref(),
        ));
        match inserted {
            Err(error) if is_constraint_violation(&error) => Err(Error::Corrupt(format!(
                "revision {} exists already ({error}): another program writes the data file; stop it",
                self.head
            ))),
            Err(error) => Err(self.failure_flag.written(error)),
            Ok(_) => {
                self.written.insert(write.key.as_str(), write.value.is_some().then_some(self.head));
                Ok(())
            }
        }
    }

    fn release(&mut self, span: &Span) -> Result<(), Error> {
        let (first, last) = (span.first.to_be_bytes(), span.last.to_be_bytes());
        let released = self.release.execute((span.space.as_str(), first, last, span.holder.as_str()));
        let released = released.map_err(|error| self.failure_flag.written(error))?;
        if released == 0 {
            return Err(Error::SpanConflict(format!("{span} is not held, so it cannot be released")));
        }
        Ok(())
    }

    fn take(&mut self, span: &Span) -> Result<(), Error> {
        take_span(self.connection, self.failure_flag, &mut self.take, span)
    }
}

/// Takes a span with the statement [`TAKE`].
pub fn take_span(
    connection: &Connection,
    failure_flag: &FailureFlag,
    statement: &mut CachedStatement<'_>,
    span: &Span,
) -> Result<(), Error> {
    let (first, last) = (span.first.to_be_bytes(), span.last.to_be_bytes());
    match statement.execute((span.space.as_str(), first, last, span.holder.as_str())) {
        Ok(_) => Ok(()),
        Err(error) if is_constraint_violation(&error) => Err(span_conflict(connection, span, &error)),
        Err(error) => Err(failure_flag.written(error)),
    }
}

/// Returns the error for an overlap, with the conflicting span if it is found.
fn span_conflict(connection: &Connection, span: &Span, error: &rusqlite::Error) -> Error {
    match span::overlapping_spans(connection, &span.space, span.first, span.last, 1).as_deref() {
        Ok([held]) => Error::SpanConflict(format!("{span} overlaps {held}")),
        _ => Error::SpanConflict(format!("{span}: {error}")),
    }
}

/// True if a constraint of the schema failed, not the disk.
fn is_constraint_violation(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation)
}
