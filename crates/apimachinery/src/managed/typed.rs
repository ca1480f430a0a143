//! Values with their types: what can be asked of an object once it is known to fit its schema.

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

/// A value that fits a schema.
#[derive(Clone, Copy, Debug)]
pub struct Typed<'a> {
    schema: &'a Schema,
    value: &'a Value,
}

/// How well a value must fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// As what a client applies must: items of one list that stand for the same are a fault, as nobody could say which one
    /// an owner means.
    Exact,
    /// As what is stored already does: such items are tolerated, and so are fields that the schema once had.
    Stored,
}

impl Schema {
    /// Checks that a value can be merged: known fields, types, and lists of which each item can be named.
    pub fn typed<'a>(&'a self, value: &'a Value, fit: Fit) -> Result<Typed<'a>, Misfits> {
        validate::check(&self.top, value, fit)?;
        Ok(Typed { schema: self, value })
    }

    /// A value that this schema's own operations made of values that fit.
    pub(super) fn made<'a>(&'a self, value: &'a Value) -> Typed<'a> {
        Typed { schema: self, value }
    }

    /// Of the set, and with each path those of its parents that are declared fields. Then removing a struct's last field
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

    /// The paths that someone owns who applies this value: scalars, whatever is replaced as a whole, items of lists, and
    /// entries of maps.
    pub fn to_field_set(&self) -> FieldSet {
        fields::of(&self.schema.top, self.value).below
    }

    /// What happens to paths when this value becomes `new`.
    pub fn compare(&self, new: &Typed<'_>) -> Comparison {
        compare::of(&self.schema.top, Some(self.value), Some(new.value)).below
    }

    /// This value with `config` applied on top: nothing is removed, what both have is taken from `config`.
    pub fn merge(&self, config: &Typed<'_>) -> Value {
        merge::both(&self.schema.top, self.value, config.value)
    }

    /// This value without these paths.
    pub fn remove(&self, paths: &FieldSet) -> Value {
        remove::without(&self.schema.top, self.value, paths)
    }

    /// Of this value only these paths.
    pub fn extract(&self, paths: &FieldSet) -> Value {
        remove::only(&self.schema.top, self.value, paths)
    }

    /// The set as it would be if it had been recorded with today's schema: what has become atomic since is owned whole by
    /// who owned anything in it. `None` if there is nothing to change.
    pub(super) fn reconcile(&self, set: &FieldSet) -> Option<FieldSet> {
        reconcile::with_schema(&self.schema.top, self.value, set)
    }
}

/// One way in which a value does not fit a schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// Where: `.spec.list[name="x"]`; empty for the top.
    pub path: String,
    /// What is wrong there.
    pub message: String,
}

/// The ways in which a value does not fit a schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfits(pub Vec<Misfit>);

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

impl fmt::Display for Misfits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [only] = self.0.as_slice() {
            return only.fmt(f);
        }
        f.write_str("errors:")?;
        self.0.iter().try_for_each(|misfit| write!(f, "\n  {misfit}"))
    }
}

impl std::error::Error for Misfits {}

/// The fields of a map. Null is an empty one.
fn as_map(value: Option<&Value>) -> Option<&Map<String, Value>> {
    value.and_then(Value::as_object)
}

/// The items of a list. Null is an empty one.
fn as_list(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The element that names an item in its list; an error if nothing does.
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
