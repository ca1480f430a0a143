//! Roles and bindings (`rbac.authorization.k8s.io/v1`), stored as objects. [`apimachinery::rbac`] evaluates them;
//! [`super::rbac_authorizer`] determines when changes take effect.
//!
//! Privilege escalation is prevented as in Kubernetes: writing a role requires all permissions in it, or the verb
//! `escalate` on it; binding a role requires all permissions in it, or the verb `bind` on it
//! (`k8s.io/kubernetes/pkg/registry/rbac`).

mod binding;
mod defaults;
mod role;
mod schema;

use apimachinery::{
    command::ObjectKey,
    kind::Kind,
    object::Object,
    rbac::GROUP,
    resource::{Column, NamePolicy, Resource},
    status_error::{StatusError, StatusReason},
};

pub(super) use self::defaults::defaults;
use self::{binding::Bindings, role::Roles};
use super::resources;

/// Roles for all namespaces and for cluster-scoped objects.
pub const CLUSTER_ROLES: &str = "clusterroles";
const CLUSTER_ROLE_BINDINGS: &str = "clusterrolebindings";
const ROLES: &str = "roles";
const ROLE_BINDINGS: &str = "rolebindings";
/// The plurals of the four kinds.
pub const ALL: [&str; 4] = [CLUSTER_ROLES, CLUSTER_ROLE_BINDINGS, ROLES, ROLE_BINDINGS];

/// True for the resources of roles, false for those of bindings.
pub fn is_role(resource: &str) -> bool {
    [CLUSTER_ROLES, ROLES].contains(&resource)
}

/// True if a key is that of a role or a binding.
pub fn is_rbac_key(key: &str) -> bool {
    key.split('/').next().is_some_and(|resource| ALL.contains(&resource))
}

/// The four kinds.
pub fn kinds<W>() -> [Box<dyn Kind<W>>; 4] {
    let roles = |kind, plural, singular, namespaced| {
        let columns = const { &[resources::NAME, role::CREATED_AT] };
        Box::new(Roles { resource: resource(kind, plural, singular, namespaced, columns, schema::role(kind)) })
    };
    let bindings = |kind, plural, singular, namespaced| {
        Box::new(Bindings {
            resource: resource(kind, plural, singular, namespaced, binding::COLUMNS, schema::binding(kind)),
        })
    };
    [
        roles("ClusterRole", CLUSTER_ROLES, "clusterrole", false),
        bindings("ClusterRoleBinding", CLUSTER_ROLE_BINDINGS, "clusterrolebinding", false),
        roles("Role", ROLES, "role", true),
        bindings("RoleBinding", ROLE_BINDINGS, "rolebinding", true),
    ]
}

fn resource(
    kind: &'static str,
    plural: &'static str,
    singular: &'static str,
    namespaced: bool,
    columns: &'static [Column],
    schema: serde_json::Value,
) -> Resource {
    let names = NamePolicy::PathSegment;
    Resource { group: GROUP, namespaced, names, ..resources::namespaced(kind, plural, singular, columns, schema) }
}

/// 403 for a caller who grants permissions that they do not have.
fn escalation_error(resource: &Resource, key: &ObjectKey, why: &str) -> StatusError {
    let message = format!("{} \"{}\" is forbidden: {why}", resource.group_resource(), key.name);
    StatusError::new(StatusReason::Forbidden, message).with_details(resource.group, resource.plural, &key.name)
}

/// True if a change grants no permissions: only owners and finalizers differ, as in writes of a garbage collector.
fn only_gc_fields_changed(old: &Object, new: &Object) -> bool {
    let mut rest = new.clone();
    rest.metadata.owner_references.clone_from(&old.metadata.owner_references);
    rest.metadata.finalizers.clone_from(&old.metadata.finalizers);
    rest.metadata.managed_fields.clone_from(&old.metadata.managed_fields);
    rest == *old
}
