//! Watches: every event once and in order, from the watch cache or from the store, and a defined end.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use apimachinery::command::RequestEntropy;
use apiserver::limits::{self, Limits};
use http::Method;
use serde_json::{Value, json};
use store::{Revision, Store as _};

use crate::{
    fault_injecting_store::FaultInjectingStore,
    sample_kinds::{API, BOOKS, book},
    test_server::{Client, Events, Setup, TestServer, advance, name, revision},
};

const WRITERS: usize = 8;
const BOOKS_EACH: usize = 12;

/// A server whose watch cache holds only a few events.
async fn forgetful() -> TestServer {
    let limits = Limits { recent_events: 8, ..Limits::default() };
    TestServer::set_up(Setup { limits, ..Setup::default() }).await
}

/// Eight writers, each with a separate connection and namespace: create, patch, and delete every other book.
async fn write_much(server: &TestServer) {
    let writers = (0..WRITERS).map(|writer| async move {
        let client = Client::connect(server.address, true).await;
        let books = format!("{API}/namespaces/n{writer}/books");
        for n in 0..BOOKS_EACH {
            let answer = client.send(Method::POST, &books, &book(&format!("b{n}"), "a")).await;
            assert_eq!(answer.status, 201, "{}", answer.text());
            server.patch(&format!("{books}/b{n}"), &json!({ "spec": { "title": "other" } })).await;
            if n % 2 == 0 {
                let path = format!("{books}/b{n}");
                assert_eq!(client.send(Method::DELETE, &path, &Value::Null).await.status, 200);
            }
        }
    });
    futures::future::join_all(writers).await;
}

/// The events that a watch must send for the log after `from`: type and revision.
async fn expected(server: &TestServer, prefix: &str, from: u64) -> Vec<(&'static str, u64)> {
    let log = server.store.log().await;
    let seen = log.iter().filter(|entry| entry.revision.0 > from && entry.key.as_str().starts_with(prefix));
    seen.map(|entry| match (&entry.previous, &entry.value) {
        (None, _) => ("ADDED", entry.revision.0),
        (Some(_), Some(_)) => ("MODIFIED", entry.revision.0),
        (Some(_), None) => ("DELETED", entry.revision.0),
    })
    .collect()
}

/// Reads `count` events: type and revision.
async fn take(events: &mut Events, count: usize) -> Vec<(String, u64)> {
    let mut taken = Vec::with_capacity(count);
    for _ in 0..count {
        let event = events.next().await.expect("an event");
        taken.push((event["type"].as_str().unwrap().to_owned(), revision(&event["object"])));
    }
    taken
}

fn owned(events: &[(&str, u64)]) -> Vec<(String, u64)> {
    events.iter().map(|(event_type, revision)| ((*event_type).to_owned(), *revision)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_watcher_gets_every_event_once_and_in_order() {
    let server = forgetful().await;
    let from = server.head().await;
    let after = format!("watch=true&resourceVersion={from}");
    let mut sleeping = server.watch(&format!("{API}/books?{after}")).await;
    let mut keen = Vec::new();
    for path in [format!("{API}/books"), format!("{API}/namespaces/n3/books"), format!("{API}/shelves")] {
        keen.push(server.watch(&format!("{path}?{after}")).await);
    }
    // A last event marks the end for each of them.
    let read = keen.into_iter().map(|mut events| {
        tokio::spawn(async move {
            let mut seen = Vec::new();
            loop {
                let event = events.next().await.expect("an event");
                seen.push((event["type"].as_str().unwrap().to_owned(), revision(&event["object"])));
                if event["object"]["metadata"]["labels"]["last"] == "yes" {
                    return seen;
                }
            }
        })
    });
    let read: Vec<_> = read.collect();
    write_much(&server).await;
    let last = json!({ "metadata": { "labels": { "last": "yes" } } });
    server.patch(&format!("{API}/namespaces/n3/books/b1"), &last).await;
    server.patch(&format!("{API}/shelves/a"), &last).await;
    for (read, prefix) in read.into_iter().zip(["books/platform/", "books/platform/n3/", "shelves/"]) {
        let expected = expected(&server, prefix, from).await;
        assert_eq!(read.await.unwrap(), owned(&expected), "{prefix}");
    }
    let books = expected(&server, "books/platform/", from).await;
    assert!(books.len() > WRITERS * BOOKS_EACH * 2);
    assert_eq!(
        take(&mut sleeping, books.len()).await,
        owned(&books),
        "a watch that lagged reads the log from the store"
    );
    let now = server.head().await;
    server.book("live").await;
    assert_eq!(take(&mut sleeping, 1).await, [("ADDED".to_owned(), now + 1)], "and then from the watch cache again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn initial_objects_and_later_events_yield_the_current_state() {
    let server = forgetful().await;
    server.book("before").await;
    let writing = write_much(&server);
    let watching = async {
        let mut watches = Vec::new();
        for _ in 0..6 {
            watches.push(server.watch(&format!("{API}/books?watch=true&resourceVersion=0")).await);
            server.patch(&format!("{BOOKS}/before"), &json!({ "spec": { "title": watches.len().to_string() } })).await;
        }
        watches
    };
    let ((), watches) = tokio::join!(writing, watching);
    server.patch(&format!("{BOOKS}/before"), &json!({ "metadata": { "labels": { "last": "yes" } } })).await;
    let list = server.get(&format!("{API}/books")).await.json();
    let identity = |object: &Value| (object["metadata"]["uid"].to_string(), revision(object));
    let present: BTreeSet<_> = list["items"].as_array().unwrap().iter().map(identity).collect();
    for mut watch in watches {
        let mut objects = std::collections::BTreeMap::new();
        loop {
            let event = watch.next().await.unwrap();
            let (uid, revision) = identity(&event["object"]);
            let known = match event["type"].as_str().unwrap() {
                "DELETED" => objects.remove(&uid),
                _ => objects.insert(uid, revision),
            };
            assert_eq!(known.is_some(), event["type"] != "ADDED", "{event}");
            assert!(known.is_none_or(|known| known < revision), "{event}");
            if event["object"]["metadata"]["labels"]["last"] == "yes" {
                break;
            }
        }
        assert_eq!(objects.into_iter().collect::<BTreeSet<_>>(), present);
    }
}

#[tokio::test]
async fn selector_changes_become_added_and_deleted_events() {
    let server = TestServer::open().await;
    server.book("x").await;
    let from = server.head().await;
    let query = format!("watch=true&resourceVersion={from}");
    let mut by_label = server.watch(&format!("{BOOKS}?{query}&labelSelector=colour=red")).await;
    let mut by_field = server.watch(&format!("{BOOKS}?{query}&fieldSelector=spec.title=red")).await;
    let paint = async |colour: &str| {
        let patch = json!({ "metadata": { "labels": { "colour": colour } }, "spec": { "title": colour } });
        server.patch(&format!("{BOOKS}/x"), &patch).await
    };
    let colours = |object: &Value| {
        (object["metadata"]["labels"]["colour"].as_str().map(str::to_owned), object["spec"]["title"].to_string())
    };
    let red = (Some("red".to_owned()), "\"red\"".to_owned());
    paint("blue").await;
    let came = paint("red").await;
    let stayed = server.patch(&format!("{BOOKS}/x"), &json!({ "metadata": { "annotations": { "a": "b" } } })).await;
    let went = paint("blue").await;
    server.delete(&format!("{BOOKS}/x")).await;
    server.create(BOOKS, &json!({ "metadata": { "name": "y", "labels": { "colour": "red" } }, "spec": { "shelf": "a", "title": "red" } })).await;
    server.delete(&format!("{BOOKS}/y")).await;
    for events in [&mut by_label, &mut by_field] {
        assert_eq!(events.expect("ADDED").await, came);
        assert_eq!(events.expect("MODIFIED").await, stayed);
        let gone = events.expect("DELETED").await;
        assert_eq!(
            (revision(&gone), colours(&gone)),
            (revision(&went), red.clone()),
            "the last selected version, with the new revision"
        );
        let again = events.expect("ADDED").await;
        let gone = events.expect("DELETED").await;
        assert_eq!((name(&again), name(&gone)), ("y", "y"));
        assert!(revision(&gone) > revision(&again));
    }
}

#[tokio::test]
async fn initial_events_end_with_a_bookmark() {
    let server = TestServer::open().await;
    for name in ["x", "y"] {
        server.book(name).await;
    }
    let at = server.head().await;
    let query = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    for revision_wanted in ["", "&resourceVersion=0", &format!("&resourceVersion={at}")] {
        let mut watch = server.watch(&format!("{BOOKS}?{query}{revision_wanted}")).await;
        let names = [name(&watch.expect("ADDED").await).to_owned(), name(&watch.expect("ADDED").await).to_owned()];
        assert_eq!(names, ["x", "y"]);
        let bookmark = watch.expect("BOOKMARK").await;
        let expected = json!({ "kind": "Book", "apiVersion": "library.example.com/v1", "metadata": {
            "resourceVersion": at.to_string(), "annotations": { "k8s.io/initial-events-end": "true" }
        } });
        assert_eq!(bookmark, expected);
    }
    let mut empty = server.watch(&format!("{API}/namespaces/cellar/books?{query}")).await;
    assert_eq!(revision(&empty.expect("BOOKMARK").await), at, "an empty initial state ends with a bookmark, too");
    server.create(&format!("{API}/namespaces/cellar/books"), &book("z", "a")).await;
    assert_eq!(name(&empty.expect("ADDED").await), "z");
    let refused = server.get(&format!("{BOOKS}?{query}&resourceVersion={}", at + 1_000_000)).await;
    assert_eq!((refused.status, refused.header("retry-after")), (504, "1"));
    let from_now = "watch=true&sendInitialEvents=false&resourceVersionMatch=NotOlderThan&timeoutSeconds=1";
    let from_now = server.watch(&format!("{BOOKS}?{from_now}")).await;
    assert_eq!(from_now.rest().await, Vec::<Value>::new());
}

#[tokio::test]
async fn watch_ends_at_its_timeout_after_a_bookmark() {
    let server = TestServer::open().await;
    server.book("x").await;
    let before = server.head().await;
    let mut watch = server.watch(&format!("{BOOKS}?watch=true&allowWatchBookmarks=true&timeoutSeconds=3")).await;
    assert_eq!(name(&watch.expect("ADDED").await), "x");
    let after = revision(&server.create(&format!("{API}/shelves"), &crate::sample_kinds::shelf("b", 1)).await);
    assert!(after > before);
    let bookmark = watch.expect("BOOKMARK").await;
    assert_eq!(revision(&bookmark), after, "the bookmark includes events of other kinds");
    assert_eq!(bookmark["metadata"].get("annotations"), None);
    assert_eq!(watch.next().await, None);
    let silent = server.watch(&format!("{BOOKS}?watch=true&resourceVersion={after}&timeoutSeconds=1")).await;
    assert_eq!(silent.rest().await, Vec::<Value>::new(), "bookmarks are sent only on request");
}

#[tokio::test]
async fn watch_at_a_future_revision_waits_for_it() {
    let server = TestServer::open().await;
    let future = server.head().await + 3;
    let mut watch = server.watch(&format!("{BOOKS}?watch=true&resourceVersion={future}")).await;
    // The first book takes three revisions: itself, its card, the shelf.
    server.book("x").await;
    assert_eq!(server.head().await, future);
    server.book("y").await;
    assert_eq!(name(&watch.expect("ADDED").await), "y");
}

#[tokio::test]
async fn watch_of_compacted_history_ends_with_410() {
    let server = forgetful().await;
    for n in 0..4 {
        server.book(&format!("x{n}")).await;
    }
    let head = server.head().await;
    server.store.compact(Revision(head)).await.unwrap();
    let mut watch = server.watch(&format!("{BOOKS}?watch=true&resourceVersion=3")).await;
    let status = watch.expect("ERROR").await;
    let expected = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": format!("too old resource version: 3 ({head})"), "reason": "Expired", "code": 410
    });
    assert_eq!(status, expected);
    assert_eq!(watch.next().await, None, "a clean end");
    let mut recent = server.watch(&format!("{BOOKS}?watch=true&resourceVersion={}", head - 3)).await;
    assert_eq!(name(&recent.expect("ADDED").await), "x3", "cached events are still served");
}

#[tokio::test]
async fn error_event_is_a_status_in_table_watches_too() {
    let server = forgetful().await;
    for n in 0..4 {
        server.book(&format!("x{n}")).await;
    }
    let head = server.head().await;
    server.store.compact(Revision(head)).await.unwrap();
    let path = format!("{BOOKS}?watch=true&resourceVersion=3");
    for form in ["Table", "PartialObjectMetadata"] {
        let accept = format!("application/json;as={form};v=v1;g=meta.k8s.io");
        let mut watch = server.client.watch_as(&path, &accept).await;
        let status = watch.expect("ERROR").await;
        assert_eq!((&status["kind"], &status["apiVersion"]), (&json!("Status"), &json!("v1")));
        assert_eq!((&status["reason"], &status["code"]), (&json!("Expired"), &json!(410)));
        assert_eq!(watch.next().await, None);
    }
}

#[tokio::test]
async fn bookmark_is_sent_every_minute() {
    let server = TestServer::open().await;
    let head = server.head().await;
    let path = format!("{BOOKS}?watch=true&resourceVersion={head}&allowWatchBookmarks=true");
    let mut watch = Client::connect(server.address, false).await.watch(&path).await;
    for _ in 0..3 {
        advance(Duration::from_mins(1)).await;
        let bookmark = watch.next().await.expect("a bookmark");
        assert_eq!((&bookmark["type"], revision(&bookmark["object"])), (&json!("BOOKMARK"), head));
    }
    advance(Duration::from_secs(50)).await;
    server.book("x").await;
    watch.expect("ADDED").await;
}

#[tokio::test]
async fn default_watch_timeout_is_random_between_30_and_60_minutes() {
    // The first random byte, and the resulting lifetime in minutes.
    for (byte, expected) in [(0, 30.0), (128, 45.0), (255, 59.9)] {
        let random_source: apiserver::entropy::RandomSource = Arc::new(move || Ok(RequestEntropy([byte; 32])));
        let server = TestServer::set_up(Setup { random_source: Some(random_source), ..Setup::default() }).await;
        let client = Client::connect(server.address, false).await;
        let mut watch = client.watch(&format!("{BOOKS}?watch=true&resourceVersion={}", server.head().await)).await;
        advance(Duration::from_secs_f64(expected * 60.0 - 10.0)).await;
        server.book("x").await;
        watch.expect("ADDED").await;
        advance(Duration::from_secs(20)).await;
        assert_eq!(watch.next().await, None, "{expected} minutes are over");
    }
}

#[tokio::test]
async fn http2_connection_carries_a_thousand_watches() {
    let limits = Limits { http2_streams: 1_000, ..Limits::default() };
    let server = TestServer::set_up(Setup { limits, ..Setup::default() }).await;
    let client = Client::connect(server.address, true).await;
    let path = format!("{BOOKS}?watch=true&resourceVersion={}", server.head().await);
    let watches = futures::future::join_all((0..1_000).map(|_| client.watch(&path))).await;
    let created = server.book("x").await;
    for mut watch in watches {
        assert_eq!(watch.expect("ADDED").await, created);
    }
}

#[tokio::test]
async fn watch_events_are_counted_and_measured() {
    let server = TestServer::open().await;
    server.book("x").await;
    let mut watch = server.watch(&format!("{BOOKS}?watch=true")).await;
    watch.expect("ADDED").await;
    server.book("y").await;
    let told = watch.expect("ADDED").await;
    let place = "{group=\"library.example.com\",version=\"v1\",kind=\"Book\"}";
    assert_eq!(server.metric(&format!("apiserver_watch_events_total{place}")).await.as_deref(), Some("2"));
    assert_eq!(server.metric(&format!("apiserver_watch_events_sizes_count{place}")).await.as_deref(), Some("2"));
    let bytes: f64 = server.metric(&format!("apiserver_watch_events_sizes_sum{place}")).await.unwrap().parse().unwrap();
    let length = told.to_string().len() as f64;
    assert!((2.0 * length..2.0 * length + 100.0).contains(&bytes), "{bytes} bytes for two events of {length}");
    let place = "{group=\"library.example.com\",version=\"v1\",resource=\"books\",scope=\"namespace\"}";
    let listed = server.metric(&format!("apiserver_watch_list_duration_seconds_count{place}")).await;
    assert_eq!(listed.as_deref(), Some("1"));
}

#[tokio::test]
async fn watch_path_with_a_name_selects_that_object() {
    let server = TestServer::open().await;
    for name in ["x", "xy", "y"] {
        server.book(name).await;
    }
    let from = server.head().await;
    let watch = format!("{API}/watch/namespaces/attic/books/x");
    for path in [
        format!("{watch}?timeoutSeconds=1"),
        format!("{watch}?fieldSelector=spec.title=x&timeoutSeconds=1"),
        format!("{BOOKS}?watch=true&fieldSelector=metadata.name=x&timeoutSeconds=1"),
    ] {
        let events = server.watch(&path).await.rest().await;
        assert_eq!(events.iter().map(|event| name(&event["object"])).collect::<Vec<_>>(), ["x"], "{path}");
    }
    let mut live = server.watch(&format!("{watch}?resourceVersion={from}")).await;
    for name in ["y", "xy", "x"] {
        server.delete(&format!("{BOOKS}/{name}")).await;
    }
    assert_eq!(name(&live.expect("DELETED").await), "x");
    let contradiction = server.watch(&format!("{watch}?fieldSelector=metadata.name=y&timeoutSeconds=1")).await;
    assert_eq!(contradiction.rest().await, Vec::<Value>::new());
}

#[tokio::test]
async fn largest_timeout_seconds_is_accepted() {
    let server = TestServer::open().await;
    server.book("x").await;
    let mut watch = server.watch(&format!("{BOOKS}?watch=true&timeoutSeconds={}", i64::MAX)).await;
    assert_eq!(name(&watch.expect("ADDED").await), "x");
}

#[tokio::test]
async fn watches_are_limited_and_ended_ones_free_a_permit() {
    let limits = Limits { watches: 2, ..Limits::default() };
    let server = TestServer::set_up(Setup { limits, ..Setup::default() }).await;
    let path = format!("{BOOKS}?watch=true");
    let first = server.watch(&path).await;
    let _second = server.watch(&path).await;
    assert_eq!(server.metric("apiserver_longrunning_requests").await.as_deref(), Some("2"));
    let third = server.get(&path).await;
    assert_eq!((third.status, third.header("retry-after")), (429, "1"));
    assert_eq!(server.get(BOOKS).await.status, 200, "reads continue");
    drop(first);
    while server.get(&format!("{path}&timeoutSeconds=1")).await.status != 200 {}
}

/// A store with more events than connection, window and chunk hold together: a watch that is not read has most of them
/// still to send.
async fn backlog(count: usize) -> FaultInjectingStore {
    FaultInjectingStore::with_books(count, 16 * 1024).await
}

#[tokio::test]
async fn watch_with_a_backlog_ends_at_its_timeout() {
    const COUNT: usize = 1_500;
    let server = TestServer::starting(Setup::default(), backlog(COUNT).await).await.restored().await;
    let after = format!("{BOOKS}?watch=true&resourceVersion=1");
    let mut timed = server.watch(&format!("{after}&timeoutSeconds=1")).await;
    let mut stopped = server.watch(&after).await;
    timed.expect("ADDED").await;
    stopped.expect("ADDED").await;
    // When this watch, which began later, has ended, the time of the first one is over.
    let idle = server.watch(&format!("{API}/shelves?watch=true&resourceVersion={COUNT}&timeoutSeconds=1")).await;
    assert_eq!(idle.rest().await, Vec::<Value>::new());
    let told = timed.rest().await.len();
    assert!(told < COUNT - 2, "it ended before it had sent all events, after {told}");
    server.server.end_watches();
    let told = stopped.rest().await.len();
    assert!(told < COUNT - 2, "it ended before it had sent all events, after {told}");
}

#[tokio::test]
async fn slow_watchers_do_not_block_others() {
    const COUNT: usize = 500;
    let server = TestServer::starting(Setup::default(), backlog(COUNT).await).await.restored().await;
    let path = format!("{BOOKS}?watch=true&resourceVersion=1");
    let mut asleep = Vec::new();
    for _ in 0..4 * limits::WATCHES_PER_ROUND {
        asleep.push(server.watch(&path).await);
    }
    let mut keen = Client::connect(server.address, true).await.watch(&path).await;
    assert_eq!(take(&mut keen, COUNT - 1).await.last().unwrap().1, COUNT as u64);
    for mut watch in asleep {
        assert_eq!(take(&mut watch, COUNT - 1).await.last().unwrap().1, COUNT as u64, "no event was lost");
    }
}
