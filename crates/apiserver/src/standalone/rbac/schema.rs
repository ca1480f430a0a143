//! What roles and bindings look like.

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
        "description": format!("{kind} is a set of rules, each of which allows something. A binding says who has them."),
        "properties": {
            "rules": {
                "type": "array", "maxItems": ROLE_RULES_MAX, "x-kubernetes-list-type": "atomic",
                "description": format!("What the role allows. What no rule allows is refused. All rules together multiply out to at most {RULE_PAIRS_MAX} pairs of a verb and a resource or path."),
                "items": rule(),
            },
        },
    });
    if kind == apimachinery::access::CLUSTER_ROLE {
        schema["properties"]["aggregationRule"] = json!({
            "type": "object", "x-kubernetes-preserve-unknown-fields": true,
            "description": "Not supported: a role has the rules that it lists.",
        });
    }
    schema
}

fn rule() -> Value {
    json!({
        "type": "object",
        "description": "Something that is allowed: verbs on resources, or on paths that are no resource's.",
        "properties": {
            "verbs": texts("The verbs, such as get, list, watch, create, update, patch, delete and deletecollection; '*' is all."),
            "apiGroups": texts("The API groups of the resources; '' is the core group, '*' all."),
            "resources": texts("The resources by their plurals, and subresources as resource/subresource; '*' is all, '*/subresource' that of every resource."),
            "resourceNames": texts("The names of single objects; none is all. A create has no name to be compared."),
            "nonResourceURLs": texts("Paths that are no resource's, such as /metrics; a '*' at the end is all that begin like that. In cluster roles alone."),
        },
    })
}

/// The schema of a binding of this kind.
pub fn binding(kind: &str) -> Value {
    json!({
        "type": "object",
        "description": format!("{kind} gives the rules of a role to users and groups."),
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
                "description": "Who has the rules.",
                "items": {
                    "type": "object", "x-kubernetes-map-type": "atomic",
                    "description": "A user, a group, or a service account of a cluster, who is the user system:serviceaccount:NAMESPACE:NAME.",
                    "properties": {
                        "kind": text("User, Group or ServiceAccount."),
                        "apiGroup": text("rbac.authorization.k8s.io for users and groups, which is the default; nothing for service accounts."),
                        "name": text("The name."),
                        "namespace": text("The namespace of a service account."),
                    },
                },
            },
        },
    })
}
