//! Tasks of a server that panic, and stored bytes of another program that are not valid objects.

use apiserver::standalone::Surroundings;
use http::Method;
use serde_json::json;
use tokio::time::timeout;

use crate::{
    faulty::FaultyStore,
    front::{Front, SOON, Setup, name},
    library::{API, BOOKS, UNBEARABLE, book, shelf},
};

const NOT_AN_OBJECT: &str = "{\"metadata\": {\"ownerReferences\": 7";

/// A server on a log that others may write to as well, with a shelf `a` and the namespace `attic`.
async fn shared(surroundings: Surroundings) -> Front {
    let setup = Setup { surroundings, ..Setup::default() };
    let front = Front::starting(setup, FaultyStore::shared()).await.restored().await;
    front.create(&format!("{API}/shelves"), &shelf("a", 100)).await;
    if surroundings == Surroundings::Nothing {
        front.make_namespace("attic").await;
    }
    front
}

/// Waits until a book is deleted.
async fn gone(front: &Front, name: &str) {
    let gone = async { while front.get(&format!("{BOOKS}/{name}")).await.status != 404 {} };
    timeout(SOON, gone).await.unwrap_or_else(|_| panic!("{name} is not gone"));
}

/// Creates a book `name` and an owner, and deletes the owner.
async fn bereave(front: &Front, name: &str) {
    let owner = front.book(&format!("{name}-owner")).await;
    let mut dependent = book(name, "a");
    dependent["metadata"]["ownerReferences"] = json!([{
        "apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"],
    }]);
    front.create(BOOKS, &dependent).await;
    front.delete(&format!("{BOOKS}/{name}-owner")).await;
}

#[tokio::test]
async fn committer_that_panics_is_reported() {
    let mut front = Front::open().await;
    let write = front.client.send(Method::POST, &format!("{API}/shelves"), &shelf(UNBEARABLE, 1)).await;
    assert_eq!(write.status, 500);
    let failure = timeout(SOON, front.ends.failure()).await.expect("a report");
    assert_eq!(failure.to_string(), "the committer failed");
}

#[tokio::test]
async fn garbage_collector_and_namespace_controller_that_panic_are_started_again() {
    let store = FaultyStore::new();
    let front = Front::starting(Setup::alone(), store.clone()).await;
    store.panic_at("clusterroles/");
    let front = front.restored().await;
    front.create(&format!("{API}/shelves"), &shelf("a", 100)).await;
    front.make_namespace("attic").await;
    bereave(&front, "x").await;
    gone(&front, "x").await;
    assert!(!store.is_trapped());
    let restarts = async |task: &str| front.metric(&format!("ipam_task_restarts_total{{task=\"{task}\"}}")).await;
    assert_eq!(restarts("garbage collector").await.as_deref(), Some("1"));
    store.panic_at("books/");
    front.delete("/api/v1/namespaces/attic").await;
    let emptied = async { while front.get("/api/v1/namespaces/attic").await.status != 404 {} };
    timeout(SOON, emptied).await.expect("the namespace goes");
    assert_eq!(restarts("namespace controller").await.as_deref(), Some("1"));
}

#[tokio::test]
async fn watch_that_cannot_read_an_object_ends_with_an_error() {
    let front = shared(Surroundings::Cluster).await;
    let all = format!("{BOOKS}?watch=true&resourceVersion={}", front.head().await);
    let mut selecting = front.watch(&format!("{all}&labelSelector=a%21=b")).await;
    let mut whole = front.watch(&format!("{API}/shelves?watch=true&resourceVersion={}", front.head().await)).await;
    front.book("x").await;
    front.store.write_bytes_behind_the_back("books/platform/attic/bad", Some(NOT_AN_OBJECT)).await;
    assert_eq!(name(&selecting.expect("ADDED").await), "x");
    let status = selecting.expect("ERROR").await;
    assert_eq!((&status["code"], &status["reason"]), (&json!(500), &json!("InternalError")), "{status}");
    assert_eq!(selecting.next().await, None);
    // The connection, which both share, continues.
    front.book("y").await;
    for _ in 0..2 {
        assert_eq!(name(&whole.expect("MODIFIED").await), "a");
    }
}

#[tokio::test]
async fn controllers_pass_over_what_is_not_an_object() {
    let front = shared(Surroundings::Nothing).await;
    for key in ["books/platform/attic/bad", "namespaces/platform//bad"] {
        for value in [Some(NOT_AN_OBJECT), Some("{"), None] {
            front.store.write_bytes_behind_the_back(key, value).await;
        }
        front.store.write_bytes_behind_the_back(key, Some(NOT_AN_OBJECT)).await;
    }
    bereave(&front, "x").await;
    gone(&front, "x").await;
    for task in ["garbage collector", "namespace controller"] {
        let restarts = front.metric(&format!("ipam_task_restarts_total{{task=\"{task}\"}}")).await;
        assert_eq!(restarts, None, "{task}");
    }
    // The same holds for a server that starts with such objects in the store.
    let again = Front::starting(Setup::alone(), front.store.clone()).await.restored().await;
    bereave(&again, "y").await;
    gone(&again, "y").await;
}
