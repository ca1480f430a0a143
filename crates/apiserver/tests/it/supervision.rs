//! Tasks of a server that panic, and stored bytes of another program that are not valid objects.

use apiserver_standalone::Standalone;
use http::Method;
use serde_json::json;
use tokio::time::timeout;

use crate::{
    fault_injecting_store::FaultInjectingStore,
    sample_kinds::{API, BOOKS, PANICS_IN_APPLY, book, shelf},
    test_server::{Setup, TIMEOUT, TestServer, name},
};

const NOT_AN_OBJECT: &str = "{\"metadata\": {\"ownerReferences\": 7";

/// A server on a log that others may write to as well, with a shelf `a` and the namespace `attic`.
async fn shared(standalone: Option<Standalone>) -> TestServer {
    let setup = Setup { standalone, ..Setup::default() };
    let server = TestServer::starting(setup, FaultInjectingStore::shared()).await.restored().await;
    server.create(&format!("{API}/shelves"), &shelf("a", 100)).await;
    if standalone.is_some() {
        server.make_namespace("attic").await;
    }
    server
}

/// Waits until a book is deleted.
async fn gone(server: &TestServer, name: &str) {
    let gone = async { while server.get(&format!("{BOOKS}/{name}")).await.status != 404 {} };
    timeout(TIMEOUT, gone).await.unwrap_or_else(|_| panic!("{name} is not gone"));
}

/// Creates a book `name` and an owner, and deletes the owner.
async fn delete_owner(server: &TestServer, name: &str) {
    let owner = server.book(&format!("{name}-owner")).await;
    let mut dependent = book(name, "a");
    dependent["metadata"]["ownerReferences"] = json!([{
        "apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"],
    }]);
    server.create(BOOKS, &dependent).await;
    server.delete(&format!("{BOOKS}/{name}-owner")).await;
}

#[tokio::test]
async fn panic_of_the_committer_is_reported() {
    let mut server = TestServer::open().await;
    let write = server.client.send(Method::POST, &format!("{API}/shelves"), &shelf(PANICS_IN_APPLY, 1)).await;
    assert_eq!(write.status, 500);
    let failure = timeout(TIMEOUT, server.ends.failure()).await.expect("a report");
    assert_eq!(failure.to_string(), "the committer failed");
}

#[tokio::test]
async fn panicking_controllers_are_restarted() {
    let store = FaultInjectingStore::new();
    let server = TestServer::starting(Setup::standalone(), store.clone()).await;
    store.panic_at("clusterroles/");
    let server = server.restored().await;
    server.create(&format!("{API}/shelves"), &shelf("a", 100)).await;
    server.make_namespace("attic").await;
    delete_owner(&server, "x").await;
    gone(&server, "x").await;
    assert!(!store.is_trapped());
    let restarts = async |task: &str| server.metric(&format!("ipam_task_restarts_total{{task=\"{task}\"}}")).await;
    assert_eq!(restarts("garbage collector").await.as_deref(), Some("1"));
    store.panic_at("books/");
    server.delete("/api/v1/namespaces/attic").await;
    let emptied = async { while server.get("/api/v1/namespaces/attic").await.status != 404 {} };
    timeout(TIMEOUT, emptied).await.expect("the namespace goes");
    assert_eq!(restarts("namespace controller").await.as_deref(), Some("1"));
}

#[tokio::test]
async fn watch_of_an_invalid_stored_object_ends_with_an_error() {
    let server = shared(None).await;
    let all = format!("{BOOKS}?watch=true&resourceVersion={}", server.head().await);
    let mut selecting = server.watch(&format!("{all}&labelSelector=a%21=b")).await;
    let mut whole = server.watch(&format!("{API}/shelves?watch=true&resourceVersion={}", server.head().await)).await;
    server.book("x").await;
    server.store.write_bytes_externally("books/platform/attic/bad", Some(NOT_AN_OBJECT)).await;
    assert_eq!(name(&selecting.expect("ADDED").await), "x");
    let status = selecting.expect("ERROR").await;
    assert_eq!((&status["code"], &status["reason"]), (&json!(500), &json!("InternalError")), "{status}");
    assert_eq!(selecting.next().await, None);
    // The connection, which both share, continues.
    server.book("y").await;
    for _ in 0..2 {
        assert_eq!(name(&whole.expect("MODIFIED").await), "a");
    }
}

#[tokio::test]
async fn controllers_skip_invalid_stored_objects() {
    let server = shared(Some(Standalone::default())).await;
    for key in ["books/platform/attic/bad", "namespaces/platform//bad"] {
        for value in [Some(NOT_AN_OBJECT), Some("{"), None] {
            server.store.write_bytes_externally(key, value).await;
        }
        server.store.write_bytes_externally(key, Some(NOT_AN_OBJECT)).await;
    }
    delete_owner(&server, "x").await;
    gone(&server, "x").await;
    for task in ["garbage collector", "namespace controller"] {
        let restarts = server.metric(&format!("ipam_task_restarts_total{{task=\"{task}\"}}")).await;
        assert_eq!(restarts, None, "{task}");
    }
    // The same holds for a server that starts with such objects in the store.
    let again = TestServer::starting(Setup::standalone(), server.store.clone()).await.restored().await;
    delete_owner(&again, "y").await;
    gone(&again, "y").await;
}
