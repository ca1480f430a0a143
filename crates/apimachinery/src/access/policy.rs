//! Who has which rules: roles, and bindings of roles to subjects, indexed by subject. What one user may do costs what that
//! user's own bindings cost, however many there are of others.

use std::{collections::HashMap, sync::Arc};

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::{AUTHENTICATED, Identity, Rule};
use crate::object::Object;

/// The group of roles and bindings.
pub const GROUP: &str = "rbac.authorization.k8s.io";
/// The kind of roles of one namespace.
pub const ROLE: &str = "Role";
/// The kind of roles for all namespaces, and for what is in none.
pub const CLUSTER_ROLE: &str = "ClusterRole";

type Rules = Vec<Arc<Rule>>;

/// A role, as a binding names it.
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

/// To whom a role is bound.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Subject {
    /// `User`, `Group` or `ServiceAccount`.
    pub kind: String,
    /// [`GROUP`]; nothing for a service account.
    pub api_group: String,
    /// The name.
    pub name: String,
    /// The namespace of a service account.
    pub namespace: String,
}

/// A user or a group.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Holder {
    User(String),
    Group(String),
}

impl Holder {
    /// Who is meant by a subject of a binding in this namespace.
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

/// All rules, and who has them.
#[derive(Debug, Default)]
pub struct Policy {
    /// What everybody may do who is known.
    everybody: Rules,
    /// By namespace and name; of a cluster role the namespace is empty.
    roles: HashMap<(String, String), Rules>,
    /// By namespace, which is empty for everywhere.
    bindings: HashMap<String, HashMap<Holder, Vec<RoleRef>>>,
}

impl Policy {
    /// A policy that allows everybody these things, and nobody anything else.
    pub fn new(everybody: impl IntoIterator<Item = Rule>) -> Self {
        Self { everybody: everybody.into_iter().map(Arc::new).collect(), ..Self::default() }
    }

    /// Takes in a role.
    pub fn add_role(&mut self, role: &Object) {
        let rules: Vec<Rule> = read(role.field("rules"));
        let key = (role.metadata.namespace.clone(), role.metadata.name.clone());
        self.roles.insert(key, rules.into_iter().map(Arc::new).collect());
    }

    /// Takes in a binding.
    pub fn add_binding(&mut self, binding: &Object) {
        let namespace = &binding.metadata.namespace;
        let (role, subjects): (RoleRef, Vec<Subject>) =
            (read(binding.field("roleRef")), read(binding.field("subjects")));
        let bound = self.bindings.entry(namespace.clone()).or_default();
        for holder in subjects.into_iter().filter_map(|subject| Holder::of(subject, namespace)) {
            bound.entry(holder).or_default().push(role.clone());
        }
    }

    /// The rules of a role, seen from a namespace; `None`: there is no such role.
    pub fn role(&self, role: &RoleRef, namespace: &str) -> Option<&[Arc<Rule>]> {
        let place = if role.kind == CLUSTER_ROLE { "" } else { namespace };
        self.roles.get(&(place.to_owned(), role.name.clone())).map(Vec::as_slice)
    }

    /// What a user may do in a namespace; empty is what they may do in all, and with what is in none.
    pub fn rules_of(&self, identity: &Identity, namespace: &str) -> Rules {
        let is_known = identity.groups.iter().any(|group| group == AUTHENTICATED);
        let mut rules = if is_known { self.everybody.clone() } else { Vec::new() };
        let places = if namespace.is_empty() { vec![""] } else { vec!["", namespace] };
        for bound in places.iter().filter_map(|place| self.bindings.get(*place)) {
            let groups = identity.groups.iter().cloned().map(Holder::Group);
            let holders = groups.chain([Holder::User(identity.user.clone())]);
            let bound = holders.filter_map(|holder| bound.get(&holder)).flatten();
            rules.extend(bound.filter_map(|role| self.role(role, namespace)).flatten().cloned());
        }
        rules
    }
}

/// What a validated object says; nothing, and so no rights, if it cannot be read.
fn read<T: DeserializeOwned + Default>(value: &Value) -> T {
    T::deserialize(value).unwrap_or_default()
}

#[cfg(test)]
mod tests;
