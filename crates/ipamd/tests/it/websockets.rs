//! Watches over WebSocket, for every kind that can be watched.

use futures::StreamExt as _;
use serde_json::{Value, json};
use testkit::claim;
use tokio::time::timeout;

use crate::support::{ServerFixture, TIMEOUT, body, text};

const WATCH_LIST: &str = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";

/// The paths of all served API versions.
async fn versions(front: &ServerFixture) -> Vec<String> {
    let groups = body(&front.get("/apis").await, 200);
    let versions = groups["groups"].as_array().unwrap().iter().flat_map(|group| group["versions"].as_array().unwrap());
    let versions = versions.map(|version| format!("/apis/{}", text(version, "/groupVersion")));
    ["/api/v1".to_owned()].into_iter().chain(versions).collect()
}

/// The events of a WebSocket watch up to the first bookmark, each as its type and the kind of its object.
async fn beginning(front: &ServerFixture, path: &str) -> Vec<(String, String)> {
    let mut socket = front.http.websocket(path).await.unwrap_or_else(|error| panic!("{path}: {error:#}"));
    let mut events = Vec::new();
    loop {
        let message = timeout(TIMEOUT, socket.next()).await.expect("an event").expect("no end").unwrap();
        let event: Value = serde_json::from_str(message.to_text().unwrap()).unwrap();
        events.push((text(&event, "/type").to_owned(), text(&event, "/object/kind").to_owned()));
        if event["type"] == "BOOKMARK" {
            return events;
        }
    }
}

#[tokio::test]
async fn every_kind_can_be_watched_over_websocket() {
    let front = ServerFixture::with_pool().await;
    front.claim(claim("a").pool("root").length(28)).await;
    let mut begun_with_an_object = Vec::new();
    for version in versions(&front).await {
        let resources = body(&front.get(&version).await, 200)["resources"].take();
        let watched = resources.as_array().unwrap().iter().filter(|resource| {
            resource["verbs"].as_array().unwrap().contains(&json!("watch")) && !text(resource, "/name").contains('/')
        });
        for resource in watched {
            let (plural, kind) = (text(resource, "/name"), text(resource, "/kind"));
            let mut paths = vec![format!("{version}/{plural}"), format!("{version}/watch/{plural}")];
            if resource["namespaced"] == true {
                paths.push(format!("{version}/namespaces/default/{plural}"));
            }
            for path in paths {
                let events = beginning(&front, &format!("{path}?{WATCH_LIST}")).await;
                assert!(events.iter().all(|(_, shown)| shown == kind), "{path}: {events:?}");
                if events[0].0 == "ADDED" {
                    begun_with_an_object.push(path);
                }
            }
        }
    }
    for plural in ["ippools", "ipclaims", "ipallocations", "namespaces", "clusterroles"] {
        let begun = begun_with_an_object.iter().any(|path| path.ends_with(plural));
        assert!(begun, "{plural} are not among {begun_with_an_object:?}");
    }
}
