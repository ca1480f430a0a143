//! Owners and dependents: what the garbage collector deletes, when it waits, and what it keeps.

use http::Method;
use serde_json::{Value, json};

use crate::{
    fault_injecting_store::FaultInjectingStore,
    sample_kinds::{API, BOOKS, book, shelf},
    test_server::{Answer, Events, Setup, TestServer, name},
};

async fn standalone() -> TestServer {
    TestServer::set_up(Setup::standalone()).await
}

/// A reference to an owner whose deletion the dependent blocks.
fn owner(object: &Value) -> Value {
    json!({
        "apiVersion": object["apiVersion"], "kind": object["kind"], "name": name(object), "uid": object["metadata"]["uid"],
        "blockOwnerDeletion": true,
    })
}

/// Creates a book with owners.
async fn owned(server: &TestServer, name: &str, owners: &[Value], finalizers: &[&str]) -> Value {
    let mut body = book(name, "a");
    body["metadata"]["ownerReferences"] = owners.into();
    body["metadata"]["finalizers"] = json!(finalizers);
    server.create(BOOKS, &body).await
}

async fn delete(server: &TestServer, name: &str, policy: &str) -> Value {
    let answer =
        server.client.send(Method::DELETE, &format!("{BOOKS}/{name}"), &json!({ "propagationPolicy": policy })).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// The names of the next `count` deleted books.
async fn gone(events: &mut Events, count: usize) -> Vec<String> {
    let mut names = Vec::new();
    while names.len() < count {
        let event = events.next().await.unwrap();
        if event["type"] == "DELETED" {
            names.push(name(&event["object"]).to_owned());
        }
    }
    names
}

async fn books(server: &TestServer) -> Events {
    server.watch(&format!("{BOOKS}?watch=true&resourceVersion={}", server.head().await)).await
}

/// The next version of a book that has `count` owners.
async fn with_owners(events: &mut Events, book: &str, count: usize) -> Value {
    loop {
        let event = events.next().await.unwrap();
        let owners = event["object"]["metadata"]["ownerReferences"].as_array().map_or(0, Vec::len);
        assert_ne!(event["type"], "DELETED", "{event}");
        if name(&event["object"]) == book && owners == count {
            return event["object"].clone();
        }
    }
}

#[tokio::test]
async fn gc_deletes_dependents_of_missing_owners() {
    let server = standalone().await;
    let root = server.book("root").await;
    let middle = owned(&server, "middle", &[owner(&root)], &[]).await;
    owned(&server, "leaf", &[owner(&middle)], &[]).await;
    let mut events = books(&server).await;
    delete(&server, "root", "Background").await;
    assert_eq!(gone(&mut events, 3).await, ["root", "middle", "leaf"]);
    assert_eq!(server.get(BOOKS).await.json()["items"], json!([]));
}

#[tokio::test]
async fn gc_treats_missing_owners_as_absent_and_unknown_kinds_as_present() {
    let server = standalone().await;
    let here = server.book("here").await;
    let mut events = books(&server).await;
    let reference = |kind: &str, version: &str, name: &str, uid: &str| {
        json!([{ "apiVersion": version, "kind": kind, "name": name, "uid": uid }])[0].clone()
    };
    owned(&server, "foreign", &[reference("Deployment", "apps/v1", "d", "1")], &[]).await;
    owned(&server, "never", &[reference("Book", "library.example.com/v1", "never-was", "2")], &[]).await;
    owned(&server, "former", &[reference("Book", "library.example.com/v1", "here", "3")], &[]).await;
    owned(&server, "kept", &[owner(&here), reference("Book", "library.example.com/v1", "never-was", "2")], &[]).await;
    let mut left = gone(&mut events, 2).await;
    left.sort();
    assert_eq!(left, ["former", "never"], "an object of the same name with another uid is not the owner");
    let mut events = server.watch(&format!("{BOOKS}?watch=true")).await;
    let kept = with_owners(&mut events, "kept", 1).await;
    assert_eq!(kept["metadata"]["ownerReferences"][0]["name"], "here", "the reference to the missing owner is removed");
    assert_eq!(server.get(&format!("{BOOKS}/foreign")).await.status, 200);
}

#[tokio::test]
async fn foreground_deletion_removes_the_owner_last() {
    let server = standalone().await;
    let root = server.book("root").await;
    let middle = owned(&server, "middle", &[owner(&root)], &[]).await;
    owned(&server, "leaf", &[owner(&middle)], &["example.com/held"]).await;
    let mut events = books(&server).await;
    let answer = delete(&server, "root", "Foreground").await;
    assert_eq!(answer["metadata"]["finalizers"], json!(["foregroundDeletion"]));
    let mut marked = Vec::new();
    while marked.len() < 3 {
        let object = events.expect("MODIFIED").await;
        assert!(object["metadata"]["deletionTimestamp"].is_string(), "{object}");
        marked.push(name(&object).to_owned());
    }
    assert_eq!(marked, ["root", "middle", "leaf"]);
    server.patch(&format!("{BOOKS}/leaf"), &json!({ "metadata": { "finalizers": null } })).await;
    assert_eq!(gone(&mut events, 3).await, ["leaf", "middle", "root"]);
}

#[tokio::test]
async fn foreground_deletion_does_not_wait_for_non_blocking_dependents() {
    let server = standalone().await;
    let root = server.book("root").await;
    let mut reference = owner(&root);
    reference["blockOwnerDeletion"] = json!(false);
    owned(&server, "leaf", &[reference], &[]).await;
    let mut events = books(&server).await;
    delete(&server, "root", "Foreground").await;
    assert_eq!(gone(&mut events, 2).await, ["root", "leaf"]);
}

#[tokio::test]
async fn orphan_deletion_keeps_dependents_without_the_reference() {
    let server = standalone().await;
    let root = server.book("root").await;
    let other = server.book("other").await;
    owned(&server, "leaf", &[owner(&root)], &[]).await;
    owned(&server, "shared", &[owner(&other), owner(&root)], &[]).await;
    let mut events = books(&server).await;
    let answer = delete(&server, "root", "Orphan").await;
    assert_eq!(answer["metadata"]["finalizers"], json!(["orphan"]));
    assert_eq!(gone(&mut events, 1).await, ["root"]);
    for (name, owners) in [("leaf", json!(null)), ("shared", json!([owner(&other)]))] {
        let object = server.get(&format!("{BOOKS}/{name}")).await.json();
        assert_eq!(object["metadata"]["ownerReferences"], owners);
    }
}

#[tokio::test]
async fn gc_breaks_owner_cycles() {
    let server = standalone().await;
    let first = server.book("first").await;
    let second = owned(&server, "second", &[owner(&first)], &[]).await;
    server.patch(&format!("{BOOKS}/first"), &json!({ "metadata": { "ownerReferences": [owner(&second)] } })).await;
    let mut events = books(&server).await;
    delete(&server, "first", "Foreground").await;
    let mut left = gone(&mut events, 2).await;
    left.sort();
    assert_eq!(left, ["first", "second"]);
}

#[tokio::test]
async fn gc_does_not_take_a_failed_read_for_a_missing_owner() {
    let server = standalone().await;
    let here = server.book("here").await;
    server.store.blind(Some("/here"));
    let mut events = books(&server).await;
    for leaf in ["a", "b", "c"] {
        owned(&server, leaf, &[owner(&here)], &[]).await;
    }
    server.store.unseen(9).await;
    server.store.blind(Some("/bereft"));
    let never = json!({ "apiVersion": "library.example.com/v1", "kind": "Book", "name": "never", "uid": "1" });
    owned(&server, "bereft", &[never], &[]).await;
    server.store.unseen(11).await;
    server.store.blind(None);
    assert_eq!(
        gone(&mut events, 1).await,
        ["bereft"],
        "the read was retried, and only the orphaned object was deleted"
    );
    let list = server.get(BOOKS).await.json();
    assert_eq!(list["items"].as_array().unwrap().iter().map(name).collect::<Vec<_>>(), ["a", "b", "c", "here"]);
}

#[tokio::test]
async fn gc_finishes_deletions_after_a_restart() {
    let store = FaultInjectingStore::new();
    // This server has no garbage collector.
    let server = TestServer::starting(Setup::default(), store.clone()).await.restored().await;
    server.create(&format!("{API}/shelves"), &shelf("a", 100)).await;
    let roots = [server.book("back").await, server.book("fore").await, server.book("orphaned").await];
    for root in &roots {
        owned(&server, &format!("of-{}", name(root)), &[owner(root)], &[]).await;
    }
    delete(&server, "back", "Background").await;
    delete(&server, "fore", "Foreground").await;
    delete(&server, "orphaned", "Orphan").await;
    let mut events = books(&server).await;
    let from = server.head().await;
    let again = TestServer::starting(Setup::standalone(), store).await.restored().await;
    drop(events.next());
    let mut events = again.watch(&format!("{BOOKS}?watch=true&resourceVersion={from}")).await;
    let mut left = gone(&mut events, 4).await;
    left.sort();
    assert_eq!(left, ["fore", "of-back", "of-fore", "orphaned"]);
    let orphan = again.get(&format!("{BOOKS}/of-orphaned")).await.json();
    assert_eq!(orphan["metadata"]["ownerReferences"], Value::Null, "{orphan}");
}

#[tokio::test]
async fn gc_that_lags_reads_events_from_the_store() {
    let mut setup = Setup::standalone();
    setup.limits.recent_events = 1;
    let server = TestServer::set_up(setup).await;
    let root = server.book("root").await;
    for index in 0..50 {
        owned(&server, &format!("leaf-{index}"), &[owner(&root)], &[]).await;
    }
    let mut events = books(&server).await;
    delete(&server, "root", "Background").await;
    assert_eq!(gone(&mut events, 51).await.len(), 51);
}

/// Creates a book, and returns the warnings about its owners.
async fn owner_warnings(server: &TestServer, book: &Value) -> Vec<String> {
    let created = server.client.send(Method::POST, BOOKS, book).await;
    assert_eq!(created.status, 201, "{}", created.text());
    of_owners(&created)
}

fn of_owners(answer: &Answer) -> Vec<String> {
    let warnings = answer.headers.get_all("warning").iter().map(|warning| warning.to_str().unwrap().to_owned());
    warnings.filter(|warning| warning.contains("ownerReferences")).collect()
}

fn never() -> Value {
    json!({ "apiVersion": "library.example.com/v1", "kind": "Book", "name": "never", "uid": "1" })
}

fn foreign() -> Value {
    json!({ "apiVersion": "apps/v1", "kind": "Deployment", "name": "d", "uid": "2" })
}

#[tokio::test]
async fn foreign_owner_keeps_an_object_for_all_that_is_known() {
    let server = standalone().await;
    let mut body = book("x", "a");
    body["metadata"]["ownerReferences"] = json!([never(), foreign()]);
    let warnings = owner_warnings(&server, &body).await;
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("the garbage collector removes this reference"), "{warnings:?}");
}

#[tokio::test]
async fn owners_that_were_named_before_are_not_warned_of_again() {
    let server = standalone().await;
    // A shelf is in no namespace, and is never collected because of a book.
    let mut body = shelf("s", 1);
    body["metadata"]["ownerReferences"] = json!([never()]);
    let created = server.client.send(Method::POST, &format!("{API}/shelves"), &body).await;
    assert_eq!(of_owners(&created).len(), 1, "{}", created.text());
    let mut changed = created.json();
    changed["metadata"]["ownerReferences"] = json!([never(), foreign()]);
    let changed = server.client.send(Method::PUT, &format!("{API}/shelves/s"), &changed).await;
    assert_eq!((changed.status, of_owners(&changed)), (200, Vec::new()), "{}", changed.text());
}

#[tokio::test]
async fn owners_of_what_is_being_deleted_are_not_warned_of() {
    let server = standalone().await;
    owned(&server, "going", &[], &["example.com/held"]).await;
    let mut going = delete(&server, "going", "Background").await;
    going["metadata"]["ownerReferences"] = json!([never()]);
    let changed = server.client.send(Method::PUT, &format!("{BOOKS}/going"), &going).await;
    assert_eq!((changed.status, of_owners(&changed)), (200, Vec::new()), "{}", changed.text());
}

#[tokio::test]
async fn owners_beyond_the_limit_cause_no_warning() {
    let server = standalone().await;
    let missing = |index: usize| {
        let (name, uid) = (format!("never-{index}"), index.to_string());
        json!({ "apiVersion": "library.example.com/v1", "kind": "Book", "name": name, "uid": uid })
    };
    let mut body = book("of-many", "a");
    body["metadata"]["ownerReferences"] = (0..20).map(missing).collect();
    let warnings = owner_warnings(&server, &body).await;
    assert_eq!(warnings.len(), 8, "{warnings:?}");
    let fate = "removes this reference, or deletes this object if none of its owners exists";
    assert!(warnings.iter().all(|warning| warning.contains(fate)), "{warnings:?}");
}

#[tokio::test]
async fn unreadable_owners_cause_no_warning() {
    let server = standalone().await;
    server.store.blind(Some("/never"));
    let mut body = book("bereft", "a");
    body["metadata"]["ownerReferences"] = json!([never()]);
    assert_eq!(owner_warnings(&server, &body).await, Vec::<String>::new());
}

#[tokio::test]
async fn missing_owners_cause_no_warning_in_a_cluster() {
    let server = TestServer::open().await;
    let mut body = book("bereft", "a");
    body["metadata"]["ownerReferences"] = json!([never()]);
    assert_eq!(owner_warnings(&server, &body).await, Vec::<String>::new());
}
