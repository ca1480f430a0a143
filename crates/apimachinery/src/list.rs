//! Lists: which state a list shows, how its pages hang together, how its body is written ([`document`]).

pub mod document;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    limits::CONTINUE_TOKEN_BYTES_MAX,
    options::{ListOptions, ResourceVersion, VersionMatch},
    refusal::{Cause, Reason, Refusal, Status},
};

/// Which state a list shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Snapshot {
    /// The most recent.
    Latest,
    /// Any that has reached this revision; 0: any at all.
    NotOlderThan(u64),
    /// That of this very revision; if it is gone, [`expired_list`].
    Exact(u64),
    /// A later page.
    Continue {
        /// Of the state of this revision, and if it is gone [`expired_continue`]; `None`: of the
        /// most recent.
        revision: Option<u64>,
        /// The page starts after this key.
        after: String,
    },
}

/// Which state a list request asks for. `prefix` is common to all keys that it may see: no continue
/// token leads out of it. The options agree with each other: [`ListOptions::parse`] saw to it.
pub fn snapshot(options: &ListOptions, prefix: &str) -> Result<Snapshot, Refusal> {
    if let Some(token) = options.continue_token.as_deref() {
        let ContinueToken { revision, after } = ContinueToken::decode(token)?;
        if !after.starts_with(prefix) {
            return Err(invalid_token("it belongs to another list"));
        }
        return Ok(Snapshot::Continue { revision, after });
    }
    Ok(match (options.resource_version, options.version_match) {
        (ResourceVersion::Unset, _) => Snapshot::Latest,
        (ResourceVersion::Any, _) => Snapshot::NotOlderThan(0),
        (ResourceVersion::At(revision), Some(VersionMatch::Exact)) => Snapshot::Exact(revision),
        // Its pages must agree with each other, so the first one says which state they show.
        (ResourceVersion::At(revision), None) if options.limit.is_some() => Snapshot::Exact(revision),
        (ResourceVersion::At(revision), _) => Snapshot::NotOlderThan(revision),
    })
}

/// The place between two pages of a list. Clients hand its text back and know nothing of its
/// inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContinueToken {
    /// The revision of the first page; `None`: the rest comes from the most recent state.
    pub revision: Option<u64>,
    /// The key of the last item that was sent.
    pub after: String,
}

/// The inside of a token, in the form that kube-apiserver gave it.
#[derive(Serialize, Deserialize)]
struct TokenText<'a> {
    v: &'a str,
    rv: i64,
    start: String,
}

/// What kube-apiserver calls the form of its tokens.
const TOKEN_VERSION: &str = "meta.k8s.io/v1";

impl ContinueToken {
    /// The token that continues after this key in the state of `revision`.
    pub fn encode(revision: u64, after_key: &str) -> String {
        // A revision beyond 2^63 is no revision; the most recent state is the honest answer to it.
        Self::write(i64::try_from(revision).unwrap_or(-1), after_key)
    }

    /// The token that continues after this key in the state that is the most recent then.
    pub fn encode_latest(after_key: &str) -> String {
        Self::write(-1, after_key)
    }

    fn write(rv: i64, after_key: &str) -> String {
        // The smallest key after this one, which is where the next page starts.
        let text = TokenText { v: TOKEN_VERSION, rv, start: format!("{after_key}\0") };
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&text).expect("text and numbers are always JSON"))
    }

    /// Reads a token back, or refuses it with 400.
    pub fn decode(token: &str) -> Result<Self, Refusal> {
        if token.len() > CONTINUE_TOKEN_BYTES_MAX {
            return Err(invalid_token("it is too long"));
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| invalid_token("it is not base64"))?;
        let Ok(text) = serde_json::from_slice::<TokenText<'_>>(&bytes) else {
            return Err(invalid_token("it is not one of this server's"));
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

fn invalid_token(why: &str) -> Refusal {
    Refusal::bad_request(format!("invalid continue token: {why}"))
}

/// 410: the state that a continue token belongs to is gone. `fresh_token` continues in the most
/// recent one.
pub fn expired_continue(fresh_token: String) -> Status {
    let refusal = Refusal::new(
        Reason::Expired,
        "The provided continue parameter is too old to display a consistent list result. You can start a new list \
         without the continue parameter, or use the continue token in this response to retrieve the remainder of the \
         results. Continuing with the provided token results in an inconsistent list - objects that were created, \
         modified, or deleted between the time the first chunk was returned and now may show up in the list.",
    );
    let mut status = refusal.to_status();
    status.metadata.insert("continue".to_owned(), Value::String(fresh_token));
    status
}

/// 410: the state of the very revision that was asked for is gone.
pub fn expired_list() -> Refusal {
    Refusal::new(Reason::Expired, "The resourceVersion for the provided list is too old.")
}

/// 504: no state has reached the revision that was asked for. Reflectors look for the cause.
pub fn too_large(requested: u64, current: u64) -> Refusal {
    let message = format!("Timeout: Too large resource version: {requested}, current: {current}");
    let mut refusal = Refusal::new(Reason::Timeout, message).retry_after(1);
    refusal.details.causes.push(Cause {
        reason: "ResourceVersionTooLarge".to_owned(),
        message: "Too large resource version".to_owned(),
        field: String::new(),
    });
    refusal
}

/// The metadata of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListMeta {
    /// The revision of the state that it shows; 0: it shows what was never stored.
    pub resource_version: u64,
    /// Where the next page starts; `None`: this is the last.
    pub continue_token: Option<String>,
    /// How many items are left for later pages, where that is known.
    pub remaining: Option<u64>,
}

impl ListMeta {
    /// As it stands on the wire.
    pub fn to_value(&self) -> Value {
        let mut fields = Map::new();
        if self.resource_version > 0 {
            fields.insert("resourceVersion".to_owned(), Value::String(self.resource_version.to_string()));
        }
        if let Some(token) = &self.continue_token {
            fields.insert("continue".to_owned(), Value::String(token.clone()));
        }
        if let Some(remaining) = self.remaining {
            fields.insert("remainingItemCount".to_owned(), Value::from(remaining));
        }
        Value::Object(fields)
    }
}

#[cfg(test)]
mod tests;
