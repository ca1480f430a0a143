//! The schema of the data file, and its migrations.
//!
//! `log` has all data: the row of a write is the version of the object, and there is no table of current objects.
//! `version` is the index by key: it finds the newest version of a key at any revision without reading the log. It
//! includes `live`, so that counting needs no log rows either. The versions of a key are stored newest first, because
//! the newest is read most often. It is a table and not an SQL index, because it may lack the latest entries of the log; see
//! [`crate::memtable`].

use std::path::Path;

use rusqlite::{Connection, ErrorCode, TransactionBehavior};

use crate::open_error::OpenError;

/// The `application_id` of our `SQLite` files ("ipam").
const APPLICATION_ID: i32 = i32::from_be_bytes(*b"IPAM");

/// The `application_id` ("ipam") of files of earlier programs, which have other schemas.
const EARLIER_APPLICATION_ID: i32 = i32::from_be_bytes(*b"ipam");

/// The schema version that this program reads and writes, stored as `user_version`.
const VERSION: u32 = 1;

/// `commit_remaining` is the number of later writes in the same commit; `previous` is the revision of the version that the
/// write replaced, which compaction may drop when the write itself is compacted.
///
/// The trigger reads one row: spans of a space do not overlap, so among the spans that begin at or before the end of
/// the new span, the one that begins last also ends last. If it does not reach the new span, no other span does.
const SCHEMA: &str = "
CREATE TABLE log (
    revision INTEGER PRIMARY KEY,
    key TEXT NOT NULL,
    previous INTEGER,
    commit_remaining INTEGER NOT NULL,
    live INTEGER NOT NULL,
    value BLOB,
    CHECK (live = (value IS NOT NULL))
) STRICT;

CREATE TABLE version (
    key TEXT NOT NULL,
    revision INTEGER NOT NULL,
    live INTEGER NOT NULL,
    PRIMARY KEY (key, revision DESC)
) STRICT, WITHOUT ROWID;

CREATE TABLE log_state (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    compacted INTEGER NOT NULL,
    compacted_end INTEGER NOT NULL,
    write_barrier INTEGER NOT NULL,
    indexed INTEGER NOT NULL
) STRICT;
INSERT INTO log_state VALUES (1, 0, 0, 0, 0);

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
CREATE TRIGGER span_immutable BEFORE UPDATE ON span
BEGIN
    SELECT RAISE(ABORT, 'a span is taken and released, never changed');
END;
";

/// Creates the schema in an empty file. Returns an error for a file with another schema.
pub fn prepare(connection: &mut Connection, path: &Path) -> Result<(), OpenError> {
    let database = |source| foreign_or_failed(path, source);
    if is_new(connection).map_err(database)? {
        return create(connection).map_err(database);
    }
    check_current(connection, path)
}

/// Returns an error unless the file has exactly this program's schema.
pub fn check_current(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let database = |source| foreign_or_failed(path, source);
    let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_err(database);
    let id = number("application_id")?;
    if id == EARLIER_APPLICATION_ID.into() {
        return Err(OpenError::Earlier { path: path.to_owned() });
    }
    if id != APPLICATION_ID.into() {
        return Err(OpenError::Foreign { path: path.to_owned() });
    }
    match u32::try_from(number("user_version")?).unwrap_or(u32::MAX) {
        VERSION => Ok(()),
        found => Err(OpenError::Newer { path: path.to_owned(), found, known: VERSION }),
    }
}

fn foreign_or_failed(path: &Path, source: rusqlite::Error) -> OpenError {
    match source.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => OpenError::Foreign { path: path.to_owned() },
        _ => OpenError::Database { path: path.to_owned(), source },
    }
}

/// True if the file has never been written.
fn is_new(connection: &Connection) -> rusqlite::Result<bool> {
    let id: i64 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    Ok(id == 0 && is_empty(connection)?)
}

fn is_empty(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT count(*) = 0 FROM sqlite_schema", [], |row| row.get(0))
}

/// Creates the schema, in one transaction.
fn create(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(SCHEMA)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()
}
