//! IPAllocations.

use apimachinery::{kind::RequestContext, limits::LABELS_MAX, object::Object, rbac::Permissions};
use expect_test::expect;
use serde_json::json;

use super::harness::{Server, claim, key, kind_of, pool, show, show_refusal};

/// Returns a server with one claim with this reclaim policy, and the key of its allocation.
fn claimed(policy: &str) -> (Server, apimachinery::command::ObjectKey) {
    let mut server = Server::with_pool("p", "10.0.0.0/24");
    let spec = json!({"poolRef": {"name": "p"}, "prefixLength": 32, "reclaimPolicy": policy});
    server.create(claim("a"), spec).unwrap();
    let allocation = server.allocation_of(&claim("a"));
    (server, allocation)
}

#[test]
fn allocation_name_is_derived_from_claim_name() {
    let (server, allocation) = claimed("Delete");
    // printf default/a | sha256sum
    expect!["alloc-9efb36117d50566e"].assert_eq(&allocation.name);
    assert_eq!(allocation.namespace, "default");
    assert_ne!(server.get(&allocation).metadata.uid, server.get(&claim("a")).metadata.uid);
}

#[test]
fn bound_allocation_cannot_be_deleted() {
    let (mut server, allocation) = claimed("Delete");
    expect![[r#"
        422 Invalid: IPAllocation.ipam.miloapis.com "alloc-9efb36117d50566e" is invalid: spec.claimRef: Forbidden: managed by its owning IPClaim; delete the claim instead
        - FieldValueForbidden spec.claimRef: Forbidden: managed by its owning IPClaim; delete the claim instead
    "#]].assert_eq(&show_refusal(&server.delete(&allocation).unwrap_err()));
}

#[test]
fn retained_allocation_has_no_owner_and_frees_block_on_delete() {
    let (mut server, allocation) = claimed("Retain");
    server.delete(&claim("a")).unwrap();
    let object = server.get(&allocation);
    assert!(object.metadata.owner_references.is_empty());
    expect![[r#"
        [
          {
            "ipFamily": "IPv4",
            "poolRef": {
              "name": "p"
            },
            "purpose": "Claim"
          },
          {
            "allocatedCIDR": "10.0.0.0/32",
            "conditions": [
              {
                "lastTransitionTime": "2026-01-01T00:00:02Z",
                "message": "10.0.0.0/32 of IPPool p",
                "reason": "AllocationSucceeded",
                "status": "True",
                "type": "Allocated"
              },
              {
                "lastTransitionTime": "2026-01-01T00:00:02Z",
                "message": "the claim was deleted and its block is retained; delete the allocation to free it",
                "reason": "Retained",
                "status": "True",
                "type": "Ready"
              }
            ],
            "phase": "Retained"
          }
        ]"#]]
    .assert_eq(&format!("{:#}", json!([object.field("spec"), object.field("status")])));
    server.delete(&allocation).unwrap();
    assert!(server.holders("p").is_empty());
    assert_eq!(server.get(&pool("p")).field("status")["largestFreePrefix"], 24);
}

#[test]
fn retained_allocation_copies_claim_labels_up_to_the_limit() {
    let (mut server, allocation) = claimed("Retain");
    let labels = |prefix: &'static str, count: usize| (0..count).map(move |n| (format!("{prefix}{n}"), String::new()));
    server.update(&claim("a"), |claim| claim.metadata.labels.extend(labels("c", 5))).unwrap();
    server.update(&allocation, |object| object.metadata.labels.extend(labels("a", LABELS_MAX - 2))).unwrap();
    server.delete(&claim("a")).unwrap();
    let kept = &server.get(&allocation).metadata.labels;
    assert_eq!((kept.len(), kept.contains_key("c1"), kept.contains_key("c2")), (LABELS_MAX, true, false));
}

#[test]
fn create_by_user_is_405() {
    let server = Server::new();
    let (permissions, entropy) = (Permissions::Unrestricted, apimachinery::command::RequestEntropy([7; 32]));
    let status = &serde_json::Value::Null;
    let ctx = RequestContext {
        permissions: &permissions,
        now: server.now(),
        entropy,
        dry_run: false,
        name_in_path: false,
        status,
    };
    let key = key("ipallocations", "mine");
    let refusal = kind_of(&key).prepare_create(&key, Object::default(), &ctx).err().expect("it is no verb of users");
    assert_eq!(refusal.reason.code(), 405);
}

#[test]
fn users_may_change_only_labels_and_annotations() {
    let (mut server, allocation) = claimed("Delete");
    server
        .update(&allocation, |object| {
            object.metadata.labels.insert("rack".to_owned(), "7".to_owned());
            object.metadata.annotations.insert("note".to_owned(), "spare".to_owned());
        })
        .unwrap();
    let answer = server.update(&allocation, |object| {
        object.fields["spec"]["poolRef"]["name"] = "q".into();
        object.fields["spec"].as_object_mut().unwrap().remove("claimRef");
        object.metadata.finalizers.push("example.com/hold".to_owned());
        object.metadata.owner_references.clear();
    });
    expect![[r#"
        422 Invalid: IPAllocation.ipam.miloapis.com "alloc-9efb36117d50566e" is invalid: [spec.claimRef: Forbidden: spec.claimRef is immutable, spec.poolRef: Forbidden: spec.poolRef is immutable, metadata.finalizers: Forbidden: an IPAllocation is deleted with its IPClaim; put the finalizer on the claim, metadata.ownerReferences: Forbidden: is set by the service]
        - FieldValueForbidden spec.claimRef: Forbidden: spec.claimRef is immutable
        - FieldValueForbidden spec.poolRef: Forbidden: spec.poolRef is immutable
        - FieldValueForbidden metadata.finalizers: Forbidden: an IPAllocation is deleted with its IPClaim; put the finalizer on the claim
        - FieldValueForbidden metadata.ownerReferences: Forbidden: is set by the service
    "#]].assert_eq(&show(&answer));
    let answer = server.update_status(&allocation, |object| {
        object.fields["status"]["phase"] = "Retained".into();
    });
    expect![[r#"
        422 Invalid: IPAllocation.ipam.miloapis.com "alloc-9efb36117d50566e" is invalid: status.phase: Forbidden: is set by the service
        - FieldValueForbidden status.phase: Forbidden: is set by the service
    "#]].assert_eq(&show(&answer));
    server.delete(&claim("a")).expect("a changed allocation is still deleted with its claim");
}
