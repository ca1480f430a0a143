//! Errors with what caused them.

use std::error::Error;

use deadpool_postgres::PoolError;

/// The error and its causes in one line: by itself, one of tokio-postgres says no more than that something failed.
pub fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

/// Why there is no connection.
pub fn causes_of_none(error: PoolError) -> String {
    match error {
        PoolError::Backend(error) => causes(&error),
        error => error.to_string(),
    }
}
