//! Events in their two versions: served, deleted after an hour, limited, and those that the server itself writes.

use std::time::Duration;

use apiserver_standalone::{Standalone, limits};
use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    fault_injecting_store::FaultInjectingStore,
    sample_kinds::{API, BOOKS, book, shelf},
    test_server::{Client, Events, Setup, TestServer, Who, advance, name, revision},
};

/// The events of a namespace in the older version.
const CORE: &str = "/api/v1/namespaces/attic/events";
/// The same in the newer version.
const NEWER: &str = "/apis/events.k8s.io/v1/namespaces/attic/events";
/// Events about cluster-scoped objects.
const DEFAULT: &str = "/api/v1/namespaces/default/events";

async fn standalone() -> TestServer {
    TestServer::set_up(Setup::standalone()).await
}

/// An event as recorders of the older version create it.
fn core_event(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Event",
        "metadata": {"name": name, "namespace": "attic", "creationTimestamp": null},
        "involvedObject": {
            "apiVersion": "library.example.com/v1", "kind": "Book", "name": "emma", "namespace": "attic", "uid": "u1",
            "resourceVersion": "7",
        },
        "reason": "Lent", "message": "to a reader", "type": "Normal", "source": {"component": "desk"},
        "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:00:00Z", "count": 1,
        "eventTime": null, "reportingComponent": "desk", "reportingInstance": "",
    })
}

/// An event as recorders of the newer version create it.
fn newer_event(name: &str) -> Value {
    json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event",
        "metadata": {"name": name, "namespace": "attic", "creationTimestamp": null},
        "eventTime": "2026-01-01T00:00:00.123456Z", "reportingController": "example.com/desk", "reportingInstance": "desk-1",
        "action": "Lend", "reason": "Lent",
        "regarding": {"kind": "Book", "namespace": "attic", "name": "emma", "uid": "u1"},
        "note": "to a reader", "type": "Warning",
        "deprecatedSource": {}, "deprecatedFirstTimestamp": null, "deprecatedLastTimestamp": null,
    })
}

/// Sends a patch as a recorder does.
async fn patch_strategically(server: &TestServer, path: &str, change: &Value) -> Value {
    let request = http::Request::patch(format!("https://localhost{path}")).header("host", "localhost");
    let request = request.header("content-type", "application/strategic-merge-patch+json");
    let answer = server.client.request(request.body(change.to_string().into()).unwrap()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

async fn names(server: &TestServer, path: &str) -> Vec<String> {
    let list = server.get(path).await.json();
    let items = list["items"].as_array().unwrap_or_else(|| panic!("{list}"));
    items.iter().map(|item| name(item).to_owned()).collect()
}

/// The fields of an event without its metadata.
fn fields(event: &Value) -> Value {
    let mut event = event.clone();
    event.as_object_mut().unwrap().remove("metadata");
    event
}

#[tokio::test]
async fn core_v1_event_is_served_as_events_v1() {
    let server = standalone().await;
    let from = server.head().await;
    let mut watched = server.watch(&format!("{NEWER}?watch=true&resourceVersion={from}")).await;
    let created = server.create(CORE, &core_event("e")).await;
    let seen = json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "reason": "Lent", "note": "to a reader", "type": "Normal",
        "regarding": created["involvedObject"], "deprecatedSource": {"component": "desk"}, "deprecatedCount": 1,
        "deprecatedFirstTimestamp": "2026-01-01T00:00:00Z", "deprecatedLastTimestamp": "2026-01-01T00:00:00Z",
        "reportingController": "desk", "reportingInstance": "",
    });
    let got = server.get(&format!("{NEWER}/e")).await.json();
    let listed = server.get(NEWER).await.json();
    assert_eq!((&listed["kind"], &listed["apiVersion"]), (&json!("EventList"), &json!("events.k8s.io/v1")));
    for shown in [&got, &listed["items"][0], &watched.expect("ADDED").await] {
        assert_eq!(fields(shown), seen);
        assert_eq!(shown["metadata"]["uid"], created["metadata"]["uid"]);
        let entry = &shown["metadata"]["managedFields"][0];
        assert_eq!(entry["apiVersion"], "events.k8s.io/v1");
        assert_eq!((&entry["fieldsV1"]["f:note"], &entry["fieldsV1"]["f:message"]), (&json!({}), &Value::Null));
    }
    let counted = json!({"count": 2, "lastTimestamp": "2026-01-01T00:00:09Z"});
    patch_strategically(&server, &format!("{CORE}/e"), &counted).await;
    assert_eq!(watched.expect("MODIFIED").await["deprecatedCount"], 2);
    server.delete(&format!("{NEWER}/e")).await;
    assert_eq!(watched.expect("DELETED").await["note"], "to a reader");
    assert_eq!(server.get(&format!("{CORE}/e")).await.status, 404);
}

#[tokio::test]
async fn events_v1_event_is_served_as_core_v1_with_its_series() {
    let server = standalone().await;
    let from = server.head().await;
    let mut watched = server.watch(&format!("{CORE}?watch=true&resourceVersion={from}")).await;
    let created = server.create(NEWER, &newer_event("e")).await;
    assert_eq!(created["note"], "to a reader");
    let seen = json!({
        "apiVersion": "v1", "kind": "Event", "reason": "Lent", "message": "to a reader", "type": "Warning",
        "involvedObject": created["regarding"], "eventTime": "2026-01-01T00:00:00.123456Z", "action": "Lend",
        "reportingComponent": "example.com/desk", "reportingInstance": "desk-1", "source": {},
    });
    let added = watched.expect("ADDED").await;
    assert_eq!(fields(&added), seen);
    assert_eq!(added, server.get(&format!("{CORE}/e")).await.json());
    let series = json!({"count": 2, "lastObservedTime": "2026-01-01T00:06:00.000001Z"});
    let patched = patch_strategically(&server, &format!("{NEWER}/e"), &json!({ "series": series })).await;
    assert_eq!((&patched["apiVersion"], &patched["series"]), (&json!("events.k8s.io/v1"), &series));
    assert_eq!(watched.expect("MODIFIED").await["series"], series);
}

#[tokio::test]
async fn event_names_are_unique_across_versions() {
    let server = standalone().await;
    server.create(CORE, &core_event("e")).await;
    let taken = server.client.send(Method::POST, NEWER, &newer_event("e")).await;
    let message = "events.events.k8s.io \"e\" already exists";
    assert_eq!((taken.status, &taken.json()["message"]), (409, &json!(message)));
    let missing = server.get(&format!("{NEWER}/none")).await.json();
    assert_eq!(missing["message"], "events.events.k8s.io \"none\" not found");
    let homeless = "/apis/events.k8s.io/v1/namespaces/cellar/events";
    let mut event = newer_event("e");
    event["metadata"]["namespace"] = json!("cellar");
    event["regarding"]["namespace"] = json!("cellar");
    let refused = server.client.send(Method::POST, homeless, &event).await.json();
    assert_eq!(refused["message"], "namespaces \"cellar\" not found");
}

#[tokio::test]
async fn managed_fields_work_across_event_versions() {
    let server = standalone().await;
    let apply = async |path: &str, manager: &str, body: Value| {
        let uri = format!("https://localhost{path}?fieldManager={manager}");
        let request = http::Request::patch(uri).header("host", "localhost");
        let request = request.header("content-type", "application/apply-patch+yaml");
        server.client.request(request.body(body.to_string().into()).unwrap()).await
    };
    let mut event = core_event("e");
    event["metadata"].as_object_mut().unwrap().remove("creationTimestamp");
    event.as_object_mut().unwrap().remove("eventTime");
    let made = apply(&format!("{CORE}/e"), "one", event).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let other =
        json!({"apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "e"}, "note": "to no reader"});
    let conflict = apply(&format!("{NEWER}/e"), "two", other.clone()).await;
    let cause = &conflict.json()["details"]["causes"][0];
    assert_eq!((conflict.status, &cause["field"]), (409, &json!(".note")), "{}", conflict.text());
    let before = server.get(&format!("{CORE}/e")).await.json();
    let mut same = other;
    same["note"] = json!("to a reader");
    assert_eq!(apply(&format!("{NEWER}/e"), "two", same).await.status, 200);
    let after = server.get(&format!("{CORE}/e")).await.json();
    assert_eq!(fields(&after), fields(&before));
    let entries = after["metadata"]["managedFields"].as_array().unwrap();
    let owns = |manager: &str| {
        let entry = entries.iter().find(|entry| entry["manager"] == manager).unwrap();
        (entry["apiVersion"].clone(), entry["fieldsV1"]["f:message"].clone())
    };
    assert_eq!(owns("one"), (json!("v1"), json!({})));
    assert_eq!(owns("two"), (json!("v1"), json!({})));
}

#[tokio::test]
async fn event_field_selectors_use_the_names_of_their_version() {
    let server = standalone().await;
    server.create(CORE, &core_event("old")).await;
    let mut other = core_event("other");
    other["involvedObject"]["name"] = json!("persuasion");
    other["source"] = json!({});
    server.create(CORE, &other).await;
    server.create(NEWER, &newer_event("new")).await;
    let selected = async |path: &str, selector: &str| {
        let selector = selector.replace('=', "%3D").replace(',', "%2C").replace('!', "%21").replace('/', "%2F");
        names(&server, &format!("{path}?fieldSelector={selector}")).await
    };
    for (selector, wanted) in [
        ("involvedObject.name=emma,involvedObject.namespace=attic,involvedObject.kind=Book", &["new", "old"][..]),
        ("involvedObject.uid=u1,type!=Normal", &["new"]),
        ("source=desk", &["old", "other"]),
        ("source=example.com/desk", &["new"]),
        ("reportingComponent=desk,reason=Lent", &["old", "other"]),
        ("involvedObject.resourceVersion=7,involvedObject.fieldPath=", &["old", "other"]),
        ("metadata.name=old,involvedObject.apiVersion=library.example.com/v1", &["old"]),
    ] {
        assert_eq!(selected(CORE, selector).await, wanted, "{selector}");
    }
    for (selector, wanted) in
        [("regarding.name=persuasion", &["other"][..]), ("reportingController=example.com/desk,type=Warning", &["new"])]
    {
        assert_eq!(selected(NEWER, selector).await, wanted, "{selector}");
    }
    for (path, selector) in [(CORE, "regarding.name=a"), (NEWER, "source=a"), (NEWER, "involvedObject.name=a")] {
        let unknown = server.get(&format!("{path}?fieldSelector={}", selector.replace('=', "%3D"))).await;
        assert_eq!(unknown.status, 400, "{selector}: {}", unknown.text());
    }
    let mut watched = server.watch(&format!("{NEWER}?watch=true&fieldSelector=regarding.name%3Dpersuasion")).await;
    assert_eq!(name(&watched.expect("ADDED").await), "other");
}

#[tokio::test]
async fn invalid_events_report_field_names_of_their_version() {
    let server = standalone().await;
    let causes = async |method: Method, path: &str, event: &Value| {
        let answer = server.client.send(method, path, event).await;
        let status = answer.json();
        assert_eq!(answer.status, 422, "{status}");
        let causes = status["details"]["causes"].as_array().unwrap().clone();
        let mut fields: Vec<_> = causes.iter().map(|cause| cause["field"].as_str().unwrap().to_owned()).collect();
        fields.sort_unstable();
        fields
    };
    let mut elsewhere = core_event("e");
    elsewhere["involvedObject"]["namespace"] = json!("cellar");
    assert_eq!(causes(Method::POST, CORE, &elsewhere).await, ["involvedObject.namespace"]);
    let timed = json!({
        "metadata": {"name": "e"}, "eventTime": "2026-01-01T00:00:00.000000Z", "involvedObject": {},
        "message": "m".repeat(1025), "reportingComponent": "a b", "reason": "r".repeat(129),
    });
    let wanted = ["action", "involvedObject.namespace", "message", "reason", "reportingComponent", "reportingInstance"];
    assert_eq!(causes(Method::POST, CORE, &timed).await, wanted);
    let bare = json!({
        "metadata": {"name": "e"}, "regarding": {"namespace": "attic"}, "type": "Odd", "deprecatedCount": 1,
        "deprecatedSource": {"component": "c"}, "series": {"count": 1},
    });
    let wanted =
        ["deprecatedCount", "deprecatedSource", "eventTime", "series.count", "series.lastObservedTime", "type"];
    assert_eq!(causes(Method::POST, NEWER, &bare).await, wanted);
    let mut event = server.create(NEWER, &newer_event("e")).await;
    event["note"] = json!("to no reader");
    event["regarding"]["uid"] = json!("u2");
    event["eventTime"] = json!("2026-01-01T00:00:00.123456+00:00");
    event["series"] = json!({"count": 1});
    let wanted = ["note", "regarding", "series.count", "series.lastObservedTime"];
    assert_eq!(causes(Method::PUT, &format!("{NEWER}/e"), &event).await, wanted);
}

#[tokio::test]
async fn event_table_has_the_columns_of_kubernetes() {
    let server = standalone().await;
    server.create(CORE, &core_event("old")).await;
    let mut new = newer_event("new");
    new["series"] = json!({"count": 3, "lastObservedTime": "2026-01-01T00:00:00.000000Z"});
    server.create(NEWER, &new).await;
    for path in [CORE, NEWER] {
        let accept = [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")];
        let table = server.get_with(path, &accept).await.json();
        let columns: Vec<_> =
            table["columnDefinitions"].as_array().unwrap().iter().map(|c| c["name"].clone()).collect();
        let wanted =
            ["Last Seen", "Type", "Reason", "Object", "Subobject", "Source", "Message", "First Seen", "Count", "Name"];
        assert_eq!(columns, wanted);
        let cells = |row: usize| {
            let mut cells = table["rows"][row]["cells"].as_array().unwrap().clone();
            for age in [0, 7] {
                let shown = cells[age].take();
                assert!(shown.as_str().unwrap().starts_with(|c: char| c.is_ascii_digit()), "{shown}");
            }
            Value::from(cells)
        };
        let new = json!([
            null,
            "Warning",
            "Lent",
            "book/emma",
            "",
            "example.com/desk, desk-1",
            "to a reader",
            null,
            "3",
            "new",
        ]);
        let old = json!([null, "Normal", "Lent", "book/emma", "", "desk", "to a reader", null, "1", "old"]);
        assert_eq!((cells(0), cells(1)), (new, old), "{path}");
    }
}

async fn gone(events: &mut Events) -> String {
    loop {
        let event = events.next().await.unwrap();
        if event["type"] == "DELETED" {
            return name(&event["object"]).to_owned();
        }
    }
}

#[tokio::test]
async fn events_expire_an_hour_after_their_last_write() {
    let store = FaultInjectingStore::new();
    let mut revision = 0;
    let mut stored = |name: &str, created: &str, last: &str, finalizers: &[&str]| {
        revision += 1;
        let mut event = core_event(name);
        event["metadata"] = json!({
            "name": name, "namespace": "attic", "uid": name, "creationTimestamp": created, "finalizers": finalizers,
            "resourceVersion": revision.to_string(),
        });
        event["lastTimestamp"] = json!(last);
        (format!("events/platform/attic/{name}"), event.to_string().into_bytes())
    };
    let now = apiserver::clock::now();
    // It ends when the server runs.
    let nearly = Timestamp::from_second(now.as_second()).unwrap() - limits::EVENT_AGE_MAX + Duration::from_secs(3);
    let (now, nearly, old) = (now.to_string(), nearly.to_string(), "2026-01-01T00:00:00Z");
    store
        .write_values_externally([
            stored("counted", old, &now, &[]),
            stored("fresh", &now, old, &[]),
            stored("future", old, "2999-01-01T00:00:00Z", &[]),
            stored("held", old, old, &["example.com/held"]),
            stored("nearly", old, &nearly, &[]),
            stored("old", old, old, &[]),
        ])
        .await;
    let server = TestServer::starting(Setup::standalone(), store).await.restored().await;
    let mut watched = server.watch(&format!("{NEWER}?watch=true&resourceVersion=1")).await;
    let mut ended = Vec::new();
    while ended.len() < 4 {
        ended.push(gone(&mut watched).await);
    }
    ended.sort_unstable();
    assert_eq!(ended, ["future", "held", "nearly", "old"]);
    assert_eq!(names(&server, CORE).await, ["counted", "fresh"]);
}

#[tokio::test]
async fn oldest_events_over_the_namespace_limit_are_deleted() {
    let standalone = Some(Standalone { events_per_namespace: 3 });
    let server = TestServer::set_up(Setup { standalone, ..Setup::default() }).await;
    server.make_namespace("cellar").await;
    let from = server.head().await;
    let mut watched = server.watch(&format!("/api/v1/events?watch=true&resourceVersion={from}")).await;
    let mut other = core_event("z");
    other["metadata"]["namespace"] = json!("cellar");
    other["involvedObject"]["namespace"] = json!("cellar");
    server.create("/api/v1/namespaces/cellar/events", &other).await;
    for name in ["a", "b", "c"] {
        server.create(CORE, &core_event(name)).await;
    }
    server.patch(&format!("{CORE}/a"), &json!({"count": 2})).await;
    for name in ["d", "e"] {
        server.create(CORE, &core_event(name)).await;
    }
    let mut dropped = [gone(&mut watched).await, gone(&mut watched).await];
    dropped.sort_unstable();
    assert_eq!(dropped, ["b", "c"], "events that were written recently stay");
    assert_eq!(names(&server, "/api/v1/events").await, ["a", "d", "e", "z"]);
}

#[tokio::test]
async fn events_are_deleted_with_their_namespace_and_owners() {
    let server = standalone().await;
    let mut event = newer_event("owned");
    let owner = server.create(CORE, &core_event("owner")).await;
    event["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "name": "owner", "uid": owner["metadata"]["uid"],
    }]);
    server.create(NEWER, &event).await;
    let mut watched = server.watch(&format!("{CORE}?watch=true&resourceVersion={}", revision(&owner))).await;
    server.delete(&format!("{CORE}/owner")).await;
    assert_eq!([gone(&mut watched).await, gone(&mut watched).await], ["owner", "owned"]);
    server.create(CORE, &core_event("left")).await;
    server.delete("/api/v1/namespaces/attic").await;
    assert_eq!(gone(&mut watched).await, "left");
}

#[tokio::test]
async fn event_permissions_are_separate_for_each_api_group() {
    let server = standalone().await;
    let bindings = "/apis/rbac.authorization.k8s.io/v1/namespaces/attic/rolebindings";
    let view = json!({
        "metadata": {"name": "view"}, "roleRef": {"kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "User", "name": "visitor"}],
    });
    server.create(bindings, &view).await;
    let visitor = Client::connect_as(Who::Visitor, server.address, true).await;
    let status = async |method: Method, path: &str, body: &Value| visitor.send(method, path, body).await.status;
    assert_eq!(status(Method::GET, CORE, &Value::Null).await, 200);
    assert_eq!(status(Method::GET, NEWER, &Value::Null).await, 403);
    assert_eq!(status(Method::POST, CORE, &core_event("e")).await, 403);
    let leases = "/apis/coordination.k8s.io/v1/namespaces/attic/leases";
    assert_eq!(status(Method::GET, leases, &Value::Null).await, 403);
    let mut edit = view;
    edit["metadata"]["name"] = json!("edit");
    edit["roleRef"]["name"] = json!("edit");
    server.create(bindings, &edit).await;
    assert_eq!(status(Method::POST, CORE, &core_event("e")).await, 201);
    assert_eq!(status(Method::POST, leases, &json!({"metadata": {"name": "l"}})).await, 201);
    assert_eq!(status(Method::GET, leases, &Value::Null).await, 200);
}

/// The name, reason and count of the next event that the server itself has written.
async fn told(events: &mut Events) -> (String, String, u64) {
    let event = events.next().await.unwrap();
    assert_ne!(event["type"], "DELETED", "{event}");
    let event = &event["object"];
    (name(event).to_owned(), event["reason"].as_str().unwrap().to_owned(), event["count"].as_u64().unwrap())
}

#[tokio::test]
async fn state_changes_of_an_object_create_events() {
    let server = standalone().await;
    let small = server.create(&format!("{API}/shelves"), &shelf("small", 1)).await;
    let from = server.head().await;
    let mut events = server.watch(&format!("{DEFAULT}?watch=true&resourceVersion={from}")).await;
    server.create(BOOKS, &book("x", "small")).await;
    let full = events.expect("ADDED").await;
    assert!(name(&full).starts_with("small."), "{full}");
    let regarded = json!({
        "apiVersion": "library.example.com/v1", "kind": "Shelf", "name": "small", "namespace": "",
        "uid": small["metadata"]["uid"], "resourceVersion": full["involvedObject"]["resourceVersion"],
    });
    assert_eq!(full["involvedObject"], regarded);
    assert_eq!(
        (&full["reason"], &full["message"], &full["type"], &full["source"]),
        (&json!("ShelfFull"), &json!("so it is"), &json!("Normal"), &json!({"component": "ipam"}))
    );
    server.delete(&format!("{BOOKS}/x")).await;
    assert_eq!(events.expect("ADDED").await["reason"], "ShelfOpen");
}

/// The number of commands for events that the committer has decided.
async fn commands(server: &TestServer) -> u64 {
    let mut count = 0;
    for line in server.get("/metrics").await.text().lines() {
        if line.starts_with("ipam_commands_total{") && line.contains("resource=\"events\"") {
            count += line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap();
        }
    }
    count
}

#[tokio::test]
async fn rejected_requests_are_merged_into_few_event_writes() {
    const REFUSED: usize = 300;
    let server = standalone().await;
    server.create(&format!("{API}/shelves"), &shelf("full", 0)).await;
    let from = server.head().await;
    let mut events =
        server.watch(&format!("{DEFAULT}?watch=true&resourceVersion={from}&fieldSelector=reason%3DBookRefused")).await;
    let dry = server.client.send(Method::POST, &format!("{BOOKS}?dryRun=All"), &book("dry", "full")).await;
    assert_eq!(dry.status, 507, "{}", dry.text());
    for n in 0..REFUSED {
        let refused = server.client.send(Method::POST, BOOKS, &book(&format!("b{n}"), "full")).await;
        assert_eq!(refused.status, 507, "{}", refused.text());
    }
    let first = events.expect("ADDED").await;
    let written = commands(&server).await;
    assert!((1..20).contains(&written), "{written} commands for {REFUSED} refusals");
    let mut last = first;
    while last["count"] != REFUSED {
        advance(apiserver::limits::EVENT_WRITE_INTERVAL).await;
        last = events.expect("MODIFIED").await;
    }
    assert_eq!(last["message"], format!("b{}: the shelf \"full\" is full", REFUSED - 1));
}

#[tokio::test]
async fn restart_repeats_no_events() {
    let store = FaultInjectingStore::new();
    let server = TestServer::starting(Setup::standalone(), store.clone()).await.restored().await;
    server.make_namespace("attic").await;
    server.create(&format!("{API}/shelves"), &shelf("small", 1)).await;
    let mut events = server.watch(&format!("{DEFAULT}?watch=true")).await;
    server.create(BOOKS, &book("x", "small")).await;
    let full = told(&mut events).await;
    assert_eq!((full.1.as_str(), full.2), ("ShelfFull", 1));
    server.kill();

    let again = TestServer::starting(Setup::standalone(), store).await.restored().await;
    let mut events = again.watch(&format!("{DEFAULT}?watch=true")).await;
    assert_eq!(told(&mut events).await, full);
    again.patch(&format!("{API}/shelves/small"), &json!({"metadata": {"labels": {"a": "b"}}})).await;
    again.delete(&format!("{BOOKS}/x")).await;
    assert_eq!(told(&mut events).await.1, "ShelfOpen", "no event before it");
}

#[tokio::test]
async fn restart_continues_from_the_last_written_event() {
    let store = FaultInjectingStore::new();
    let server = TestServer::starting(Setup::standalone(), store.clone()).await.restored().await;
    server.make_namespace("attic").await;
    server.create(&format!("{API}/shelves"), &shelf("small", 1)).await;
    let mut events = server.watch(&format!("{DEFAULT}?watch=true")).await;
    server.create(BOOKS, &book("x", "small")).await;
    let full = told(&mut events).await;
    server.kill();
    // The aggregated mode writes no events.
    let silent = TestServer::starting(Setup::default(), store.clone()).await.restored().await;
    silent.delete(&format!("{BOOKS}/x")).await;
    silent.kill();

    let again = TestServer::starting(Setup::standalone(), store).await.restored().await;
    let mut events = again.watch(&format!("{DEFAULT}?watch=true")).await;
    assert_eq!(told(&mut events).await, full);
    again.patch(&format!("{API}/shelves/small"), &json!({"metadata": {"labels": {"a": "b"}}})).await;
    assert_eq!(told(&mut events).await.1, "ShelfOpen", "the last event written reports that it is full");
}

#[tokio::test]
async fn only_one_of_several_replicas_writes_an_event() {
    let store = FaultInjectingStore::shared();
    let one = TestServer::starting(Setup::standalone(), store.clone()).await.restored().await;
    let other = TestServer::starting(Setup::standalone(), store).await.restored().await;
    one.make_namespace("attic").await;
    one.create(&format!("{API}/shelves"), &shelf("small", 1)).await;
    let from = one.head().await;
    let mut events = other.watch(&format!("{DEFAULT}?watch=true&resourceVersion={from}")).await;
    for (server, another) in [(&one, &other), (&other, &one)] {
        server.create(BOOKS, &book("x", "small")).await;
        let (_, reason, count) = told(&mut events).await;
        assert_eq!((reason.as_str(), count), ("ShelfFull", 1));
        another.delete(&format!("{BOOKS}/x")).await;
        let (_, reason, count) = told(&mut events).await;
        assert_eq!((reason.as_str(), count), ("ShelfOpen", 1));
    }
}

#[tokio::test]
async fn aggregated_mode_writes_no_events() {
    let server = TestServer::open().await;
    server.create(&format!("{API}/shelves"), &shelf("full", 0)).await;
    let refused = server.client.send(Method::POST, BOOKS, &book("x", "full")).await;
    assert_eq!(refused.status, 507);
    let log = server.store.log().await;
    assert!(log.iter().all(|entry| !entry.key.as_str().starts_with("events/")), "{log:?}");
}
