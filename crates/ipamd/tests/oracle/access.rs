//! Who may do what: roles and bindings, which are kinds of Kubernetes' own and served by our server where it stands alone.
//!
//! The administrator and those as whom they act write them, and after each write there are some questions of who may do
//! what now. The roles that a server has from the beginning are left alone: each has others.

mod draw;
mod settle;

use std::sync::LazyLock;

use apimachinery::{
    access::{CLUSTER_ROLE, GROUP, ROLE},
    kind::Resource,
};
use serde_json::{Value, json};

pub use self::{draw::Draw, settle::Settler};
use crate::{generate::JSON, kinds, request::Guise, subject::Subject};

/// Roles and bindings.
pub struct Access;

const CLUSTER_ROLES: &str = "clusterroles";
const CLUSTER_ROLE_BINDINGS: &str = "clusterrolebindings";
const ROLES: &str = "roles";
const ROLE_BINDINGS: &str = "rolebindings";
const NAMESPACES: [&str; 2] = ["default", "attic"];

/// Those who have no rights but by the roles and bindings that are drawn, and one who has all.
const GUISES: [Guise; 5] = [
    Guise { user: "jane", groups: &["team"] },
    Guise { user: "joe", groups: &[] },
    Guise { user: "jim", groups: &["team", "ops"] },
    Guise { user: "system:serviceaccount:default:robot", groups: &[] },
    Guise { user: "root", groups: &["system:masters"] },
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

impl Subject for Access {
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

    /// Go tells no empty list from none: kube-apiserver leaves one out or shows it as null, and nobody owns it.
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

/// Nobody owns this field, and who owned nothing else is not there.
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
