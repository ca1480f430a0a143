//! Comparison of two values.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{
    super::{
        element::PathElement,
        schema::{ListMerge, ListShape, MapShape, Shape, Type},
        set::FieldSet,
        value,
    },
    as_list, as_map, item_element,
};

/// The difference between two values, as disjoint sets of paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Removed paths.
    pub removed: FieldSet,
    /// Paths with changed values.
    pub modified: FieldSet,
    /// Added paths.
    pub added: FieldSet,
}

impl Comparison {
    /// Removes these paths and all below them.
    #[must_use]
    pub fn without(mut self, paths: &FieldSet) -> Self {
        for set in [&mut self.removed, &mut self.modified, &mut self.added] {
            set.remove_recursively(paths);
        }
        self
    }
}

/// The difference at one path.
#[derive(Default)]
pub(super) struct NodeComparison {
    /// Change of the value itself.
    itself: Change,
    /// Changes below it.
    pub(super) children: Comparison,
}

#[derive(Clone, Copy, Default)]
struct Change {
    removed: bool,
    modified: bool,
    added: bool,
}

impl NodeComparison {
    /// Adds the difference at a child element.
    fn attach(&mut self, element: PathElement, NodeComparison { itself, children }: NodeComparison) {
        let Comparison { removed, modified, added } = &mut self.children;
        let changes = [
            (removed, itself.removed, children.removed),
            (modified, itself.modified, children.modified),
            (added, itself.added, children.added),
        ];
        let mut changes =
            changes.into_iter().filter(|(_, member, children)| *member || !children.is_empty()).peekable();
        // Usually only one of the three sets changes; then the element is not cloned.
        while let Some((set, member, children)) = changes.next() {
            if changes.peek().is_none() {
                return set.attach(element, member, children);
            }
            set.attach(element.clone(), member, children);
        }
    }

    /// Combines two differences at the same path.
    fn merge(mut self, other: Self) -> Self {
        self.itself.removed |= other.itself.removed;
        self.itself.modified |= other.itself.modified;
        self.itself.added |= other.itself.added;
        self.children.removed = self.children.removed.union(&other.children.removed);
        self.children.modified = self.children.modified.union(&other.children.modified);
        self.children.added = self.children.added.union(&other.children.added);
        self
    }
}

/// Compares `old` with `new`; either may be missing.
pub(super) fn of(of: &Type, old: Option<&Value>, new: Option<&Value>) -> NodeComparison {
    if old == new {
        return NodeComparison::default();
    }
    match (old, new) {
        (Some(old_value), Some(new_value)) => {
            let (before, after) = (of.shape(old_value), of.shape(new_value));
            if before.is_like(after) {
                in_shape(after, old, new)
            } else {
                // The schema allows both shapes, such as a scalar that becomes a map.
                in_shape(before, old, new).merge(in_shape(after, old, new))
            }
        }
        (Some(only), None) | (None, Some(only)) => in_shape(of.shape(only), old, new),
        (None, None) => NodeComparison::default(),
    }
}

fn in_shape(shape: Shape<'_>, old: Option<&Value>, new: Option<&Value>) -> NodeComparison {
    let mut found = match shape {
        Shape::Ignored => return NodeComparison::default(),
        Shape::Scalar(_) => return leaf(old, new),
        Shape::List(list) => {
            let (old_items, new_items) = (as_list(old), as_list(new));
            if *list.merge == ListMerge::Atomic || (old_items.is_empty() && new_items.is_empty()) {
                return leaf(old, new);
            }
            in_lists(list, old_items, new_items)
        }
        Shape::Map(map) => {
            let empty = |value| as_map(value).is_none_or(Map::is_empty);
            if map.atomic || (empty(old) && empty(new)) {
                return leaf(old, new);
            }
            in_maps(map, old, new)
        }
    };
    found.itself.added |= old.is_none();
    found.itself.removed |= new.is_none();
    found
}

/// Compares values that are replaced as a whole.
fn leaf(old: Option<&Value>, new: Option<&Value>) -> NodeComparison {
    let itself = match (old, new) {
        (None, _) => Change { added: true, ..Change::default() },
        (_, None) => Change { removed: true, ..Change::default() },
        (Some(old), Some(new)) => Change { modified: !value::equal(old, new), ..Change::default() },
    };
    NodeComparison { itself, children: Comparison::default() }
}

fn in_maps<'a>(map: MapShape<'_>, old: Option<&'a Value>, new: Option<&'a Value>) -> NodeComparison {
    let mut found = NodeComparison::default();
    let (old, new) = (as_map(old), as_map(new));
    let value = |of: Option<&'a Map<String, Value>>, name: &str| of.and_then(|map| map.get(name));
    let only_new = new.into_iter().flat_map(Map::keys).filter(|name| value(old, name).is_none());
    let mut names: Vec<&String> = old.into_iter().flat_map(Map::keys).chain(only_new).collect();
    names.sort_unstable();
    for name in names {
        let (before, after) = (value(old, name), value(new, name));
        if let (Some(field), true) = (map.field(name), before != after) {
            found.attach(PathElement::field(name), of(field, before, after));
        }
    }
    found
}

fn in_lists(list: ListShape<'_>, old: &[Value], new: &[Value]) -> NodeComparison {
    let mut items: BTreeMap<PathElement, [Vec<&Value>; 2]> = BTreeMap::new();
    for (side, values) in [old, new].into_iter().enumerate() {
        for value in values {
            if let Ok(element) = item_element(list, value) {
                items.entry(element).or_default()[side].push(value);
            }
        }
    }
    let mut found = NodeComparison::default();
    for (element, [old, new]) in items {
        let changes = in_items(list.of, &old, &new);
        found.attach(element, changes);
    }
    found
}

/// Compares all items with the same element.
fn in_items(item: &Type, old: &[&Value], new: &[&Value]) -> NodeComparison {
    match (old, new) {
        ([] | [_], [] | [_]) => of(item, old.first().copied(), new.first().copied()),
        // Duplicates on both sides are compared as an atomic list.
        ([_, _, ..], [_, _, ..]) => {
            let same = old.len() == new.len() && old.iter().zip(new).all(|(old, new)| value::equal(old, new));
            NodeComparison { itself: Change { modified: !same, ..Change::default() }, children: Comparison::default() }
        }
        // Duplicates become one item or none: the element is removed, and the content of the one item is added.
        ([_, _, ..], _) => {
            let mut found = of(item, None, new.first().copied());
            found.itself.removed = true;
            found
        }
        (_, [_, _, ..]) => {
            let mut found = of(item, old.first().copied(), None);
            found.itself.added = true;
            found
        }
    }
}
