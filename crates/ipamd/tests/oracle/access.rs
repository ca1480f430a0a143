//! RBAC roles and bindings: built-in kinds of Kubernetes, which our server serves in standalone mode.
//!
//! The administrator and impersonated users write them, and after each write some access reviews check the permissions. The default
//! roles are not touched: the two servers have different ones.

mod draw;
mod settle;

use std::sync::LazyLock;

use apimachinery::{
    rbac::{CLUSTER_ROLE, GROUP, ROLE},
    resource::Resource,
};
use serde_json::{Value, json};

pub use self::{draw::Draw, settle::Settler};
use crate::{compared_kind::ComparedKind, generate::JSON, kinds, request::ImpersonatedUser};

/// Roles and bindings.
pub struct Access;

const CLUSTER_ROLES: &str = "clusterroles";
const CLUSTER_ROLE_BINDINGS: &str = "clusterrolebindings";
const ROLES: &str = "roles";
const ROLE_BINDINGS: &str = "rolebindings";
const NAMESPACES: [&str; 2] = ["default", "attic"];

/// Users whose only permissions come from the generated roles and bindings, and one with all permissions.
const IMPERSONATED_USERS: [ImpersonatedUser; 5] = [
    ImpersonatedUser { user: "jane", groups: &["team"] },
    ImpersonatedUser { user: "joe", groups: &[] },
    ImpersonatedUser { user: "jim", groups: &["team", "ops"] },
    ImpersonatedUser { user: "system:serviceaccount:default:robot", groups: &[] },
    ImpersonatedUser { user: "root", groups: &["system:masters"] },
];

static RESOURCES: LazyLock<[Resource; 4]> = LazyLock::new(|| {
    [
        resource("ClusterRole", CLUSTER_ROLES, false),
        resource("ClusterRoleBinding", CLUSTER_ROLE_BINDINGS, false),
        resource("Role", ROLES, true),
        resource("RoleBinding", ROLE_BINDINGS, true),
    ]
});

fn resource(kind: &'static str, plural: &'static str, namespaced: bool) -> Resource {
    let schema = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
    Resource { group: GROUP, kind, plural, namespaced, columns: &[], schema, ..kinds::gadgets() }
}

impl ComparedKind for Access {
    fn resources(&self) -> &'static [Resource] {
        RESOURCES.as_slice()
    }

    fn namespaces(&self) -> &'static [&'static str] {
        &NAMESPACES
    }

    fn streams(&self) -> &'static [(&'static str, &'static str, &'static str)] {
        &[
            (CLUSTER_ROLES, JSON, "labelSelector=tier"),
            (CLUSTER_ROLE_BINDINGS, JSON, "labelSelector=tier"),
            (ROLES, JSON, "labelSelector=tier%3Da"),
            (ROLE_BINDINGS, JSON, "labelSelector=tier%3Da"),
        ]
    }

    /// Removes empty lists and their owned fields. In Go, empty and absent lists are the same: kube-apiserver omits an empty list or
    /// shows it as null, and no manager owns it.
    fn simplify(&self, object: &mut Value) {
        for list in ["rules", "subjects"] {
            let is_filled = object[list].as_array().is_some_and(|list| !list.is_empty());
            let Some(fields) = object.as_object_mut().filter(|_| !is_filled) else { continue };
            fields.remove(list);
            disown(&mut object["metadata"], &format!("f:{list}"));
        }
    }

    fn marker(&self, kind: &str) -> Value {
        if is_role(kind) {
            json!({ "rules": [] })
        } else {
            json!({ "roleRef": role_ref(CLUSTER_ROLE, "a"), "subjects": [] })
        }
    }
}

/// Removes a field from all managed fields, and each entry that owned nothing else.
fn disown(metadata: &mut Value, field: &str) {
    let Some(owners) = metadata.get_mut("managedFields").and_then(Value::as_array_mut) else { return };
    owners.retain_mut(|owner| {
        let owned = owner["fieldsV1"].as_object_mut();
        owned.is_none_or(|owned| owned.remove(field).is_none() || !owned.is_empty())
    });
    if owners.is_empty()
        && let Some(metadata) = metadata.as_object_mut()
    {
        metadata.remove("managedFields");
    }
}

fn is_role(kind: &str) -> bool {
    [CLUSTER_ROLE, ROLE].contains(&kind)
}

fn role_ref(kind: &str, name: &str) -> Value {
    json!({ "apiGroup": GROUP, "kind": kind, "name": name })
}

fn subject(kind: &str, name: &str) -> Value {
    json!({ "apiGroup": GROUP, "kind": kind, "name": name })
}
