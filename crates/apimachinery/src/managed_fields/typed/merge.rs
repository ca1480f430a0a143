//! Merging of an applied configuration into an object.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::{
    super::{
        element::PathElement,
        schema::{ListMerge, ListShape, MapShape, Shape, Type},
    },
    as_list, as_map, item_element,
};

/// Merges `config` into `live`. Values in only one of them are kept.
pub(super) fn merge_values(of: &Type, live: &Value, config: &Value) -> Value {
    match of.shape(config) {
        Shape::Ignored => live.clone(),
        Shape::Scalar(_) => config.clone(),
        Shape::List(list) => {
            let (live, items) = (as_list(Some(live)), as_list(Some(config)));
            let replaced = *list.merge == ListMerge::Atomic || (live.is_empty() && items.is_empty());
            if replaced { config.clone() } else { Value::Array(merge_lists(list, live, items)) }
        }
        Shape::Map(map) => {
            let nothing = Map::new();
            let live = as_map(Some(live)).unwrap_or(&nothing);
            let fields = as_map(Some(config)).unwrap_or(&nothing);
            let replaced = map.atomic || (live.is_empty() && fields.is_empty());
            if replaced { config.clone() } else { Value::Object(merge_maps(map, live, fields)) }
        }
    }
}

fn merge_maps(map: MapShape<'_>, live: &Map<String, Value>, config: &Map<String, Value>) -> Map<String, Value> {
    let mut merged = live.clone();
    for (name, value) in config {
        let value = match (map.field(name), live.get(name)) {
            (Some(field), Some(live)) => merge_values(field, live, value),
            _ => value.clone(),
        };
        merged.insert(name.clone(), value);
    }
    merged
}

/// The items of one list with their elements.
struct Side<'a> {
    items: Vec<(PathElement, &'a Value)>,
}

impl<'a> Side<'a> {
    fn new(list: ListShape<'_>, items: &'a [Value]) -> Self {
        Self { items: items.iter().filter_map(|item| Some((item_element(list, item).ok()?, item))).collect() }
    }

    /// Index of the items by element; `None` for duplicates.
    fn by_element(&self) -> BTreeMap<&PathElement, Option<&'a Value>> {
        let mut index = BTreeMap::new();
        for (element, item) in &self.items {
            index.entry(element).and_modify(|one| *one = None).or_insert(Some(*item));
        }
        index
    }
}

/// Merges lists: items of the configuration are in its order, and other items keep their positions between them.
fn merge_lists(list: ListShape<'_>, live: &[Value], config: &[Value]) -> Vec<Value> {
    let (live, config) = (Side::new(list, live), Side::new(list, config));
    let (in_live, in_config) = (live.by_element(), config.by_element());
    let merge_item = |element: &PathElement, item: &Value| match in_live.get(element) {
        Some(Some(live)) => merge_values(list.of, live, item),
        // Duplicates in `live` are ambiguous, so all are replaced.
        _ => item.clone(),
    };
    // The elements in both lists, in the order of the configuration; `next_shared` is the next one to be taken from
    // `live`.
    let mut shared = config.items.iter().map(|(element, _)| element).filter(|element| in_live.contains_key(element));
    let mut next_shared = shared.next();
    let (mut left, mut right) = (live.items.iter().peekable(), config.items.iter().peekable());
    let mut taken: BTreeSet<&PathElement> = BTreeSet::new();
    let mut merged = Vec::with_capacity(live.items.len().max(config.items.len()));
    loop {
        match (left.peek(), right.peek()) {
            (None, None) => return merged,
            (Some((here, _)), Some((there, item))) if here == there => {
                merged.push(merge_item(there, item));
                taken.insert(there);
                next_shared = shared.next();
                left.next();
                right.next();
                continue;
            }
            // The item is in both lists but not next: it is inserted where the configuration has it.
            (Some((here, _)), Some(_)) if in_config.contains_key(here) && next_shared.is_some_and(|n| n != here) => {
                left.next();
                continue;
            }
            (Some((here, item)), _) if !in_config.contains_key(here) => {
                merged.push((*item).clone());
                left.next();
                continue;
            }
            (Some((here, _)), _) if taken.contains(here) => {
                left.next();
            }
            _ => {}
        }
        if let Some((element, item)) = right.next() {
            merged.push(merge_item(element, item));
            taken.insert(element);
            if next_shared == Some(element) {
                next_shared = shared.next();
            }
        }
    }
}
