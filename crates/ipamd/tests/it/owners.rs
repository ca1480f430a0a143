//! Owners of claims, and the one owner that the service itself writes.

use http::Method;
use serde_json::{Value, json};
use testkit::{Answer, claim};

use crate::support::{ALLOCATIONS, CLAIMS, Front, body, names, text};

async fn delete(front: &Front, name: &str, policy: &str) -> Answer {
    let options = json!({ "propagationPolicy": policy });
    front.http.send_json(Method::DELETE, &format!("{CLAIMS}/{name}"), &options).await.unwrap()
}

async fn owned(front: &Front, name: &str, owner: &Value) -> Value {
    let reference = json!({
        "apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"], "blockOwnerDeletion": true,
    });
    let claim = json!({
        "metadata": { "name": name, "ownerReferences": [reference] },
        "spec": { "poolRef": { "name": "root" }, "prefixLength": 24 },
    });
    body(&front.post(CLAIMS, claim).await, 201)
}

async fn first(front: &Front) -> Value {
    front.claim(claim("first").pool("root").length(24)).await;
    body(&front.get(&format!("{CLAIMS}/first")).await, 200)
}

#[tokio::test]
async fn a_claim_goes_with_its_owner_and_takes_its_block_along() {
    for policy in ["Background", "Foreground"] {
        let front = Front::with_pool().await;
        let owner = first(&front).await;
        let middle = owned(&front, "second", &owner).await;
        owned(&front, "third", &middle).await;
        assert_eq!(front.addresses("root").await.1, 3 * 256);
        body(&delete(&front, "first", policy).await, 200);
        for name in ["first", "second", "third"] {
            front.gone(&format!("{CLAIMS}/{name}")).await;
        }
        assert_eq!(front.addresses("root").await.1, 0, "{policy}");
        assert_eq!(names(&body(&front.get(ALLOCATIONS).await, 200)), [""; 0]);
    }
}

#[tokio::test]
async fn an_orphaned_claim_keeps_its_block() {
    let front = Front::with_pool().await;
    let owner = first(&front).await;
    owned(&front, "second", &owner).await;
    let answer = body(&delete(&front, "first", "Orphan").await, 200);
    assert_eq!(text(&answer, "/status/phase"), "Releasing", "it keeps its block until it is gone");
    front.gone(&format!("{CLAIMS}/first")).await;
    let left = body(&front.get(&format!("{CLAIMS}/second")).await, 200);
    assert_eq!((text(&left, "/status/phase"), &left["metadata"]["ownerReferences"]), ("Bound", &Value::Null));
    assert_eq!(front.addresses("root").await.1, 256, "the allocation of the first went with it");
}

#[tokio::test]
async fn a_claim_may_belong_to_a_pool_or_a_namespace() {
    let front = Front::with_pool().await;
    let pool = body(&front.get("/apis/ipam.miloapis.com/v1alpha1/ippools/root").await, 200);
    owned(&front, "of-pool", &pool).await;
    let namespace = body(&front.get("/api/v1/namespaces/default").await, 200);
    owned(&front, "of-namespace", &namespace).await;
    let mut stranger = namespace.clone();
    stranger["metadata"]["uid"] = json!("11111111-2222-3333-4444-555555555555");
    owned(&front, "of-nobody", &stranger).await;
    front.gone(&format!("{CLAIMS}/of-nobody")).await;
    assert_eq!(names(&body(&front.get(CLAIMS).await, 200)), ["of-namespace", "of-pool"]);
}

#[tokio::test]
async fn a_restart_finishes_what_was_begun() {
    let mut front = Front::with_pool().await;
    let owner = first(&front).await;
    for index in 0..50 {
        owned(&front, &format!("dependent-{index}"), &owner).await;
    }
    body(&delete(&front, "first", "Foreground").await, 200);
    front.server.restart().await;
    let front = Front::to(front.server);
    front.gone(&format!("{CLAIMS}/first")).await;
    assert_eq!(names(&body(&front.get(CLAIMS).await, 200)), [""; 0]);
    assert_eq!(front.addresses("root").await.1, 0);
}
