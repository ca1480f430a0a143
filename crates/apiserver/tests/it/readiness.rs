//! `/readyz` of a server whose store hangs, fails or is full, requested over the network, and how the server detects
//! that it has recovered.

use std::time::Duration;

use apiserver::limits;
use futures::future::join_all;
use http::Method;
use store::Error;
use tokio::task::JoinHandle;

use crate::{
    faulty::{Fault, FaultyStore},
    front::{Answer, Client, Front, Setup, fly, name},
    library::{API, BOOKS, book, shelf},
};

const SECOND: Duration = Duration::from_secs(1);
const FULL: &str = "no space is left";

/// A server on a log that others may write to as well.
async fn shared() -> Front {
    let front = Front::starting(Setup::default(), FaultyStore::shared()).await.restored().await;
    front.create(&format!("{API}/shelves"), &shelf("a", 100)).await;
    front
}

/// Creates a book without waiting for the response.
fn ask(front: &Front, name: &'static str) -> JoinHandle<Answer> {
    let client: Client = front.client.clone();
    tokio::spawn(async move { client.send(Method::POST, BOOKS, &book(name, "a")).await })
}

/// Creates a book, which fails because the store fails.
async fn refused(front: &Front, name: &'static str) {
    assert_eq!(ask(front, name).await.unwrap().status, 503);
}

async fn reason(front: &Front, check: &str) -> String {
    front.get(&format!("/readyz/{check}")).await.text()
}

fn is_full() -> Error {
    Error::Unavailable(FULL.to_owned())
}

#[tokio::test]
async fn probes_do_not_reach_the_store() {
    let front = Front::open().await;
    front.until_ready(true).await;
    front.store.hold_heads(true);
    front.store.heads_asked(front.store.heads() + 1).await;
    let asked = front.store.heads();
    let paths = ["/readyz", "/readyz?verbose", "/livez", "/readyz/store", "/metrics"];
    for answer in join_all((0..500).map(|n| front.get(paths[n % paths.len()]))).await {
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    assert_eq!(front.store.heads(), asked, "the one probe is still waiting");
}

#[tokio::test]
async fn store_that_hangs_makes_the_server_unready() {
    let front = Front::open().await;
    front.until_ready(true).await;
    front.store.hold_heads(true);
    front.store.heads_asked(front.store.heads() + 1).await;
    fly(limits::PROBE_TIMEOUT + SECOND).await;
    front.until_ready(false).await;
    let why = reason(&front, "store").await;
    assert!(why.starts_with("internal server error: no answer for "), "{why}");
    assert_eq!(front.metric("kubernetes_healthcheck{name=\"store\",type=\"readyz\"}").await.as_deref(), Some("0"));
    assert_eq!(front.get("/livez").await.status, 200, "a restart would not help");
    front.store.hold_heads(false);
    front.until_ready(true).await;
}

#[tokio::test]
async fn commit_that_hangs_makes_the_server_unready() {
    for front in [Front::open().await, shared().await] {
        front.until_ready(true).await;
        let begun = front.store.commits().len();
        front.store.plan([Fault::Held]);
        let write = ask(&front, "x");
        front.store.commits_begun(begun + 1).await;
        fly(limits::COMMAND_AGE_MAX + SECOND).await;
        front.until_ready(false).await;
        let why = reason(&front, "commits").await;
        assert!(why.contains("the oldest write has been waiting for its commit for "), "{why}");
        assert_eq!(reason(&front, "store").await, "ok", "reads continue");
        let age: f64 = front.metric("ipam_commit_oldest_command_age_seconds ").await.unwrap().parse().unwrap();
        assert!(age > limits::COMMAND_AGE_MAX.as_secs_f64(), "{age}");
        front.store.release();
        assert_eq!(write.await.unwrap().status, 201);
        front.until_ready(true).await;
        assert_eq!(front.metric("ipam_commit_oldest_command_age_seconds ").await.as_deref(), Some("0"));
    }
}

#[tokio::test]
async fn client_that_goes_away_does_not_hide_a_commit_that_hangs() {
    let front = Front::open().await;
    let begun = front.store.commits().len();
    front.store.plan([Fault::Held]);
    let write = ask(&front, "x");
    front.store.commits_begun(begun + 1).await;
    write.abort();
    fly(limits::COMMAND_AGE_MAX + SECOND).await;
    front.until_ready(false).await;
    front.store.release();
    front.until_ready(true).await;
}

#[tokio::test]
async fn failed_commit_makes_the_server_unready_until_one_of_its_own_succeeds() {
    for front in [Front::open().await, shared().await] {
        front.book("before").await;
        let mut watch = front.watch(&format!("{BOOKS}?watch=true&resourceVersion={}", front.head().await)).await;
        let faults = [Fault::Refused(is_full()), Fault::Refused(is_full()), Fault::Begin(is_full())];
        front.store.plan(faults);
        refused(&front, "x").await;
        assert_eq!(front.get("/readyz").await.status, 500);
        let why = reason(&front, "commits").await;
        assert!(why.contains("the last commit failed 0 s ago") && why.contains(FULL), "{why}");
        assert_eq!(
            front.metric("kubernetes_healthcheck{name=\"commits\",type=\"readyz\"}").await.as_deref(),
            Some("0")
        );
        // There are no other writes.
        front.until_ready(true).await;
        let log = front.store.log().await;
        let heartbeats = log.iter().filter(|entry| entry.key.as_str() == ".log").count();
        assert_eq!(heartbeats, 2, "the first entry of the log, and one commit that succeeded");
        front.book("after").await;
        assert_eq!(name(&watch.expect("ADDED").await), "after", "watches see only books");
        let revisions: Vec<u64> = front.store.log().await.iter().map(|entry| entry.revision.0).collect();
        assert!(revisions.iter().copied().eq(1..=revisions.len() as u64), "{revisions:?}");
    }
}

#[tokio::test]
async fn commit_of_its_own_whose_answer_is_lost_is_looked_for() {
    let lost: [fn() -> Fault; 2] = [|| Fault::AnswerLost, || Fault::CommitLost];
    for fault in lost {
        for front in [Front::open().await, shared().await] {
            front.store.plan([Fault::Refused(is_full()), fault()]);
            refused(&front, "x").await;
            front.until_ready(true).await;
            front.book("after").await;
        }
    }
}

#[tokio::test]
async fn write_of_a_client_ends_the_outage_too() {
    let front = Front::open().await;
    front.store.plan([Fault::Refused(is_full())]);
    refused(&front, "x").await;
    assert_eq!(front.get("/readyz").await.status, 500);
    front.book("x").await;
    assert_eq!(front.get("/readyz").await.status, 200);
}
