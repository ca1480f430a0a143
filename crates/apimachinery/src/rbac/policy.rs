//! Roles, and bindings of roles to subjects, indexed by subject. Resolving the rules of a user takes time proportional
//! to the bindings of that user and its groups.

use std::{collections::HashMap, sync::Arc};

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::{AUTHENTICATED, Rule, UserInfo};
use crate::object::Object;

/// API group of roles and bindings.
pub const GROUP: &str = "rbac.authorization.k8s.io";
/// Kind of namespaced roles.
pub const ROLE: &str = "Role";
/// Kind of cluster-wide roles.
pub const CLUSTER_ROLE: &str = "ClusterRole";

type Rules = Vec<Arc<Rule>>;

/// Reference of a binding to a role.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RoleRef {
    /// [`GROUP`].
    pub api_group: String,
    /// [`ROLE`] or [`CLUSTER_ROLE`].
    pub kind: String,
    /// The name.
    pub name: String,
}

/// Subject of a binding.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Subject {
    /// `User`, `Group` or `ServiceAccount`.
    pub kind: String,
    /// [`GROUP`]; empty for a service account.
    pub api_group: String,
    /// The name.
    pub name: String,
    /// Namespace of a service account.
    pub namespace: String,
}

/// A user or a group.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum SubjectKey {
    User(String),
    Group(String),
}

impl SubjectKey {
    /// The user or group of a subject; `namespace` is that of the binding.
    fn of(subject: Subject, namespace: &str) -> Option<Self> {
        match subject.kind.as_str() {
            "User" => Some(Self::User(subject.name)),
            "Group" => Some(Self::Group(subject.name)),
            "ServiceAccount" => {
                let namespace = if subject.namespace.is_empty() { namespace } else { &subject.namespace };
                Some(Self::User(format!("system:serviceaccount:{namespace}:{}", subject.name)))
            }
            _ => None,
        }
    }
}

/// All roles and bindings.
#[derive(Debug, Default)]
pub struct Policy {
    /// Rules for all authenticated users.
    default_rules: Rules,
    /// Rules by namespace and name of the role; the namespace is empty for a cluster role.
    roles: HashMap<(String, String), Rules>,
    /// Bindings by namespace (empty: cluster-wide) and subject.
    bindings: HashMap<String, HashMap<SubjectKey, Vec<RoleRef>>>,
}

impl Policy {
    /// Creates a policy with these rules for all authenticated users.
    pub fn new(default_rules: impl IntoIterator<Item = Rule>) -> Self {
        Self { default_rules: default_rules.into_iter().map(Arc::new).collect(), ..Self::default() }
    }

    /// Adds a role.
    pub fn add_role(&mut self, role: &Object) {
        let rules: Vec<Rule> = read(role.field("rules"));
        let key = (role.metadata.namespace.clone(), role.metadata.name.clone());
        self.roles.insert(key, rules.into_iter().map(Arc::new).collect());
    }

    /// Adds a binding.
    pub fn add_binding(&mut self, binding: &Object) {
        let namespace = &binding.metadata.namespace;
        let (role, subjects): (RoleRef, Vec<Subject>) =
            (read(binding.field("roleRef")), read(binding.field("subjects")));
        let bound = self.bindings.entry(namespace.clone()).or_default();
        for subject_key in subjects.into_iter().filter_map(|subject| SubjectKey::of(subject, namespace)) {
            bound.entry(subject_key).or_default().push(role.clone());
        }
    }

    /// Rules of a role, looked up from a namespace; `None` if there is no such role.
    pub fn role(&self, role: &RoleRef, namespace: &str) -> Option<&[Arc<Rule>]> {
        let place = if role.kind == CLUSTER_ROLE { "" } else { namespace };
        self.roles.get(&(place.to_owned(), role.name.clone())).map(Vec::as_slice)
    }

    /// Rules of a user in a namespace; with an empty namespace, only cluster-wide bindings apply.
    pub fn rules_of(&self, identity: &UserInfo, namespace: &str) -> Rules {
        let is_known = identity.groups.iter().any(|group| group == AUTHENTICATED);
        let mut rules = if is_known { self.default_rules.clone() } else { Vec::new() };
        let places = if namespace.is_empty() { vec![""] } else { vec!["", namespace] };
        for bound in places.iter().filter_map(|place| self.bindings.get(*place)) {
            let groups = identity.groups.iter().cloned().map(SubjectKey::Group);
            let subject_keys = groups.chain([SubjectKey::User(identity.user.clone())]);
            let bound = subject_keys.filter_map(|subject_key| bound.get(&subject_key)).flatten();
            rules.extend(bound.filter_map(|role| self.role(role, namespace)).flatten().cloned());
        }
        rules
    }
}

/// Reads a field of a validated object. An unreadable field gives the empty value, and so no permissions.
fn read<T: DeserializeOwned + Default>(value: &Value) -> T {
    T::deserialize(value).unwrap_or_default()
}

#[cfg(test)]
mod tests;
