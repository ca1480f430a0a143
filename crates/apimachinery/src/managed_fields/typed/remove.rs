//! Removal and extraction of paths.

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

/// Returns only these paths of the value. A member without children includes everything below it.
pub(super) fn extract(of: &Type, value: &Value, paths: &FieldSet) -> Value {
    match (of.shape(value), value) {
        (Shape::Map(map), Value::Object(fields)) if !map.atomic && !fields.is_empty() => {
            let kept = fields.iter().filter_map(|(name, value)| {
                let element = PathElement::field(name);
                let kept = extract_element(map.field(name).unwrap_or(&Type::Any), value, paths, &element)?;
                Some((name.clone(), kept))
            });
            let kept: Map<String, Value> = kept.collect();
            if kept.is_empty() { Value::Null } else { Value::Object(kept) }
        }
        (Shape::List(list), Value::Array(items)) if *list.merge != ListMerge::Atomic && !items.is_empty() => {
            let kept =
                items.iter().filter_map(|item| extract_element(list.of, item, paths, &item_element(list, item).ok()?));
            let kept: Vec<Value> = kept.collect();
            if kept.is_empty() { Value::Null } else { Value::Array(kept) }
        }
        _ => value.clone(),
    }
}

fn extract_element(of: &Type, value: &Value, paths: &FieldSet, element: &PathElement) -> Option<Value> {
    let children = paths.children(element);
    if !children.is_empty() {
        return Some(extract(of, value, children));
    }
    paths.has(element).then(|| value.clone())
}
