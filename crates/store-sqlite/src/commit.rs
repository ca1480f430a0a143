//! Commits, and the handling of disk failures during a commit.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{CachedStatement, Connection, ErrorCode, TransactionBehavior, ffi};
use store::{Error, Key, Revision, Span, Write};

use crate::condition::{Condition, is_sync};
use crate::failure::failed;
use crate::recent::{Layers, Recent};
use crate::rows::{self, from_revision};
use crate::{span, view, walk};

const INSERT: &str = "
INSERT INTO log (revision, key, previous, to_commit_end, live, value) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";

pub const TAKE: &str = "INSERT INTO span (space, first, last, holder) VALUES (?1, ?2, ?3, ?4)";

const RELEASE: &str = "DELETE FROM span WHERE space = ?1 AND first = ?2 AND last = ?3 AND holder = ?4";

const SETTLE: &str = "UPDATE history SET settled = settled + 1";

/// The revisions that the transaction has read under the head lock; `None`: the object does not exist.
pub type Known = HashMap<Key, Option<Revision>>;

/// Commits `writes` after `head`.
pub fn commit(
    connection: &mut Connection,
    condition: &Condition,
    recent: &Recent,
    head: Revision,
    known: &Known,
    writes: &[Write],
) -> Result<(), Error> {
    let written = |error| condition.written(error);
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(written)?;
    Commit::new(&transaction, condition, recent, head, known).map_err(written)?.write_all(writes)?;
    let folded = recent.fold(&transaction, head, writes.len()).map_err(written)?;
    recent.add(head, writes);
    let outcome = match transaction.commit() {
        Ok(()) => Ok(()),
        Err(cause) if is_before_the_end(&cause) => Err(failed(cause)),
        Err(cause) if is_sync(&cause) => Err(condition.written(cause)),
        Err(cause) => find_out(connection, condition, head, writes.len() as u64, cause),
    };
    match outcome {
        Ok(()) => recent.folded(folded),
        // The next `begin` resolves the outcome, and rolls the index back if the commit was lost.
        Err(Error::Unknown(_)) => {}
        Err(_) => recent.forget_after(head),
    }
    outcome
}

/// Writes a no-op commit as a barrier, and returns the head of the log.
///
/// If a commit fails after its fsync, `SQLite` rolls it back in memory, but its frames may be complete in the WAL and
/// would be replayed after a crash. This no-op commit overwrites those frames.
pub fn settle(connection: &Connection) -> rusqlite::Result<Revision> {
    connection.prepare_cached(SETTLE)?.execute([])?;
    Ok(view::horizon(connection)?.head)
}

/// True if the commit failed before its last frame, the commit frame, was written.
///
/// A failed write leaves the commit incomplete in the WAL. Only the steps after it, the sync and the update of the WAL
/// index, can fail with a complete commit.
fn is_before_the_end(cause: &rusqlite::Error) -> bool {
    let code = cause.sqlite_error().map(|error| error.extended_code);
    matches!(code, Some(ffi::SQLITE_FULL | ffi::SQLITE_IOERR_WRITE | ffi::SQLITE_BUSY))
}

/// Resolves the outcome of a commit that failed after its sync.
pub fn find_out(
    connection: &Connection,
    condition: &Condition,
    head: Revision,
    writes: u64,
    cause: rusqlite::Error,
) -> Result<(), Error> {
    match settle(connection) {
        Ok(found) if found == head => Err(failed(cause)),
        Ok(found) if found == Revision(head.0 + writes) => Ok(()),
        Ok(found) => Err(Error::Unknown(format!(
            "{cause}; the log ends at {found} and should end at {head}: another program writes the data file; stop it"
        ))),
        Err(error) => {
            condition.check(&error);
            Err(Error::Unknown(format!(
                "{cause}; resolving the outcome of the commit failed as well ({error}): \
                 check the data file's disk, then read the objects again before repeating the call"
            )))
        }
    }
}

/// The state of one commit: its statements, and the writes so far.
struct Commit<'a> {
    connection: &'a Connection,
    condition: &'a Condition,
    layers: Arc<Layers>,
    insert: CachedStatement<'a>,
    take: CachedStatement<'a>,
    release: CachedStatement<'a>,
    head: Revision,
    known: &'a Known,
    /// The revision of each key after the writes so far.
    written: HashMap<&'a str, Option<Revision>>,
}

impl<'a> Commit<'a> {
    fn new(
        connection: &'a Connection,
        condition: &'a Condition,
        recent: &Recent,
        head: Revision,
        known: &'a Known,
    ) -> rusqlite::Result<Self> {
        Ok(Self {
            connection,
            condition,
            layers: recent.layers(),
            insert: connection.prepare_cached(INSERT)?,
            take: connection.prepare_cached(TAKE)?,
            release: connection.prepare_cached(RELEASE)?,
            head,
            known,
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
        if let Some(revision) = self.written.get(key.as_str()).or_else(|| self.known.get(key)) {
            return Ok(*revision);
        }
        match self.layers.newest(key.as_str(), self.head) {
            Some(version) => Ok(version.live.then_some(version.revision)),
            None => walk::newest_in_file(self.connection, key.as_str(), self.head),
        }
    }

    fn insert(&mut self, write: &'a Write, to_commit_end: usize) -> Result<(), Error> {
        self.head = self.head.next();
        let inserted = self.insert.execute((
            from_revision(self.head),
            write.key.as_str(),
            write.expected.map(from_revision),
            rows::from_limit(to_commit_end),
            write.value.is_some(),
            write.value.as_deref(),
        ));
        match inserted {
            Err(error) if is_refusal(&error) => Err(Error::Corrupt(format!(
                "revision {} exists already ({error}): another program writes the data file; stop it",
                self.head
            ))),
            Err(error) => Err(self.condition.written(error)),
            Ok(_) => {
                self.written.insert(write.key.as_str(), write.value.is_some().then_some(self.head));
                Ok(())
            }
        }
    }

    fn release(&mut self, span: &Span) -> Result<(), Error> {
        let (first, last) = (span.first.to_be_bytes(), span.last.to_be_bytes());
        let released = self.release.execute((span.space.as_str(), first, last, span.holder.as_str()));
        let released = released.map_err(|error| self.condition.written(error))?;
        if released == 0 {
            return Err(Error::Guard(format!("{span} is not held, so it cannot be released")));
        }
        Ok(())
    }

    fn take(&mut self, span: &Span) -> Result<(), Error> {
        take(self.connection, self.condition, &mut self.take, span)
    }
}

/// Takes a span with the statement [`TAKE`].
pub fn take(
    connection: &Connection,
    condition: &Condition,
    statement: &mut CachedStatement<'_>,
    span: &Span,
) -> Result<(), Error> {
    let (first, last) = (span.first.to_be_bytes(), span.last.to_be_bytes());
    match statement.execute((span.space.as_str(), first, last, span.holder.as_str())) {
        Ok(_) => Ok(()),
        Err(error) if is_refusal(&error) => Err(refused(connection, span, &error)),
        Err(error) => Err(condition.written(error)),
    }
}

/// Returns the error for an overlap, with the conflicting span if it is found.
fn refused(connection: &Connection, span: &Span, error: &rusqlite::Error) -> Error {
    match span::holders(connection, &span.space, span.first, span.last, 1).as_deref() {
        Ok([held]) => Error::Guard(format!("{span} overlaps {held}")),
        _ => Error::Guard(format!("{span}: {error}")),
    }
}

/// True if a constraint of the schema failed, not the disk.
fn is_refusal(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation)
}
