//! A version of an object in the committer: its bytes, which are parsed only when needed.

use std::sync::{Arc, OnceLock};

use apimachinery::{object::Object, rest::Existence};
use bytes::Bytes;
use serde::{Deserialize, de::IgnoredAny};
use store::{Error, Record};

/// A version of an object. It is parsed on first use, because parsing a large object takes tens of milliseconds.
#[derive(Clone, Debug)]
pub struct Version {
    /// The resourceVersion.
    revision: String,
    bytes: Bytes,
    object: OnceLock<Arc<Object>>,
}

/// The part of an object that shows whether its deletion has begun.
#[derive(Deserialize)]
struct Head {
    metadata: HeadMeta,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HeadMeta {
    deletion_timestamp: Option<IgnoredAny>,
}

impl Version {
    /// A version that was read from the store.
    pub fn stored(record: Record) -> Self {
        let Record { key: _, revision, value } = record;
        Self { revision: revision.to_string(), bytes: value, object: OnceLock::new() }
    }

    /// A decided version and its bytes.
    pub fn decided(object: Arc<Object>, bytes: Bytes) -> Self {
        let revision = object.metadata.resource_version.clone();
        Self { revision, bytes, object: OnceLock::from(object) }
    }

    /// The resourceVersion.
    pub fn resource_version(&self) -> &str {
        &self.revision
    }

    /// The size in bytes.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The bytes.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// The parsed object.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the bytes are not an object.
    pub fn object(&self) -> Result<&Arc<Object>, Error> {
        if let Some(object) = self.object.get() {
            return Ok(object);
        }
        let object = Object::from_bytes(&self.bytes).map_err(|error| self.corrupt(&error))?;
        Ok(self.object.get_or_init(|| Arc::new(object)))
    }

    /// Returns [`Existence::Live`] or [`Existence::Terminating`], without parsing the whole object.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the bytes are not an object.
    pub fn present(&self) -> Result<Existence, Error> {
        if let Some(object) = self.object.get() {
            return Ok(Existence::of(Some(object)));
        }
        let head: Head = serde_json::from_slice(&self.bytes).map_err(|error| self.corrupt(&error))?;
        let terminating = head.metadata.deletion_timestamp.is_some();
        Ok(if terminating { Existence::Terminating } else { Existence::Live })
    }

    fn corrupt(&self, error: &serde_json::Error) -> Error {
        Error::Corrupt(format!("the value of revision {} is not an object: {error}", self.revision))
    }
}
