//! Users with limited permissions: tokens, roles and bindings, and impersonation.

use http::Method;
use http_body_util::Full;
use serde_json::{Value, json};

use crate::{
    fault_injecting_store::FaultInjectingStore,
    sample_kinds::{API, BOOKS, book, shelf},
    test_server::{Answer, Client, Setup, TestServer, Who, name, request},
};

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
const WHO: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
const TOKENS: &str = "jane-s-token,jane,7,\"readers,writers\"\njoe-s-token,joe,\n";
const OTHERS: &str = "/apis/library.example.com/v1/namespaces/other/books";

/// A user with a token.
struct User {
    client: Client,
    headers: Vec<(&'static str, String)>,
}

impl User {
    async fn with_token(server: &TestServer, token: &str) -> Self {
        let client = Client::connect_as(Who::Anonymous, server.address, true).await;
        Self { client, headers: vec![("authorization", format!("Bearer {token}"))] }
    }

    /// The administrator, with these headers.
    fn admin(server: &TestServer, headers: &[(&'static str, &str)]) -> Self {
        let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        Self { client: server.client.clone(), headers }
    }

    async fn send(&self, method: Method, path: &str, body: &Value) -> Answer {
        self.send_as("application/json", method, path, body).await
    }

    async fn send_as(&self, content_type: &str, method: Method, path: &str, body: &Value) -> Answer {
        let mut request = request(method, path, &Value::Null).header("content-type", content_type);
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.client.request(request.body(Full::from(body)).unwrap()).await
    }

    async fn get(&self, path: &str) -> u16 {
        self.send(Method::GET, path, &Value::Null).await.status
    }

    async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, body).await
    }

    async fn apply(&self, path: &str, body: &Value) -> Answer {
        let path = format!("{path}?fieldManager=tester");
        self.send_as("application/apply-patch+yaml", Method::PATCH, &path, body).await
    }

    async fn who(&self) -> Value {
        self.post(WHO, &json!({})).await.json()["status"]["userInfo"].take()
    }
}

async fn standalone() -> TestServer {
    let server = TestServer::set_up(Setup { tokens: TOKENS, ..Setup::standalone() }).await;
    server.make_namespace("other").await;
    server
}

fn role(name: &str, rules: &Value) -> Value {
    json!({ "metadata": { "name": name }, "rules": rules })
}

fn on_books(verbs: &[&str]) -> Value {
    json!([{ "verbs": verbs, "apiGroups": ["library.example.com"], "resources": ["books"] }])
}

fn binding(name: &str, (kind, role): (&str, &str), user: &str) -> Value {
    json!({
        "metadata": { "name": name },
        "roleRef": { "kind": kind, "name": role },
        "subjects": [{ "kind": "User", "name": user }],
    })
}

fn in_attic(plural: &str) -> String {
    format!("{RBAC}/namespaces/attic/{plural}")
}

impl TestServer {
    /// Grants a user the rules of a cluster role in the namespace `attic`.
    async fn bind(&self, role: &str, user: &str) {
        let body = binding(&format!("{role}-{user}"), ("ClusterRole", role), user);
        self.create(&in_attic("rolebindings"), &body).await;
    }
}

fn message(answer: &Answer) -> String {
    answer.json()["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn bearer_token_identifies_the_user() {
    let server = standalone().await;
    let jane = User::with_token(&server, "jane-s-token").await;
    let groups = ["readers", "writers", "system:authenticated"];
    assert_eq!(jane.who().await, json!({ "username": "jane", "uid": "7", "groups": groups }));
    let joe = User::with_token(&server, "joe-s-token").await;
    assert_eq!(joe.who().await, json!({ "username": "joe", "groups": ["system:authenticated"] }));
    let unknown = User::with_token(&server, "jane-s-toke").await.post(WHO, &json!({})).await;
    assert_eq!((unknown.status, message(&unknown).as_str()), (401, "Unauthorized"));
    let admin = User::admin(&server, &[("authorization", "Bearer jane-s-token")]);
    assert_eq!(admin.who().await["username"], "admin", "a certificate takes precedence");
}

#[tokio::test]
async fn rbac_change_applies_to_the_next_request() {
    let server = standalone().await;
    let jane = User::with_token(&server, "jane-s-token").await;
    let refused = jane.post(BOOKS, &book("x", "a")).await;
    assert_eq!(refused.status, 403);
    let words = "books.library.example.com is forbidden: User \"jane\" cannot create resource \"books\" in API group \
                 \"library.example.com\" in the namespace \"attic\"";
    assert_eq!(message(&refused), words);
    for round in 0..3 {
        server.bind("edit", "jane").await;
        assert_eq!(jane.post(BOOKS, &book(&format!("x{round}"), "a")).await.status, 201);
        assert_eq!(jane.post(OTHERS, &book("x", "a")).await.status, 403, "the permission is limited to one namespace");
        assert_eq!(jane.get(&format!("{API}/books")).await, 403, "and not across all");
        server.delete(&format!("{}/edit-jane", in_attic("rolebindings"))).await;
        assert_eq!(jane.get(BOOKS).await, 403);
    }
    let everywhere = binding("jane", ("ClusterRole", "view"), "jane");
    server.create(&format!("{RBAC}/clusterrolebindings"), &everywhere).await;
    for path in [BOOKS, OTHERS, &format!("{API}/books"), &format!("{API}/shelves/a"), "/api/v1/namespaces/attic"] {
        assert_eq!(jane.get(path).await, 200, "{path}");
    }
    assert_eq!(jane.send(Method::DELETE, &format!("{BOOKS}/x0"), &Value::Null).await.status, 403);
    server.patch(&format!("{RBAC}/clusterroles/view"), &json!({ "rules": [] })).await;
    assert_eq!(jane.get(BOOKS).await, 403, "a changed role applies to all its users");
}

#[tokio::test]
async fn rule_can_allow_non_resource_urls() {
    let server = standalone().await;
    let joe = User::with_token(&server, "joe-s-token").await;
    assert_eq!(joe.get("/metrics").await, 403);
    let rules = json!([{ "verbs": ["get"], "nonResourceURLs": ["/metrics", "/livez/*"] }]);
    server.create(&format!("{RBAC}/clusterroles"), &role("monitor", &rules)).await;
    server.create(&format!("{RBAC}/clusterrolebindings"), &binding("monitor", ("ClusterRole", "monitor"), "joe")).await;
    assert_eq!(
        (joe.get("/metrics").await, joe.get("/livez/ping").await, joe.get("/readyz/ping").await),
        (200, 200, 403)
    );
}

#[tokio::test]
async fn apply_that_creates_needs_the_create_permission() {
    let server = standalone().await;
    let jane = User::with_token(&server, "jane-s-token").await;
    server.create(&in_attic("roles"), &role("patcher", &on_books(&["patch"]))).await;
    server.create(&in_attic("rolebindings"), &binding("patcher", ("Role", "patcher"), "jane")).await;
    let mut config = book("x", "a");
    config["apiVersion"] = "library.example.com/v1".into();
    config["kind"] = "Book".into();
    let path = format!("{BOOKS}/x");
    let refused = jane.apply(&path, &config).await;
    assert_eq!(refused.status, 403);
    let words = "books.library.example.com \"x\" is forbidden: User \"jane\" cannot create resource \"books\" in API group \
                 \"library.example.com\" in the namespace \"attic\"";
    assert_eq!(message(&refused), words);
    server.book("x").await;
    assert_eq!(jane.apply(&path, &config).await.status, 200);
    server.patch(&format!("{}/patcher", in_attic("roles")), &json!({ "rules": on_books(&["create", "patch"]) })).await;
    server.delete(&path).await;
    assert_eq!(jane.apply(&path, &config).await.status, 201);
}

#[tokio::test]
async fn granting_permissions_that_the_caller_lacks_is_403() {
    let server = standalone().await;
    let (jane, roles) = (User::with_token(&server, "jane-s-token").await, in_attic("roles"));
    server.bind("admin", "jane").await;
    assert_eq!(jane.post(&roles, &role("reader", &on_books(&["get", "list"]))).await.status, 201);
    let secrets = json!([{ "verbs": ["get", "list"], "apiGroups": [""], "resources": ["secrets"] }]);
    let refused = jane.post(&roles, &role("thief", &secrets)).await;
    let missing = "{APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"get\" \"list\"]}";
    let words = |what: &str| {
        format!(
            "{what} is forbidden: user \"jane\" (groups=[\"readers\" \"writers\" \"system:authenticated\"]) is attempting to \
             grant RBAC permissions not currently held:\n{missing}"
        )
    };
    let text = message(&refused);
    assert_eq!((refused.status, text), (403, words("roles.rbac.authorization.k8s.io \"thief\"")));
    let change = json!({ "rules": secrets });
    for (content_type, method, body) in [
        ("application/merge-patch+json", Method::PATCH, change.clone()),
        ("application/json", Method::PUT, role("reader", &secrets)),
    ] {
        let changed = jane.send_as(content_type, method, &format!("{roles}/reader"), &body).await;
        assert_eq!((changed.status, message(&changed)), (403, words("roles.rbac.authorization.k8s.io \"reader\"")));
    }
    let mut config = role("thief", &secrets);
    config["apiVersion"] = "rbac.authorization.k8s.io/v1".into();
    config["kind"] = "Role".into();
    assert_eq!(jane.apply(&format!("{roles}/thief"), &config).await.status, 403);

    let bindings = in_attic("rolebindings");
    assert_eq!(jane.post(&bindings, &binding("joe", ("Role", "reader"), "joe")).await.status, 201);
    let refused = jane.post(&bindings, &binding("jane", ("ClusterRole", "cluster-admin"), "jane")).await;
    assert_eq!(refused.status, 403);
    assert!(
        message(&refused).contains("{APIGroups:[\"*\"], Resources:[\"*\"], Verbs:[\"*\"]}"),
        "{}",
        message(&refused)
    );
    let missing = jane.post(&bindings, &binding("jane", ("Role", "missing"), "jane")).await;
    let words = "roles.rbac.authorization.k8s.io \"missing\" not found";
    assert_eq!((missing.status, message(&missing).as_str()), (404, words));
}

#[tokio::test]
async fn escalate_and_bind_allow_granting_missing_permissions() {
    let server = standalone().await;
    let joe = User::with_token(&server, "joe-s-token").await;
    let on = |resource: &str, verbs: &[&str], names: &[&str]| {
        json!({
            "verbs": verbs, "apiGroups": ["rbac.authorization.k8s.io"], "resources": [resource], "resourceNames": names,
        })
    };
    let allowed = json!([
        on("roles", &["create", "escalate"], &[]),
        on("rolebindings", &["create", "patch"], &[]),
        on("clusterroles", &["bind"], &["edit"]),
    ]);
    server.create(&format!("{RBAC}/clusterroles"), &role("giver", &allowed)).await;
    server.bind("giver", "joe").await;
    let (roles, bindings) = (in_attic("roles"), in_attic("rolebindings"));
    assert_eq!(joe.post(&roles, &role("reader", &on_books(&["get"]))).await.status, 201);
    assert_eq!(joe.post(&bindings, &binding("edit", ("ClusterRole", "edit"), "jane")).await.status, 201);
    assert_eq!(joe.post(&bindings, &binding("view", ("ClusterRole", "view"), "jane")).await.status, 403);
    server.bind("view", "jane").await;
    let merge = "application/merge-patch+json";
    let path = format!("{bindings}/view-jane");
    let finalizers = json!({ "metadata": { "finalizers": ["example.com/x"] } });
    assert_eq!(joe.send_as(merge, Method::PATCH, &path, &finalizers).await.status, 200, "it grants no permissions");
    let labels = json!({ "metadata": { "labels": { "a": "b" } } });
    assert_eq!(joe.send_as(merge, Method::PATCH, &path, &labels).await.status, 403);
}

#[tokio::test]
async fn escalate_with_resource_name_does_not_allow_create() {
    let server = standalone().await;
    let joe = User::with_token(&server, "joe-s-token").await;
    let on_roles = |verbs: &[&str], names: &[&str]| {
        json!({
            "verbs": verbs, "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles"], "resourceNames": names,
        })
    };
    let allowed = json!([on_roles(&["create", "patch"], &[]), on_roles(&["escalate"], &["reader"])]);
    server.create(&format!("{RBAC}/clusterroles"), &role("giver", &allowed)).await;
    server.bind("giver", "joe").await;
    let (roles, reader) = (in_attic("roles"), role("reader", &on_books(&["get"])));
    assert_eq!(joe.post(&roles, &reader).await.status, 403, "the path of a create contains no name");
    let mut config = reader;
    config["apiVersion"] = "rbac.authorization.k8s.io/v1".into();
    config["kind"] = "Role".into();
    assert_eq!(joe.apply(&format!("{roles}/reader"), &config).await.status, 201);
    config["metadata"]["name"] = "writer".into();
    assert_eq!(joe.apply(&format!("{roles}/writer"), &config).await.status, 403);
}

#[tokio::test]
async fn invalid_roles_and_bindings_report_all_field_errors() {
    let server = standalone().await;
    let faults = async |path: &str, body: Value| -> Vec<String> {
        let answer = server.client.send(Method::POST, path, &body).await;
        assert_eq!(answer.status, 422, "{}", answer.text());
        let causes = answer.json()["details"]["causes"].as_array().unwrap().clone();
        let text = |part: &Value| part.as_str().unwrap().to_owned();
        causes.iter().map(|cause| format!("{}: {}", text(&cause["field"]), text(&cause["message"]))).collect()
    };
    let rules = json!([
        { "verbs": [] },
        { "verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "nonResourceURLs": ["/x"] },
    ]);
    let mut bad = role("a/b", &rules);
    assert_eq!(
        faults(&in_attic("roles"), bad.clone()).await,
        [
            "metadata.name: Invalid value: \"a/b\": may not contain '/'",
            "rules[0].verbs: Required value: verbs must contain at least one value",
            "rules[0].apiGroups: Required value: resource rules must supply at least one api group",
            "rules[0].resources: Required value: resource rules must supply at least one resource",
            "rules[1].nonResourceURLs: Invalid value: [\"/x\"]: namespaced rules cannot apply to non-resource URLs",
            "rules[1].nonResourceURLs: Invalid value: [\"/x\"]: rules cannot apply to both regular resources and non-resource URLs",
        ]
    );
    bad["metadata"]["name"] = "system:x".into();
    bad["rules"] = json!([]);
    bad["aggregationRule"] = json!({ "clusterRoleSelectors": [] });
    assert_eq!(
        faults(&format!("{RBAC}/clusterroles"), bad).await,
        ["aggregationRule: Forbidden: aggregation is not supported: list the rules in the role itself"]
    );
    let bad = json!({
        "metadata": { "name": "x" },
        "roleRef": { "kind": "Role" },
        "subjects": [{ "kind": "User", "apiGroup": "x" }, { "kind": "Robot", "name": "r" }, { "kind": "ServiceAccount", "name": "s" }],
    });
    assert_eq!(
        faults(&format!("{RBAC}/clusterrolebindings"), bad).await,
        [
            "roleRef.kind: Unsupported value: \"Role\": supported values: \"ClusterRole\"",
            "roleRef.name: Required value",
            "subjects[0].name: Required value",
            "subjects[0].apiGroup: Unsupported value: \"x\": supported values: \"rbac.authorization.k8s.io\"",
            "subjects[1].kind: Unsupported value: \"Robot\": supported values: \"ServiceAccount\", \"User\", \"Group\"",
            "subjects[2].namespace: Required value",
        ]
    );
    let bad = json!({
        "metadata": { "name": "x" },
        "roleRef": { "kind": "Role", "name": "a/b" },
        "subjects": [{ "kind": "User", "name": "Jane/Joe" }, { "kind": "ServiceAccount", "name": "No_Name" }],
    });
    let nothing = faults(&in_attic("rolebindings"), json!({ "metadata": { "name": "x" } })).await;
    let kinds = "roleRef.kind: Unsupported value: \"\": supported values: \"Role\", \"ClusterRole\"";
    assert_eq!(nothing, [kinds, "roleRef.name: Required value"]);
    let faults = faults(&in_attic("rolebindings"), bad).await;
    assert_eq!(faults[0], "roleRef.name: Invalid value: \"a/b\": may not contain '/'");
    assert!(faults[1].starts_with("subjects[1].name: Invalid value: \"No_Name\": a lowercase RFC 1123"), "{faults:?}");
    assert_eq!(faults.len(), 2, "{faults:?}");
}

#[tokio::test]
async fn built_in_kinds_have_no_generation_and_no_empty_subjects() {
    let server = standalone().await;
    let bindings = in_attic("rolebindings");
    let mut unbound = binding("view", ("ClusterRole", "view"), "jane");
    unbound["subjects"] = json!([]);
    let name = name(&unbound).to_owned();
    server.create(&bindings, &unbound).await;
    let path = format!("{bindings}/{name}");
    let change =
        json!({ "metadata": { "finalizers": ["example.com/x"] }, "subjects": [{ "kind": "User", "name": "joe" }] });
    server.patch(&path, &change).await;
    assert_eq!(server.get(&path).await.json()["subjects"][0]["name"], "joe");
    server.patch(&path, &json!({ "subjects": [] })).await;
    server.delete(&path).await;
    let left = server.get(&path).await.json();
    assert!(left.get("subjects").is_none(), "{left}");
    assert!(left["metadata"]["deletionTimestamp"].is_string() && left["metadata"]["generation"].is_null(), "{left}");
    server.create(&in_attic("roles"), &json!({ "metadata": { "name": "nothing" } })).await;
    let role = server.patch(&format!("{}/nothing", in_attic("roles")), &json!({ "rules": null })).await;
    assert_eq!(role["rules"], json!([]), "a role always has a list of rules");
    let review = json!({ "spec": { "nonResourceAttributes": { "verb": "get", "path": "/" } } });
    let answer =
        server.client.send(Method::POST, "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", &review).await;
    assert_eq!(answer.json()["metadata"], json!({}));
}

#[tokio::test]
async fn binding_defaults_api_groups_and_has_an_immutable_role_ref() {
    let server = standalone().await;
    server.bind("view", "jane").await;
    let path = format!("{}/view-jane", in_attic("rolebindings"));
    let bound = server.get(&path).await.json();
    let group = "rbac.authorization.k8s.io";
    assert_eq!(bound["roleRef"], json!({ "apiGroup": group, "kind": "ClusterRole", "name": "view" }));
    assert_eq!(bound["subjects"], json!([{ "apiGroup": group, "kind": "User", "name": "jane" }]));
    // kubectl sends strategic merge patches to built-in kinds, and replaces them without a version.
    let admin = User::admin(&server, &[]);
    let change = json!({ "subjects": [{ "kind": "Group", "name": "readers" }, { "kind": "ServiceAccount", "name": "robot", "namespace": "n" }, { "kind": "ServiceAccount", "name": "own" }] });
    let strategic = "application/strategic-merge-patch+json";
    let changed = admin.send_as(strategic, Method::PATCH, &path, &change).await;
    assert_eq!(changed.json()["subjects"][0]["apiGroup"], group, "{}", changed.text());
    let wide = server.get_with(&path, &[("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")]).await.json();
    assert_eq!(wide["rows"][0]["cells"].as_array().unwrap()[3..], ["", "readers", "n/robot, /own"].map(Value::from));
    let other = admin.send(Method::PUT, &path, &binding("view-jane", ("ClusterRole", "edit"), "jane")).await;
    let text = message(&other);
    assert!(
        other.status == 422 && text.contains("roleRef: Invalid value") && text.contains("cannot change roleRef"),
        "{text}"
    );
}

#[tokio::test]
async fn default_roles_are_created_at_start_and_changes_kept() {
    let store = FaultInjectingStore::new();
    let first = TestServer::starting(Setup::standalone(), store.clone()).await.restored().await;
    let names = async |server: &TestServer, plural: &str| -> Vec<String> {
        let list = server.get(&format!("{RBAC}/{plural}")).await.json();
        list["items"].as_array().unwrap().iter().map(|item| name(item).to_owned()).collect()
    };
    let expected = ["admin", "cluster-admin", "edit", "view"];
    assert_eq!(names(&first, "clusterroles").await, expected);
    assert_eq!(names(&first, "clusterrolebindings").await, ["cluster-admin"]);
    first.patch(&format!("{RBAC}/clusterroles/edit"), &json!({ "rules": [] })).await;
    first.delete(&format!("{RBAC}/clusterroles/view")).await;
    first.kill();
    let second = TestServer::starting(Setup::standalone(), store).await.restored().await;
    assert_eq!(names(&second, "clusterroles").await, expected, "a deleted default role is created again");
    let edit = second.get(&format!("{RBAC}/clusterroles/edit")).await.json();
    assert_eq!(edit["rules"], json!([]), "a changed default role is not reset");
    let view = second.get(&format!("{RBAC}/clusterroles/view")).await.json();
    let rule =
        json!({ "verbs": ["get", "list", "watch"], "apiGroups": ["library.example.com"], "resources": ["books"] });
    assert!(view["rules"].as_array().unwrap().contains(&rule), "{view}");
}

#[tokio::test]
async fn self_subject_reviews_follow_the_rbac_rules() {
    let server = standalone().await;
    let jane = User::with_token(&server, "jane-s-token").await;
    server.bind("view", "jane").await;
    let ask = async |spec: Value| {
        let review = json!({ "spec": spec });
        let answer = jane.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", &review).await;
        answer.json()["status"].take()
    };
    let books = |verb: &str, namespace: &str| {
        json!({ "resourceAttributes": {
            "verb": verb, "group": "library.example.com", "resource": "books", "namespace": namespace,
        } })
    };
    for (spec, expected) in [
        (books("get", "attic"), true),
        (books("create", "attic"), false),
        (books("get", "other"), false),
        (books("get", ""), false),
        (json!({ "nonResourceAttributes": { "verb": "get", "path": "/apis" } }), true),
        (json!({ "nonResourceAttributes": { "verb": "get", "path": "/metrics" } }), false),
    ] {
        assert_eq!(ask(spec.clone()).await, json!({ "allowed": expected }), "{spec}");
    }
    let review = json!({ "spec": { "namespace": "attic" } });
    let rules = jane.post("/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", &review).await.json();
    let rule =
        json!({ "verbs": ["get", "list", "watch"], "apiGroups": ["library.example.com"], "resources": ["books"] });
    let status = &rules["status"];
    assert!(status["resourceRules"].as_array().unwrap().contains(&rule), "{status}");
    assert_eq!(status["nonResourceRules"][0]["verbs"], json!(["get"]));
}

#[tokio::test]
async fn impersonation_needs_permission_and_uses_the_other_permissions() {
    let server = standalone().await;
    server.bind("view", "jane").await;
    let as_jane = User::admin(&server, &[("impersonate-user", "jane"), ("impersonate-group", "readers")]);
    assert_eq!(as_jane.who().await, json!({ "username": "jane", "groups": ["readers", "system:authenticated"] }));
    assert_eq!(
        (as_jane.get(BOOKS).await, as_jane.get(OTHERS).await),
        (200, 403),
        "with the permissions of the other user"
    );
    let mut joe = User::with_token(&server, "joe-s-token").await;
    joe.headers.push(("impersonate-user", "jane".to_owned()));
    let refused = joe.send(Method::GET, BOOKS, &Value::Null).await;
    let words = "users \"jane\" is forbidden: User \"joe\" cannot impersonate resource \"users\" in API group \"\" at the cluster scope";
    assert_eq!((refused.status, message(&refused).as_str()), (403, words));
    let rules =
        json!([{ "verbs": ["impersonate"], "apiGroups": [""], "resources": ["users"], "resourceNames": ["jane"] }]);
    server.create(&format!("{RBAC}/clusterroles"), &role("actor", &rules)).await;
    server.create(&format!("{RBAC}/clusterrolebindings"), &binding("actor", ("ClusterRole", "actor"), "joe")).await;
    assert_eq!(joe.get(BOOKS).await, 200);
    joe.headers.push(("impersonate-group", "system:masters".to_owned()));
    assert_eq!(joe.get(BOOKS).await, 403, "each impersonated attribute must be allowed");
    let anonymous = User::admin(&server, &[("impersonate-user", "system:anonymous")]);
    assert_eq!(anonymous.get("/apis").await, 403);
    let extra = User::admin(&server, &[("impersonate-user", "jane"), ("impersonate-extra-scopes", "x")]);
    assert_eq!(extra.get(BOOKS).await, 403, "an unsupported header is not ignored");
}

#[tokio::test]
async fn rules_of_one_request_are_read_at_one_revision() {
    let server = standalone().await;
    let jane = User::with_token(&server, "jane-s-token").await;
    server.create(&format!("{RBAC}/clusterroles"), &role("keeper", &on_books(&["get", "list"]))).await;
    server.store.hold_lists(Some("clusterrolebindings/"));
    let asked = tokio::spawn(async move { jane.get(BOOKS).await });
    server.store.lists_waited(1).await;
    // The role loses its rules before jane is bound to it.
    server.patch(&format!("{RBAC}/clusterroles/keeper"), &json!({ "rules": [] })).await;
    server.create(&format!("{RBAC}/clusterrolebindings"), &binding("keeper", ("ClusterRole", "keeper"), "jane")).await;
    server.store.hold_lists(None);
    assert_eq!(asked.await.unwrap(), 403, "she never had that permission");
}

#[tokio::test]
async fn requests_get_503_until_rbac_rules_can_be_read() {
    let server =
        TestServer::starting(Setup { tokens: TOKENS, ..Setup::standalone() }, FaultInjectingStore::new()).await;
    let jane = User::with_token(&server, "jane-s-token").await;
    let answer = jane.send(Method::GET, BOOKS, &Value::Null).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, "1"));
    assert_eq!(jane.get("/apis").await, 200);
    let server = server.restored().await;
    assert_eq!(jane.get(BOOKS).await, 403);

    server.create(&format!("{API}/shelves"), &shelf("a", 9)).await;
    server.make_namespace("attic").await;
    server.bind("view", "jane").await;
    server.store.blind(Some("clusterroles/"));
    assert_eq!(jane.get(BOOKS).await, 503, "unreadable rules lead to neither access nor 403");
    server.store.blind(None);
    assert_eq!(jane.get(BOOKS).await, 200);
    server.store.blind(Some("clusterroles/"));
    server.book("x").await;
    assert_eq!(jane.get(BOOKS).await, 200, "rules are read again only after a change");
}
