//! API errors for failures of the server and of the store.

use apimachinery::status_error::{StatusError, StatusReason};

/// The API error of a request that caused a panic.
pub fn panic_error() -> StatusError {
    StatusError::new(StatusReason::InternalError, "This request caused the server to panic; its log says why")
}

/// The API error of a failed store read. Never 404 or an empty list, on which clients would act.
pub fn read_failed(error: &store::Error) -> StatusError {
    tracing::error!(error = %error, "a read of the store failed");
    match error {
        store::Error::Unavailable(_) | store::Error::Full(_) => {
            StatusError::new(StatusReason::ServiceUnavailable, "the store is unavailable, please try again later")
                .retry_after(1)
        }
        _ => StatusError::new(StatusReason::InternalError, "the store could not be read (the server's log says why)"),
    }
}
