//! Conversion of sets that were recorded with an earlier schema.
//!
//! If a map or list has become atomic, owners of anything in it own it as a whole. If it has become granular, owners of
//! the whole keep their entry, because it is unknown which parts they meant.

use serde_json::Value;

use super::super::{
    element::PathElement,
    schema::{ListMerge, Shape, Type},
    set::FieldSet,
};

pub(super) fn with_schema(of: &Type, live: &Value, set: &FieldSet) -> Option<FieldSet> {
    let mut changed = false;
    let out = reconcile_set(of, Some(live), set, &mut changed);
    changed.then_some(out)
}

fn reconcile_set(of: &Type, live: Option<&Value>, set: &FieldSet, changed: &mut bool) -> FieldSet {
    let mut out = FieldSet::new();
    for node in set.nodes() {
        let (inner, value) = inside(of, live, &node.element);
        match inner {
            Some(inner) if !node.children.is_empty() && is_atomic(inner, value) => {
                *changed = true;
                out.attach(node.element.clone(), true, FieldSet::new());
            }
            Some(inner) => {
                out.attach(node.element.clone(), node.member, reconcile_set(inner, value, &node.children, changed));
            }
            None => out.attach(node.element.clone(), node.member, node.children.clone()),
        }
    }
    out
}

/// The type and value of a child element. Deduced content has no schema that could have changed.
fn inside<'a>(of: &'a Type, live: Option<&'a Value>, element: &PathElement) -> (Option<&'a Type>, Option<&'a Value>) {
    match (of.shape(live.unwrap_or(&Value::Null)), element) {
        (Shape::Map(map), PathElement::Field(name)) if !map.is_deduced() => {
            (map.field(name), live.and_then(|live| live.get(name)))
        }
        (Shape::List(list), _) => (Some(list.of), None),
        _ => (None, None),
    }
}

fn is_atomic(of: &Type, live: Option<&Value>) -> bool {
    match of.shape(live.unwrap_or(&Value::Null)) {
        Shape::List(list) => !matches!(of, Type::Any) && *list.merge == ListMerge::Atomic,
        Shape::Map(map) => !map.is_deduced() && map.atomic,
        Shape::Scalar(_) | Shape::Ignored => false,
    }
}
