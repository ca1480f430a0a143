//! Formatting of errors with their causes.

use std::error::Error;

use deadpool_postgres::PoolError;

/// Formats the error and its causes in one line. The message of a tokio-postgres error alone is not informative.
pub fn format_chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

/// Formats the error of a connection pool.
pub fn pool_error(error: PoolError) -> String {
    match error {
        PoolError::Backend(error) => format_chain(&error),
        error => error.to_string(),
    }
}
