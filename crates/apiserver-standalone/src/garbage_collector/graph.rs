//! The graph of owners and dependents, up to the revision that has been read. Owners are identified by uid, dependents
//! by key.

use std::collections::{BTreeSet, HashMap};

use apimachinery::{
    metadata::{FINALIZER_FOREGROUND, awaits_finalizer},
    object::Object,
};

/// Objects with owners, and objects that wait for dependents.
#[derive(Debug, Default)]
pub struct Graph {
    nodes: HashMap<String, Node>,
    /// The keys of dependents, by the uid of an owner.
    dependents: HashMap<String, BTreeSet<String>>,
    /// The keys of objects whose deletion waits for dependents, by uid.
    waiting: HashMap<String, String>,
}

#[derive(Debug)]
struct Node {
    uid: String,
    owners: Vec<OwnerEdge>,
}

#[derive(Debug)]
struct OwnerEdge {
    uid: String,
    blocks: bool,
}

impl Graph {
    /// Adds or replaces an object. Returns the keys of owners whose deletion this may unblock.
    pub fn put(&mut self, key: &str, object: &Object) -> Vec<String> {
        let before = self.unlink(key);
        let meta = &object.metadata;
        let owners: Vec<OwnerEdge> = meta
            .owner_references
            .iter()
            .map(|owner| OwnerEdge { uid: owner.uid.clone(), blocks: owner.block_owner_deletion == Some(true) })
            .collect();
        for OwnerEdge { uid, .. } in &owners {
            self.dependents.entry(uid.clone()).or_default().insert(key.to_owned());
        }
        if awaits_finalizer(object, FINALIZER_FOREGROUND) {
            self.waiting.insert(meta.uid.clone(), key.to_owned());
        }
        self.nodes.insert(key.to_owned(), Node { uid: meta.uid.clone(), owners });
        self.freed(before)
    }

    /// Removes an object. Returns the keys of owners whose deletion this may unblock.
    pub fn remove(&mut self, key: &str) -> Vec<String> {
        let before = self.unlink(key);
        self.freed(before)
    }

    /// The keys of an owner's dependents.
    pub fn dependents(&self, uid: &str) -> impl Iterator<Item = &str> {
        self.dependents.get(uid).into_iter().flatten().map(String::as_str)
    }

    /// True if a dependent blocks the foreground deletion of this owner.
    pub fn is_blocked(&self, uid: &str) -> bool {
        let blocks = |key: &str| {
            self.nodes.get(key).is_some_and(|node| node.owners.iter().any(|owner| owner.uid == uid && owner.blocks))
        };
        self.dependents(uid).any(blocks)
    }

    /// True if this object waits for its dependents.
    pub fn is_waiting(&self, key: &str) -> bool {
        self.nodes.get(key).is_some_and(|node| self.waiting.contains_key(&node.uid))
    }

    fn unlink(&mut self, key: &str) -> Vec<OwnerEdge> {
        let Some(node) = self.nodes.remove(key) else { return Vec::new() };
        self.waiting.remove(&node.uid);
        for OwnerEdge { uid, .. } in &node.owners {
            let Some(dependents) = self.dependents.get_mut(uid) else { continue };
            dependents.remove(key);
            if dependents.is_empty() {
                self.dependents.remove(uid);
            }
        }
        node.owners
    }

    fn freed(&self, before: Vec<OwnerEdge>) -> Vec<String> {
        let were_blocked = before.into_iter().filter(|tie| tie.blocks);
        let waiting = were_blocked.filter_map(|tie| self.waiting.get(&tie.uid).map(|key| (tie.uid, key)));
        waiting.filter(|(uid, _)| !self.is_blocked(uid)).map(|(_, key)| key.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn object(uid: &str, owners: &[(&str, bool)], terminating: bool) -> Object {
        let owners: Vec<Value> = owners
            .iter()
            .map(|(uid, blocks)| {
                json!({"apiVersion": "v1", "kind": "A", "name": "a", "uid": uid, "blockOwnerDeletion": blocks})
            })
            .collect();
        let mut meta = json!({"name": "a", "uid": uid, "ownerReferences": owners});
        if terminating {
            meta["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
            meta["finalizers"] = json!([FINALIZER_FOREGROUND]);
        }
        Object::from_value(json!({"metadata": meta})).unwrap()
    }

    #[test]
    fn owner_is_unblocked_when_its_last_blocking_dependent_is_removed() {
        let mut graph = Graph::default();
        graph.put("o", &object("1", &[], true));
        for key in ["a", "b"] {
            assert!(graph.put(key, &object(key, &[("1", true)], false)).is_empty());
        }
        graph.put("c", &object("c", &[("1", false)], false));
        assert_eq!(graph.dependents("1").collect::<Vec<_>>(), ["a", "b", "c"]);
        assert!(graph.is_blocked("1") && graph.is_waiting("o") && !graph.is_waiting("a"));
        assert!(graph.remove("a").is_empty(), "b is left");
        assert_eq!(graph.put("b", &object("b", &[("1", false)], false)), ["o"], "b does not block any more");
        assert!(!graph.is_blocked("1"));
        assert!(graph.remove("b").is_empty() && graph.remove("c").is_empty());
        graph.remove("o");
        assert!(graph.nodes.is_empty() && graph.dependents.is_empty() && graph.waiting.is_empty(), "{graph:?}");
    }
}
