//! The paths that an applier of a value owns.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    super::{
        element::PathElement,
        schema::{ListMerge, ListShape, MapShape, Shape, Type},
        set::FieldSet,
    },
    as_list, as_map, item_element,
};

/// The owned paths of a value.
#[derive(Default)]
pub(super) struct NodeFields {
    /// True if the value itself is owned.
    pub(super) itself: bool,
    /// The owned paths below it.
    pub(super) children: FieldSet,
}

impl NodeFields {
    fn whole() -> Self {
        Self { itself: true, children: FieldSet::new() }
    }
}

pub(super) fn of(of: &Type, value: &Value) -> NodeFields {
    match of.shape(value) {
        Shape::Ignored => NodeFields::default(),
        Shape::Scalar(_) => NodeFields::whole(),
        Shape::List(list) if *list.merge == ListMerge::Atomic => NodeFields::whole(),
        Shape::List(list) => NodeFields { itself: false, children: of_items(list, as_list(Some(value))) },
        Shape::Map(map) if map.atomic => NodeFields::whole(),
        Shape::Map(map) => NodeFields { itself: false, children: of_fields(map, value) },
    }
}

fn of_fields(map: MapShape<'_>, value: &Value) -> FieldSet {
    let mut set = FieldSet::new();
    for (name, value) in as_map(Some(value)).into_iter().flatten() {
        let Some(field) = map.field(name) else { continue };
        if matches!(field, Type::Ignored) {
            continue;
        }
        let NodeFields { itself, children } = of(field, value);
        // Empty values are owned themselves; so are undeclared map entries, which exist only because of their owner.
        let empty = value.is_null() || value.as_object().is_some_and(serde_json::Map::is_empty);
        set.attach(PathElement::field(name), itself || empty || !map.declares(name), children);
    }
    set
}

fn of_items(list: ListShape<'_>, items: &[Value]) -> FieldSet {
    let mut occurrences: BTreeMap<PathElement, (usize, &Value)> = BTreeMap::new();
    for item in items {
        if let Ok(element) = item_element(list, item) {
            occurrences.entry(element).or_insert((0, item)).0 += 1;
        }
    }
    let mut set = FieldSet::new();
    for (element, (count, item)) in occurrences {
        // Duplicate items are owned together, without paths below them.
        let children = if count == 1 { of(list.of, item).children } else { FieldSet::new() };
        set.attach(element, true, children);
    }
    set
}

/// See [`super::Schema::with_named_parents`].
pub(super) fn with_named_parents(of: &Type, set: &FieldSet) -> FieldSet {
    let mut out = FieldSet::new();
    for node in set.nodes() {
        let (inner, declared) = match (&node.element, of) {
            (PathElement::Field(name), Type::Map(_) | Type::Any) => match of.shape(&Value::Null) {
                Shape::Map(map) => (map.field(name), map.declares(name)),
                _ => (None, false),
            },
            (PathElement::Key(_), Type::List(list)) => (Some(&list.of), false),
            _ => (None, false),
        };
        let children = inner.map_or_else(|| node.children.clone(), |inner| with_named_parents(inner, &node.children));
        let member = node.member || (declared && !node.children.is_empty());
        out.attach(node.element.clone(), member, children);
    }
    out
}
