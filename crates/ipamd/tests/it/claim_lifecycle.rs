//! The life cycle of a claim: the response to its creation, its allocation, and the release or retention of its block.

use http::Method;
use kube::{
    Api,
    api::{DeleteParams, ListParams, Patch, PatchParams},
    core::DynamicObject,
};
use serde_json::{Value, json};
use testkit::{allocated_cidr, at, claim, refusal};

use super::support::{ALLOCATIONS, CLAIMS, POOLS, ServerFixture, assert_refused, body, condition, revision, text};

/// `alloc-` and the first 16 hex digits of SHA-256 of "default/a".
const ALLOCATION_OF_A: &str = "alloc-9efb36117d50566e";
/// The same of "default/kept".
const ALLOCATION_OF_KEPT: &str = "alloc-6d8685aa1a4a6211";

async fn is_gone(api: &Api<DynamicObject>, name: &str) -> bool {
    api.get_opt(name).await.unwrap().is_none()
}

#[tokio::test]
async fn create_response_contains_the_allocated_block() {
    let front = ServerFixture::with_pool().await;
    let claim = body(&front.post(CLAIMS, claim("a").pool("root").length(24)).await, 201);
    assert_eq!((text(&claim, "/apiVersion"), text(&claim, "/kind")), ("ipam.miloapis.com/v1alpha1", "IPClaim"));
    assert_eq!(
        (text(&claim, "/metadata/name"), text(&claim, "/metadata/namespace"), &claim["metadata"]["generation"]),
        ("a", "default", &json!(1))
    );
    assert_eq!(text(&claim, "/metadata/uid").len(), 36);
    let created = text(&claim, "/metadata/creationTimestamp");
    assert!(created.len() == 20 && created.ends_with('Z'), "{created}");
    let status = &claim["status"];
    assert_eq!((text(status, "/phase"), text(status, "/allocatedCIDR")), ("Bound", "10.0.0.0/24"));
    assert_eq!((text(status, "/poolRef/name"), text(status, "/boundAllocationRef/name")), ("root", ALLOCATION_OF_A));
    assert_eq!(status["observedGeneration"], 1);
    assert_eq!((condition(status, "Allocated").0, condition(status, "Ready").0), ("True", "True"));
    assert_eq!(body(&front.get(&format!("{CLAIMS}/a")).await, 200), claim, "a read returns the object of the response");
    assert_eq!(front.addresses("root").await, (65_536, 256, 65_280));
}

#[tokio::test]
async fn claim_has_an_allocation_that_it_owns() {
    let front = ServerFixture::with_pool().await;
    let claim = body(&front.post(CLAIMS, claim("a").pool("root").length(24)).await, 201);
    let allocation = body(&front.get(&format!("{ALLOCATIONS}/{ALLOCATION_OF_A}")).await, 200);
    assert_eq!(text(&allocation, "/kind"), "IPAllocation");
    assert!(revision(&allocation) <= revision(&body(&front.get(ALLOCATIONS).await, 200)));
    let metadata = &allocation["metadata"];
    assert_eq!((text(metadata, "/name"), text(metadata, "/namespace")), (ALLOCATION_OF_A, "default"));
    assert_eq!(text(metadata, "/uid").len(), 36);
    assert_ne!(metadata["uid"], claim["metadata"]["uid"]);
    assert_eq!(text(metadata, "/creationTimestamp").len(), 20);
    let owners = metadata["ownerReferences"].as_array().unwrap();
    assert_eq!(owners.len(), 1);
    for (field, value) in [
        ("apiVersion", &claim["apiVersion"]),
        ("kind", &claim["kind"]),
        ("name", &json!("a")),
        ("uid", &claim["metadata"]["uid"]),
    ] {
        assert_eq!(&owners[0][field], value, "owner's {field}");
    }
    let spec = &allocation["spec"];
    assert_eq!((text(spec, "/ipFamily"), text(spec, "/poolRef/name")), ("IPv4", "root"));
    assert_eq!((text(spec, "/claimRef/name"), text(spec, "/purpose")), ("a", "Claim"));
    let status = &allocation["status"];
    assert_eq!((text(status, "/phase"), text(status, "/allocatedCIDR")), ("Ready", "10.0.0.0/24"));
}

#[tokio::test]
async fn deleted_claim_frees_its_block_at_once() {
    let front = ServerFixture::with_pool().await;
    let uid = front.claim(claim("a").pool("root").length(24)).await.metadata.uid.unwrap();
    for round in 0..5 {
        let answer = body(&front.send(Method::DELETE, &format!("{CLAIMS}/a"), &[], "").await, 200);
        assert_eq!((text(&answer, "/kind"), text(&answer, "/status")), ("Status", "Success"));
        assert_eq!((text(&answer, "/details/name"), text(&answer, "/details/kind")), ("a", "ipclaims"));
        assert!(is_gone(&front.claims, "a").await && is_gone(&front.allocations, ALLOCATION_OF_A).await);
        assert_eq!(front.addresses("root").await, (65_536, 0, 65_536), "round {round}");
        let again = front.claim(claim("a").pool("root").length(24)).await;
        assert_eq!(allocated_cidr(&again), "10.0.0.0/24", "a released block can be allocated again");
        assert_ne!(again.metadata.uid.as_ref(), Some(&uid), "a new claim is another object");
    }
}

#[tokio::test]
async fn retained_allocation_keeps_block_after_claim_delete() {
    let front = ServerFixture::with_pool().await;
    let kept = claim("kept").pool("root").length(24).retain().label("team", "billing").label("tier", "db");
    assert_eq!(front.block(kept).await, "10.0.0.0/24");
    let own = json!({ "metadata": { "labels": { "rack": "7", "tier": "unknown" } } });
    front.allocations.patch(ALLOCATION_OF_KEPT, &PatchParams::default(), &Patch::Merge(&own)).await.unwrap();
    front.delete_claim("kept").await;
    assert!(is_gone(&front.claims, "kept").await);
    let allocation = front.allocations.get(ALLOCATION_OF_KEPT).await.unwrap();
    assert_eq!((at(&allocation, "/status/phase"), allocated_cidr(&allocation)), (&json!("Retained"), "10.0.0.0/24"));
    assert_eq!(at(&allocation, "/spec/claimRef/name"), &Value::Null, "spec.claimRef is cleared");
    let whose = (json!(allocation.metadata.annotations), json!(allocation.metadata.labels));
    let labels = json!({ "rack": "7", "team": "billing", "tier": "db" });
    assert_eq!(whose, (json!({ "ipam.miloapis.com/retained-claim": "kept" }), labels), "it names its former claim");
    assert_eq!(allocation.metadata.owner_references.unwrap_or_default(), [], "it must not be garbage-collected");
    assert_eq!(front.addresses("root").await.1, 256);
    assert_eq!(front.block(claim("b").pool("root").length(24)).await, "10.0.1.0/24", "the block stays allocated");

    assert!(front.allocations.delete(ALLOCATION_OF_KEPT, &DeleteParams::default()).await.unwrap().is_right());
    assert_eq!(front.addresses("root").await.1, 256);
    assert_eq!(front.block(claim("c").pool("root").length(24)).await, "10.0.0.0/24", "the block is free again");
}

/// Replaces the finalizers of claim `a`.
async fn set_finalizers(front: &ServerFixture, finalizers: Value) -> Result<DynamicObject, kube::Error> {
    let patch = json!({ "metadata": { "finalizers": finalizers } });
    front.claims.patch("a", &PatchParams::default(), &Patch::Merge(&patch)).await
}

#[tokio::test]
async fn block_is_kept_until_last_finalizer_is_removed() {
    let front = ServerFixture::with_pool().await;
    let held = claim("a").pool("root").length(24).finalizer("example.com/one").finalizer("example.com/two");
    front.claim(held).await;
    let asked = front.claims.delete("a", &DeleteParams::default()).await.unwrap();
    let asked = asked.left().expect("the response is the claim");
    assert!(asked.metadata.deletion_timestamp.is_some());
    assert_eq!(at(&asked, "/status/phase"), "Releasing");
    assert_eq!((asked.metadata.generation, allocated_cidr(&asked)), (Some(2), "10.0.0.0/24"));

    let patched = set_finalizers(&front, json!(["example.com/two"])).await.unwrap();
    assert_eq!(at(&patched, "/status/phase"), "Releasing");
    assert_eq!(front.addresses("root").await.1, 256);
    assert_eq!(front.block(claim("b").pool("root").length(24)).await, "10.0.1.0/24");

    set_finalizers(&front, Value::Null).await.unwrap();
    assert!(is_gone(&front.claims, "a").await && is_gone(&front.allocations, ALLOCATION_OF_A).await);
    assert_eq!(front.addresses("root").await.1, 256);
    assert_eq!(front.block(claim("c").pool("root").length(24)).await, "10.0.0.0/24");
}

#[tokio::test]
async fn terminating_claim_cannot_be_revived() {
    let front = ServerFixture::with_pool().await;
    front.claim(claim("a").pool("root").length(24).finalizer("example.com/one")).await;
    let first = front.claims.delete("a", &DeleteParams::default()).await.unwrap().left().unwrap();
    let second = front.claims.delete("a", &DeleteParams::default()).await.unwrap().left().unwrap();
    assert_eq!(second.metadata, first.metadata, "a repeated delete changes nothing");

    let refused = refusal(set_finalizers(&front, json!(["example.com/one", "example.com/new"])).await);
    let words = "no new finalizers can be added if the object is being deleted";
    assert_refused(&refused, 422, "Invalid", &[words]);
    let taken = front.refused_claim(claim("a").pool("root").length(24)).await;
    assert_refused(&taken, 409, "AlreadyExists", &["object is being deleted: "]);

    let from = revision(&body(&front.get(CLAIMS).await, 200));
    let mut watch = front.watch(&format!("{CLAIMS}?watch=true&resourceVersion={from}")).await;
    set_finalizers(&front, json!([])).await.unwrap();
    watch.expect("DELETED", "a").await;
    assert_eq!(front.addresses("root").await.1, 0);
}

#[tokio::test]
async fn duplicate_claim_name_is_already_exists() {
    let front = ServerFixture::with_pool().await;
    front.claim(claim("a").pool("root").length(24)).await;
    let before = front.everything().await;
    for again in [
        claim("a").pool("root").length(24),
        claim("a").pool("root").length(28),
        claim("a").pool("root").address("10.0.9.9"),
    ] {
        let status = front.refused_claim(again).await;
        assert_refused(&status, 409, "AlreadyExists", &["ipclaims.ipam.miloapis.com \"a\" already exists"]);
    }
    assert_eq!(front.everything().await, before, "nothing is consumed");
    front.namespace("other").await;
    let other = front.claim_in("other", claim("a").pool("root").length(24)).await;
    assert_eq!(allocated_cidr(&other), "10.0.1.0/24", "names are unique inside a namespace");
    assert_eq!(at(&other, "/status/boundAllocationRef/name"), "alloc-6a76599fa79db2eb");
}

#[tokio::test]
async fn generate_name_produces_valid_claim_names() {
    let front = ServerFixture::with_pool().await;
    for prefix in ["web-", &"x".repeat(80)] {
        let mut manifest: Value = claim("").pool("root").length(28).into();
        manifest["metadata"] = json!({ "generateName": prefix });
        let created = body(&front.post(CLAIMS, manifest).await, 201);
        let name = text(&created, "/metadata/name");
        let suffix = name.strip_prefix(&prefix[..prefix.len().min(58)]).unwrap();
        assert!(suffix.len() == 5 && suffix.chars().all(|c| "bcdfghjklmnpqrstvwxz2456789".contains(c)), "{name}");
        assert_eq!(text(&created, "/status/phase"), "Bound");
    }
    assert_eq!(front.claims.list(&ListParams::default()).await.unwrap().items.len(), 2);
    assert_eq!(front.addresses("root").await.1, 32);
}

#[tokio::test]
async fn server_set_fields_of_create_body_are_ignored() {
    let front = ServerFixture::with_pool().await;
    let mut manifest: Value = claim("a").pool("root").length(24).into();
    manifest["metadata"]["uid"] = "11111111-2222-3333-4444-555555555555".into();
    manifest["metadata"]["creationTimestamp"] = "2001-01-01T00:00:00Z".into();
    manifest["metadata"]["generation"] = 7.into();
    manifest["status"] = json!({ "phase": "Error", "allocatedCIDR": "10.0.99.0/24" });
    let created = body(&front.post(CLAIMS, manifest).await, 201);
    assert_ne!(text(&created, "/metadata/uid"), "11111111-2222-3333-4444-555555555555");
    assert_ne!(text(&created, "/metadata/creationTimestamp"), "2001-01-01T00:00:00Z");
    assert_eq!(
        (&created["metadata"]["generation"], text(&created, "/status/allocatedCIDR")),
        (&json!(1), "10.0.0.0/24")
    );
    let pool = body(&front.get(&format!("{POOLS}/root")).await, 200);
    assert_eq!(pool["metadata"]["generation"], 1, "claims do not change the pool's spec");
}
