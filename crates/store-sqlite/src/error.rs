//! Conversion of `SQLite` errors to store errors.

use rusqlite::ErrorCode;
use store::Error;
use tokio::task::JoinError;

/// Converts an error after which nothing was written.
///
/// Takes the error by value, as `map_err` needs it.
#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err calls")]
pub fn failed(error: rusqlite::Error) -> Error {
    if is_unreadable(&error) {
        return Error::Corrupt(format!("{error}: stop the server and restore a backup of the data file"));
    }
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            Error::Corrupt(format!("{error}: stop the server and restore a backup of the data file"))
        }
        Some(ErrorCode::DiskFull) => {
            Error::Full(format!("{error}: free some space on the data file's disk, then repeat the call"))
        }
        Some(ErrorCode::SystemIoFailure) => {
            Error::Unavailable(format!("{error}: check the data file's disk, then repeat the call"))
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            Error::Unavailable(format!("{error}: close the tool that has the data file open, then repeat the call"))
        }
        _ => Error::Unavailable(format!("{error}: repeat the call; if it fails again, see the server's log")),
    }
}

/// True if a row contains values that this program never writes.
fn is_unreadable(error: &rusqlite::Error) -> bool {
    use rusqlite::Error::{
        FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType, QueryReturnedNoRows, Utf8Error,
    };
    matches!(
        error,
        FromSqlConversionFailure(..)
            | IntegralValueOutOfRange(..)
            | InvalidColumnType(..)
            | QueryReturnedNoRows
            | Utf8Error(..)
    )
}

/// Returns the error for a store that was closed or has failed before the call ran.
pub fn closed() -> Error {
    Error::Unavailable("the store has been closed or has failed: start the server again".to_owned())
}

/// Converts the error of a blocking read that did not finish, because it panicked or the runtime shut down.
pub fn broken_off(error: &JoinError) -> Error {
    if error.is_panic() {
        return Error::Unavailable("the read panicked: see the server's log".to_owned());
    }
    closed()
}
