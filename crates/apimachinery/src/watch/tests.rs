//! Tests of starts, filtering and encoding.

use serde_json::{Value, json};

use super::*;
use crate::{fixture, options::Query};

fn started(query: &str) -> Start {
    let query = Query::parse(query).unwrap();
    start(&ListOptions::parse(&query, &fixture::book()).unwrap())
}

const WATCH_LIST: &str = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan";

#[test]
fn watch_without_version_starts_with_current_objects() {
    assert_eq!(started("watch=1"), Start::Initial { not_older_than: None, bookmark: false });
    assert_eq!(started("watch=1&resourceVersion="), Start::Initial { not_older_than: None, bookmark: false });
    assert_eq!(started("watch=1&resourceVersion=0"), Start::Initial { not_older_than: Some(0), bookmark: false });
}

#[test]
fn watch_from_version_starts_after_it() {
    assert_eq!(started("watch=1&resourceVersion=7"), Start::After(7));
    assert_eq!(started("watch=1&resourceVersion=7&allowWatchBookmarks=true"), Start::After(7));
}

#[test]
fn watch_list_ends_initial_events_with_a_bookmark() {
    let bookmarks = format!("{WATCH_LIST}&allowWatchBookmarks=true");
    assert_eq!(started(&bookmarks), Start::Initial { not_older_than: None, bookmark: true });
    let any = format!("{bookmarks}&resourceVersion=0");
    assert_eq!(started(&any), Start::Initial { not_older_than: Some(0), bookmark: true });
    let at = format!("{bookmarks}&resourceVersion=7");
    assert_eq!(started(&at), Start::Initial { not_older_than: Some(7), bookmark: true });
    assert_eq!(started(WATCH_LIST), Start::Initial { not_older_than: None, bookmark: false });
}

#[test]
fn watch_without_initial_events_starts_now_or_at_version() {
    let none = "watch=1&sendInitialEvents=false&resourceVersionMatch=NotOlderThan";
    assert_eq!(started(none), Start::Now);
    assert_eq!(started(&format!("{none}&resourceVersion=0")), Start::Now);
    assert_eq!(started(&format!("{none}&resourceVersion=7")), Start::After(7));
}

fn book(colour: &str, genre: &str) -> Object {
    fixture::object(json!({
        "apiVersion": "store.example.com/v1alpha1",
        "kind": "Book",
        "metadata": {"name": "a", "resourceVersion": "3", "labels": {"genre": genre}},
        "spec": {"colour": colour},
    }))
}

#[test]
fn filter_maps_changes_to_events() {
    let red = Filter {
        fields: FieldSelector::parse("spec.colour=red").unwrap(),
        labels: LabelSelector::parse("genre=noir").unwrap(),
    };
    assert!(!red.is_everything());
    assert!(Filter::default().is_everything());
    let seen = [book("red", "noir")];
    let unseen = [book("blue", "noir"), book("red", "lyric")];
    for (seen, unseen) in seen.iter().flat_map(|seen| unseen.iter().map(move |unseen| (seen, unseen))) {
        let cases = [
            (None, Some(seen), Some(EventType::Added)),
            (None, Some(unseen), None),
            (Some(unseen), Some(seen), Some(EventType::Added)),
            (Some(seen), Some(seen), Some(EventType::Modified)),
            (Some(seen), Some(unseen), Some(EventType::Deleted)),
            (Some(unseen), Some(unseen), None),
            (Some(seen), None, Some(EventType::Deleted)),
            (Some(unseen), None, None),
        ];
        for (old, new, expected) in cases {
            assert_eq!(transition(&red, old, new), expected, "{old:?} -> {new:?}");
        }
    }
}

#[test]
fn event_is_encoded_as_one_line() {
    assert_eq!(encode_event(EventType::Added, b"{\"a\":1}"), "{\"type\":\"ADDED\",\"object\":{\"a\":1}}\n");
    let types = [EventType::Modified, EventType::Deleted, EventType::Bookmark, EventType::Error];
    assert_eq!(types.map(EventType::as_str), ["MODIFIED", "DELETED", "BOOKMARK", "ERROR"]);
}

#[test]
fn bookmark_has_the_watched_kind() {
    let with = bookmark(&fixture::book(), 123, true).to_value();
    assert_eq!(
        with,
        json!({"kind": "Book", "apiVersion": "store.example.com/v1alpha1",
            "metadata": {"resourceVersion": "123", "annotations": {"k8s.io/initial-events-end": "true"}}})
    );
    let without = bookmark(&fixture::book(), 123, false).to_value();
    assert_eq!(without["metadata"], json!({"resourceVersion": "123"}));
}

#[test]
fn expired_watch_error_has_kubernetes_wording() {
    let status: Value = serde_json::to_value(expired(5, 100)).unwrap();
    assert_eq!(
        status,
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": "too old resource version: 5 (100)", "reason": "Expired", "code": 410})
    );
}
