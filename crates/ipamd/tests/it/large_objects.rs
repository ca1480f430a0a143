//! The time that the largest bodies take on the committer, the one thread that executes all writes.

use std::{fs, time::Duration};

use http::Method;
use serde_json::{Map, Value, json};
use testkit::Answer;

use super::support::{ServerFixture, body};

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
const CONFIG_MAP: &str = "/api/v1/namespaces/default/configmaps/large";
/// The maximum processor time of the committer for one request.
const COMMITTER_TIME_MAX: Duration = Duration::from_millis(50);
/// Entries of a large ConfigMap: together with the requests below, nearly the most entries and bytes that are allowed.
const ENTRIES: usize = 3_000;
const ENTRY_BYTES: usize = 150;

fn large(first: usize) -> Value {
    let entry = |number: usize| (format!("k{number:06}"), Value::from("x".repeat(ENTRY_BYTES)));
    let data: Map<String, Value> = (first..first + ENTRIES).map(entry).collect();
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "large" }, "data": data })
}

/// The processor time that the committer thread has used.
fn committer_time(process: u32) -> Duration {
    let threads = fs::read_dir(format!("/proc/{process}/task")).unwrap().map(|thread| thread.unwrap().path());
    let committer = threads.into_iter().find(|thread| fs::read(thread.join("comm")).unwrap() == b"committer\n");
    let stat = fs::read_to_string(committer.expect("a committer").join("schedstat")).unwrap();
    Duration::from_nanos(stat.split(' ').next().unwrap().parse().unwrap())
}

/// Sends a request, prints the committer time that it took, and checks that against the limit.
async fn measured(front: &ServerFixture, what: &str, answer: impl Future<Output = Answer>, code: u16) -> Value {
    let process = front.server.process_id().unwrap();
    let before = committer_time(process);
    let answer = answer.await;
    let took = committer_time(process).checked_sub(before).unwrap();
    println!("{what}: {took:?} of the committer, an answer of {} bytes", answer.body.len());
    assert!(took < COMMITTER_TIME_MAX, "{what}: {took:?}");
    body(&answer, code)
}

#[tokio::test]
async fn large_bodies_use_little_committer_time() {
    let front = ServerFixture::open().await;
    let large_text = large(0).to_string();
    let json_body = [("content-type", "application/json")];
    let create = front.send(Method::POST, CONFIG_MAPS, &json_body, large_text.clone());
    measured(&front, "create", create, 201).await;
    let create = front.send(Method::POST, CONFIG_MAPS, &json_body, large_text.clone());
    measured(&front, "create again", create, 409).await;
    let change = json!([{ "op": "replace", "path": "/data/k000007", "value": "seven" }]);
    measured(&front, "small JSON patch", front.patch(CONFIG_MAP, "json", &change), 200).await;
    let changes: Vec<_> =
        (0..ENTRIES).map(|number| json!({ "op": "add", "path": format!("/data/n{number}"), "value": "x" })).collect();
    measured(&front, "long JSON patch", front.patch(CONFIG_MAP, "json", &changes.into()), 200).await;
    measured(&front, "merge patch", front.patch(CONFIG_MAP, "merge", &large(100_000)), 200).await;
    measured(&front, "strategic patch", front.patch(CONFIG_MAP, "strategic-merge", &large(0)), 200).await;
    measured(&front, "replace", front.send(Method::PUT, CONFIG_MAP, &json_body, large_text.clone()), 200).await;
    let held = json!({ "metadata": { "finalizers": ["example.com/hold"] } });
    measured(&front, "finalizer", front.patch(CONFIG_MAP, "merge", &held), 200).await;
    measured(&front, "delete", front.send(Method::DELETE, CONFIG_MAP, &[], ""), 200).await;
    let released = json!({ "metadata": { "finalizers": [] } });
    measured(&front, "last finalizer", front.patch(CONFIG_MAP, "merge", &released), 200).await;
    let media = [("content-type", "application/apply-patch+yaml")];
    let path = format!("{CONFIG_MAP}?fieldManager=one");
    measured(&front, "apply", front.send(Method::PATCH, &path, &media, large_text.clone()), 201).await;
    let path = format!("{CONFIG_MAP}?fieldManager=two&force=true");
    let other = large(100_000).to_string();
    measured(&front, "apply by another manager", front.send(Method::PATCH, &path, &media, other), 200).await;
    measured(&front, "delete at once", front.send(Method::DELETE, CONFIG_MAP, &[], ""), 200).await;
    let metrics = front.get("/metrics").await.text();
    assert!(!metrics.contains("ipam_commands_prepared_again_total{by=\"committer\"}"), "{metrics}");
}
