//! Parsing of the bytes of stored objects, which this server has written.

use std::sync::Arc;

use apimachinery::{
    object::Object,
    status_error::{StatusError, StatusReason},
    view::View,
};
use bytes::Bytes;
use store::{Error, Key};

/// Parses the object at `key`.
///
/// # Errors
/// [`Error::Corrupt`] if the bytes are not an object.
pub fn parse(key: &Key, bytes: &[u8]) -> Result<Arc<Object>, Error> {
    Object::from_bytes(bytes).map(Arc::new).map_err(|error| Error::Corrupt(format!("{key} is not an object: {error}")))
}

/// Parses an object for a response.
pub fn parse_for_response(bytes: &[u8]) -> Result<Object, StatusError> {
    Object::from_bytes(bytes).map_err(|error| {
        tracing::error!(error = %error, "a stored value is not an object");
        StatusError::new(StatusReason::InternalError, "the stored object cannot be read")
    })
}

/// Converts the stored bytes of an object to a view.
pub fn view_bytes(view: &View, bytes: &[u8]) -> Result<Bytes, StatusError> {
    parse_for_response(bytes).map(|object| view.to_served(object).to_bytes().into())
}
