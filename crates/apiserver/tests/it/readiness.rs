//! `/readyz` of a server whose store hangs, fails or is full, requested over the network, and how the server detects
//! that it has recovered.

use std::time::Duration;

use apiserver::limits;
use futures::future::join_all;
use http::Method;
use store::Error;
use tokio::task::JoinHandle;

use crate::{
    fault_injecting_store::{FaultInjectingStore, InjectedFault},
    sample_kinds::{API, BOOKS, book, shelf},
    test_server::{Answer, Client, Setup, TestServer, advance, name},
};

const SECOND: Duration = Duration::from_secs(1);
const FULL: &str = "no space is left";

/// A server on a log that others may write to as well.
async fn shared() -> TestServer {
    let server = TestServer::starting(Setup::default(), FaultInjectingStore::shared()).await.restored().await;
    server.create(&format!("{API}/shelves"), &shelf("a", 100)).await;
    server
}

/// Creates a book without waiting for the response.
fn ask(server: &TestServer, name: &'static str) -> JoinHandle<Answer> {
    let client: Client = server.client.clone();
    tokio::spawn(async move { client.send(Method::POST, BOOKS, &book(name, "a")).await })
}

/// Creates a book, which fails because the store fails.
async fn refused(server: &TestServer, name: &'static str) {
    assert_eq!(ask(server, name).await.unwrap().status, 503);
}

async fn reason(server: &TestServer, check: &str) -> String {
    server.get(&format!("/readyz/{check}")).await.text()
}

fn is_full() -> Error {
    Error::Unavailable(FULL.to_owned())
}

#[tokio::test]
async fn probes_do_not_reach_the_store() {
    let server = TestServer::open().await;
    server.until_ready(true).await;
    server.store.hold_heads(true);
    server.store.heads_asked(server.store.heads() + 1).await;
    let asked = server.store.heads();
    let paths = ["/readyz", "/readyz?verbose", "/livez", "/readyz/store", "/metrics"];
    for answer in join_all((0..500).map(|n| server.get(paths[n % paths.len()]))).await {
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    assert_eq!(server.store.heads(), asked, "the one probe is still waiting");
}

#[tokio::test]
async fn hanging_store_makes_the_server_unready() {
    let server = TestServer::open().await;
    server.until_ready(true).await;
    server.store.hold_heads(true);
    server.store.heads_asked(server.store.heads() + 1).await;
    advance(limits::PROBE_TIMEOUT + SECOND).await;
    server.until_ready(false).await;
    let why = reason(&server, "store").await;
    assert!(why.starts_with("internal server error: no answer for "), "{why}");
    assert_eq!(server.metric("kubernetes_healthcheck{name=\"store\",type=\"readyz\"}").await.as_deref(), Some("0"));
    assert_eq!(server.get("/livez").await.status, 200, "a restart would not help");
    server.store.hold_heads(false);
    server.until_ready(true).await;
}

#[tokio::test]
async fn hanging_commit_makes_the_server_unready() {
    for server in [TestServer::open().await, shared().await] {
        server.until_ready(true).await;
        let begun = server.store.commits().len();
        server.store.plan([InjectedFault::Held]);
        let write = ask(&server, "x");
        server.store.commits_begun(begun + 1).await;
        advance(limits::COMMAND_AGE_MAX + SECOND).await;
        server.until_ready(false).await;
        let why = reason(&server, "commits").await;
        assert!(why.contains("the oldest write has been waiting for its commit for "), "{why}");
        assert_eq!(reason(&server, "store").await, "ok", "reads continue");
        let age: f64 = server.metric("ipam_commit_oldest_command_age_seconds ").await.unwrap().parse().unwrap();
        assert!(age > limits::COMMAND_AGE_MAX.as_secs_f64(), "{age}");
        server.store.release();
        assert_eq!(write.await.unwrap().status, 201);
        server.until_ready(true).await;
        assert_eq!(server.metric("ipam_commit_oldest_command_age_seconds ").await.as_deref(), Some("0"));
    }
}

#[tokio::test]
async fn hanging_commit_is_detected_after_its_client_disconnected() {
    let server = TestServer::open().await;
    let begun = server.store.commits().len();
    server.store.plan([InjectedFault::Held]);
    let write = ask(&server, "x");
    server.store.commits_begun(begun + 1).await;
    write.abort();
    advance(limits::COMMAND_AGE_MAX + SECOND).await;
    server.until_ready(false).await;
    server.store.release();
    server.until_ready(true).await;
}

#[tokio::test]
async fn failed_commit_makes_the_server_unready_until_a_heartbeat_succeeds() {
    for server in [TestServer::open().await, shared().await] {
        server.book("before").await;
        let mut watch = server.watch(&format!("{BOOKS}?watch=true&resourceVersion={}", server.head().await)).await;
        let faults =
            [InjectedFault::Refused(is_full()), InjectedFault::Refused(is_full()), InjectedFault::Begin(is_full())];
        server.store.plan(faults);
        refused(&server, "x").await;
        assert_eq!(server.get("/readyz").await.status, 500);
        let why = reason(&server, "commits").await;
        assert!(why.contains("the last commit failed 0 s ago") && why.contains(FULL), "{why}");
        assert_eq!(
            server.metric("kubernetes_healthcheck{name=\"commits\",type=\"readyz\"}").await.as_deref(),
            Some("0")
        );
        // There are no other writes.
        server.until_ready(true).await;
        let log = server.store.log().await;
        let heartbeats = log.iter().filter(|entry| entry.key.as_str() == ".log").count();
        assert_eq!(heartbeats, 2, "the first entry of the log, and one commit that succeeded");
        server.book("after").await;
        assert_eq!(name(&watch.expect("ADDED").await), "after", "watches see only books");
        let revisions: Vec<u64> = server.store.log().await.iter().map(|entry| entry.revision.0).collect();
        assert!(revisions.iter().copied().eq(1..=revisions.len() as u64), "{revisions:?}");
    }
}

#[tokio::test]
async fn heartbeat_with_a_lost_response_is_resolved() {
    let lost: [fn() -> InjectedFault; 2] = [|| InjectedFault::AnswerLost, || InjectedFault::CommitLost];
    for fault in lost {
        for server in [TestServer::open().await, shared().await] {
            server.store.plan([InjectedFault::Refused(is_full()), fault()]);
            refused(&server, "x").await;
            server.until_ready(true).await;
            server.book("after").await;
        }
    }
}

#[tokio::test]
async fn successful_client_write_makes_the_server_ready() {
    let server = TestServer::open().await;
    server.store.plan([InjectedFault::Refused(is_full())]);
    refused(&server, "x").await;
    assert_eq!(server.get("/readyz").await.status, 500);
    server.book("x").await;
    assert_eq!(server.get("/readyz").await.status, 200);
}
