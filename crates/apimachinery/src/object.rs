//! An object of any kind: typed metadata, and the rest as JSON.

use std::{collections::BTreeMap, io};

use serde::{Deserialize, Serialize, Serializer, ser::SerializeMap};
use serde_json::{Map, Value};

use crate::time::Time;

/// Initial capacity of the buffer for an object's JSON, in bytes. Most objects fit, so the buffer rarely grows.
const TYPICAL_BYTES: usize = 1024;

/// `meta.k8s.io/v1 ObjectMeta`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ObjectMeta {
    /// Annotations: free-form metadata for tools.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "or_default")]
    pub annotations: BTreeMap<String, String>,
    /// Time of creation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub creation_timestamp: Option<Time>,
    /// Always 0 once deletion has begun: no kind here has a grace period.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion_grace_period_seconds: Option<i64>,
    /// Time at which deletion began. The object is deleted when its last finalizer is removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion_timestamp: Option<Time>,
    /// Finalizers: the object is deleted only when this list is empty.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "or_default")]
    pub finalizers: Vec<String>,
    /// Prefix of a generated name.
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "or_default")]
    pub generate_name: String,
    /// Number of changes of the desired state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<i64>,
    /// Labels, which selectors match.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "or_default")]
    pub labels: BTreeMap<String, String>,
    /// Field ownership by manager.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "or_default")]
    pub managed_fields: Vec<Value>,
    /// Name, unique among the objects of the resource in one namespace.
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "or_default")]
    pub name: String,
    /// Namespace; empty for cluster-scoped kinds.
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "or_default")]
    pub namespace: String,
    /// Owners of the object, for garbage collection.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "or_default")]
    pub owner_references: Vec<OwnerReference>,
    /// Revision of the commit that wrote this version, a decimal number; empty before it is stored.
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "or_default")]
    pub resource_version: String,
    /// Deprecated in Kubernetes; accepted and dropped.
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "or_default")]
    pub self_link: String,
    /// Unique id of this object; a later object of the same name has another.
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "or_default")]
    pub uid: String,
}

/// `meta.k8s.io/v1 OwnerReference`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OwnerReference {
    /// Group and version of the owner.
    pub api_version: String,
    /// If true, foreground deletion of the owner waits until this object is deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_owner_deletion: Option<bool>,
    /// True if the owner is the managing controller.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub controller: Option<bool>,
    /// Kind of the owner.
    pub kind: String,
    /// Name of the owner.
    pub name: String,
    /// Uid of the owner.
    pub uid: String,
}

/// Reads JSON `null` as the empty value, as Go's decoder does.
fn or_default<'de, D: serde::Deserializer<'de>, T: Deserialize<'de> + Default>(de: D) -> Result<T, D::Error> {
    Option::<T>::deserialize(de).map(Option::unwrap_or_default)
}

/// An object as JSON text without its resourceVersion, so that it can be encoded before the revision is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    before: Vec<u8>,
    after: Vec<u8>,
}

impl Template {
    /// Returns the text with this resourceVersion, equal to [`Object::to_bytes`] of an object that has it.
    pub fn with_version(&self, version: &str) -> Vec<u8> {
        [&self.before, version.as_bytes(), &self.after].concat()
    }
}

/// An object of any kind. `apiVersion`, `kind` and `metadata` are separate fields; `fields` holds the others (`spec`,
/// `status`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Object {
    /// Group and version.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// Metadata.
    pub metadata: ObjectMeta,
    /// Metadata fields that this version of the program does not know, stored by a newer version. They are kept.
    pub unknown_metadata: Map<String, Value>,
    /// All other fields at the top level.
    pub fields: Map<String, Value>,
}

/// Removes from `metadata` and returns the fields that [`ObjectMeta`] does not have.
fn without_known(metadata: &mut Map<String, Value>) -> Map<String, Value> {
    let is_known = |name: &str| {
        matches!(
            name,
            "annotations"
                | "creationTimestamp"
                | "deletionGracePeriodSeconds"
                | "deletionTimestamp"
                | "finalizers"
                | "generateName"
                | "generation"
                | "labels"
                | "managedFields"
                | "name"
                | "namespace"
                | "ownerReferences"
                | "resourceVersion"
                | "selfLink"
                | "uid"
        )
    };
    if metadata.keys().all(|name| is_known(name)) {
        return Map::new();
    }
    let unknown: Vec<String> = metadata.keys().filter(|name| !is_known(name)).cloned().collect();
    unknown.into_iter().filter_map(|name| metadata.remove_entry(&name)).collect()
}

impl Object {
    /// Builds an object from a JSON object; the error names the value of the wrong type.
    pub fn from_value(value: Value) -> Result<Self, serde_json::Error> {
        let mut fields = match value {
            Value::Object(fields) => fields,
            other => serde_json::from_value(other)?,
        };
        let mut text = |name: &str| match fields.remove(name) {
            None | Some(Value::Null) => Ok(String::new()),
            Some(value) => serde_json::from_value(value),
        };
        let (api_version, kind) = (text("apiVersion")?, text("kind")?);
        let mut unknown_metadata = Map::new();
        let metadata = match fields.remove("metadata") {
            None | Some(Value::Null) => ObjectMeta::default(),
            Some(mut value) => {
                if let Some(metadata) = value.as_object_mut() {
                    unknown_metadata = without_known(metadata);
                }
                serde_json::from_value(value)?
            }
        };
        Ok(Self { api_version, kind, metadata, unknown_metadata, fields })
    }

    /// Reads JSON written by [`Object::to_bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        Self::from_value(serde_json::from_slice(bytes)?)
    }

    /// Returns the object as JSON.
    pub fn to_value(&self) -> Value {
        self.to_value_without("")
    }

    /// Returns the object as JSON, without the top-level field `name`.
    pub fn to_value_without(&self, name: &str) -> Value {
        let metadata = self.metadata_value();
        let others = self.fields.iter().filter(|(other, _)| *other != name);
        let mut value: Map<String, Value> = others.map(|(name, value)| (name.clone(), value.clone())).collect();
        value.insert("apiVersion".to_owned(), self.api_version.as_str().into());
        value.insert("kind".to_owned(), self.kind.as_str().into());
        value.insert("metadata".to_owned(), metadata);
        Value::Object(value)
    }

    fn metadata_value(&self) -> Value {
        let mut metadata = serde_json::to_value(&self.metadata).expect("metadata has only strings for keys");
        if let Some(metadata) = metadata.as_object_mut() {
            metadata.extend(self.unknown_metadata.clone());
        }
        metadata
    }

    /// Encodes the object as JSON text, keys in order.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(TYPICAL_BYTES);
        serde_json::to_writer(&mut bytes, self).expect("keys are strings and every value is JSON");
        bytes
    }

    /// Length of the text that [`Object::to_bytes`] returns, in bytes.
    pub fn encoded_len(&self) -> usize {
        let mut length = Length(0);
        serde_json::to_writer(&mut length, self).expect("keys are strings and every value is JSON");
        length.0
    }

    /// Encodes the object as JSON text without the resourceVersion. Returns `None` if the object has unknown metadata
    /// fields, because these may be anywhere among the others.
    pub fn to_template(&mut self) -> Option<Template> {
        if !self.unknown_metadata.is_empty() {
            return None;
        }
        // After the resourceVersion, only the uid follows.
        self.metadata.self_link.clear();
        let version = std::mem::replace(&mut self.metadata.resource_version, "0".to_owned());
        let text = |value: &str| serde_json::to_string(value).expect("a string is JSON");
        let uid = match self.metadata.uid.as_str() {
            "" => String::new(),
            uid => format!(",\"uid\":{}", text(uid)),
        };
        let mut before = Vec::with_capacity(TYPICAL_BYTES);
        before.extend_from_slice(b"{\"apiVersion\":");
        before.extend_from_slice(text(&self.api_version).as_bytes());
        before.extend_from_slice(b",\"kind\":");
        before.extend_from_slice(text(&self.kind).as_bytes());
        before.extend_from_slice(b",\"metadata\":");
        serde_json::to_writer(&mut before, &self.metadata).expect("metadata has only strings for keys");
        self.metadata.resource_version = version;
        let version_ends = before.len() - "\"}".len() - uid.len();
        let mut after = before.split_off(version_ends);
        before.truncate(version_ends - "0".len());
        for (name, value) in &self.fields {
            after.push(b',');
            after.extend_from_slice(text(name).as_bytes());
            after.push(b':');
            serde_json::to_writer(&mut after, value).expect("keys are strings");
        }
        after.push(b'}');
        Some(Template { before, after })
    }

    /// The top-level field `name`; `null` if absent.
    pub fn field(&self, name: &str) -> &Value {
        self.fields.get(name).unwrap_or(&Value::Null)
    }

    /// Sets a top-level field, or removes it if `value` is `null`.
    pub fn set_field(&mut self, name: &str, value: Value) {
        if value.is_null() {
            self.fields.remove(name);
        } else {
            self.fields.insert(name.to_owned(), value);
        }
    }

    /// The string at a JSON pointer below the top level (`/status/phase`); empty if there is none.
    pub fn text(&self, pointer: &str) -> &str {
        let mut parts = pointer.trim_start_matches('/').splitn(2, '/');
        let top = self.field(parts.next().unwrap_or_default());
        match parts.next() {
            None => top.as_str(),
            Some(rest) => rest.split('/').try_fold(top, |value, name| value.get(name)).and_then(Value::as_str),
        }
        .unwrap_or_default()
    }

    /// True if deletion has begun.
    pub fn is_terminating(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }
}

/// A writer that counts bytes.
struct Length(usize);

impl io::Write for Length {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.fields.len() + 3))?;
        map.serialize_entry("apiVersion", &self.api_version)?;
        map.serialize_entry("kind", &self.kind)?;
        if self.unknown_metadata.is_empty() {
            map.serialize_entry("metadata", &self.metadata)?;
        } else {
            map.serialize_entry("metadata", &self.metadata_value())?;
        }
        for (name, value) in &self.fields {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn template_with_a_version_is_the_text_of_the_object() {
        for value in [
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "uid": "u-\"1", "selfLink": "/x"}}),
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"resourceVersion": "77"}, "data": {"0": "0"}}),
            json!({
                "apiVersion": "g/v1", "kind": "K",
                "metadata": {"labels": {"resourceVersion": "\"resourceVersion\":\"0\""}, "uid": "\",\"uid\":\"x"},
                "spec": {"a": [1, null]}, "status": {},
            }),
        ] {
            let mut object = Object::from_value(value).unwrap();
            let template = object.to_template().unwrap();
            for version in ["1", "18446744073709551615"] {
                object.metadata.resource_version = version.to_owned();
                assert_eq!(template.with_version(version), object.to_bytes());
            }
        }
    }
}
