//! The schemas of roles and bindings.

use apimachinery::limits::RULE_PAIRS_MAX;
use serde_json::{Value, json};

use crate::limits::{BINDING_SUBJECTS_MAX, ROLE_RULES_MAX};

fn text(description: &str) -> Value {
    json!({"type": "string", "description": description})
}

fn texts(description: &str) -> Value {
    json!({
        "type": "array", "items": {"type": "string"}, "maxItems": RULE_PAIRS_MAX, "x-kubernetes-list-type": "atomic",
        "description": description,
    })
}

/// The schema of a role of this kind.
pub fn role(kind: &str) -> Value {
    let mut schema = json!({
        "type": "object",
        "description": format!("{kind} is a set of rules, each of which grants permissions. A binding grants them to subjects."),
        "properties": {
            "rules": {
                "type": "array", "maxItems": ROLE_RULES_MAX, "x-kubernetes-list-type": "atomic",
                "description": format!("The permissions of the role. A request that no rule allows is rejected. All rules together expand to at most {RULE_PAIRS_MAX} pairs of a verb and a resource or path."),
                "items": rule(),
            },
        },
    });
    if kind == apimachinery::rbac::CLUSTER_ROLE {
        schema["properties"]["aggregationRule"] = json!({
            "type": "object", "x-kubernetes-preserve-unknown-fields": true,
            "description": "Not supported: list the rules in the role itself.",
        });
    }
    schema
}

fn rule() -> Value {
    json!({
        "type": "object",
        "description": "Verbs that are allowed on resources, or on paths that are not those of resources.",
        "properties": {
            "verbs": texts("The verbs, such as get, list, watch, create, update, patch, delete and deletecollection; '*' means all."),
            "apiGroups": texts("The API groups of the resources; '' is the core group, '*' means all."),
            "resources": texts("The plural names of resources, and subresources as resource/subresource; '*' means all, '*/subresource' that subresource of every resource."),
            "resourceNames": texts("The names of single objects; empty means all. It cannot restrict creates, whose name is not known at authorization."),
            "nonResourceURLs": texts("Paths that are not those of resources, such as /metrics; a '*' at the end matches any suffix. Only in ClusterRoles."),
        },
    })
}

/// The schema of a binding of this kind.
pub fn binding(kind: &str) -> Value {
    json!({
        "type": "object",
        "description": format!("{kind} grants the rules of a role to users and groups."),
        "properties": {
            "roleRef": {
                "type": "object", "x-kubernetes-map-type": "atomic",
                "description": "The role. It cannot be changed: delete the binding and create another.",
                "properties": {
                    "apiGroup": text("rbac.authorization.k8s.io, which is the default."),
                    "kind": text("Role or ClusterRole; in a ClusterRoleBinding a ClusterRole."),
                    "name": text("The name of the role."),
                },
            },
            "subjects": {
                "type": "array", "maxItems": BINDING_SUBJECTS_MAX, "x-kubernetes-list-type": "atomic",
                "description": "The users and groups that get the rules.",
                "items": {
                    "type": "object", "x-kubernetes-map-type": "atomic",
                    "description": "A user, a group, or a service account of a cluster, which is the user system:serviceaccount:NAMESPACE:NAME.",
                    "properties": {
                        "kind": text("User, Group or ServiceAccount."),
                        "apiGroup": text("rbac.authorization.k8s.io for users and groups, which is the default; empty for service accounts."),
                        "name": text("The name."),
                        "namespace": text("The namespace of a service account."),
                    },
                },
            },
        },
    })
}
