//! Strategic merge patches, as far as the metadata of Kubernetes' own kinds needs them: kubectl changes those in no other
//! way. Kinds of a service have no merge strategies, so that for them there is no such patch.
//!
//! It is a merge patch in which a few lists are merged too, and objects and lists may hold directives.

use serde_json::{Map, Value};

/// The lists that are merged, by name: those of maps by this key, those of texts without one.
const MERGED: [(&str, Option<&str>); 3] =
    [("conditions", Some("type")), ("finalizers", None), ("ownerReferences", Some("uid"))];
const DIRECTIVE: &str = "$patch";
const DELETED_TEXTS: &str = "$deleteFromPrimitiveList/";

/// Applies a patch to an object, without its lists in `spec`: those are replaced.
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
        if let Some(list) = name.strip_prefix(DELETED_TEXTS) {
            let gone = value.as_array().map_or(&[][..], Vec::as_slice);
            if let Some(Value::Array(present)) = fields.get_mut(list) {
                present.retain(|item| !gone.contains(item));
            }
        } else if name.starts_with('$') {
            // Orders of lists do not matter here, and the other directives are read above and below.
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
    for item in patch {
        let same = |other: &Value| match key {
            Some(key) => other.get(key) == item.get(key),
            None => other == item,
        };
        if directive(item).as_deref() == Some("delete") {
            present.retain(|other| !same(other));
        } else if let Some(found) = present.iter_mut().find(|other| same(other)) {
            merge(found, item);
            if !item.is_object() {
                found.clone_from(item);
            }
        } else {
            present.push(item.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn maps_merge_and_so_do_a_few_lists() {
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
}
