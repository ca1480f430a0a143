//! `meta.k8s.io/v1 ListMeta`.

use serde_json::{Map, Value};

/// Metadata of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListMeta {
    /// Revision of the state; 0 if the list was not read from the store.
    pub resource_version: u64,
    /// Token for the next page; `None` for the last page.
    pub continue_token: Option<String>,
    /// Number of items on later pages, if known.
    pub remaining: Option<u64>,
}

impl ListMeta {
    /// Encodes the metadata.
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
