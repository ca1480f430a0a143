//! Estimates the memory of JSON trees. A body of 3 MiB may contain a million values, or a map for every seven bytes; as
//! trees they take fifty or a hundred times as much memory. Trees therefore have a separate limit, in bytes of memory.

use serde_json::{Map, Value};

use crate::{
    limits::DECODED_BYTES_MAX,
    object::{Object, ObjectMeta, OwnerReference},
    status_error::{StatusError, StatusReason},
};

/// A value in a list or map.
const SLOT: usize = size_of::<Value>();
/// Overhead of a string: the allocator rounds its size up.
const TEXT: usize = 16;
/// First node of a map, allocated with the first key; it has room for eleven keys.
const NODE: usize = 640;
/// Keys in the first node after it has been split once.
const NODE_KEYS: usize = 5;
/// A key with its value in one of several nodes, which are half full, including its share of the parent nodes.
const ENTRY: usize = 2 * (size_of::<String>() + SLOT) + TEXT;

/// An owner reference as JSON without its string values: six keys in one node.
const OWNER: usize = SLOT + NODE + ENTRY + 6 * (TEXT + "blockOwnerDeletion".len());
/// All other metadata fields, and their containers.
const METADATA: usize = 16 * 1024;

/// Remaining memory for a tree.
#[derive(Clone, Debug)]
pub struct Budget {
    left: usize,
}

/// The budget is exhausted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exceeded;

impl Budget {
    /// Creates a budget of `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { left: limit }
    }

    /// Charges an item of a list.
    pub fn item(&mut self) -> Result<(), Exceeded> {
        self.take(SLOT)
    }

    /// Charges a string of this length in bytes.
    pub fn text(&mut self, bytes: usize) -> Result<(), Exceeded> {
        self.take(TEXT + bytes)
    }

    /// Charges a key that is added to a map of `present` keys, and the nodes that the map allocates for it.
    pub fn key(&mut self, key: &str, present: usize) -> Result<(), Exceeded> {
        let entry = match present {
            0 => NODE,
            _ if present < NODE_KEYS => 0,
            _ => ENTRY,
        };
        self.take(entry + TEXT + key.len())
    }

    /// Charges a whole tree. Stops when the budget is exhausted.
    pub fn tree(&mut self, value: &Value) -> Result<(), Exceeded> {
        match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
            Value::String(text) => self.text(text.len()),
            Value::Array(items) => items.iter().try_for_each(|item| {
                self.item()?;
                self.tree(item)
            }),
            Value::Object(fields) => self.fields(fields),
        }
    }

    /// Charges all entries of a map.
    pub fn fields(&mut self, fields: &Map<String, Value>) -> Result<(), Exceeded> {
        fields.iter().enumerate().try_for_each(|(present, (key, value))| {
            self.key(key, present)?;
            self.tree(value)
        })
    }

    /// Charges the fields of metadata that are unbounded.
    fn metadata(&mut self, meta: &ObjectMeta) -> Result<(), Exceeded> {
        for map in [&meta.labels, &meta.annotations] {
            for (present, (key, value)) in map.iter().enumerate() {
                self.key(key, present)?;
                self.text(value.len())?;
            }
        }
        for finalizer in &meta.finalizers {
            self.item()?;
            self.text(finalizer.len())?;
        }
        for OwnerReference { api_version, kind, name, uid, .. } in &meta.owner_references {
            self.take(OWNER)?;
            [api_version, kind, name, uid].into_iter().try_for_each(|text| self.text(text.len()))?;
        }
        meta.managed_fields.iter().try_for_each(|entry| {
            self.item()?;
            self.tree(entry)
        })
    }

    fn take(&mut self, bytes: usize) -> Result<(), Exceeded> {
        self.left = self.left.checked_sub(bytes).ok_or(Exceeded)?;
        Ok(())
    }
}

/// Checks the memory of a tree against the limit of an object.
///
/// # Errors
/// 413.
pub fn check_size(value: &Value) -> Result<(), StatusError> {
    Budget::new(DECODED_BYTES_MAX).tree(value).map_err(|Exceeded| too_large("object", DECODED_BYTES_MAX))
}

/// Checks the memory of an object as stored, including managed fields. Leaves room for its other metadata, so that
/// every stored object can be patched.
///
/// # Errors
/// 413.
pub fn check_object_size(object: &Object) -> Result<(), StatusError> {
    let mut budget = Budget::new(DECODED_BYTES_MAX - METADATA);
    let taken = budget.fields(&object.fields).and_then(|()| budget.metadata(&object.metadata));
    taken.map_err(|Exceeded| too_large("object", DECODED_BYTES_MAX))
}

/// 413: `what` takes more memory than `limit` bytes.
pub fn too_large(what: &str, limit: usize) -> StatusError {
    let message = format!(
        "Request entity too large: the {what} has so many values that it takes more than the limit of {limit} bytes of \
         memory; leave some out, or spread them over several objects"
    );
    StatusError::new(StatusReason::RequestEntityTooLarge, message)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn small_values_weigh_more_than_their_text() {
        let weight = |value: &Value| {
            let mut budget = Budget::new(usize::MAX);
            budget.tree(value).unwrap();
            usize::MAX - budget.left
        };
        assert_eq!(weight(&json!(1)), 0);
        assert_eq!(weight(&json!("abc")), TEXT + 3);
        assert_eq!(weight(&json!([[0], [0]])), 4 * SLOT);
        assert_eq!(weight(&json!({"": 0})), NODE + TEXT);
        let many: Map<String, Value> = (0..1000).map(|n| (n.to_string(), Value::Null)).collect();
        assert!((1000 * ENTRY..1000 * (ENTRY + 24)).contains(&weight(&Value::Object(many))));
    }

    #[test]
    fn weighing_stops_when_the_budget_is_exhausted() {
        let value = json!(["x".repeat(100), "y".repeat(100)]);
        assert_eq!(Budget::new(150).tree(&value), Err(Exceeded));
        assert_eq!(Budget::new(300).tree(&value), Ok(()));
    }

    #[test]
    fn stored_objects_can_be_patched() {
        let text = "x".repeat(100);
        let owner = |n: usize| json!({"apiVersion": "v1", "kind": "K", "name": &text, "uid": n.to_string(), "controller": true, "blockOwnerDeletion": true});
        let map =
            |count: usize| -> Map<String, Value> { (0..count).map(|n| (n.to_string(), Value::from("v"))).collect() };
        for count in [1, 10, 1000] {
            let value = json!({
                "apiVersion": "v1", "kind": "K", "spec": map(count),
                "metadata": {
                    "name": &text, "namespace": &text, "uid": &text, "labels": map(count), "annotations": map(count),
                    "finalizers": vec![&text; count], "ownerReferences": (0..count).map(owner).collect::<Vec<_>>(),
                    "managedFields": vec![json!({"manager": &text, "fieldsV1": map(10)}); count],
                },
            });
            let (mut whole, mut stored) = (Budget::new(usize::MAX), Budget::new(usize::MAX));
            whole.tree(&value).unwrap();
            let object = Object::from_value(value).unwrap();
            stored.fields(&object.fields).and_then(|()| stored.metadata(&object.metadata)).unwrap();
            let (whole, stored) = (usize::MAX - whole.left, usize::MAX - stored.left);
            assert!(whole <= stored + METADATA, "{count}: {whole} as JSON, {stored} as an object");
        }
    }
}
