//! Strategic merge patch, as far as the metadata of Kubernetes' own kinds needs it; kubectl patches these in no other
//! way. Kinds of a service have no merge strategies, so this patch type is not supported for them.
//!
//! It extends merge patch: some lists are merged, and objects and lists may contain directives.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

/// Lists that are merged: of objects with this key, or of scalars (no key).
const MERGED: [(&str, Option<&str>); 3] =
    [("conditions", Some("type")), ("finalizers", None), ("ownerReferences", Some("uid"))];
const DIRECTIVE: &str = "$patch";
const DELETE_FROM_PRIMITIVE_LIST: &str = "$deleteFromPrimitiveList/";

/// Applies a patch to an object. Lists in `spec` are replaced, not merged.
pub fn merge(object: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else { return };
    if !object.is_object() {
        *object = Value::Object(Map::new());
    }
    let Value::Object(fields) = object else { return };
    if patch.get(DIRECTIVE).is_some_and(|directive| directive == "replace") {
        fields.clear();
    }
    for (name, value) in patch {
        if let Some(list) = name.strip_prefix(DELETE_FROM_PRIMITIVE_LIST) {
            let gone: HashSet<String> = value.as_array().into_iter().flatten().map(Value::to_string).collect();
            if let Some(Value::Array(present)) = fields.get_mut(list) {
                present.retain(|item| !gone.contains(&item.to_string()));
            }
        } else if name.starts_with('$') {
            // The order of lists is not relevant here; other directives are handled above and below.
        } else if value.is_null() || value.get(DIRECTIVE).is_some_and(|directive| directive == "delete") {
            fields.remove(name);
        } else if let (Value::Array(items), Some((_, key))) = (value, MERGED.iter().find(|(list, _)| list == name)) {
            let list = fields.entry(name.clone()).or_insert_with(|| Value::Array(Vec::new()));
            merge_list(list, items, *key);
        } else if name == "spec" {
            json_patch::merge(fields.entry(name.clone()).or_insert(Value::Null), value);
        } else if value.is_object() {
            merge(fields.entry(name.clone()).or_insert(Value::Null), value);
        } else {
            fields.insert(name.clone(), value.clone());
        }
    }
}

fn merge_list(list: &mut Value, patch: &[Value], key: Option<&str>) {
    let Value::Array(present) = list else {
        *list = Value::Array(patch.to_vec());
        return;
    };
    let directive = |item: &Value| item.get(DIRECTIVE).and_then(Value::as_str).map(str::to_owned);
    if patch.iter().any(|item| directive(item).as_deref() == Some("replace")) {
        *present = patch.iter().filter(|item| directive(item).is_none()).cloned().collect();
        return;
    }
    let mut items = Items::of(std::mem::take(present), key);
    for item in patch {
        if directive(item).as_deref() == Some("delete") {
            items.delete(item);
        } else if let Some(found) = items.find(item) {
            merge(found, item);
            if !item.is_object() {
                found.clone_from(item);
            }
        } else {
            items.push(item.clone());
        }
    }
    *present = items.places.into_iter().flatten().collect();
}

/// The items of a list, indexed by identity.
struct Items<'a> {
    key: Option<&'a str>,
    /// Deleted items leave `None`.
    places: Vec<Option<Value>>,
    by_identity: HashMap<Identity, Vec<usize>>,
}

/// Identity of an item: the value of its key, or the whole item.
type Identity = Option<String>;

impl<'a> Items<'a> {
    fn of(list: Vec<Value>, key: Option<&'a str>) -> Self {
        let mut items = Self { key, places: Vec::with_capacity(list.len()), by_identity: HashMap::new() };
        for item in list {
            items.push(item);
        }
        items
    }

    fn identity(&self, item: &Value) -> Identity {
        match self.key {
            Some(key) => item.get(key).map(Value::to_string),
            None => Some(item.to_string()),
        }
    }

    fn push(&mut self, item: Value) {
        self.by_identity.entry(self.identity(&item)).or_default().push(self.places.len());
        self.places.push(Some(item));
    }

    fn delete(&mut self, item: &Value) {
        for place in self.by_identity.remove(&self.identity(item)).unwrap_or_default() {
            self.places[place] = None;
        }
    }

    /// The first item with the same identity.
    fn find(&mut self, item: &Value) -> Option<&mut Value> {
        let place = *self.by_identity.get(&self.identity(item))?.first()?;
        self.places[place].as_mut()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn maps_and_some_lists_are_merged() {
        let mut object = json!({
            "metadata": {
                "labels": {"a": "1", "b": "2"}, "finalizers": ["x", "y"],
                "ownerReferences": [{"uid": "1", "name": "n"}, {"uid": "2", "name": "m"}],
            },
            "spec": {"finalizers": ["kubernetes"]},
        });
        let patch = json!({
            "metadata": {
                "labels": {"b": null, "c": "3"}, "finalizers": ["z", "y"],
                "$setElementOrder/finalizers": ["z", "y"], "$deleteFromPrimitiveList/finalizers": ["x"],
                "ownerReferences": [{"uid": "1", "name": "other"}, {"uid": "2", "$patch": "delete"}, {"uid": "3"}],
            },
            "spec": {"finalizers": ["other"]},
        });
        merge(&mut object, &patch);
        let meta = &object["metadata"];
        assert_eq!(meta["labels"], json!({"a": "1", "c": "3"}));
        let mut finalizers: Vec<_> =
            meta["finalizers"].as_array().unwrap().iter().map(|f| f.as_str().unwrap()).collect();
        finalizers.sort_unstable();
        assert_eq!(finalizers, ["y", "z"]);
        assert_eq!(meta["ownerReferences"], json!([{"uid": "1", "name": "other"}, {"uid": "3"}]));
        assert_eq!(object["spec"]["finalizers"], json!(["other"]));
        merge(&mut object, &json!({"metadata": {"labels": {"$patch": "replace", "d": "4"}}, "spec": null}));
        assert_eq!(object["metadata"]["labels"], json!({"d": "4"}));
        assert_eq!(object.get("spec"), None);
        merge(
            &mut object,
            &json!({"metadata": {"labels": {"$patch": "delete"}, "ownerReferences": [{"$patch": "replace"}]}}),
        );
        assert_eq!(object["metadata"]["labels"], Value::Null);
        assert_eq!(object["metadata"]["ownerReferences"], json!([]));
    }

    #[test]
    fn long_lists_are_merged_in_linear_time() {
        const COUNT: usize = 20_000;
        let names = |from: usize| -> Vec<String> { (from..from + COUNT).map(|n| format!("f{n}")).collect() };
        let owners = |from: usize| -> Vec<Value> { names(from).into_iter().map(|uid| json!({"uid": uid})).collect() };
        let mut object = json!({"finalizers": names(0), "ownerReferences": owners(0)});
        merge(&mut object, &json!({"finalizers": names(COUNT / 2), "ownerReferences": owners(COUNT / 2)}));
        for list in ["finalizers", "ownerReferences"] {
            assert_eq!(object[list].as_array().unwrap().len(), COUNT + COUNT / 2, "{list}");
        }
        let gone: Vec<Value> = names(0).into_iter().map(|uid| json!({"uid": uid, "$patch": "delete"})).collect();
        merge(&mut object, &json!({"$deleteFromPrimitiveList/finalizers": names(0), "ownerReferences": gone}));
        assert_eq!(object["ownerReferences"], Value::from(owners(COUNT)[..COUNT / 2].to_vec()));
        assert_eq!(object["finalizers"], Value::from(names(COUNT)[..COUNT / 2].to_vec()));
    }

    #[test]
    fn first_of_duplicate_items_is_changed_and_all_are_deleted() {
        let list = || json!({"ownerReferences": [{"uid": "1", "n": 1}, {"n": 0}, {"uid": "1", "n": 2}]});
        let merged = |change: Value| {
            let mut object = list();
            merge(&mut object, &json!({"ownerReferences": [change]}));
            object["ownerReferences"].clone()
        };
        assert_eq!(merged(json!({"uid": "1", "n": 3})), json!([{"uid": "1", "n": 3}, {"n": 0}, {"uid": "1", "n": 2}]));
        assert_eq!(merged(json!({"uid": "1", "$patch": "delete"})), json!([{"n": 0}]));
    }
}
