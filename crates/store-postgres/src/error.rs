//! Conversion of PostgreSQL errors to store errors.

use deadpool_postgres::PoolError;
use store::{Error, Key, Revision};
use tokio_postgres::error::{DbError, Severity, SqlState};

use crate::error_chain::format_chain;

/// SQLSTATE raised by `append_commit`: the current version is not the expected one.
const PRECONDITION: &str = "IP001";
/// SQLSTATE raised by `append_commit`: a released span is not held.
const NOT_HELD: &str = "IP002";

/// Converts an error of a read, or of any statement before the commit: nothing was written.
pub fn failed(error: tokio_postgres::Error) -> Error {
    let Some(database) = error.as_db_error() else {
        return Error::Unavailable(format!("the connection to PostgreSQL failed: {}", format_chain(&error)));
    };
    let code = database.code();
    if *code == SqlState::DATA_CORRUPTED || *code == SqlState::INDEX_CORRUPTED {
        Error::Corrupt(describe(database))
    } else {
        Error::Unavailable(describe(database))
    }
}

/// Converts the error of a connection pool.
pub fn no_connection(error: PoolError) -> Error {
    match error {
        PoolError::Backend(error) => failed(error),
        error => Error::Unavailable(format!("there is no connection to PostgreSQL: {error}")),
    }
}

/// SQLSTATE classes that do not refer to the statement: connection exception, operator intervention, system error,
/// internal error. A pooler that loses its server connection reports one of them, regardless of the outcome of the
/// transaction.
const SYSTEM_ERROR_CLASSES: [&str; 4] = ["08", "57", "58", "XX"];

/// True if the database rejected the statement, so that nothing of its transaction is written.
pub fn is_refusal(error: &tokio_postgres::Error) -> bool {
    error.as_db_error().is_some_and(|database| {
        let is_of_the_statement = database.parsed_severity() == Some(Severity::Error);
        is_of_the_statement && !SYSTEM_ERROR_CLASSES.iter().any(|class| database.code().code().starts_with(class))
    })
}

/// Converts the error of a rejected commit. `expected` returns the expected revision of a key.
pub fn commit_error(error: tokio_postgres::Error, expected: impl Fn(&Key) -> Option<Revision>) -> Error {
    let Some(database) = error.as_db_error() else { return failed(error) };
    match database.code().code() {
        PRECONDITION => precondition(database, expected),
        NOT_HELD => Error::SpanConflict(database.message().to_owned()),
        _ if *database.code() == SqlState::EXCLUSION_VIOLATION || database.table() == Some("span") => {
            Error::SpanConflict(describe(database))
        }
        _ => failed(error),
    }
}

fn precondition(database: &DbError, expected: impl Fn(&Key) -> Option<Revision>) -> Error {
    let found: u64 = database.detail().and_then(|detail| detail.parse().ok()).unwrap_or_default();
    match database.column().map(Key::new) {
        Some(Ok(key)) => {
            let expected = expected(&key);
            Error::Precondition { key, expected, found: (found > 0).then_some(Revision(found)) }
        }
        _ => Error::Corrupt(format!("a failed precondition without a key: {database}")),
    }
}

/// True if the transaction may be retried immediately: a serialization failure or a deadlock.
pub fn is_retryable(error: &tokio_postgres::Error) -> bool {
    let code = error.code();
    code == Some(&SqlState::T_R_SERIALIZATION_FAILURE) || code == Some(&SqlState::T_R_DEADLOCK_DETECTED)
}

fn describe(database: &DbError) -> String {
    let (message, code) = (database.message(), database.code().code());
    match database.detail() {
        Some(detail) => format!("{message}: {detail} (SQLSTATE {code})"),
        None => format!("{message} (SQLSTATE {code})"),
    }
}
