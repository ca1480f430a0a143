//! JSON Patch (RFC 6902) with the deviations of kube-apiserver: `replace`, `copy` and `test` treat an absent field as
//! `null`, a missing `value` is `null`, and negative indices count from the end of a list.

use serde_json::{Map, Value};

use super::unprocessable;
use crate::{
    body::{Budget, Exceeded},
    limits::{COPIED_BYTES_MAX, DEPTH_MAX, ITEMS_SHIFTED_MAX, OPERATIONS_MAX},
    status_error::{StatusError, StatusReason},
};

/// A list of operations.
#[derive(Clone, Debug, PartialEq)]
pub struct Operations(Vec<Operation>);

/// One operation. Missing members are reported when it is applied.
#[derive(Clone, Debug, PartialEq)]
struct Operation {
    op: String,
    path: Option<String>,
    from: Option<String>,
    value: Value,
}

/// Reason why an operation fails.
type OperationError = String;

impl Operations {
    /// Parses a list of operations.
    pub fn parse(value: Value) -> Result<Self, StatusError> {
        let malformed = |why: &str| StatusError::bad_request(format!("error decoding JSON patch: {why}"));
        let Value::Array(items) = value else { return Err(malformed("it must be a list of operations")) };
        if items.len() > OPERATIONS_MAX {
            let count = items.len();
            let message = format!("The allowed maximum operations in a JSON patch is {OPERATIONS_MAX}, got {count}");
            return Err(StatusError::new(StatusReason::RequestEntityTooLarge, message));
        }
        let operations = items.into_iter().enumerate().map(|(index, item)| match item {
            Value::Object(fields) => Operation::parse(fields)
                .map_err(|name| malformed(&format!("{name} of operation {index} must be a string"))),
            _ => Err(malformed(&format!("operation {index} must be an object"))),
        });
        operations.collect::<Result<_, _>>().map(Self)
    }

    /// True if an operation copies, so that the result may be larger than object and patch together.
    pub fn has_copy(&self) -> bool {
        self.0.iter().any(|operation| operation.op == "copy")
    }

    /// Applies all operations to `value`. If one fails, `value` is left half changed and must be discarded.
    pub fn apply(&self, value: &mut Value) -> Result<(), StatusError> {
        let (mut copied, mut shifted) = (Budget::new(COPIED_BYTES_MAX), 0);
        for (index, operation) in self.0.iter().enumerate() {
            let subtree = operation.subtree(value);
            if matches!(operation.op.as_str(), "copy" | "move") {
                // One item is charged for the value itself, even if it is empty.
                let within = copied.item().and_then(|()| copied.tree(subtree));
                within.map_err(|Exceeded| too_much("copies and moves", COPIED_BYTES_MAX, "bytes"))?;
            }
            let levels = operation.path.as_deref().unwrap_or_default().matches('/').count();
            if levels + depth(subtree) > DEPTH_MAX {
                return Err(unprocessable(&format!("the patched object nests deeper than {DEPTH_MAX} levels")));
            }
            shifted += operation.apply(value).map_err(|why| {
                let path = operation.path.as_deref().unwrap_or_default();
                unprocessable(&format!("operation {index} ({} {path:?}): {why}", operation.op))
            })?;
            if shifted > ITEMS_SHIFTED_MAX {
                return Err(too_much("shifts", ITEMS_SHIFTED_MAX, "items of lists"));
            }
        }
        Ok(())
    }
}

fn too_much(verb: &str, limit: usize, unit: &str) -> StatusError {
    let message =
        format!("the patch {verb} more than the limit of {limit} {unit}; split it, or replace the list as a whole");
    StatusError::new(StatusReason::RequestEntityTooLarge, message)
}

impl Operation {
    /// Parses an operation; the error is the name of a member that is not a string.
    fn parse(mut fields: Map<String, Value>) -> Result<Self, &'static str> {
        let mut text = |name: &'static str| match fields.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(name),
        };
        let (op, path, from) = (text("op")?.unwrap_or_default(), text("path")?, text("from")?);
        Ok(Self { op, path, from, value: fields.remove("value").unwrap_or_default() })
    }

    /// The value that the operation inserts.
    fn subtree<'a>(&'a self, value: &'a Value) -> &'a Value {
        match self.op.as_str() {
            "copy" | "move" => self.from.as_deref().and_then(|from| resolve(value, from)).unwrap_or(&Value::Null),
            "add" | "replace" => &self.value,
            _ => &Value::Null,
        }
    }

    /// Applies the operation, and returns the number of list items that it shifted.
    fn apply(&self, value: &mut Value) -> Result<usize, OperationError> {
        match self.op.as_str() {
            "add" => PointerTarget::find(value, self.path()?)?.add(self.value.clone()),
            "remove" => PointerTarget::find(value, self.path()?)?.remove().map(|(_, shifted)| shifted),
            "replace" => self.replace(value).map(|()| 0),
            "move" => {
                let (moved, closed) = PointerTarget::find(value, self.from()?)?.remove()?;
                let opened = PointerTarget::find(value, self.path()?)?.add(moved)?;
                Ok(closed + opened)
            }
            "copy" => {
                let copied = PointerTarget::find(value, self.from()?)?.get()?.clone();
                PointerTarget::find(value, self.path()?)?.add(copied)
            }
            "test" => self.test(value).map(|()| 0),
            other => {
                Err(format!("unknown operation {other:?}; supported are add, remove, replace, move, copy and test"))
            }
        }
    }

    fn replace(&self, value: &mut Value) -> Result<(), OperationError> {
        match self.path()? {
            "" if self.value.is_object() || self.value.is_array() => {
                value.clone_from(&self.value);
                Ok(())
            }
            "" => Err("the whole object can only be replaced by an object or a list".to_owned()),
            path => PointerTarget::find(value, path)?.set(self.value.clone()),
        }
    }

    fn test(&self, value: &mut Value) -> Result<(), OperationError> {
        let path = self.path()?;
        let is_equal = if path.is_empty() {
            *value == self.value
        } else {
            *PointerTarget::find(value, path)?.get()? == self.value
        };
        if is_equal { Ok(()) } else { Err("the value is not equal".to_owned()) }
    }

    fn path(&self) -> Result<&str, OperationError> {
        self.path.as_deref().ok_or_else(|| "path is missing".to_owned())
    }

    fn from(&self) -> Result<&str, OperationError> {
        self.from.as_deref().ok_or_else(|| "from is missing".to_owned())
    }
}

/// Target of an operation: an existing or missing member of an object or list.
enum PointerTarget<'a> {
    Field(&'a mut Map<String, Value>, String),
    Item(&'a mut Vec<Value>, String),
}

impl<'a> PointerTarget<'a> {
    fn find(value: &'a mut Value, pointer: &str) -> Result<Self, OperationError> {
        let missing = || format!("path {pointer:?} does not exist");
        let (parents, last) = pointer.rsplit_once('/').ok_or_else(missing)?;
        let mut parent = value;
        for step in parents.split('/').skip(1) {
            parent = match parent {
                Value::Object(fields) => fields.get_mut(&decoded(step)),
                Value::Array(items) => index(step, items.len()).and_then(|index| items.get_mut(index)),
                _ => None,
            }
            .ok_or_else(missing)?;
        }
        match parent {
            Value::Object(fields) => Ok(Self::Field(fields, decoded(last))),
            Value::Array(items) => Ok(Self::Item(items, last.to_owned())),
            _ => Err(missing()),
        }
    }

    fn get(&self) -> Result<&Value, OperationError> {
        match self {
            Self::Field(fields, name) => Ok(fields.get(name).unwrap_or(&Value::Null)),
            Self::Item(items, step) => Ok(&items[existing(step, items.len())?]),
        }
    }

    fn set(self, value: Value) -> Result<(), OperationError> {
        match self {
            Self::Field(fields, name) => drop(fields.insert(name, value)),
            Self::Item(items, step) => {
                let index = existing(&step, items.len())?;
                items[index] = value;
            }
        }
        Ok(())
    }

    /// Inserts a value, and returns the number of items after it.
    fn add(self, value: Value) -> Result<usize, OperationError> {
        match self {
            Self::Field(fields, name) => drop(fields.insert(name, value)),
            Self::Item(items, step) if step == "-" => items.push(value),
            Self::Item(items, step) => {
                let index = existing(&step, items.len() + 1)?;
                items.insert(index, value);
                return Ok(items.len() - index);
            }
        }
        Ok(0)
    }

    /// Removes the value, and returns it with the number of items after it.
    fn remove(self) -> Result<(Value, usize), OperationError> {
        match self {
            Self::Field(fields, name) => {
                let removed = fields.remove(&name);
                removed.map(|value| (value, 0)).ok_or_else(|| format!("there is no field {name:?}"))
            }
            Self::Item(items, step) => {
                let index = existing(&step, items.len())?;
                Ok((items.remove(index), items.len() - index))
            }
        }
    }
}

fn resolve<'a>(value: &'a Value, pointer: &str) -> Option<&'a Value> {
    pointer.split('/').skip(1).try_fold(value, |value, step| match value {
        Value::Object(fields) => fields.get(&decoded(step)),
        Value::Array(items) => items.get(index(step, items.len())?),
        _ => None,
    })
}

fn decoded(step: &str) -> String {
    step.replace("~1", "/").replace("~0", "~")
}

fn existing(step: &str, length: usize) -> Result<usize, OperationError> {
    index(step, length).ok_or_else(|| format!("there is no item {step:?}"))
}

/// The index in a list of this length; -1 is the last item.
fn index(step: &str, length: usize) -> Option<usize> {
    let index: i64 = step.parse().ok()?;
    let length = i64::try_from(length).ok()?;
    let index = if index < 0 { index + length } else { index };
    usize::try_from(index).ok().filter(|_| index < length)
}

/// Nesting depth of a value.
fn depth(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
    }
}
