//! Random bytes for requests.

use std::sync::Arc;

use apimachinery::{
    command::RequestEntropy,
    status_error::{StatusError, StatusReason},
};

/// Returns random bytes for one request, or an API error if the system has none.
pub type RandomSource = Arc<dyn Fn() -> Result<RequestEntropy, StatusError> + Send + Sync>;

/// Random bytes from the operating system.
pub fn system_entropy() -> Result<RequestEntropy, StatusError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| {
        tracing::error!(error = %error, "reading random bytes from the system failed");
        StatusError::new(
            StatusReason::InternalError,
            "cannot generate ids; nothing was written (the server's log says why)",
        )
    })?;
    Ok(RequestEntropy(bytes))
}
