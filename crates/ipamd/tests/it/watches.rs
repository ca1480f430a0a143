//! Watches: start revisions, initial events and event contents. No event is skipped, repeated or reordered.

use std::{pin::pin, time::Duration};

use futures::TryStreamExt as _;
use http::Method;
use kube::runtime::{WatchStreamExt as _, watcher};
use serde_json::{Value, json};
use testkit::{allocated_cidr, claim, pool};

use crate::support::{
    CLAIMS, POOLS, ServerFixture, TIMEOUT, assert_causes, assert_refused, body, failure, revision, text,
};

/// The query with which present informers start.
const WATCH_LIST: &str = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";

async fn claim_named(front: &ServerFixture, name: &str) {
    front.claim(claim(name).pool("root").length(28).label("colour", "red")).await;
}

/// Returns the current revision.
async fn now(front: &ServerFixture) -> u64 {
    revision(&body(&front.get(CLAIMS).await, 200))
}

#[tokio::test]
async fn watch_continues_from_list_revision() {
    let front = ServerFixture::with_pool().await;
    claim_named(&front, "before").await;
    let from = now(&front).await;
    let mut watch = front.watch(&format!("{CLAIMS}?watch=true&resourceVersion={from}")).await;
    assert_eq!(watch.0.headers["content-type"], "application/json");
    assert!(!watch.0.headers.contains_key("content-length"));
    claim_named(&front, "a").await;
    front.patch(&format!("{CLAIMS}/a"), "merge", &json!({ "metadata": { "labels": { "x": "y" } } })).await;
    front.delete_claim("a").await;
    claim_named(&front, "b").await;
    let mut last = from;
    for (kind, name) in [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a"), ("ADDED", "b")] {
        let object = watch.expect(kind, name).await;
        assert_eq!((text(&object, "/kind"), text(&object, "/apiVersion")), ("IPClaim", "ipam.miloapis.com/v1alpha1"));
        assert_eq!(text(&object, "/status/phase"), "Bound", "one event, with the block in it: {object}");
        assert!(revision(&object) > last, "revisions rise, also with a delete");
        last = revision(&object);
    }
}

#[tokio::test]
async fn watch_from_old_revision_replays_events() {
    let front = ServerFixture::with_pool().await;
    let from = now(&front).await;
    for name in ["a", "b", "c"] {
        claim_named(&front, name).await;
    }
    front.delete_claim("b").await;
    let path = format!("{CLAIMS}?watch=true&resourceVersion={from}");
    let mut whole = front.watch(&path).await;
    let mut revisions = Vec::new();
    for (kind, name) in [("ADDED", "a"), ("ADDED", "b"), ("ADDED", "c"), ("DELETED", "b")] {
        revisions.push(revision(&whole.expect(kind, name).await));
    }
    let mut rest = front.watch(&format!("{CLAIMS}?watch=1&resourceVersion={}", revisions[1])).await;
    assert_eq!(revision(&rest.expect("ADDED", "c").await), revisions[2], "exactly what came after");
    rest.expect("DELETED", "b").await;
}

#[tokio::test]
async fn watch_without_revision_starts_with_existing_objects() {
    let front = ServerFixture::with_pool().await;
    claim_named(&front, "a").await;
    claim_named(&front, "b").await;
    for query in ["watch=true", "watch=true&resourceVersion=0"] {
        let mut watch = front.watch(&format!("{CLAIMS}?{query}&timeoutSeconds=60")).await;
        let mut there = [watch.next().await, watch.next().await];
        there.sort_by(|left, right| text(left, "/object/metadata/name").cmp(text(right, "/object/metadata/name")));
        for (event, name) in there.iter().zip(["a", "b"]) {
            assert_eq!((text(event, "/type"), text(event, "/object/metadata/name")), ("ADDED", name));
        }
        let live = format!("live-{}", query.len());
        claim_named(&front, &live).await;
        watch.expect("ADDED", &live).await;
        front.delete_claim(&live).await;
    }
    let mut one = front.watch(&format!("{CLAIMS}?watch=true&resourceVersion=0&fieldSelector=metadata.name%3Db")).await;
    one.expect("ADDED", "b").await;
    front.delete_claim("a").await;
    front.delete_claim("b").await;
    one.expect("DELETED", "b").await;
}

#[tokio::test]
async fn watch_list_sends_initial_events_end_bookmark() {
    let front = ServerFixture::with_pool().await;
    let mut empty = front.watch(&format!("{CLAIMS}?{WATCH_LIST}")).await;
    assert_is_end_of_beginning(&empty.next().await, now(&front).await);
    claim_named(&front, "a").await;
    empty.expect("ADDED", "a").await;
    for version in ["", "&resourceVersion=", "&resourceVersion=0", &format!("&resourceVersion={}", now(&front).await)] {
        let mut watch = front.watch(&format!("{CLAIMS}?{WATCH_LIST}{version}")).await;
        watch.expect("ADDED", "a").await;
        assert_is_end_of_beginning(&watch.next().await, now(&front).await);
    }
}

fn assert_is_end_of_beginning(event: &Value, at_least: u64) {
    let object = &event["object"];
    assert_eq!(
        (text(event, "/type"), text(object, "/kind"), text(object, "/apiVersion")),
        ("BOOKMARK", "IPClaim", "ipam.miloapis.com/v1alpha1")
    );
    assert_eq!(object["metadata"]["annotations"]["k8s.io/initial-events-end"], "true", "{event}");
    assert!(revision(object) >= at_least);
}

#[tokio::test]
async fn send_initial_events_parameters_are_validated() {
    let front = ServerFixture::with_pool().await;
    for (query, cause) in [
        ("sendInitialEvents=true", "FieldValueForbidden"),
        ("sendInitialEvents=true&resourceVersionMatch=Exact", ""),
        ("resourceVersionMatch=NotOlderThan", "FieldValueForbidden"),
    ] {
        let status = failure(&front.get(&format!("{CLAIMS}?watch=true&{query}")).await);
        assert_refused(&status, 422, "Invalid", &["ListOptions"]);
        assert!(
            crate::support::causes(&status).iter().any(|(reason, _)| reason.contains(cause)),
            "{query}: {status:?}"
        );
    }
    claim_named(&front, "a").await;
    let mut from_now =
        front.watch(&format!("{CLAIMS}?watch=true&sendInitialEvents=false&resourceVersionMatch=NotOlderThan")).await;
    claim_named(&front, "b").await;
    from_now.expect("ADDED", "b").await;
}

#[tokio::test]
async fn watch_sends_bookmark_before_timeout() {
    let front = ServerFixture::with_pool().await;
    claim_named(&front, "a").await;
    let from = now(&front).await;
    front.pool(pool("other").cidr("172.16.0.0/16")).await;
    let mut watch = front
        .watch(&format!("{CLAIMS}?watch=true&resourceVersion={from}&allowWatchBookmarks=true&timeoutSeconds=3"))
        .await;
    let mut last = Value::Null;
    while let Some(line) = watch.0.line(TIMEOUT).await.unwrap() {
        last = serde_json::from_slice(&line).unwrap();
        assert_eq!(last["type"], "BOOKMARK", "no claim changed");
    }
    assert_eq!(
        (text(&last, "/object/kind"), text(&last, "/object/apiVersion")),
        ("IPClaim", "ipam.miloapis.com/v1alpha1")
    );
    assert!(revision(&last["object"]) > from, "writes of other kinds advance the revision");
}

#[tokio::test]
async fn watch_without_bookmarks_times_out_without_events() {
    let front = ServerFixture::with_pool().await;
    let from = now(&front).await;
    let started = std::time::Instant::now();
    let mut watch = front.watch(&format!("{CLAIMS}?watch=true&resourceVersion={from}&timeoutSeconds=2")).await;
    watch.end().await;
    assert!((1..10).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
}

#[tokio::test]
async fn object_leaving_label_selector_is_deleted_with_old_content() {
    let front = ServerFixture::with_pool().await;
    let from = now(&front).await;
    let by_label = format!("{CLAIMS}?watch=true&resourceVersion={from}&labelSelector=colour%3Dred");
    let mut watch = front.watch(&by_label).await;
    claim_named(&front, "a").await;
    let paint = async |colour: &str| {
        let answer = front
            .patch(&format!("{CLAIMS}/a"), "merge", &json!({ "metadata": { "labels": { "colour": colour } } }))
            .await;
        revision(&body(&answer, 200))
    };
    let blue = paint("blue").await;
    paint("green").await;
    let red = paint("red").await;
    front.delete_claim("a").await;
    watch.expect("ADDED", "a").await;
    let left = watch.expect("DELETED", "a").await;
    assert_eq!((text(&left, "/metadata/labels/colour"), revision(&left)), ("red", blue), "old content, new revision");
    assert_eq!(revision(&watch.expect("ADDED", "a").await), red, "green was never seen");
    watch.expect("DELETED", "a").await;
}

#[tokio::test]
async fn object_leaving_field_selector_is_deleted() {
    let front = ServerFixture::open().await;
    front.pool(pool("tiny").cidr("192.0.2.0/32")).await;
    let from = now(&front).await;
    let mut watch =
        front.watch(&format!("{POOLS}?watch=true&resourceVersion={from}&fieldSelector=status.phase%3DReady")).await;
    front.claim(claim("a").pool("tiny").length(32)).await;
    let left = watch.expect("DELETED", "tiny").await;
    assert_eq!((text(&left, "/status/phase"), &left["status"]["capacity"]["allocated"]), ("Ready", &json!(0)));
    assert!(revision(&left) > from);
    front.delete_claim("a").await;
    watch.expect("ADDED", "tiny").await;
}

#[tokio::test]
async fn watch_from_future_revision_waits_for_it() {
    let front = ServerFixture::with_pool().await;
    let future = now(&front).await + 2;
    let mut watch = front.watch(&format!("{CLAIMS}?watch=true&resourceVersion={future}&timeoutSeconds=20")).await;
    let mut after = Vec::new();
    for index in 0..6 {
        let name = format!("c{index}");
        claim_named(&front, &name).await;
        if revision(&body(&front.get(&format!("{CLAIMS}/{name}")).await, 200)) > future {
            after.push(name);
        }
    }
    assert!(!after.is_empty());
    for name in after {
        assert!(revision(&watch.expect("ADDED", &name).await) > future);
    }
    let status = failure(&front.get(&format!("{CLAIMS}?{WATCH_LIST}&resourceVersion={}", future + 1_000_000)).await);
    assert_refused(&status, 504, "Timeout", &["Too large resource version"]);
    assert_causes(&status, &[("ResourceVersionTooLarge", "")]);
}

#[tokio::test]
async fn invalid_watch_parameters_are_bad_request() {
    let front = ServerFixture::with_pool().await;
    for query in ["resourceVersion=abc", "labelSelector=a%20b", "fieldSelector=spec.x%3Dy", "timeoutSeconds=x"] {
        let status = failure(&front.get(&format!("{CLAIMS}?watch=true&{query}")).await);
        assert_refused(&status, 400, "BadRequest", &[]);
    }
}

#[tokio::test]
async fn watch_serves_tables() {
    let front = ServerFixture::with_pool().await;
    let from = now(&front).await;
    let accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
    let mut watch = front.watch_as(&format!("{CLAIMS}?watch=true&resourceVersion={from}"), accept).await;
    claim_named(&front, "a").await;
    front.delete_claim("a").await;
    let (first, second) = (watch.next().await, watch.next().await);
    assert_eq!((text(&first, "/type"), text(&second, "/type")), ("ADDED", "DELETED"));
    for event in [&first, &second] {
        let table = &event["object"];
        assert_eq!((text(table, "/kind"), text(table, "/apiVersion")), ("Table", "meta.k8s.io/v1"));
        assert_eq!(table["rows"].as_array().unwrap().len(), 1);
        let row = &table["rows"][0];
        assert_eq!((text(row, "/cells/0"), text(row, "/object/kind")), ("a", "PartialObjectMetadata"));
        assert_eq!(table["metadata"]["resourceVersion"], row["object"]["metadata"]["resourceVersion"]);
    }
    assert!(first["object"]["columnDefinitions"].as_array().is_some_and(|columns| columns.len() > 3));
    assert_eq!(second["object"]["columnDefinitions"], Value::Null, "columns are sent once");
}

#[tokio::test]
async fn watch_serves_partial_metadata() {
    let front = ServerFixture::with_pool().await;
    let from = now(&front).await;
    let accept = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";
    let mut watch = front.watch_as(&format!("{CLAIMS}?watch=true&resourceVersion={from}"), accept).await;
    claim_named(&front, "a").await;
    let object = watch.expect("ADDED", "a").await;
    assert_eq!((text(&object, "/kind"), text(&object, "/apiVersion")), ("PartialObjectMetadata", "meta.k8s.io/v1"));
    assert_eq!((object.get("spec"), object.get("status")), (None, None));
}

#[tokio::test]
async fn kube_rs_watcher_works_with_list_and_streaming_list() {
    let front = ServerFixture::with_pool().await;
    claim_named(&front, "a").await;
    for config in [watcher::Config::default(), watcher::Config::default().streaming_lists()] {
        let mut seen = pin!(watcher(front.claims.clone(), config).applied_objects());
        let first = tokio::time::timeout(TIMEOUT, seen.try_next()).await.unwrap().unwrap().unwrap();
        assert_eq!((first.metadata.name.as_deref(), allocated_cidr(&first)), (Some("a"), "10.0.0.0/28"));
        claim_named(&front, "b").await;
        let second = tokio::time::timeout(TIMEOUT, seen.try_next()).await.unwrap().unwrap().unwrap();
        assert_eq!(second.metadata.name.as_deref(), Some("b"));
        front.delete_claim("b").await;
    }
}

#[tokio::test]
async fn deprecated_watch_paths_are_served() {
    let front = ServerFixture::with_pool().await;
    let api = crate::support::API;
    let answer = front.send(Method::GET, &format!("{api}/watch/ippools?timeoutSeconds=1"), &[], "").await;
    assert_eq!(answer.status, 200);
    let line = answer.text().lines().next().unwrap().to_owned();
    let event: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((text(&event, "/type"), text(&event, "/object/metadata/name")), ("ADDED", "root"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_watches_get_identical_events() {
    const WATCHES: usize = 40;
    let front = ServerFixture::with_pool().await;
    let from = now(&front).await;
    let mut watches = Vec::new();
    for _ in 0..WATCHES {
        watches.push(front.watch(&format!("{CLAIMS}?watch=true&resourceVersion={from}")).await);
    }
    for index in 0..20 {
        claim_named(&front, &format!("c{index}")).await;
    }
    front.delete_claim("c7").await;
    let mut stories = Vec::new();
    for watch in &mut watches {
        let mut story = Vec::new();
        for _ in 0..21 {
            story.push(watch.next().await);
        }
        stories.push(story);
    }
    assert!(stories.windows(2).all(|pair| pair[0] == pair[1]));
    assert!(watches[0].0.line(Duration::from_millis(200)).await.is_err(), "and nothing more");
}
