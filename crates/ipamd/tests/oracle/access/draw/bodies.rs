//! The contents of roles and bindings. There are few verbs, groups, resources and names, so that rules often cover one another
//! fully or in part.

use apimachinery::rbac::{CLUSTER_ROLE, GROUP, ROLE};
use serde_json::{Value, json};

use super::super::{is_role, role_ref, subject};
use crate::{compared_kind::Mutation, rng::Rng};

/// The verbs.
pub const VERBS: [&str; 8] = ["get", "get", "create", "update", "escalate", "bind", "impersonate", "*"];
/// The API groups.
pub const GROUPS: [&str; 5] = ["", GROUP, GROUP, "apps", "*"];
/// Non-resource paths.
pub const PATHS: [&str; 7] = ["/metrics", "/logs/x", "/logs", "/healthz", "/apis/x", "/", "*"];
const RESOURCES: [&str; 9] =
    ["pods", "pods/log", "pods/*", "*/log", "roles", "rolebindings", "clusterroles", "clusterrolebindings", "*"];
const URLS: [&str; 6] = ["/metrics", "/logs/*", "/logs*", "/healthz", "/*", "*"];
const USERS: [&str; 4] = ["jane", "joe", "jim", "system:serviceaccount:default:robot"];
const TEAMS: [&str; 4] = ["team", "ops", "system:authenticated", "system:serviceaccounts"];
/// Roles that may exist, and `missing`, which never exists. `cluster-admin` is rare, because a user who has it cannot gain
/// permissions.
const ROLE_NAMES: [&str; 14] =
    ["a", "a", "a", "b", "b", "b", "c", "c", "c", "d", "keeper", "keeper", "missing", "cluster-admin"];

/// Picks one or two of these.
fn some(rng: &mut Rng, of: &[&str]) -> Value {
    (0..=rng.below(2)).map(|_| rng.one(of)).collect()
}

fn rule(rng: &mut Rng, kind: &str) -> Value {
    if kind == CLUSTER_ROLE && rng.chance(15) {
        return json!({ "verbs": some(rng, &["get", "post", "*"]), "nonResourceURLs": some(rng, &URLS) });
    }
    let mut rule = if rng.chance(15) {
        // Permits a user to grant more permissions than they have.
        json!({ "verbs": some(rng, &["escalate", "bind"]), "apiGroups": [GROUP], "resources": some(rng, &["roles", "clusterroles"]) })
    } else {
        json!({ "verbs": some(rng, &VERBS), "apiGroups": some(rng, &GROUPS), "resources": some(rng, &RESOURCES) })
    };
    if rng.chance(25) {
        rule["resourceNames"] = some(rng, &["a", "b", ""]);
    }
    rule
}

/// Generates the rules of a role.
pub fn role(rng: &mut Rng, kind: &str) -> Value {
    let rules: Vec<Value> = (0..rng.below(4)).map(|_| rule(rng, kind)).collect();
    json!({ "rules": rules })
}

fn holder(rng: &mut Rng, kind: &str) -> Value {
    match rng.below(5) {
        0 => json!({ "kind": "User", "name": rng.one(&USERS) }),
        1 | 2 => subject("User", rng.one(&USERS)),
        3 => subject("Group", rng.one(&TEAMS)),
        _ => {
            let mut account = json!({ "kind": "ServiceAccount", "name": rng.one(&["robot", "other"]) });
            if kind.starts_with(CLUSTER_ROLE) || rng.chance(50) {
                account["namespace"] = rng.one(&["default", "attic"]).into();
            }
            account
        }
    }
}

/// Generates the role reference and the subjects of a binding.
pub fn binding(rng: &mut Rng, kind: &str) -> Value {
    let of = if kind.starts_with(CLUSTER_ROLE) || rng.chance(40) { CLUSTER_ROLE } else { ROLE };
    let mut role = role_ref(of, rng.one(&ROLE_NAMES));
    if rng.chance(15)
        && let Some(role) = role.as_object_mut()
    {
        role.remove("apiGroup");
    }
    let subjects: Vec<Value> = (0..rng.below(4)).map(|_| holder(rng, kind)).collect();
    json!({ "roleRef": role, "subjects": subjects })
}

/// Picks something wrong or unusual for an object of this kind.
pub fn mutation(rng: &mut Rng, kind: &str) -> Mutation {
    let mutations = if is_role(kind) { of_roles() } else { of_bindings() };
    mutations[rng.index(mutations.len())].clone()
}

fn of_roles() -> Vec<Mutation> {
    let rule = |body: Value| json!([{ "verbs": ["get"], "apiGroups": [""], "resources": ["pods"] }, body]);
    let mixed = json!({ "verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "nonResourceURLs": ["/x"] });
    let named = json!({ "verbs": ["get"], "nonResourceURLs": ["/x"], "resourceNames": ["a"] });
    let extra = json!({ "verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "colour": "red" });
    let aggregation = json!({ "clusterRoleSelectors": [{ "matchLabels": { "tier": "a" } }] });
    vec![
        ("no verbs", "/rules", rule(json!({ "verbs": [], "apiGroups": [""], "resources": ["pods"] }))),
        ("verbs left out", "/rules", rule(json!({ "apiGroups": [""], "resources": ["pods"] }))),
        ("no groups", "/rules", rule(json!({ "verbs": ["get"], "resources": ["pods"] }))),
        ("no resources", "/rules", rule(json!({ "verbs": ["get"], "apiGroups": [""] }))),
        ("a path", "/rules", rule(json!({ "verbs": ["get"], "nonResourceURLs": ["/x"] }))),
        ("paths and resources", "/rules", rule(mixed)),
        ("paths and names", "/rules", rule(named)),
        ("an empty rule", "/rules", rule(json!({}))),
        ("rules of null", "/rules", Value::Null),
        ("unknown field", "/rules", rule(extra)),
        ("a text for verbs", "/rules", rule(json!({ "verbs": "get" }))),
        ("an empty verb", "/rules", rule(json!({ "verbs": [""], "apiGroups": [""], "resources": [""] }))),
        ("aggregation", "/aggregationRule", aggregation),
        ("aggregation of nothing", "/aggregationRule", json!({})),
    ]
}

fn of_bindings() -> Vec<Mutation> {
    let user = |field: &str, value: &str| {
        let mut user = subject("User", "joe");
        user[field] = value.into();
        json!([subject("Group", "team"), user])
    };
    let account = |body: Value| json!([body, { "kind": "ServiceAccount", "name": "robot" }]);
    vec![
        ("a Role for everywhere", "/roleRef", role_ref(ROLE, "a")),
        ("another kind of role", "/roleRef", role_ref("Robot", "a")),
        ("another group of role", "/roleRef", json!({ "apiGroup": "x", "kind": CLUSTER_ROLE, "name": "a" })),
        ("a role without a name", "/roleRef", json!({ "apiGroup": GROUP, "kind": CLUSTER_ROLE, "name": "" })),
        ("an odd name of a role", "/roleRef", role_ref(CLUSTER_ROLE, "a/b")),
        ("an empty role", "/roleRef", json!({})),
        ("no role", "/roleRef", Value::Null),
        ("another role", "/roleRef/name", json!("d")),
        ("a nameless subject", "/subjects", user("name", "")),
        ("another kind of subject", "/subjects", user("kind", "Robot")),
        ("another group of subject", "/subjects", user("apiGroup", "x")),
        ("a user in a namespace", "/subjects", user("namespace", "default")),
        ("unknown field", "/subjects", user("colour", "red")),
        ("an account of a group", "/subjects", account(subject("ServiceAccount", "robot"))),
        ("an account with an odd name", "/subjects", account(json!({ "kind": "ServiceAccount", "name": "No_Name" }))),
        ("subjects of null", "/subjects", Value::Null),
        ("a text for a subject", "/subjects", json!(["jane"])),
    ]
}

/// Generates an operation of a JSON patch.
pub fn operation(rng: &mut Rng, kind: &str) -> Value {
    let (list, item) = if is_role(kind) { ("/rules", rule(rng, kind)) } else { ("/subjects", holder(rng, kind)) };
    match rng.below(9) {
        0..3 => json!({ "op": "add", "path": format!("{list}/-"), "value": item }),
        3 => json!({ "op": "replace", "path": format!("{list}/0"), "value": item }),
        4 => json!({ "op": "remove", "path": format!("{list}/0") }),
        5 => json!({ "op": "remove", "path": list }),
        6 => json!({ "op": "add", "path": "/metadata/labels", "value": { "tier": "a" } }),
        7 if !is_role(kind) => json!({ "op": "replace", "path": "/roleRef/name", "value": "c" }),
        7 => json!({ "op": "add", "path": "/rules/0/verbs/-", "value": rng.one(&VERBS) }),
        _ => json!({ "op": "test", "path": format!("{list}/1"), "value": item }),
    }
}
