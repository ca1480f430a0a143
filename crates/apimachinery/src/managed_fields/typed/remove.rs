//! Removal of paths.

use serde_json::{Map, Value};

use super::{
    super::{
        element::PathElement,
        schema::{ListMerge, Shape, Type},
        set::FieldSet,
    },
    item_element,
};

/// Returns the value without these paths. A container that becomes empty is replaced by null.
pub(super) fn remove(of: &Type, value: &Value, paths: &FieldSet) -> Value {
    match (of.shape(value), value) {
        (Shape::Scalar(_) | Shape::Ignored, _) => value.clone(),
        (Shape::Map(map), Value::Object(fields)) if !map.atomic => {
            let mut kept = Map::new();
            for (name, value) in fields {
                let element = PathElement::field(name);
                let children = paths.children(&element);
                if paths.has(&element) {
                    continue;
                }
                let value = match map.field(name) {
                    Some(field) if !children.is_empty() => remove(field, value, children),
                    _ => value.clone(),
                };
                kept.insert(name.clone(), value);
            }
            if kept.is_empty() { Value::Null } else { Value::Object(kept) }
        }
        (Shape::List(list), Value::Array(items)) if *list.merge != ListMerge::Atomic => {
            let kept = items.iter().filter_map(|item| match item_element(list, item) {
                Ok(element) if paths.has(&element) => None,
                Ok(element) if !paths.children(&element).is_empty() => {
                    Some(remove(list.of, item, paths.children(&element)))
                }
                _ => Some(item.clone()),
            });
            let kept: Vec<Value> = kept.collect();
            if kept.is_empty() { Value::Null } else { Value::Array(kept) }
        }
        _ => Value::Null,
    }
}
