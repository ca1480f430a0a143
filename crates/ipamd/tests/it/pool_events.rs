//! Events about pools: exhaustion, availability, and claims that a pool had no room for.

use serde_json::{Value, json};
use testkit::{claim, pool};

use super::support::{ServerFixture, Watch, body, revision, text};

const EVENTS: &str = "/api/v1/namespaces/default/events";

/// The next event, which must be new and have this reason.
async fn next_event(watch: &mut Watch, reason: &str) -> Value {
    let event = watch.next().await;
    assert_eq!((text(&event, "/type"), text(&event, "/object/reason")), ("ADDED", reason), "{event}");
    event["object"].clone()
}

async fn claim_host(front: &ServerFixture, index: usize) {
    front.claim(claim(&format!("c{index}")).pool("small").length(32)).await;
}

#[tokio::test]
async fn events_report_pool_exhaustion_and_recovery() {
    let front = ServerFixture::open().await;
    let small = front.pool(pool("small").cidr("192.0.2.0/27")).await;
    let from = revision(&body(&front.get(EVENTS).await, 200));
    let mut watch = front.watch(&format!("{EVENTS}?watch=true&resourceVersion={from}")).await;
    for index in 0..31 {
        claim_host(&front, index).await;
    }
    let nearly = next_event(&mut watch, "PoolNearlyExhausted").await;
    let note = "96% of 192.0.2.0/27 is in use; 1 address is free, the largest free block is a /32";
    assert_eq!((text(&nearly, "/message"), text(&nearly, "/type")), (note, "Warning"));
    let about = &nearly["involvedObject"];
    assert_eq!((text(about, "/kind"), text(about, "/name"), text(about, "/namespace")), ("IPPool", "small", ""));
    assert_eq!(about["uid"], json!(small.metadata.uid));
    claim_host(&front, 31).await;
    let exhausted = next_event(&mut watch, "PoolExhausted").await;
    assert_eq!(text(&exhausted, "/message"), "no address of 192.0.2.0/27 is free");
    front.refused_claim(claim("late").pool("small").length(32)).await;
    let refused = next_event(&mut watch, "ClaimRefused").await;
    assert!(text(&refused, "/message").starts_with("IPClaim default/late was refused: IPPool \"small\" is exhausted"));
    assert_eq!((&refused["involvedObject"]["uid"], &refused["count"]), (&about["uid"], &json!(1)));
    front.delete_claim("c7").await;
    let available = next_event(&mut watch, "PoolAvailable").await;
    assert_eq!(text(&available, "/type"), "Normal");
    let selector =
        "fieldSelector=involvedObject.kind%3DIPPool%2CinvolvedObject.namespace%3D%2CinvolvedObject.name%3Dsmall";
    let list = body(&front.get(&format!("/api/v1/events?{selector}")).await, 200);
    assert_eq!(list["items"].as_array().unwrap().len(), 4, "{list}");
}
