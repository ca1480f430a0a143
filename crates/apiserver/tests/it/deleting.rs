//! Deletion of collections: all selected objects, in few commits, with a response of limited size.

use apiserver::limits;
use http::Method;
use serde_json::{Value, json};
use store::Error;

use crate::{
    fault_injecting_store::InjectedFault,
    sample_kinds::{API, BOOKS, book},
    test_server::{Answer, TestServer, name},
};

async fn with_books(count: usize) -> TestServer {
    let server = TestServer::open().await;
    for n in 0..count {
        server.book(&format!("b{n:03}")).await;
    }
    server
}

async fn delete(server: &TestServer, path: &str) -> Answer {
    server.client.send(Method::DELETE, path, &Value::Null).await
}

fn names(list: &Value) -> Vec<&str> {
    list["items"].as_array().unwrap().iter().map(name).collect()
}

async fn left(server: &TestServer) -> usize {
    server.get(BOOKS).await.json()["items"].as_array().unwrap().len()
}

#[tokio::test]
async fn delete_collection_deletes_only_selected_objects() {
    let server = with_books(3).await;
    let answer = delete(&server, &format!("{BOOKS}?fieldSelector=metadata.name!=b001")).await;
    assert_eq!(names(&answer.json()), ["b000", "b002"]);
    assert_eq!(names(&server.get(BOOKS).await.json()), ["b001"]);
    let everywhere = delete(&server, &format!("{API}/books")).await;
    assert_eq!(everywhere.status, 405, "not across namespaces");
}

#[tokio::test]
async fn delete_collection_needs_few_commits() {
    const COUNT: usize = 150;
    let server = with_books(COUNT).await;
    let before = server.store.commits().len();
    let answer = delete(&server, BOOKS).await;
    let expected: Vec<_> = (0..COUNT).map(|n| format!("b{n:03}")).collect();
    assert_eq!((answer.status, names(&answer.json())), (200, expected.iter().map(String::as_str).collect()));
    assert_eq!(left(&server).await, 0);
    // Each round needs about two commits: one of its first command, and one of the rest.
    let commits = server.store.commits().len() - before;
    let rounds = COUNT.div_ceil(limits::COLLECTION_DELETIONS_MAX);
    assert!(commits <= 10 * rounds, "{commits} commits for {COUNT} deletions");
}

#[tokio::test]
async fn delete_collection_honors_limit() {
    let server = with_books(5).await;
    let answer = delete(&server, &format!("{BOOKS}?limit=2&fieldSelector=metadata.name!=b000")).await;
    assert_eq!(names(&answer.json()), ["b001", "b002"]);
    assert_eq!(names(&server.get(BOOKS).await.json()), ["b000", "b003", "b004"]);
}

#[tokio::test]
async fn large_delete_collection_returns_the_number_of_objects() {
    const TITLE: usize = 256 * 1024;
    let server = TestServer::open().await;
    let count = limits::LIST_PAGE_BYTES_MAX / TITLE + 1;
    for n in 0..count {
        let mut large = book(&format!("b{n}"), "a");
        large["spec"]["title"] = Value::from("x".repeat(TITLE));
        server.create(BOOKS, &large).await;
    }
    let answer = delete(&server, BOOKS).await;
    assert_eq!(answer.status, 200);
    let expected = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
        "message": format!("{count} objects were deleted"),
        "details": { "group": "library.example.com", "kind": "books" },
    });
    assert_eq!(answer.json(), expected);
    assert_eq!(left(&server).await, 0);
}

#[tokio::test]
async fn failed_delete_collection_reports_how_many_were_deleted() {
    const COUNT: usize = 100;
    let server = with_books(COUNT).await;
    server.store.release();
    server.store.plan([InjectedFault::Held, InjectedFault::Refused(Error::Unavailable("the disk is full".to_owned()))]);
    let answer = delete(&server, BOOKS).await;
    let gone = COUNT - left(&server).await;
    assert!(gone > 0 && gone < COUNT, "{gone} are gone");
    let status = answer.json();
    assert_eq!((answer.status, &status["reason"]), (503, &json!("ServiceUnavailable")));
    let message = status["message"].as_str().unwrap();
    assert!(message.ends_with(&format!("; {gone} objects of the collection were deleted before that")), "{message}");
    assert_eq!(delete(&server, BOOKS).await.status, 200, "and may be repeated");
    assert_eq!(left(&server).await, 0);
}
