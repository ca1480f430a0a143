//! Lists: each is one snapshot, even if objects are written between its pages.

use apiserver::limits;
use serde_json::{Value, json};
use store::{Revision, Store as _};

use crate::{
    fault_injecting_store::FaultInjectingStore,
    sample_kinds::{API, BOOKS},
    test_server::{Setup, TestServer, name, revision},
};

async fn with_books(count: usize) -> TestServer {
    let server = TestServer::open().await;
    for n in 0..count {
        server.book(&format!("b{n:02}")).await;
    }
    server
}

async fn page(server: &TestServer, query: &str) -> Value {
    let answer = server.get(&format!("{BOOKS}?{query}")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

fn names(list: &Value) -> Vec<&str> {
    list["items"].as_array().unwrap().iter().map(name).collect()
}

fn token(list: &Value) -> &str {
    list["metadata"]["continue"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn list_of_an_empty_store_has_a_nonzero_revision() {
    let server = TestServer::starting(Setup::default(), FaultInjectingStore::new()).await.restored().await;
    let list = page(&server, "").await;
    assert_eq!(list["items"], json!([]));
    assert!(revision(&list) >= 1, "0 would mean any revision");
    let from = revision(&list);
    let mut watch = server.watch(&format!("{API}/shelves?watch=true&resourceVersion={from}")).await;
    server.create(&format!("{API}/shelves"), &crate::sample_kinds::shelf("a", 1)).await;
    assert_eq!(name(&watch.expect("ADDED").await), "a");
}

#[tokio::test]
async fn pages_show_one_snapshot_during_writes() {
    let server = with_books(6).await;
    let first = page(&server, "limit=2").await;
    assert_eq!(names(&first), ["b00", "b01"]);
    assert_eq!(first["metadata"]["remainingItemCount"], 4);
    server.book("b011").await;
    server.delete(&format!("{BOOKS}/b03")).await;
    server.patch(&format!("{BOOKS}/b05"), &json!({ "spec": { "title": "new" } })).await;
    let second = page(&server, &format!("limit=3&continue={}", token(&first))).await;
    assert_eq!(names(&second), ["b02", "b03", "b04"]);
    let third = page(&server, &format!("limit=3&continue={}", token(&second))).await;
    assert_eq!(names(&third), ["b05"]);
    assert_eq!(third["items"][0]["spec"]["title"], "b05");
    assert_eq!(token(&third), "");
    assert_eq!([revision(&second), revision(&third)], [revision(&first); 2]);
    let watch = format!("{BOOKS}?watch=true&resourceVersion={}&timeoutSeconds=1", revision(&third));
    let changed = server.watch(&watch).await.rest().await;
    let changed: Vec<_> = changed.iter().map(|event| name(&event["object"])).collect();
    assert_eq!(changed, ["b011", "b03", "b05"], "a watch continues exactly at the revision of the list");
}

#[tokio::test]
async fn remaining_item_count_is_omitted_over_the_limit() {
    let store = FaultInjectingStore::new();
    let server = TestServer::starting(Setup::default(), store.clone()).await.restored().await;
    let shelf = |n: usize| format!("shelves/platform//s{n:05}");
    store.write_many_externally((0..limits::REMAINING_COUNTED_MAX).map(shelf)).await;
    let first = async || server.get(&format!("{API}/shelves?limit=1")).await.json()["metadata"].clone();
    assert_eq!(first().await["remainingItemCount"], limits::REMAINING_COUNTED_MAX - 1);
    store.write_many_externally([shelf(limits::REMAINING_COUNTED_MAX)]).await;
    assert_eq!(first().await.get("remainingItemCount"), None);
}

#[tokio::test]
async fn filtered_page_is_full_unless_it_is_the_last() {
    let server = with_books(9).await;
    for n in [1, 4, 5, 8] {
        server.patch(&format!("{BOOKS}/b{n:02}"), &json!({ "metadata": { "labels": { "odd": "yes" } } })).await;
    }
    let first = page(&server, "limit=3&labelSelector=odd=yes").await;
    assert_eq!(names(&first), ["b01", "b04", "b05"]);
    assert_eq!(first["metadata"].get("remainingItemCount"), None);
    let second = page(&server, &format!("limit=3&labelSelector=odd=yes&continue={}", token(&first))).await;
    assert_eq!((names(&second), token(&second)), (vec!["b08"], ""));
    let one = page(&server, "fieldSelector=metadata.name=b0").await;
    assert_eq!(names(&one), Vec::<&str>::new(), "a name is not a prefix");
}

#[tokio::test]
async fn expired_continue_token_error_contains_a_new_token() {
    let server = with_books(5).await;
    let first = page(&server, "limit=2").await;
    server.delete(&format!("{BOOKS}/b03")).await;
    server.store.compact(Revision(server.head().await)).await.unwrap();
    let expired = server.get(&format!("{BOOKS}?limit=2&continue={}", token(&first))).await;
    let status = expired.json();
    assert_eq!((expired.status, &status["reason"]), (410, &json!("Expired")));
    let rest = page(&server, &format!("limit=2&continue={}", token(&status))).await;
    assert_eq!((names(&rest), token(&rest)), (vec!["b02", "b04"], ""));
    assert_eq!(revision(&rest), server.head().await, "it is the latest state");
    let exact = server.get(&format!("{BOOKS}?resourceVersion={}&resourceVersionMatch=Exact", revision(&first))).await;
    assert_eq!((exact.status, &exact.json()["reason"]), (410, &json!("Expired")));
}

#[tokio::test]
async fn continue_token_with_an_invalid_key_is_400() {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    let server = with_books(1).await;
    for start in ["books/platform/attic/a\0b\0".to_owned(), format!("books/platform/attic/{}\0", "a".repeat(1025))] {
        let token = json!({ "v": "meta.k8s.io/v1", "rv": 1, "start": start }).to_string();
        let answer = server.get(&format!("{BOOKS}?limit=1&continue={}", URL_SAFE_NO_PAD.encode(token))).await;
        assert_eq!(
            (answer.status, &answer.json()["reason"]),
            (400, &json!("BadRequest")),
            "and not the first page again"
        );
    }
}

#[tokio::test]
async fn read_at_a_future_revision_waits_and_then_times_out() {
    let server = with_books(1).await;
    let next = server.head().await + 1;
    let path = format!("{BOOKS}?resourceVersion={next}&resourceVersionMatch=NotOlderThan");
    let (list, _) = tokio::join!(server.get(&path), server.book("late"));
    assert_eq!(list.status, 200);
    assert!(names(&list.json()).contains(&"late"));
    let answer = server.get(&format!("{BOOKS}/late?resourceVersion=1000000")).await;
    assert_eq!((answer.status, answer.header("retry-after")), (504, "1"));
    assert_eq!(answer.json()["details"]["causes"][0]["reason"], "ResourceVersionTooLarge");
}

/// A server with `count` books, whose titles have `title_bytes` bytes.
async fn filled(count: usize, title_bytes: usize) -> TestServer {
    let store = FaultInjectingStore::with_books(count, title_bytes).await;
    TestServer::starting(Setup::default(), store).await.restored().await
}

#[tokio::test]
async fn list_page_is_limited_in_bytes() {
    const TITLE: usize = 100 * 1024;
    let server = filled(50, TITLE).await;
    for (query, count) in [("", 50), ("&labelSelector=third%3D1", 17), ("&fieldSelector=metadata.name!%3Dx0003", 49)] {
        let (mut seen, mut pages, mut at) = (Vec::new(), 0, String::new());
        loop {
            let list = page(&server, &format!("limit=500{query}&continue={at}")).await;
            let most = limits::LIST_PAGE_BYTES_MAX / TITLE + store::limits::PAGE_BYTES_MAX / TITLE + 1;
            assert!(names(&list).len() <= most, "{} of {most}", names(&list).len());
            seen.extend(names(&list).into_iter().map(str::to_owned));
            (pages, at) = (pages + 1, token(&list).to_owned());
            if at.is_empty() {
                break;
            }
        }
        assert_eq!(seen.len(), count, "{query}");
        assert!(seen.is_sorted() && (pages > 1 || count < 20), "{query}: {pages} pages");
    }
}
