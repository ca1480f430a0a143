//! The default roles `cluster-admin`, `admin`, `edit` and `view`, for the kinds that are served here. Each is created
//! at the start if it does not exist; changes to an existing one are kept.

use apimachinery::{
    kind::{Kind, Registry},
    rbac::{CLUSTER_ROLE, GROUP, Rule, SYSTEM_MASTERS},
    request::NAMESPACES,
    resource::Resource,
};
use serde_json::{Value, json};

use super::{
    super::{config_map, events, lease},
    CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES,
};

const READ: &[&str] = &["get", "list", "watch"];
const WRITE: &[&str] = &["create", "delete", "deletecollection", "patch", "update"];

/// The plurals and bodies of the default roles and bindings.
pub fn defaults<W>(registry: &Registry<W>) -> Vec<(&'static str, Value)> {
    let own = || registry.iter().map(Kind::resource).filter(|resource| !resource.is_native());
    let mut view: Vec<Rule> = own().filter_map(|resource| rule(READ, resource)).collect();
    view.push(Rule::on_resources(READ, &[""], &[NAMESPACES, config_map::PLURAL, events::PLURAL]));
    let mut edit = view.clone();
    edit.extend(own().filter(|resource| resource.namespaced).filter_map(|resource| rule(WRITE, resource)));
    edit.push(Rule::on_resources(WRITE, &[""], &[config_map::PLURAL, events::PLURAL]));
    edit.push(Rule::on_resources(&[READ, WRITE].concat(), &[lease::GROUP], &[lease::PLURAL]));
    let mut admin = edit.clone();
    admin.push(Rule::on_resources(&[READ, WRITE].concat(), &[GROUP], &[ROLES, ROLE_BINDINGS]));
    let everything = vec![Rule::on_resources(&["*"], &["*"], &["*"]), Rule::on_paths(&["*"], &["*"])];
    let role = |name: &str, rules: Vec<Rule>| (CLUSTER_ROLES, json!({"metadata": {"name": name}, "rules": rules}));
    let binding = json!({
        "metadata": {"name": "cluster-admin"},
        "roleRef": {"apiGroup": GROUP, "kind": CLUSTER_ROLE, "name": "cluster-admin"},
        "subjects": [{"kind": "Group", "apiGroup": GROUP, "name": SYSTEM_MASTERS}],
    });
    vec![
        role("cluster-admin", everything),
        role("admin", admin),
        role("edit", edit),
        role("view", view),
        (CLUSTER_ROLE_BINDINGS, binding),
    ]
}

/// A rule with those of the verbs that the kind supports.
fn rule(verbs: &[&str], resource: &Resource) -> Option<Rule> {
    let offered = |verb: &&&str| resource.verbs.iter().any(|offered| offered.as_str() == **verb);
    let verbs: Vec<&str> = verbs.iter().filter(offered).copied().collect();
    (!verbs.is_empty()).then(|| Rule::on_resources(&verbs, &[resource.group], &[resource.plural]))
}
