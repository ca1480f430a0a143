//! Standalone mode: discovery of all groups, namespaces, self-subject reviews, empty lists.

use apiserver::limits;
use http::Method;
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{
    fault_injecting_store::FaultInjectingStore,
    sample_kinds::{API, BOOKS, book, shelf},
    test_server::{Client, Events, Setup, TestServer, Who, advance, name, revision},
};

const NAMESPACES: &str = "/api/v1/namespaces";

async fn standalone() -> TestServer {
    TestServer::set_up(Setup::standalone()).await
}

async fn names(server: &TestServer, path: &str) -> Vec<String> {
    let list = server.get(path).await.json();
    list["items"].as_array().unwrap().iter().map(|item| name(item).to_owned()).collect()
}

async fn next_gone(events: &mut Events) -> Value {
    loop {
        let event = events.next().await.unwrap();
        if event["type"] == "DELETED" {
            return event["object"].clone();
        }
    }
}

#[tokio::test]
async fn discovery_and_openapi_list_every_group() {
    let server = standalone().await;
    let groups = server.get("/apis").await.json();
    let groups: Vec<_> = groups["groups"].as_array().unwrap().iter().map(|group| group["name"].clone()).collect();
    assert_eq!(
        groups,
        [
            "library.example.com",
            "coordination.k8s.io",
            "rbac.authorization.k8s.io",
            "apiextensions.k8s.io",
            "events.k8s.io",
            "authentication.k8s.io",
            "authorization.k8s.io"
        ]
    );
    for (path, first) in
        [("/api/v1", "namespaces"), (API, "shelves"), ("/apis/authorization.k8s.io/v1", "selfsubjectaccessreviews")]
    {
        let list = server.get(path).await.json();
        assert_eq!(list["resources"][0]["name"], first, "{list}");
    }
    assert_eq!(server.get("/apis/authorization.k8s.io/v2").await.status, 404);
    let index = server.get("/openapi/v3").await.json();
    for place in ["api/v1", "apis/library.example.com/v1", "apis/authentication.k8s.io/v1"] {
        let url = index["paths"][place]["serverRelativeURL"].as_str().unwrap();
        let document = server.get(url).await.json();
        assert!(document["openapi"].as_str().unwrap().starts_with("3.0"), "{place}");
        assert!(document["paths"].as_object().unwrap().keys().all(|path| path.starts_with(&format!("/{place}/"))));
    }
}

#[tokio::test]
async fn aggregated_mode_serves_no_standalone_kinds() {
    let server = TestServer::open().await;
    for path in [NAMESPACES, "/api/v1/events", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"] {
        assert_eq!(server.get(path).await.status, 404, "{path}");
    }
    assert_eq!(server.get("/api/v1").await.json()["resources"], json!([]));
    server.book("x").await;
}

#[tokio::test]
async fn create_in_a_missing_namespace_is_404() {
    let server = standalone().await;
    let cellar = format!("{API}/namespaces/cellar/books");
    let create =
        async |query: &str| server.client.send(Method::POST, &format!("{cellar}{query}"), &book("x", "a")).await;
    let config = json!({ "apiVersion": "library.example.com/v1", "kind": "Book", "metadata": { "name": "y" }, "spec": { "shelf": "a" } });
    let apply = http::Request::patch(format!("https://localhost{cellar}/y?fieldManager=m"))
        .header("host", "localhost")
        .header("content-type", "application/apply-patch+yaml")
        .body(config.to_string().into())
        .unwrap();
    for answer in [create("").await, create("?dryRun=All").await, server.client.request(apply).await] {
        let status = answer.json();
        assert_eq!((answer.status, &status["reason"]), (404, &json!("NotFound")));
        assert_eq!(status["message"], "namespaces \"cellar\" not found");
        assert_eq!(status["details"], json!({ "name": "cellar", "kind": "namespaces" }));
    }
    server.make_namespace("cellar").await;
    assert_eq!(create("").await.status, 201);
}

#[tokio::test]
async fn start_creates_namespaces_of_existing_objects() {
    let store = FaultInjectingStore::new();
    let before = TestServer::starting(Setup::default(), store.clone()).await.restored().await;
    before.create(&format!("{API}/shelves"), &shelf("a", 100)).await;
    let places = ["team", "team-a", "team0", "other", "team"];
    for (index, place) in places.into_iter().enumerate() {
        before.create(&format!("{API}/namespaces/{place}/books"), &book(&format!("b{index}"), "a")).await;
    }
    before.kill();
    let server = TestServer::starting(Setup::standalone(), store).await.restored().await;
    assert_eq!(names(&server, NAMESPACES).await, ["default", "kube-system", "other", "team", "team-a", "team0"]);
}

#[tokio::test]
async fn deleting_a_namespace_deletes_all_objects_in_it() {
    let server = standalone().await;
    let mut held = book("held", "a");
    held["metadata"]["finalizers"] = json!(["example.com/held"]);
    server.create(BOOKS, &held).await;
    for index in 0..70 {
        server.book(&format!("b{index}")).await;
    }
    server.make_namespace("other").await;
    server.create(&format!("{API}/namespaces/other/books"), &book("stays", "a")).await;
    let from = server.head().await;
    let mut events = server.watch(&format!("{NAMESPACES}?watch=true&resourceVersion={from}")).await;
    let path = format!("{NAMESPACES}/attic");
    let answer = server.client.send(Method::DELETE, &path, &json!({ "propagationPolicy": "Background" })).await;
    let namespace = answer.json();
    assert_eq!((answer.status, &namespace["status"]["phase"]), (200, &json!("Terminating")));
    events.expect("MODIFIED").await;

    let refused = server.client.send(Method::POST, BOOKS, &book("late", "a")).await;
    let status = refused.json();
    assert_eq!((refused.status, &status["reason"]), (403, &json!("Forbidden")));
    let message = "books.library.example.com \"late\" is forbidden: unable to create new content in namespace attic \
                   because it is being terminated";
    assert_eq!(status["message"], message);
    let cause = json!({
        "reason": "NamespaceTerminating", "message": "namespace attic is being terminated", "field": "metadata.namespace",
    });
    assert_eq!(status["details"]["causes"], json!([cause]));

    let mut books = server.watch(&format!("{BOOKS}?watch=true&resourceVersion={from}")).await;
    for _ in 0..70 {
        assert_ne!(name(&next_gone(&mut books).await), "held");
    }
    assert_eq!(names(&server, BOOKS).await, ["held"]);
    assert_eq!(server.get(&path).await.status, 200, "the deletion waits for a finalizer");
    server.patch(&format!("{BOOKS}/held"), &json!({ "metadata": { "finalizers": null } })).await;
    let gone = next_gone(&mut events).await;
    assert_eq!(name(&gone), "attic");
    assert_eq!(names(&server, &format!("{API}/books")).await, ["stays"]);
    server.make_namespace("attic").await;
    let again = server.get(&path).await.json();
    assert_ne!(again["metadata"]["uid"], namespace["metadata"]["uid"], "it is a new object");
}

#[tokio::test]
async fn namespace_that_has_hung_for_long_says_at_once_that_a_finalizer_is_gone() {
    let server = standalone().await;
    let mut held = book("held", "a");
    held["metadata"]["finalizers"] = json!(["example.com/a", "example.com/b"]);
    server.create(BOOKS, &held).await;
    server.delete(&format!("{NAMESPACES}/attic")).await;
    let path = format!("{NAMESPACES}/attic");
    let remaining = async || {
        let namespace = server.get(&path).await.json();
        let conditions = namespace["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let of_kind = conditions.iter().find(|condition| condition["type"] == "NamespaceFinalizersRemaining");
        of_kind.map_or(String::new(), |condition| condition["message"].to_string())
    };
    while !remaining().await.contains("example.com/a") {}
    // It is looked at ever more rarely.
    for _ in 0..20 {
        advance(limits::BACKGROUND_RETRY_MAX).await;
        remaining().await;
    }
    let change = json!({ "metadata": { "finalizers": ["example.com/b"] } });
    server.patch(&format!("{BOOKS}/held"), &change).await;
    let updated = async { while remaining().await.contains("example.com/a") {} };
    timeout(limits::BACKGROUND_RETRY_MAX / 2, updated).await.expect("the conditions are updated");
}

#[tokio::test]
async fn restart_continues_a_namespace_deletion() {
    let store = FaultInjectingStore::new();
    let server = TestServer::starting(Setup::standalone(), store.clone()).await.restored().await;
    server.create(&format!("{API}/shelves"), &shelf("a", 100)).await;
    server.make_namespace("attic").await;
    let mut held = book("held", "a");
    held["metadata"]["finalizers"] = json!(["example.com/held"]);
    server.create(BOOKS, &held).await;
    server.delete(&format!("{NAMESPACES}/attic")).await;
    server.kill();

    let again = TestServer::starting(Setup::standalone(), store).await.restored().await;
    let namespace = again.get(&format!("{NAMESPACES}/attic")).await.json();
    let from = revision(&namespace);
    let mut events = again.watch(&format!("{NAMESPACES}?watch=true&resourceVersion={from}")).await;
    again.patch(&format!("{BOOKS}/held"), &json!({ "metadata": { "finalizers": null } })).await;
    assert_eq!(name(&next_gone(&mut events).await), "attic");
}

#[tokio::test]
async fn namespace_validation_and_defaults_follow_kubernetes() {
    let server = standalone().await;
    let path = format!("{NAMESPACES}/team");
    let made = server.create(NAMESPACES, &json!({ "metadata": { "name": "team", "labels": { "a": "b" } } })).await;
    assert_eq!(made["metadata"]["labels"], json!({ "a": "b", "kubernetes.io/metadata.name": "team" }));
    assert_eq!((&made["spec"]["finalizers"], &made["status"]["phase"]), (&json!(["kubernetes"]), &json!("Active")));
    let again = server.client.send(Method::POST, NAMESPACES, &json!({ "metadata": { "name": "team" } })).await.json();
    assert_eq!(
        (&again["reason"], &again["message"]),
        (&json!("AlreadyExists"), &json!("namespaces \"team\" already exists"))
    );
    let changed =
        server.patch(&path, &json!({ "spec": { "finalizers": [] }, "metadata": { "labels": { "c": "d" } } })).await;
    assert_eq!((&changed["spec"], &changed["metadata"]["labels"]["c"]), (&made["spec"], &json!("d")));
    for name in ["default", "kube-system"] {
        let refused = server.client.send(Method::DELETE, &format!("{NAMESPACES}/{name}"), &Value::Null).await;
        let message = format!("namespaces \"{name}\" is forbidden: this namespace may not be deleted");
        assert_eq!((refused.status, &refused.json()["message"]), (403, &json!(message)));
    }
    for (method, path) in
        [(Method::DELETE, NAMESPACES), (Method::POST, path.as_str()), (Method::GET, "/api/v1/namespaces/team/finalize")]
    {
        assert_eq!(server.client.send(method.clone(), path, &Value::Null).await.status, 405, "{method} {path}");
    }
    assert_eq!(server.get("/api/v1/namespaces/none").await.json()["message"], "namespaces \"none\" not found");
    let accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
    let request = http::Request::get(format!("https://localhost{NAMESPACES}")).header("host", "localhost");
    let table = server.client.request(request.header("accept", accept).body(Full::default()).unwrap()).await.json();
    let columns: Vec<_> = table["columnDefinitions"].as_array().unwrap().iter().map(|c| c["name"].clone()).collect();
    assert_eq!(columns, ["Name", "Status", "Age"]);
}

/// kubectl apply sends only this to kinds that are compiled into it.
#[tokio::test]
async fn namespace_accepts_strategic_patches_and_protobuf() {
    let server = standalone().await;
    let send = async |method: Method, path: &str, media: &str, body: Vec<u8>| {
        let request = http::Request::builder().method(method).uri(format!("https://localhost{path}"));
        let request = request.header("host", "localhost").header("content-type", media);
        server.client.request(request.body(body.into()).unwrap()).await
    };
    let protobuf = "application/vnd.kubernetes.protobuf";
    // The encoded message { type meta { v1, Namespace }, raw { metadata { name: team } } }.
    let type_meta = b"\x0a\x0f\x0a\x02v1\x12\x09Namespace";
    let body = [b"k8s\0", &type_meta[..], b"\x12\x08\x0a\x06\x0a\x04team\x1a\x00\x22\x00"].concat();
    let made = send(Method::POST, NAMESPACES, protobuf, body.clone()).await;
    assert_eq!((made.status, name(&made.json())), (201, "team"), "{}", made.text());
    assert_eq!(send(Method::POST, BOOKS, protobuf, b"k8s\0".to_vec()).await.status, 415);
    let strategic = "application/strategic-merge-patch+json";
    let change = json!({ "metadata": { "labels": { "a": "b" }, "$setElementOrder/finalizers": [] } });
    let path = format!("{NAMESPACES}/team");
    let patched = send(Method::PATCH, &path, strategic, change.to_string().into_bytes()).await;
    assert_eq!((patched.status, &patched.json()["metadata"]["labels"]["a"]), (200, &json!("b")), "{}", patched.text());
    server.book("x").await;
    let refused = send(Method::PATCH, &format!("{BOOKS}/x"), strategic, change.to_string().into_bytes()).await;
    assert_eq!(refused.status, 415, "a service's kinds have no strategies");
}

#[tokio::test]
async fn finalizers_of_a_namespace_are_removed_by_finalize() {
    let server = standalone().await;
    let body = json!({ "metadata": { "name": "team" }, "spec": { "finalizers": ["example.com/audit"] } });
    let made = server.create(NAMESPACES, &body).await;
    assert_eq!(made["spec"]["finalizers"], json!(["example.com/audit", "kubernetes"]));
    let from = server.head().await;
    let mut events = server.watch(&format!("{NAMESPACES}?watch=true&resourceVersion={from}")).await;
    server.delete(&format!("{NAMESPACES}/team")).await;
    events.expect("MODIFIED").await;
    let told = events.expect("MODIFIED").await;
    let conditions: Vec<_> = told["status"]["conditions"].as_array().unwrap().iter().map(|it| &it["status"]).collect();
    assert_eq!(conditions, ["False"; 5], "the conditions report that nothing is left");
    let mut waiting = events.expect("MODIFIED").await;
    assert_eq!(
        waiting["spec"]["finalizers"],
        json!(["example.com/audit"]),
        "only the finalizer of the server is removed"
    );
    waiting["spec"]["finalizers"] = json!([]);
    let answer = server.client.send(Method::PUT, &format!("{NAMESPACES}/team/finalize"), &waiting).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    events.expect("DELETED").await;
}

#[tokio::test]
async fn self_subject_access_and_rules_reviews_are_answered() {
    let server = standalone().await;
    let access = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let ask = async |path: &str, spec: Value| server.client.send(Method::POST, path, &json!({ "spec": spec })).await;
    let attributes = json!({ "verb": "create", "resource": "books", "group": "library.example.com" });
    let answer = ask(access, json!({ "resourceAttributes": attributes })).await;
    let review = answer.json();
    assert_eq!((answer.status, &review["status"]["allowed"]), (201, &json!(true)));
    assert_eq!(
        (&review["kind"], &review["spec"]["resourceAttributes"]),
        (&json!("SelfSubjectAccessReview"), &attributes)
    );
    assert_eq!(ask(access, json!({})).await.status, 422);
    let rules = ask("/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", json!({ "namespace": "default" })).await;
    assert_eq!(rules.json()["status"]["resourceRules"][0]["verbs"], json!(["*"]));
    assert_eq!(server.get(access).await.status, 405);
}

#[tokio::test]
async fn self_subject_review_returns_the_certificate_identity() {
    let server = standalone().await;
    let visitor = Client::connect_as(Who::Visitor, server.address, true).await;
    for (client, name, groups) in [
        (&server.client, "admin", &["system:masters", "system:authenticated"][..]),
        (&visitor, "visitor", &["system:authenticated"]),
    ] {
        let who = client.send(Method::POST, "/apis/authentication.k8s.io/v1/selfsubjectreviews", &json!({})).await;
        assert_eq!(who.json()["status"]["userInfo"], json!({ "username": name, "groups": groups }));
    }
}

#[tokio::test]
async fn stub_kinds_have_empty_lists() {
    let server = standalone().await;
    for path in [
        "/api/v1/secrets",
        "/api/v1/namespaces/attic/secrets?labelSelector=owner%3Dhelm",
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
    ] {
        let list = server.get(path).await.json();
        assert_eq!(list["items"], json!([]), "{path}: {list}");
    }
    let from = server.head().await;
    let path = format!("/api/v1/secrets?watch=true&resourceVersion={from}&timeoutSeconds=1");
    assert_eq!(server.watch(&path).await.rest().await, Vec::<Value>::new());
    assert_eq!(server.get("/api/v1/namespaces/attic/secrets/s").await.status, 404);
    let body = json!({ "metadata": { "name": "s" } });
    assert_eq!(server.client.send(Method::POST, "/api/v1/namespaces/attic/secrets", &body).await.status, 405);
}

#[tokio::test]
async fn config_maps_can_be_stored_and_made_immutable() {
    let server = standalone().await;
    let path = "/api/v1/namespaces/attic/configmaps";
    let map = json!({
        "metadata": { "name": "books", "labels": { "owner": "helm" } },
        "data": { "a": "1", "b.c-d_e": "" }, "binaryData": { "bytes": "AAH/" },
    });
    let created = server.create(path, &map).await;
    assert_eq!((&created["data"], &created["binaryData"]), (&map["data"], &map["binaryData"]));
    let table =
        http::Request::get(format!("https://localhost{path}?labelSelector=owner%3Dhelm")).header("host", "localhost");
    let table = table.header("accept", "application/json;as=Table;v=v1;g=meta.k8s.io").body(Full::default()).unwrap();
    assert_eq!(server.client.request(table).await.json()["rows"][0]["cells"][1], 3);
    let one = format!("{path}/books");
    server.patch(&one, &json!({ "data": { "a": "2" }, "immutable": true })).await;
    let changed =
        server.client.send(Method::PUT, &one, &json!({ "metadata": { "name": "books" }, "data": { "a": "3" } })).await;
    let causes = &changed.json()["details"]["causes"];
    let mut fields: Vec<_> = causes.as_array().unwrap().iter().map(|cause| cause["field"].as_str().unwrap()).collect();
    fields.sort_unstable();
    assert_eq!((changed.status, fields.as_slice()), (422, ["binaryData", "data", "immutable"].as_slice()));
    server.delete("/api/v1/namespaces/attic").await;
    let mut maps = server.watch(&format!("{path}?watch=true&resourceVersion={}", revision(&created))).await;
    assert_eq!(name(&next_gone(&mut maps).await), "books");
}

#[tokio::test]
async fn invalid_config_maps_report_all_field_errors() {
    let server = standalone().await;
    let long = "n".repeat(254);
    let map = json!({
        "metadata": { "name": "bad" },
        "data": { "a b": "", "..": "", "both": "", long.as_str(): "" },
        "binaryData": { "both": "AA==", "odd": "A", "large": "A".repeat(1 << 21) },
    });
    let refused = server.client.send(Method::POST, "/api/v1/namespaces/attic/configmaps", &map).await;
    let causes = &refused.json()["details"]["causes"];
    let mut fields: Vec<_> = causes.as_array().unwrap().iter().map(|cause| cause["field"].as_str().unwrap()).collect();
    fields.sort_unstable();
    let of_long = format!("data[{long}]");
    let wanted = ["binaryData[odd]", "data", "data[..]", "data[a b]", "data[both]", of_long.as_str()];
    assert_eq!((refused.status, fields.as_slice()), (422, wanted.as_slice()));
}
