//! What the file holds, and how an older file becomes a current one.
//!
//! `log` is everything: the row that a write left is the object's version, there is no second copy. `version` is its
//! index: it finds the newest version of a key at any revision without touching the rows; `live` is in it so that
//! counting does not either. Versions of one key lie newest first, because the newest is what almost everybody wants.
//! It is a table of its own, and not an index that SQLite keeps, because it may be behind: [`crate::recent`] has the rest.

use std::path::Path;

use rusqlite::{Connection, ErrorCode, TransactionBehavior};

use crate::open_error::OpenError;

/// Marks a `SQLite` file as ours ("ipam").
const APPLICATION_ID: i32 = i32::from_be_bytes(*b"ipam");

/// The schema that this program reads and writes, as the file's `user_version`.
const VERSION: u32 = 2;

/// Each entry takes the file from the version of its place to the next.
pub const MIGRATIONS: [&str; VERSION as usize] = [VERSION_1, VERSION_2];

/// `to_commit_end` is how many writes of the same commit follow; `previous` is the version that the write replaced,
/// which is also what compaction may drop once the write itself is old.
///
/// The trigger looks at one row: spans of a space do not overlap, so among those that begin at or before the new
/// one's end, the one that begins last also ends last. If that one does not reach the new span, none does.
const VERSION_1: &str = "
CREATE TABLE log (
    revision INTEGER PRIMARY KEY,
    key TEXT NOT NULL,
    previous INTEGER,
    to_commit_end INTEGER NOT NULL,
    live INTEGER NOT NULL,
    value BLOB,
    CHECK (live = (value IS NOT NULL))
) STRICT;
CREATE INDEX log_by_key ON log (key, revision DESC, live);

CREATE TABLE history (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    compacted INTEGER NOT NULL,
    compacted_end INTEGER NOT NULL,
    settled INTEGER NOT NULL
) STRICT;
INSERT INTO history VALUES (1, 0, 0, 0);

CREATE TABLE span (
    space TEXT NOT NULL,
    first BLOB NOT NULL CHECK (length(first) = 16),
    last BLOB NOT NULL CHECK (length(last) = 16),
    holder TEXT NOT NULL,
    PRIMARY KEY (space, first),
    CHECK (first <= last)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER span_overlap BEFORE INSERT ON span
WHEN (SELECT last FROM span WHERE space = NEW.space AND first <= NEW.last ORDER BY first DESC LIMIT 1) >= NEW.first
BEGIN
    SELECT RAISE(ABORT, 'two spans of one space would overlap');
END;
CREATE TRIGGER span_unchanged BEFORE UPDATE ON span
BEGIN
    SELECT RAISE(ABORT, 'a span is taken and released, never changed');
END;
";

/// `history.indexed` is the revision up to which `version` is complete.
const VERSION_2: &str = "
CREATE TABLE version (
    key TEXT NOT NULL,
    revision INTEGER NOT NULL,
    live INTEGER NOT NULL,
    PRIMARY KEY (key, revision DESC)
) STRICT, WITHOUT ROWID;
INSERT INTO version SELECT key, revision, live FROM log ORDER BY key, revision DESC;
DROP INDEX log_by_key;

ALTER TABLE history ADD COLUMN indexed INTEGER NOT NULL DEFAULT 0;
UPDATE history SET indexed = (SELECT coalesce(max(revision), 0) FROM log);
";

/// Makes an empty file ours, brings an older one up to date, refuses any other.
pub fn prepare(connection: &mut Connection, path: &Path) -> Result<(), OpenError> {
    let database = |source| foreign_or_failed(path, source);
    let found = if is_new(connection).map_err(database)? { 0 } else { version(connection, path)? };
    for (version, migration) in (1..).zip(MIGRATIONS).skip(found as usize) {
        migrate(connection, migration, version).map_err(database)?;
    }
    Ok(())
}

/// Refuses a file that this program could only read after changing it.
pub fn check_current(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    match version(connection, path)? {
        VERSION => Ok(()),
        found => Err(OpenError::Older { path: path.to_owned(), found, known: VERSION }),
    }
}

/// The schema version of a file that is ours.
fn version(connection: &Connection, path: &Path) -> Result<u32, OpenError> {
    let database = |source| foreign_or_failed(path, source);
    let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_err(database);
    if number("application_id")? != APPLICATION_ID.into() {
        return Err(OpenError::Foreign { path: path.to_owned() });
    }
    let found = u32::try_from(number("user_version")?).unwrap_or(u32::MAX);
    if found > VERSION {
        return Err(OpenError::Newer { path: path.to_owned(), found, known: VERSION });
    }
    Ok(found)
}

fn foreign_or_failed(path: &Path, source: rusqlite::Error) -> OpenError {
    match source.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => OpenError::Foreign { path: path.to_owned() },
        _ => OpenError::Database { path: path.to_owned(), source },
    }
}

/// Whether nothing was ever written to a file.
fn is_new(connection: &Connection) -> rusqlite::Result<bool> {
    let id: i64 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    Ok(id == 0 && is_empty(connection)?)
}

fn is_empty(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT count(*) = 0 FROM sqlite_schema", [], |row| row.get(0))
}

/// One step, whole or not at all.
pub fn migrate(connection: &mut Connection, migration: &str, version: u32) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(migration)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", version)?;
    transaction.commit()
}
