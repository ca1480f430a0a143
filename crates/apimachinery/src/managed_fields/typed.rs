//! Values with their schema, and the operations on them.

mod compare;
mod fields;
mod merge;
mod reconcile;
mod remove;
mod validate;

use std::fmt;

use serde_json::{Map, Value};

pub use self::compare::Comparison;
use super::{
    element::PathElement,
    schema::{ListMerge, ListShape, Schema, Type},
    set::FieldSet,
    value,
};

/// A value that matches a schema.
#[derive(Clone, Copy, Debug)]
pub struct Typed<'a> {
    schema: &'a Schema,
    value: &'a Value,
}

/// Strictness of the schema check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// For applied configurations: duplicate list items are an error, because ownership of one of them would be
    /// ambiguous.
    Strict,
    /// For stored objects: duplicate list items and undeclared fields are tolerated.
    AllowDuplicates,
}

impl Schema {
    /// Checks that a value can be merged: known fields, types, and list items that can be identified.
    pub fn typed<'a>(&'a self, value: &'a Value, strictness: Strictness) -> Result<Typed<'a>, ValidationErrors> {
        validate::check(&self.top, value, strictness)?;
        Ok(Typed { schema: self, value })
    }

    /// Wraps a value that was computed from checked values.
    pub(super) fn typed_unchecked<'a>(&'a self, value: &'a Value) -> Typed<'a> {
        Typed { schema: self, value }
    }

    /// Adds to each path of the set its parents that are declared fields, so that removing the last field of a struct
    /// can remove the struct.
    pub(super) fn with_named_parents(&self, set: &FieldSet) -> FieldSet {
        fields::with_named_parents(&self.top, set)
    }
}

impl Typed<'_> {
    /// The value.
    pub fn value(&self) -> &Value {
        self.value
    }

    /// The paths that an applier of this value owns: scalars, atomic maps and lists, list items, and map entries.
    pub fn to_field_set(self) -> FieldSet {
        fields::of(&self.schema.top, self.value).children
    }

    /// Compares this value with its successor `new`.
    pub fn compare(&self, new: &Typed<'_>) -> Comparison {
        compare::of(&self.schema.top, Some(self.value), Some(new.value)).children
    }

    /// Merges `config` into this value: nothing is removed, and `config` takes precedence.
    pub fn merge(&self, config: &Typed<'_>) -> Value {
        merge::merge_values(&self.schema.top, self.value, config.value)
    }

    /// Returns the value without these paths.
    pub fn remove(&self, paths: &FieldSet) -> Value {
        remove::remove(&self.schema.top, self.value, paths)
    }

    /// Converts a set to the current schema: owners of anything in a value that has become atomic own it as a whole.
    /// `None` if nothing changes.
    pub(super) fn reconcile(&self, set: &FieldSet) -> Option<FieldSet> {
        reconcile::with_schema(&self.schema.top, self.value, set)
    }
}

/// A schema mismatch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidationError {
    /// Path: `.spec.list[name="x"]`; empty for the top.
    pub path: String,
    /// Description.
    pub message: String,
}

/// All schema mismatches of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidationErrors(pub Vec<ValidationError>);

impl fmt::Display for ValidationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

impl fmt::Display for ValidationErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [only] = self.0.as_slice() {
            return only.fmt(f);
        }
        f.write_str("errors:")?;
        self.0.iter().try_for_each(|error| write!(f, "\n  {error}"))
    }
}

impl std::error::Error for ValidationErrors {}

/// The fields of a map; `None` for null.
fn as_map(value: Option<&Value>) -> Option<&Map<String, Value>> {
    value.and_then(Value::as_object)
}

/// The items of a list; empty for null.
fn as_list(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The path element that identifies a list item; an error if there is none.
fn item_element(list: ListShape<'_>, item: &Value) -> Result<PathElement, String> {
    match list.merge {
        ListMerge::Atomic => Err("invalid indexing of non-associative list".to_owned()),
        ListMerge::Set => match item {
            Value::Object(_) => Err("associative list without keys has an element that's a map type".to_owned()),
            Value::Array(_) => Err("not supported: associative list with lists as elements".to_owned()),
            Value::Null => Err("associative list without keys has an element that's an explicit null".to_owned()),
            scalar => Ok(PathElement::Value(scalar.clone())),
        },
        ListMerge::Map(keys) => key_element(keys, list.of, item),
    }
}

fn key_element(keys: &[String], of: &Type, item: &Value) -> Result<PathElement, String> {
    let item = match item {
        Value::Object(item) => item,
        Value::Null => return Err("associative list with keys may not have a null element".to_owned()),
        _ => return Err("associative list with keys may not have non-map elements".to_owned()),
    };
    let value = |key: &String| item.get(key).or_else(|| of.default_of(key));
    let found: Vec<(&str, Value)> = keys.iter().filter_map(|key| Some((key.as_str(), value(key)?.clone()))).collect();
    if found.is_empty() {
        let keys: Vec<String> = keys.iter().map(|key| value::quote(key)).collect();
        return Err(format!(
            "associative list with keys has an element that omits all key fields [{}] (and doesn't have default values \
             for any key fields)",
            keys.join(" ")
        ));
    }
    Ok(PathElement::key(found))
}
