//! `FieldsV1`: sets of paths as nested JSON objects.
//!
//! A key is a path element; `.` marks the enclosing element as a member; `{}` is a member without children. Unknown
//! types of elements, which a newer server may have written, are ignored.

use serde_json::{Map, Value};

use super::{
    element::PathElement,
    set::{FieldSet, Node},
};
use crate::limits::FIELD_PATH_ELEMENTS_MAX;

/// Reasons why JSON is not a set of fields.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldsError {
    /// A key is not a path element.
    #[error("parsing key as path element: {0}")]
    Element(String),
    /// A value is not an object.
    #[error("expected an object, got {0}")]
    NoObject(Value),
    /// Deeper than [`FIELD_PATH_ELEMENTS_MAX`].
    #[error("paths of more than {FIELD_PATH_ELEMENTS_MAX} elements")]
    TooDeep,
}

impl FieldSet {
    /// Decodes `fieldsV1`. `null` is the empty set.
    pub fn from_fields_v1(fields: &Value) -> Result<Self, FieldsError> {
        read(fields, 0).map(|(set, _)| set)
    }

    /// Encodes the set as `fieldsV1`.
    pub fn to_fields_v1(&self) -> Value {
        let entries = self.nodes().iter().map(|node| {
            let mut value = node.children.to_fields_v1();
            if let (true, false, Value::Object(fields)) = (node.member, node.children.is_empty(), &mut value) {
                fields.insert(".".to_owned(), Value::Object(Map::new()));
            }
            (node.element.to_text(), value)
        });
        Value::Object(entries.collect())
    }
}

/// Decodes the set below an element; true if the element is itself a member.
fn read(fields: &Value, depth: usize) -> Result<(FieldSet, bool), FieldsError> {
    if depth > FIELD_PATH_ELEMENTS_MAX {
        return Err(FieldsError::TooDeep);
    }
    let nothing = Map::new();
    let fields = match fields {
        Value::Object(fields) => fields,
        Value::Null => &nothing,
        other => return Err(FieldsError::NoObject(other.clone())),
    };
    let (mut nodes, mut member) = (Vec::with_capacity(fields.len()), false);
    for (key, value) in fields {
        if key == "." {
            member = true;
        } else if let Some(element) = PathElement::from_text(key).map_err(FieldsError::Element)? {
            let (children, itself) = read(value, depth + 1)?;
            nodes.push(Node { element, member: itself, children });
        }
    }
    let set = FieldSet::from_nodes(nodes);
    let member = member || set.is_empty();
    Ok((set, member))
}
