//! Owner references of claims, and the one that the service sets.

use std::slice;

use http::Method;
use serde_json::{Value, json};
use testkit::{Answer, claim};

use crate::support::{ALLOCATIONS, CLAIMS, POOLS, ServerFixture, body, names, text, warnings};

async fn delete(front: &ServerFixture, name: &str, policy: &str) -> Answer {
    let options = json!({ "propagationPolicy": policy });
    front.http.send_json(Method::DELETE, &format!("{CLAIMS}/{name}"), &options).await.unwrap()
}

async fn owned(front: &ServerFixture, name: &str, owner: &Value) -> Value {
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

async fn first(front: &ServerFixture) -> Value {
    front.claim(claim("first").pool("root").length(24)).await;
    body(&front.get(&format!("{CLAIMS}/first")).await, 200)
}

#[tokio::test]
async fn claim_is_deleted_with_its_owner_and_frees_its_block() {
    for policy in ["Background", "Foreground"] {
        let front = ServerFixture::with_pool().await;
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
async fn orphaned_claim_keeps_its_block() {
    let front = ServerFixture::with_pool().await;
    let owner = first(&front).await;
    owned(&front, "second", &owner).await;
    let answer = body(&delete(&front, "first", "Orphan").await, 200);
    assert_eq!(text(&answer, "/status/phase"), "Releasing", "it keeps its block until it is deleted");
    front.gone(&format!("{CLAIMS}/first")).await;
    let left = body(&front.get(&format!("{CLAIMS}/second")).await, 200);
    assert_eq!((text(&left, "/status/phase"), &left["metadata"]["ownerReferences"]), ("Bound", &Value::Null));
    assert_eq!(front.addresses("root").await.1, 256, "the allocation of the first was deleted with it");
}

#[tokio::test]
async fn claim_may_be_owned_by_pool_or_namespace() {
    let front = ServerFixture::with_pool().await;
    let pool = body(&front.get("/apis/ipam.miloapis.com/v1alpha1/ippools/root").await, 200);
    owned(&front, "of-pool", &pool).await;
    let namespace = body(&front.get("/api/v1/namespaces/default").await, 200);
    owned(&front, "of-namespace", &namespace).await;
    let mut stranger = namespace.clone();
    stranger["metadata"]["uid"] = json!("11111111-2222-3333-4444-555555555555");
    owned(&front, "of-missing", &stranger).await;
    front.gone(&format!("{CLAIMS}/of-missing")).await;
    assert_eq!(names(&body(&front.get(CLAIMS).await, 200)), ["of-namespace", "of-pool"]);
}

#[tokio::test]
async fn foreground_deletion_continues_after_restart() {
    let mut front = ServerFixture::with_pool().await;
    let owner = first(&front).await;
    for index in 0..50 {
        owned(&front, &format!("dependent-{index}"), &owner).await;
    }
    body(&delete(&front, "first", "Foreground").await, 200);
    front.server.restart().await;
    let front = ServerFixture::to(front.server);
    front.gone(&format!("{CLAIMS}/first")).await;
    assert_eq!(names(&body(&front.get(CLAIMS).await, 200)), [""; 0]);
    assert_eq!(front.addresses("root").await.1, 0);
}

/// The warnings of a response, without the escapes of their quotes.
fn unescaped_warnings(answer: &Answer) -> Vec<String> {
    warnings(answer).into_iter().map(|warning| warning.replace('\\', "")).collect()
}

/// The body of a create of claim `name` with these owners.
fn claim_of(name: &str, owners: &[Value]) -> Value {
    json!({
        "metadata": { "name": name, "ownerReferences": owners },
        "spec": { "poolRef": { "name": "root" }, "prefixLength": 24 },
    })
}

fn reference(kind: &str, name: &str, uid: &str) -> Value {
    json!({ "apiVersion": "ipam.miloapis.com/v1alpha1", "kind": kind, "name": name, "uid": uid })
}

const NO_UID: &str = "11111111-2222-3333-4444-555555555555";

/// The warnings of a dry run, without the one that says that it is a dry run.
fn owner_warnings(dry: &Answer) -> Vec<String> {
    unescaped_warnings(dry).into_iter().filter(|warning| warning.contains("ownerReferences")).collect()
}

#[tokio::test]
async fn missing_owner_causes_a_warning() {
    let front = ServerFixture::with_pool().await;
    let missing = reference("IPClaim", "never-was", NO_UID);
    let created = front.post(CLAIMS, claim_of("a", slice::from_ref(&missing))).await;
    assert_eq!(text(&body(&created, 201), "/status/phase"), "Bound");
    assert_eq!(
        unescaped_warnings(&created),
        [format!(
            "299 - \"metadata.ownerReferences[0]: there is no IPClaim \"never-was\" with uid \"{NO_UID}\" in namespace \
             \"default\" (an owner must be in its dependent's namespace); the garbage collector deletes this object, \
             because none of its owners exists\""
        )]
    );
    front.gone(&format!("{CLAIMS}/a")).await;

    // An owner of the same name, and one in another namespace.
    let here = first(&front).await;
    front.namespace("team").await;
    front.claim_in("team", claim("there").pool("root").length(24)).await;
    let there = body(&front.get("/apis/ipam.miloapis.com/v1alpha1/namespaces/team/ipclaims/there").await, 200);
    let elsewhere = reference("IPClaim", "there", text(&there, "/metadata/uid"));
    for owner in [reference("IPClaim", "first", NO_UID), reference("IPPool", "root", NO_UID), elsewhere] {
        let dry = front.post(&format!("{CLAIMS}?dryRun=All"), claim_of("b", slice::from_ref(&owner))).await;
        let warned = owner_warnings(&dry);
        assert!(warned[0].contains("the garbage collector deletes this object"), "{warned:?}");
    }
    let uid = text(&here, "/metadata/uid");
    let both = front.post(CLAIMS, claim_of("b", &[reference("IPClaim", "first", uid), missing.clone()])).await;
    let warned = unescaped_warnings(&both);
    assert!(
        warned.len() == 1
            && warned[0].contains("metadata.ownerReferences[1]: there is no IPClaim")
            && warned[0].contains("the garbage collector removes this reference"),
        "{warned:?}"
    );
    for known in [
        reference("IPClaim", "first", uid),
        json!({ "apiVersion": "apps/v1", "kind": "Deployment", "name": "d", "uid": NO_UID }),
    ] {
        let created = front.post(CLAIMS, claim_of("c", slice::from_ref(&known))).await;
        assert_eq!((created.status.as_u16(), unescaped_warnings(&created)), (201, Vec::new()), "{known}");
        front.delete_claim("c").await;
    }
}

#[tokio::test]
async fn only_writes_that_add_missing_owner_warn() {
    let front = ServerFixture::with_pool().await;
    // A finalizer prevents the garbage collection of the claims.
    let held = |name: &str, owners: &[Value]| {
        let mut claim = claim_of(name, owners);
        claim["metadata"]["finalizers"] = json!(["example.com/hold"]);
        claim
    };
    let foreign = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "name": "d", "uid": NO_UID });
    let missing = reference("IPClaim", "never-was", NO_UID);
    let owners = json!({ "metadata": { "ownerReferences": [foreign, missing] } });
    let plain = body(&front.post(CLAIMS, held("a", slice::from_ref(&foreign))).await, 201);
    let one = format!("{CLAIMS}/a?dryRun=All");

    let patched = front.patch(&one, "merge", &owners).await;
    assert_eq!((patched.status.as_u16(), unescaped_warnings(&patched).len()), (200, 1), "a patch");
    let mut replaced = plain.clone();
    replaced["metadata"]["ownerReferences"] = owners["metadata"]["ownerReferences"].clone();
    let replaced = front.http.send_json(Method::PUT, &one, &replaced).await.unwrap();
    assert_eq!((replaced.status.as_u16(), unescaped_warnings(&replaced).len()), (200, 1), "a replacement");
    let applied = json!({
        "apiVersion": "ipam.miloapis.com/v1alpha1", "kind": "IPClaim",
        "metadata": { "name": "b", "ownerReferences": [missing] },
        "spec": { "poolRef": { "name": "root" }, "prefixLength": 24 },
    });
    let apply = [("content-type", "application/apply-patch+yaml")];
    let path = format!("{CLAIMS}/b?fieldManager=m&dryRun=All");
    let applied = front.send(Method::PATCH, &path, &apply, applied.to_string()).await;
    assert_eq!((applied.status.as_u16(), owner_warnings(&applied).len()), (201, 1), "an apply");

    let labels = json!({ "metadata": { "labels": { "x": "y" } } });
    let labelled = front.patch(&format!("{CLAIMS}/a"), "merge", &labels).await;
    assert_eq!((labelled.status.as_u16(), unescaped_warnings(&labelled)), (200, Vec::new()), "another change");
    let removed = front.patch(&one, "merge", &json!({ "metadata": { "ownerReferences": null } })).await;
    assert_eq!((removed.status.as_u16(), unescaped_warnings(&removed)), (200, Vec::new()), "a removal");
}

#[tokio::test]
async fn namespaced_owner_of_cluster_scoped_pool_warns() {
    let front = ServerFixture::with_pool().await;
    let owner = first(&front).await;
    let pool = json!({
        "metadata": {
            "name": "owned", "ownerReferences": [reference("IPClaim", "first", text(&owner, "/metadata/uid"))],
        },
        "spec": { "cidr": "10.1.0.0/16" },
    });
    let created = front.post(POOLS, pool).await;
    assert_eq!(created.status, 201, "{}", created.text());
    let warned = unescaped_warnings(&created);
    assert!(warned.len() == 1 && warned[0].contains("is namespaced, and this object is cluster-scoped"), "{warned:?}");
}
