//! A pool whose deletion waits for its finalizers: its status, and the errors for requests for its blocks.

use http::Method;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};
use testkit::{claim, pool};

use super::support::{CLAIMS, POOLS, ServerFixture, assert_causes, assert_refused, body, condition, failure, text};

/// A server with a pool `going` that is being deleted and has the label `tier: edge`.
async fn with_terminating_pool() -> ServerFixture {
    let front = ServerFixture::open().await;
    let mut wanted: Value = pool("going").cidr("10.1.0.0/16").label("tier", "edge").into();
    wanted["metadata"]["finalizers"] = json!(["example.com/hold"]);
    body(&front.post(POOLS, wanted).await, 201);
    let asked = front.pools.delete("going", &DeleteParams::default()).await.unwrap();
    assert!(asked.is_left(), "it waits for its finalizer");
    front
}

#[tokio::test]
async fn terminating_pool_status_is_pending() {
    let front = with_terminating_pool().await;
    let shown = body(&front.get(&format!("{POOLS}/going")).await, 200);
    let status = &shown["status"];
    assert_eq!((text(status, "/phase"), condition(status, "Ready")), ("Pending", ("False", "Terminating")));
    assert_eq!((condition(status, "Allocated").0, text(status, "/allocatedCIDR")), ("True", "10.1.0.0/16"));
    assert_eq!((&shown["metadata"]["generation"], &status["observedGeneration"]), (&json!(2), &json!(2)));
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
    let table = body(&front.get_as(&format!("{POOLS}/going"), table).await, 200);
    let cells = table["rows"][0]["cells"].as_array().unwrap();
    assert!(cells.contains(&json!("Terminating")) && !cells.contains(&json!("Ready")), "{table}");

    // Other changes do not alter that.
    let patch = json!({ "spec": { "visibility": "shared" } });
    let changed = body(&front.patch(&format!("{POOLS}/going"), "merge", &patch).await, 200);
    assert_eq!((text(&changed, "/status/phase"), condition(&changed["status"], "Ready").1), ("Pending", "Terminating"));
    let free = json!({ "metadata": { "finalizers": null } });
    front.pools.patch("going", &PatchParams::default(), &Patch::Merge(&free)).await.unwrap();
    assert_eq!(front.get(&format!("{POOLS}/going")).await.status, 404);
}

#[tokio::test]
async fn claims_on_terminating_pool_are_rejected_with_reason() {
    let front = with_terminating_pool().await;
    let words = ["\"going\"", "is being deleted"];
    for query in ["", "?dryRun=All"] {
        let named = claim("a").pool("going").length(24);
        let refused = failure(&front.post(&format!("{CLAIMS}{query}"), named).await);
        assert!(words.iter().all(|word| refused.message.contains(word)), "{refused:?}");
        let child = failure(&front.post(&format!("{POOLS}{query}"), pool("child").parent("going").length(24)).await);
        assert!(words.iter().all(|word| child.message.contains(word)), "{child:?}");
        let selected =
            failure(&front.post(&format!("{CLAIMS}{query}"), claim("a").select("tier", "edge").length(24)).await);
        assert_refused(&selected, 400, "BadRequest", &["no IPPool matches spec.poolSelector", words[0], words[1]]);
        assert_causes(&selected, &[("NoPoolMatch", "spec.poolSelector")]);
    }
    front.pool(pool("zone").cidr("10.2.0.0/16").label("tier", "edge")).await;
    assert_eq!(front.block(claim("a").select("tier", "edge").length(24)).await, "10.2.0.0/24", "another pool serves");
    let gone = front.send(Method::DELETE, &format!("{POOLS}/going"), &[], "").await;
    assert_eq!(text(&body(&gone, 200), "/status/phase"), "Pending", "a repeated delete changes nothing");
}
