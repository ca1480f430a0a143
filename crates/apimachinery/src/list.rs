//! Lists: the state to return, continue tokens, and the encoding of list documents ([`document`]).

pub mod document;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    limits::CONTINUE_TOKEN_BYTES_MAX,
    options::{ListOptions, ResourceVersion, VersionMatch},
    status_error::{Cause, Status, StatusError, StatusReason},
};

/// The state that a list returns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListVersion {
    /// The latest state.
    Latest,
    /// Any state of at least this revision; 0 allows any.
    NotOlderThan(u64),
    /// The state at exactly this revision; if compacted, [`expired_list`].
    Exact(u64),
    /// A page after the first.
    Continue {
        /// The revision of the first page (if compacted, [`expired_continue`]); `None` for the latest state.
        revision: Option<u64>,
        /// Key after which the page starts.
        after: String,
    },
}

/// Returns the state that a list request reads. `prefix` is the common prefix of all keys that the request may read; a
/// continue token for another prefix is rejected. `options` must be consistent, as [`ListOptions::parse`] ensures.
pub fn list_version(options: &ListOptions, prefix: &str) -> Result<ListVersion, StatusError> {
    if let Some(token) = options.continue_token.as_deref() {
        let ContinueToken { revision, after } = ContinueToken::decode(token)?;
        if !after.starts_with(prefix) {
            return Err(invalid_token("it belongs to another list"));
        }
        return Ok(ListVersion::Continue { revision, after });
    }
    Ok(match (options.resource_version, options.version_match) {
        (ResourceVersion::Unset, _) => ListVersion::Latest,
        (ResourceVersion::Any, _) => ListVersion::NotOlderThan(0),
        (ResourceVersion::At(revision), Some(VersionMatch::Exact)) => ListVersion::Exact(revision),
        // The pages of a list must be consistent, so the first page fixes the revision.
        (ResourceVersion::At(revision), None) if options.limit.is_some() => ListVersion::Exact(revision),
        (ResourceVersion::At(revision), _) => ListVersion::NotOlderThan(revision),
    })
}

/// Position between two pages of a list. Its text is opaque to clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContinueToken {
    /// Revision of the first page; `None` to continue in the latest state.
    pub revision: Option<u64>,
    /// Key of the last item sent.
    pub after: String,
}

/// Content of a token, in the format of kube-apiserver.
#[derive(Serialize, Deserialize)]
struct TokenText<'a> {
    v: &'a str,
    rv: i64,
    start: String,
}

/// Version of the token format.
const TOKEN_VERSION: &str = "meta.k8s.io/v1";

impl ContinueToken {
    /// Encodes a token that continues after this key in the state of `revision`.
    pub fn encode(revision: u64, after_key: &str) -> String {
        // Revisions of 2^63 and above do not occur; for one of these the token continues in the latest state.
        Self::write(i64::try_from(revision).unwrap_or(-1), after_key)
    }

    /// Encodes a token that continues after this key in the latest state.
    pub fn encode_latest(after_key: &str) -> String {
        Self::write(-1, after_key)
    }

    fn write(rv: i64, after_key: &str) -> String {
        // The smallest key after `after_key`, at which the next page starts.
        let text = TokenText { v: TOKEN_VERSION, rv, start: format!("{after_key}\0") };
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&text).expect("text and numbers are always JSON"))
    }

    /// Decodes a token; 400 if it is malformed.
    pub fn decode(token: &str) -> Result<Self, StatusError> {
        if token.len() > CONTINUE_TOKEN_BYTES_MAX {
            return Err(invalid_token("it is too long"));
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| invalid_token("it is not base64"))?;
        let Ok(text) = serde_json::from_slice::<TokenText<'_>>(&bytes) else {
            return Err(invalid_token("it was not issued by this server"));
        };
        if text.v != TOKEN_VERSION {
            return Err(invalid_token("its version is unknown"));
        }
        let revision = match text.rv {
            -1 => None,
            rv => Some(u64::try_from(rv).ok().filter(|rv| *rv > 0).ok_or_else(|| invalid_token("bad revision"))?),
        };
        let after = text.start.strip_suffix('\0').filter(|key| !key.is_empty());
        let after = after.ok_or_else(|| invalid_token("bad start"))?.to_owned();
        Ok(Self { revision, after })
    }
}

fn invalid_token(why: &str) -> StatusError {
    StatusError::bad_request(format!("invalid continue token: {why}"))
}

/// 410: the state of a continue token has been compacted. `fresh_token` continues in the latest state.
pub fn expired_continue(fresh_token: String) -> Status {
    let refusal = StatusError::new(
        StatusReason::Expired,
        "The provided continue parameter is too old to display a consistent list result. You can start a new list \
         without the continue parameter, or use the continue token in this response to retrieve the remainder of the \
         results. Continuing with the provided token results in an inconsistent list - objects that were created, \
         modified, or deleted between the time the first chunk was returned and now may show up in the list.",
    );
    let mut status = refusal.to_status();
    status.metadata.insert("continue".to_owned(), Value::String(fresh_token));
    status
}

/// 410: the state of the requested revision has been compacted.
pub fn expired_list() -> StatusError {
    StatusError::new(StatusReason::Expired, "The resourceVersion for the provided list is too old.")
}

/// 504: the requested revision is in the future. Reflectors of client-go check for the cause.
pub fn too_large(requested: u64, current: u64) -> StatusError {
    let message = format!("Timeout: Too large resource version: {requested}, current: {current}");
    let mut refusal = StatusError::new(StatusReason::Timeout, message).retry_after(1);
    refusal.details.causes.push(Cause {
        reason: "ResourceVersionTooLarge".to_owned(),
        message: "Too large resource version".to_owned(),
        field: String::new(),
    });
    refusal
}

#[cfg(test)]
mod tests;
