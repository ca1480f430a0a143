//! The status of a pool whose deletion waits for its finalizers.

use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};
use testkit::pool;

use super::support::{POOLS, ServerFixture, body, condition, text};

#[tokio::test]
async fn terminating_pool_status_is_pending() {
    let front = ServerFixture::open().await;
    let mut wanted: Value = pool("going").cidr("10.1.0.0/16").into();
    wanted["metadata"]["finalizers"] = json!(["example.com/hold"]);
    body(&front.post(POOLS, wanted).await, 201);
    let asked = front.pools.delete("going", &DeleteParams::default()).await.unwrap();
    assert!(asked.is_left(), "it waits for its finalizer");
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
