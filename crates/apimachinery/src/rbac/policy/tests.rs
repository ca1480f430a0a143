//! Tests of policies.

use serde_json::json;

use super::*;
use crate::{
    rbac::{Attributes, Permissions, ResourceAttributes},
    status_error::StatusReason,
};

fn object(value: Value) -> Object {
    Object::from_value(value).unwrap()
}

fn role(namespace: &str, name: &str, verb: &str, resource: &str) -> Object {
    let rules = [Rule::on_resources(&[verb], &["g"], &[resource])];
    object(json!({"metadata": {"name": name, "namespace": namespace}, "rules": rules}))
}

fn binding(namespace: &str, (kind, role): (&str, &str), subjects: Value) -> Object {
    object(json!({
        "metadata": {"name": "b", "namespace": namespace},
        "roleRef": {"apiGroup": GROUP, "kind": kind, "name": role},
        "subjects": subjects,
    }))
}

fn user(name: &str) -> Value {
    json!({"kind": "User", "apiGroup": GROUP, "name": name})
}

fn identity(name: &str, groups: &[&str]) -> Arc<UserInfo> {
    let groups = groups.iter().map(|group| (*group).to_owned()).collect();
    Arc::new(UserInfo::authenticated(name.to_owned(), String::new(), groups))
}

/// All authenticated users may read `/open`; cluster role `reader` gets pools, `writer` creates them; role `writer` in
/// namespace `team` deletes them.
fn policy() -> Policy {
    let mut policy = Policy::new([Rule::on_paths(&["get"], &["/open"])]);
    policy.add_role(&role("", "reader", "get", "pools"));
    policy.add_role(&role("", "writer", "create", "pools"));
    policy.add_role(&role("team", "writer", "delete", "pools"));
    policy
}

/// The verbs on pools that a user has in a namespace.
fn verbs(policy: Policy, who: &Arc<UserInfo>, namespace: &str) -> Vec<&'static str> {
    let permissions = Permissions::resolve(who, namespace, &Arc::new(policy));
    let may = |verb: &&str| {
        let attributes = ResourceAttributes { verb, group: "g", resource: "pools", ..ResourceAttributes::default() };
        permissions.allows(&Attributes::Resource(attributes))
    };
    ["get", "create", "delete", "other"].into_iter().filter(may).collect()
}

#[test]
fn role_applies_in_the_namespace_of_its_binding() {
    let jane = identity("jane", &[]);
    let bound = |binding: &Object| {
        let mut policy = policy();
        policy.add_binding(binding);
        policy
    };
    let everywhere = binding("", (CLUSTER_ROLE, "reader"), json!([user("joe"), user("jane")]));
    assert_eq!(verbs(bound(&everywhere), &jane, ""), ["get"]);
    assert_eq!(verbs(bound(&everywhere), &jane, "team"), ["get"]);
    let here = binding("team", (CLUSTER_ROLE, "writer"), json!([user("jane")]));
    assert_eq!(verbs(bound(&here), &jane, "team"), ["create"]);
    assert_eq!(verbs(bound(&here), &jane, "other"), Vec::<&str>::new());
    assert_eq!(verbs(bound(&here), &jane, ""), Vec::<&str>::new());
    let own = binding("team", (ROLE, "writer"), json!([user("jane")]));
    assert_eq!(verbs(bound(&own), &jane, "team"), ["delete"]);
    let nothing = binding("other", (ROLE, "writer"), json!([user("jane")]));
    assert_eq!(verbs(bound(&nothing), &jane, "other"), Vec::<&str>::new());
    assert_eq!(verbs(bound(&everywhere), &identity("jim", &["jane"]), ""), Vec::<&str>::new());
}

#[test]
fn rules_come_from_groups_and_all_bindings() {
    let mut policy = policy();
    policy.add_binding(&binding("", (CLUSTER_ROLE, "reader"), json!([{"kind": "Group", "name": "team"}])));
    policy.add_binding(&binding("team", (CLUSTER_ROLE, "writer"), json!([{"kind": "Group", "name": "team"}])));
    policy.add_binding(&binding("team", (ROLE, "writer"), json!([user("jane")])));
    assert_eq!(verbs(policy, &identity("jane", &["team"]), "team"), ["get", "create", "delete"]);
}

#[test]
fn service_account_is_a_user_with_its_namespace() {
    let account = |namespace: &str| json!([{"kind": "ServiceAccount", "name": "robot", "namespace": namespace}]);
    for (place, given) in [("", "team"), ("team", ""), ("other", "team")] {
        let mut policy = policy();
        policy.add_binding(&binding(place, (CLUSTER_ROLE, "reader"), account(given)));
        let robot = identity("system:serviceaccount:team:robot", &[]);
        assert_eq!(verbs(policy, &robot, place), ["get"], "{place:?} {given:?}");
    }
}

#[test]
fn default_rules_apply_to_authenticated_users_only() {
    let policy = Arc::new(policy());
    let open = Attributes::NonResource { verb: "get", path: "/open" };
    assert!(Permissions::resolve(&identity("jane", &[]), "", &policy).allows(&open));
    let anonymous = UserInfo { user: "system:anonymous".to_owned(), ..UserInfo::default() };
    let refusal = Permissions::resolve(&Arc::new(anonymous), "", &policy).authorize(&open).unwrap_err();
    assert_eq!(refusal.reason, StatusReason::Forbidden);
    assert_eq!(refusal.message, r#"forbidden: User "system:anonymous" cannot get path "/open""#);
}

#[test]
fn system_masters_need_no_rules() {
    assert_eq!(
        verbs(Policy::default(), &identity("root", &["system:masters"]), ""),
        ["get", "create", "delete", "other"]
    );
}

#[test]
fn only_held_permissions_can_be_granted() {
    let mut policy = policy();
    policy.add_binding(&binding("team", (CLUSTER_ROLE, "reader"), json!([user("jane")])));
    let permissions = Permissions::resolve(&identity("jane", &["a"]), "team", &Arc::new(policy));
    let named = |kind: &str, name: &str| {
        let role = RoleRef { api_group: GROUP.to_owned(), kind: kind.to_owned(), name: name.to_owned() };
        permissions.rules_for_role_ref(&role).map(<[_]>::to_vec)
    };
    let cover = |rules: Vec<Arc<Rule>>| permissions.confirm_no_escalation(rules.iter().map(AsRef::as_ref));
    assert_eq!(cover(named(CLUSTER_ROLE, "reader").unwrap()), Ok(()));
    assert_eq!(
        cover(named(ROLE, "writer").unwrap()).unwrap_err(),
        "user \"jane\" (groups=[\"a\" \"system:authenticated\"]) is attempting to grant RBAC permissions not currently held:\n\
         {APIGroups:[\"g\"], Resources:[\"pools\"], Verbs:[\"delete\"]}"
    );
    assert_eq!(named(ROLE, "reader"), None);
}

#[test]
fn unreadable_roles_and_bindings_grant_nothing() {
    let mut policy = policy();
    policy.add_role(&object(json!({"metadata": {"name": "odd"}, "rules": "all"})));
    policy.add_binding(&binding("", (CLUSTER_ROLE, "odd"), json!([user("jane")])));
    policy.add_binding(&binding("", (CLUSTER_ROLE, "reader"), json!("jane")));
    assert_eq!(verbs(policy, &identity("jane", &[]), ""), Vec::<&str>::new());
}
