//! IPClaims, and the choice of a block inside one pool.

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::harness::{Server, claim, pool, show, show_refusal};

/// Creates a claim on a server that has a pool for each kind of error.
fn check(spec: Value, expect: Expect) {
    let mut server = Server::with_pool("four", "10.0.0.0/16");
    server.create(pool("six"), json!({"cidr": "2001:db8::/32"})).unwrap();
    let bounds = json!({"minPrefixLength": 24, "maxPrefixLength": 28, "defaultPrefixLength": 26});
    server.create(pool("bounded"), json!({"cidr": "10.1.0.0/16", "allocation": bounds})).unwrap();
    let only = json!({"minPrefixLength": 64, "maxPrefixLength": 64});
    server.create(pool("only"), json!({"cidr": "2001:db9::/32", "allocation": only})).unwrap();
    server.create(pool("tiny"), json!({"cidr": "10.2.0.0/31"})).unwrap();
    server.create(claim("first"), json!({"poolRef": {"name": "tiny"}, "prefixLength": 32})).unwrap();
    expect.assert_eq(&show(&server.create(claim("new"), spec)));
}

fn from(pool: &str, rest: Value) -> Value {
    let mut spec = rest;
    spec["poolRef"] = json!({"name": pool});
    spec
}

#[test]
fn create_response_contains_bound_claim() {
    let mut server = Server::with_pool("p", "10.0.0.0/16");
    let (object, warnings) = server.create(claim("web"), from("p", json!({"prefixLength": 24}))).unwrap();
    assert!(warnings.is_empty());
    expect![[r#"
        {
          "spec": {
            "ipFamily": "IPv4",
            "poolRef": {
              "name": "p"
            },
            "prefixLength": 24,
            "reclaimPolicy": "Delete"
          },
          "status": {
            "allocatedCIDR": "10.0.0.0/24",
            "boundAllocationRef": {
              "name": "alloc-82b3ade9d00cd164"
            },
            "conditions": [
              {
                "lastTransitionTime": "2026-01-01T00:00:02Z",
                "message": "10.0.0.0/24 of IPPool p",
                "reason": "AllocationSucceeded",
                "status": "True",
                "type": "Allocated"
              },
              {
                "lastTransitionTime": "2026-01-01T00:00:02Z",
                "message": "the block can be used",
                "reason": "Bound",
                "status": "True",
                "type": "Ready"
              }
            ],
            "observedGeneration": 1,
            "phase": "Bound",
            "poolRef": {
              "name": "p"
            }
          }
        }"#]]
    .assert_eq(&format!("{:#}", json!({"spec": object.field("spec"), "status": object.field("status")})));
}

#[test]
fn allocation_of_a_claim_has_all_fields() {
    let mut server = Server::with_pool("p", "10.0.0.0/16");
    server.create(claim("web"), from("p", json!({"prefixLength": 24}))).unwrap();
    let allocation = server.get(&server.allocation_of(&claim("web")));
    expect![[r#"
        {
          "apiVersion": "ipam.miloapis.com/v1alpha1",
          "kind": "IPAllocation",
          "metadata": {
            "creationTimestamp": "2026-01-01T00:00:02Z",
            "generation": 1,
            "name": "alloc-82b3ade9d00cd164",
            "namespace": "default",
            "ownerReferences": [
              {
                "apiVersion": "ipam.miloapis.com/v1alpha1",
                "blockOwnerDeletion": true,
                "controller": true,
                "kind": "IPClaim",
                "name": "web",
                "uid": "00000000-0000-4002-8000-000000000000"
              }
            ],
            "resourceVersion": "3",
            "uid": "00000000-0000-4000-bfff-fffffffffffe"
          },
          "spec": {
            "claimRef": {
              "name": "web"
            },
            "ipFamily": "IPv4",
            "poolRef": {
              "name": "p"
            },
            "purpose": "Claim"
          },
          "status": {
            "allocatedCIDR": "10.0.0.0/24",
            "conditions": [
              {
                "lastTransitionTime": "2026-01-01T00:00:02Z",
                "message": "10.0.0.0/24 of IPPool p",
                "reason": "AllocationSucceeded",
                "status": "True",
                "type": "Allocated"
              },
              {
                "lastTransitionTime": "2026-01-01T00:00:02Z",
                "message": "a claim holds the block",
                "reason": "Bound",
                "status": "True",
                "type": "Ready"
              }
            ],
            "phase": "Ready"
          }
        }"#]]
    .assert_eq(&format!("{:#}", allocation.to_value()));
}

#[test]
fn exactly_one_of_pool_ref_and_selector_is_required() {
    check(
        json!({"prefixLength": 24}),
        expect![[r#"
        422 Invalid: IPClaim.ipam.miloapis.com "new" is invalid: spec: Required value: one of poolRef and poolSelector must be given
        - FieldValueRequired spec: Required value: one of poolRef and poolSelector must be given
    "#]],
    );
    check(
        Value::Null,
        expect![[r#"
        422 Invalid: IPClaim.ipam.miloapis.com "new" is invalid: spec: Required value: one of poolRef and poolSelector must be given
        - FieldValueRequired spec: Required value: one of poolRef and poolSelector must be given
    "#]],
    );
    check(
        from("four", json!({"poolSelector": {}, "prefixLength": 24})),
        expect![[r#"
        422 Invalid: IPClaim.ipam.miloapis.com "new" is invalid: spec: Forbidden: poolRef and poolSelector are mutually exclusive
        - FieldValueForbidden spec: Forbidden: poolRef and poolSelector are mutually exclusive
    "#]],
    );
    check(
        from("", json!({"prefixLength": 24})),
        expect![[r#"
        422 Invalid: IPClaim.ipam.miloapis.com "new" is invalid: spec.poolRef.name: Required value
        - FieldValueRequired spec.poolRef.name: Required value
    "#]],
    );
}

#[test]
fn unsupported_values_and_wrong_types_are_reported_with_path() {
    check(
        json!({"ipFamily": "ipv4", "reclaimPolicy": "Recycle", "poolRef": {}, "prefixLength": i32::MIN}),
        expect![[r#"
            422 Invalid: IPClaim.ipam.miloapis.com "new" is invalid: [spec.ipFamily: Unsupported value: "ipv4": supported values: "IPv4", "IPv6", spec.reclaimPolicy: Unsupported value: "Recycle": supported values: "Delete", "Retain", spec.prefixLength: Invalid value: -2147483648: must be greater than 0, spec.poolRef.name: Required value]
            - FieldValueNotSupported spec.ipFamily: Unsupported value: "ipv4": supported values: "IPv4", "IPv6"
            - FieldValueNotSupported spec.reclaimPolicy: Unsupported value: "Recycle": supported values: "Delete", "Retain"
            - FieldValueInvalid spec.prefixLength: Invalid value: -2147483648: must be greater than 0
            - FieldValueRequired spec.poolRef.name: Required value
        "#]],
    );
    check(
        json!({"ipFamily": 4, "reclaimPolicy": {}, "poolRef": "four", "poolSelector": [], "prefixLength": "24", "address": true}),
        expect![[r#"
            422 Invalid: IPClaim.ipam.miloapis.com "new" is invalid: [spec.address: Invalid value: "boolean": spec.address in body must be of type string: "boolean", spec.ipFamily: Invalid value: "integer": spec.ipFamily in body must be of type string: "integer", spec.poolRef: Invalid value: "string": spec.poolRef in body must be of type object: "string", spec.poolSelector: Invalid value: "array": spec.poolSelector in body must be of type object: "array", spec.prefixLength: Invalid value: "string": spec.prefixLength in body must be of type integer: "string", spec.reclaimPolicy: Invalid value: "object": spec.reclaimPolicy in body must be of type string: "object", spec: Required value: one of poolRef and poolSelector must be given]
            - FieldValueTypeInvalid spec.address: Invalid value: "boolean": spec.address in body must be of type string: "boolean"
            - FieldValueTypeInvalid spec.ipFamily: Invalid value: "integer": spec.ipFamily in body must be of type string: "integer"
            - FieldValueTypeInvalid spec.poolRef: Invalid value: "string": spec.poolRef in body must be of type object: "string"
            - FieldValueTypeInvalid spec.poolSelector: Invalid value: "array": spec.poolSelector in body must be of type object: "array"
            - FieldValueTypeInvalid spec.prefixLength: Invalid value: "string": spec.prefixLength in body must be of type integer: "string"
            - FieldValueTypeInvalid spec.reclaimPolicy: Invalid value: "object": spec.reclaimPolicy in body must be of type string: "object"
            - FieldValueRequired spec: Required value: one of poolRef and poolSelector must be given
        "#]],
    );
    check(
        from("four", json!({"prefixLength": 24.5})),
        expect![[r#"
        422 Invalid: IPClaim.ipam.miloapis.com "new" is invalid: spec.prefixLength: Invalid value: "number": spec.prefixLength in body must be of type integer: "number"
        - FieldValueTypeInvalid spec.prefixLength: Invalid value: "number": spec.prefixLength in body must be of type integer: "number"
    "#]],
    );
}

#[test]
fn unknown_pool_is_400() {
    check(
        from("x", json!({"prefixLength": 24})),
        expect![[r#"
        400 BadRequest: IPPool "x" not found
        - PoolNotFound spec.poolRef.name: IPPool "x" not found
    "#]],
    );
}

#[test]
fn pool_of_another_project_is_403() {
    let project = json!({"name": "other"});
    check(
        json!({"poolRef": {"name": "four", "projectRef": project}, "prefixLength": 24}),
        expect![[r#"
        403 Forbidden: ipclaims.ipam.miloapis.com "new" is forbidden: no permission to use IPPool "four" of project "other"
    "#]],
    );
    check(
        json!({"poolSelector": {"projectRef": project, "matchLabels": {"a": "b"}}, "prefixLength": 24}),
        expect![[r#"
        400 BadRequest: no IPPool matches spec.poolSelector
        - NoPoolMatch spec.poolSelector: no IPPool matches spec.poolSelector
    "#]],
    );
    check(
        json!({"poolRef": {"name": "four", "projectRef": {}}, "prefixLength": 24}),
        expect![[r#"
        422 Invalid: IPClaim.ipam.miloapis.com "new" is invalid: spec.poolRef.projectRef.name: Required value
        - FieldValueRequired spec.poolRef.projectRef.name: Required value
    "#]],
    );
}

#[test]
fn family_must_match_the_pool() {
    check(
        from("four", json!({"ipFamily": "IPv4", "prefixLength": 24})),
        expect![[r#"
        Bound 10.0.0.0/24
    "#]],
    );
    check(
        from("four", json!({"ipFamily": "IPv6", "prefixLength": 24})),
        expect![[r#"
        422 Invalid: IPClaim.ipam.miloapis.com "new" is invalid: spec.ipFamily: Invalid value: "IPv6": address family IPv6 does not match IPPool "four", which has IPv4 addresses
        - FieldValueInvalid spec.ipFamily: Invalid value: "IPv6": address family IPv6 does not match IPPool "four", which has IPv4 addresses
    "#]],
    );
    check(
        from("bounded", json!({"ipFamily": "IPv6", "prefixLength": 64})),
        expect![[r#"
        422 Invalid: IPClaim.ipam.miloapis.com "new" is invalid: [spec.ipFamily: Invalid value: "IPv6": address family IPv6 does not match IPPool "bounded", which has IPv4 addresses, spec.prefixLength: Invalid value: 64: prefixLength /64 is outside the bounds of IPPool "bounded" (10.1.0.0/16): /24 to /28]
        - FieldValueInvalid spec.ipFamily: Invalid value: "IPv6": address family IPv6 does not match IPPool "bounded", which has IPv4 addresses
        - FieldValueInvalid spec.prefixLength: Invalid value: 64: prefixLength /64 is outside the bounds of IPPool "bounded" (10.1.0.0/16): /24 to /28
    "#]],
    );
    check(
        from("four", json!({"ipFamily": "IPv4", "prefixLength": 64})),
        expect![[r#"
        422 Invalid: IPClaim.ipam.miloapis.com "new" is invalid: spec.prefixLength: Invalid value: 64: must be at most 32 for IPv4
        - FieldValueInvalid spec.prefixLength: Invalid value: 64: must be at most 32 for IPv4
    "#]],
    );
    check(
        from("four", json!({"ipFamily": "IPv6", "address": "10.0.0.1"})),
        expect![[r#"
        422 Invalid: IPClaim.ipam.miloapis.com "new" is invalid: spec.ipFamily: Invalid value: "IPv6": address family IPv6 does not match spec.address, which is IPv4
        - FieldValueInvalid spec.ipFamily: Invalid value: "IPv6": address family IPv6 does not match spec.address, which is IPv4
    "#]],
    );
    check(
        from("four", json!({"address": "2001:db8::1"})),
        expect![[r#"
            422 Invalid: IPClaim.ipam.miloapis.com "new" is invalid: spec.address: Invalid value: "2001:db8::1/128": address family IPv6 does not match IPPool "four", which has IPv4 addresses
            - FieldValueInvalid spec.address: Invalid value: "2001:db8::1/128": address family IPv6 does not match IPPool "four", which has IPv4 addresses
        "#]],
    );
}

#[test]
fn missing_length_uses_the_pool_default() {
    check(
        from("bounded", json!({})),
        expect![[r#"
        Bound 10.1.0.0/26
    "#]],
    );
    check(
        from("only", json!({})),
        expect![[r#"
        Bound 2001:db9::/64
    "#]],
    );
    check(
        from("four", json!({})),
        expect![[r#"
        422 Invalid: IPClaim.ipam.miloapis.com "new" is invalid: spec.prefixLength: Required value: IPPool "four" has no allocation.defaultPrefixLength
        - FieldValueRequired spec.prefixLength: Required value: IPPool "four" has no allocation.defaultPrefixLength
    "#]],
    );
}

#[test]
fn length_outside_the_family_is_rejected() {
    check(
        from("four", json!({"prefixLength": 0})),
        expect![[r#"
        422 Invalid: IPClaim.ipam.miloapis.com "new" is invalid: spec.prefixLength: Invalid value: 0: must be greater than 0
        - FieldValueInvalid spec.prefixLength: Invalid value: 0: must be greater than 0
    "#]],
    );
    check(
        from("four", json!({"prefixLength": -5})),
        expect![[r#"
        422 Invalid: IPClaim.ipam.miloapis.com "new" is invalid: spec.prefixLength: Invalid value: -5: must be greater than 0
        - FieldValueInvalid spec.prefixLength: Invalid value: -5: must be greater than 0
    "#]],
    );
    check(
        from("six", json!({"prefixLength": 129})),
        expect![[r#"
        422 Invalid: IPClaim.ipam.miloapis.com "new" is invalid: spec.prefixLength: Invalid value: 129: must be at most 128
        - FieldValueInvalid spec.prefixLength: Invalid value: 129: must be at most 128
    "#]],
    );
    check(
        from("six", json!({"prefixLength": i64::MAX})),
        expect![[r#"
            422 Invalid: IPClaim.ipam.miloapis.com "new" is invalid: spec.prefixLength: Invalid value: "integer": spec.prefixLength in body must be of type int32: "integer"
            - FieldValueTypeInvalid spec.prefixLength: Invalid value: "integer": spec.prefixLength in body must be of type int32: "integer"
        "#]],
    );
    check(
        from("four", json!({"prefixLength": u64::MAX})),
        expect![[r#"
            422 Invalid: IPClaim.ipam.miloapis.com "new" is invalid: spec.prefixLength: Invalid value: "integer": spec.prefixLength in body must be of type int32: "integer"
            - FieldValueTypeInvalid spec.prefixLength: Invalid value: "integer": spec.prefixLength in body must be of type int32: "integer"
        "#]],
    );
}

#[test]
fn length_outside_the_pool_bounds_is_rejected() {
    check(
        from("bounded", json!({"prefixLength": 23})),
        expect![[r#"
        422 Invalid: IPClaim.ipam.miloapis.com "new" is invalid: spec.prefixLength: Invalid value: 23: prefixLength /23 is outside the bounds of IPPool "bounded" (10.1.0.0/16): /24 to /28
        - FieldValueInvalid spec.prefixLength: Invalid value: 23: prefixLength /23 is outside the bounds of IPPool "bounded" (10.1.0.0/16): /24 to /28
    "#]],
    );
    check(
        from("bounded", json!({"prefixLength": 29})),
        expect![[r#"
        422 Invalid: IPClaim.ipam.miloapis.com "new" is invalid: spec.prefixLength: Invalid value: 29: prefixLength /29 is outside the bounds of IPPool "bounded" (10.1.0.0/16): /24 to /28
        - FieldValueInvalid spec.prefixLength: Invalid value: 29: prefixLength /29 is outside the bounds of IPPool "bounded" (10.1.0.0/16): /24 to /28
    "#]],
    );
    check(
        from("four", json!({"prefixLength": 15})),
        expect![[r#"
        422 Invalid: IPClaim.ipam.miloapis.com "new" is invalid: spec.prefixLength: Invalid value: 15: prefixLength /15 is outside the bounds of IPPool "four" (10.0.0.0/16): /16 to /32
        - FieldValueInvalid spec.prefixLength: Invalid value: 15: prefixLength /15 is outside the bounds of IPPool "four" (10.0.0.0/16): /16 to /32
    "#]],
    );
    check(
        from("four", json!({"prefixLength": 33})),
        expect![[r#"
        422 Invalid: IPClaim.ipam.miloapis.com "new" is invalid: spec.prefixLength: Invalid value: 33: prefixLength /33 is outside the bounds of IPPool "four" (10.0.0.0/16): /16 to /32
        - FieldValueInvalid spec.prefixLength: Invalid value: 33: prefixLength /33 is outside the bounds of IPPool "four" (10.0.0.0/16): /16 to /32
    "#]],
    );
    check(
        from("bounded", json!({"address": "10.1.0.1"})),
        expect![[r#"
        422 Invalid: IPClaim.ipam.miloapis.com "new" is invalid: spec.address: Invalid value: "10.1.0.1/32": prefixLength /32 is outside the bounds of IPPool "bounded" (10.1.0.0/16): /24 to /28
        - FieldValueInvalid spec.address: Invalid value: "10.1.0.1/32": prefixLength /32 is outside the bounds of IPPool "bounded" (10.1.0.0/16): /24 to /28
    "#]],
    );
    check(
        from("bounded", json!({"address": "10.1.0.0/24"})),
        expect![[r#"
        Bound 10.1.0.0/24
    "#]],
    );
    check(
        from("four", json!({"prefixLength": 16})),
        expect![[r#"
        Bound 10.0.0.0/16
    "#]],
    );
}

#[test]
fn claim_for_an_exact_address_or_block() {
    check(
        from("four", json!({"address": "10.0.0.77"})),
        expect![[r#"
        Bound 10.0.0.77/32
    "#]],
    );
    check(
        from("four", json!({"address": "10.0.3.0/24"})),
        expect![[r#"
        Bound 10.0.3.0/24
    "#]],
    );
    check(
        from("four", json!({"address": "10.0.3.0/24", "prefixLength": 24})),
        expect![[r#"
        Bound 10.0.3.0/24
    "#]],
    );
    check(
        from("six", json!({"address": "2001:0DB8::1"})),
        expect![[r#"
        Bound 2001:db8::1/128
    "#]],
    );
    check(
        from("four", json!({"address": "10.0.3.0/24", "prefixLength": 25})),
        expect![[r#"
        422 Invalid: IPClaim.ipam.miloapis.com "new" is invalid: spec.prefixLength: Invalid value: 25: does not agree with spec.address, which is 10.0.3.0/24
        - FieldValueInvalid spec.prefixLength: Invalid value: 25: does not agree with spec.address, which is 10.0.3.0/24
    "#]],
    );
    check(
        from("four", json!({"address": "10.0.3.0", "prefixLength": 24})),
        expect![[r#"
        Bound 10.0.3.0/24
    "#]],
    );
    check(
        from("four", json!({"address": "10.0.3.1/24"})),
        expect![[r#"
        422 Invalid: IPClaim.ipam.miloapis.com "new" is invalid: spec.address: Invalid value: "10.0.3.1/24": has bits set beyond its prefix length; write 10.0.3.0/24 for the block, 10.0.3.1 for the address
        - FieldValueInvalid spec.address: Invalid value: "10.0.3.1/24": has bits set beyond its prefix length; write 10.0.3.0/24 for the block, 10.0.3.1 for the address
    "#]],
    );
    check(
        from("four", json!({"address": "0.0.0.0/0"})),
        expect![[r#"
        422 Invalid: IPClaim.ipam.miloapis.com "new" is invalid: spec.address: Invalid value: "0.0.0.0/0": its prefix length must be greater than 0
        - FieldValueInvalid spec.address: Invalid value: "0.0.0.0/0": its prefix length must be greater than 0
    "#]],
    );
    check(
        from("four", json!({"address": "10.1.0.1"})),
        expect![[r#"
        422 Invalid: IPClaim.ipam.miloapis.com "new" is invalid: spec.address: Invalid value: "10.1.0.1/32": must be inside IPPool "four", which is 10.0.0.0/16
        - FieldValueInvalid spec.address: Invalid value: "10.1.0.1/32": must be inside IPPool "four", which is 10.0.0.0/16
    "#]],
    );
    check(
        from("four", json!({"address": "10.0.0.0/15"})),
        expect![[r#"
        422 Invalid: IPClaim.ipam.miloapis.com "new" is invalid: [spec.address: Invalid value: "10.0.0.0/15": prefixLength /15 is outside the bounds of IPPool "four" (10.0.0.0/16): /16 to /32, spec.address: Invalid value: "10.0.0.0/15": must be inside IPPool "four", which is 10.0.0.0/16]
        - FieldValueInvalid spec.address: Invalid value: "10.0.0.0/15": prefixLength /15 is outside the bounds of IPPool "four" (10.0.0.0/16): /16 to /32
        - FieldValueInvalid spec.address: Invalid value: "10.0.0.0/15": must be inside IPPool "four", which is 10.0.0.0/16
    "#]],
    );
    check(
        from("four", json!({"address": "10.0.0.01"})),
        expect![[r#"
        422 Invalid: IPClaim.ipam.miloapis.com "new" is invalid: spec.address: Invalid value: "10.0.0.01": an IPv4 octet has a leading zero; write 10, not 010
        - FieldValueInvalid spec.address: Invalid value: "10.0.0.01": an IPv4 octet has a leading zero; write 10, not 010
    "#]],
    );
    check(
        from("tiny", json!({"address": "10.2.0.0"})),
        expect![[r#"
            422 Invalid: IPClaim.ipam.miloapis.com "new" is invalid: spec.address: Invalid value: "10.2.0.0/32": is not entirely free in IPPool "tiny"; ask for another block, or give spec.prefixLength in place of spec.address to get the next free one
            - AddressTaken spec.address: Invalid value: "10.2.0.0/32": is not entirely free in IPPool "tiny"; ask for another block, or give spec.prefixLength in place of spec.address to get the next free one
        "#]],
    );
    check(
        from("tiny", json!({"address": "10.2.0.0/31"})),
        expect![[r#"
            422 Invalid: IPClaim.ipam.miloapis.com "new" is invalid: spec.address: Invalid value: "10.2.0.0/31": is not entirely free in IPPool "tiny"; ask for another block, or give spec.prefixLength in place of spec.address to get the next free one
            - AddressTaken spec.address: Invalid value: "10.2.0.0/31": is not entirely free in IPPool "tiny"; ask for another block, or give spec.prefixLength in place of spec.address to get the next free one
        "#]],
    );
    check(
        from("tiny", json!({"address": "10.2.0.1"})),
        expect![[r#"
        Bound 10.2.0.1/32
    "#]],
    );
}

#[test]
fn host_bits_of_an_address_with_length_are_rejected() {
    check(
        from("four", json!({"address": "10.0.3.7", "prefixLength": 24})),
        expect![[r#"
        422 Invalid: IPClaim.ipam.miloapis.com "new" is invalid: spec.address: Invalid value: "10.0.3.7": has bits set beyond spec.prefixLength, which is 24; write 10.0.3.0/24 for the block, or leave out spec.prefixLength for the address 10.0.3.7
        - FieldValueInvalid spec.address: Invalid value: "10.0.3.7": has bits set beyond spec.prefixLength, which is 24; write 10.0.3.0/24 for the block, or leave out spec.prefixLength for the address 10.0.3.7
    "#]],
    );
    check(
        from("four", json!({"address": "10.0.3.0", "prefixLength": 64})),
        expect![[r#"
        422 Invalid: IPClaim.ipam.miloapis.com "new" is invalid: spec.prefixLength: Invalid value: 64: must be at most 32 for IPv4
        - FieldValueInvalid spec.prefixLength: Invalid value: 64: must be at most 32 for IPv4
    "#]],
    );
}

#[test]
fn malformed_addresses_are_rejected_on_spec_address() {
    for address in ["nowhere", "10.0.0", "10.0.0.0/33", "10.0.0.0/-1", "::ffff:10.0.0.1", "fe80::1%eth0", " 10.0.0.1"] {
        let refused =
            Server::with_pool("four", "10.0.0.0/16").create(claim("c"), from("four", json!({"address": address})));
        let causes = refused.unwrap_err().details.causes;
        let causes: Vec<_> = causes.iter().map(|cause| (cause.reason.as_str(), cause.field.as_str())).collect();
        assert_eq!(causes, [("FieldValueInvalid", "spec.address")], "{address:?}");
    }
}

#[test]
fn every_address_of_a_pool_is_allocated_once() {
    for (cidr, blocks) in [
        ("192.0.2.4/30", ["192.0.2.4/32", "192.0.2.5/32", "192.0.2.6/32", "192.0.2.7/32"].as_slice()),
        ("2001:db8::/127", &["2001:db8::/128", "2001:db8::1/128"]),
        ("2001:db8::7/128", &["2001:db8::7/128"]),
    ] {
        let mut server = Server::with_pool("hosts", cidr);
        let spec = from("hosts", json!({"prefixLength": if cidr.contains(':') { 128 } else { 32 }}));
        for (index, block) in blocks.iter().enumerate() {
            let (object, _) = server.create(claim(&format!("h{index}")), spec.clone()).unwrap();
            assert_eq!(object.text("/status/allocatedCIDR"), *block);
        }
        assert_eq!(server.create(claim("late"), spec).unwrap_err().reason.code(), 507, "{cidr}");
    }
}

#[test]
fn impossible_bounds_and_equal_bounds_are_explained() {
    let mut server = Server::new();
    for (name, cidr, allocation) in [
        ("shut", "10.2.0.0/26", json!({"minPrefixLength": 20, "maxPrefixLength": 24})),
        ("equal", "10.3.0.0/16", json!({"minPrefixLength": 28, "maxPrefixLength": 28})),
        ("odd", "10.4.0.0/24", json!({"defaultPrefixLength": 20})),
    ] {
        server.create(pool(name), json!({"cidr": cidr, "allocation": allocation})).unwrap();
    }
    let mut refused = |pool: &str, rest: Value| show(&server.create(claim("a"), from(pool, rest)));
    expect![[r#"
        422 Invalid: IPClaim.ipam.miloapis.com "a" is invalid: spec.prefixLength: Invalid value: 28: nothing can be claimed from IPPool "shut" (10.2.0.0/26): its allocation.maxPrefixLength is 24; raise that to 26 or more, or name another pool
        - FieldValueInvalid spec.prefixLength: Invalid value: 28: nothing can be claimed from IPPool "shut" (10.2.0.0/26): its allocation.maxPrefixLength is 24; raise that to 26 or more, or name another pool
    "#]].assert_eq(&refused("shut", json!({"prefixLength": 28})));
    expect![[r#"
        422 Invalid: IPClaim.ipam.miloapis.com "a" is invalid: spec.address: Invalid value: "10.2.0.1/32": nothing can be claimed from IPPool "shut" (10.2.0.0/26): its allocation.maxPrefixLength is 24; raise that to 26 or more, or name another pool
        - FieldValueInvalid spec.address: Invalid value: "10.2.0.1/32": nothing can be claimed from IPPool "shut" (10.2.0.0/26): its allocation.maxPrefixLength is 24; raise that to 26 or more, or name another pool
    "#]].assert_eq(&refused("shut", json!({"address": "10.2.0.1"})));
    expect![[r#"
        422 Invalid: IPClaim.ipam.miloapis.com "a" is invalid: spec.prefixLength: Required value: nothing can be claimed from IPPool "shut" (10.2.0.0/26): its allocation.maxPrefixLength is 24; raise that to 26 or more, or name another pool
        - FieldValueRequired spec.prefixLength: Required value: nothing can be claimed from IPPool "shut" (10.2.0.0/26): its allocation.maxPrefixLength is 24; raise that to 26 or more, or name another pool
    "#]].assert_eq(&refused("shut", json!({})));
    expect![[r#"
        422 Invalid: IPClaim.ipam.miloapis.com "a" is invalid: spec.prefixLength: Invalid value: 29: prefixLength /29 is outside the bounds of IPPool "equal" (10.3.0.0/16): only /28
        - FieldValueInvalid spec.prefixLength: Invalid value: 29: prefixLength /29 is outside the bounds of IPPool "equal" (10.3.0.0/16): only /28
    "#]].assert_eq(&refused("equal", json!({"prefixLength": 29})));
    expect![[r#"
        422 Invalid: IPClaim.ipam.miloapis.com "a" is invalid: spec.prefixLength: Invalid value: 20: prefixLength /20, the default of IPPool "odd" (10.4.0.0/24), is outside its bounds: /24 to /32; give one of these
        - FieldValueInvalid spec.prefixLength: Invalid value: 20: prefixLength /20, the default of IPPool "odd" (10.4.0.0/24), is outside its bounds: /24 to /32; give one of these
    "#]].assert_eq(&refused("odd", json!({})));
}

#[test]
fn exhausted_error_names_largest_free_block() {
    check(
        from("tiny", json!({"prefixLength": 31})),
        expect![[r#"
            507 InsufficientStorage: IPPool "tiny" is exhausted: no free block of length /31, its largest free block is a /32
            - PoolExhausted spec.prefixLength: IPPool "tiny" is exhausted: no free block of length /31, its largest free block is a /32
            - LargestFree : 32
            - Pool : tiny
        "#]],
    );
    let mut server = Server::with_pool("p", "10.0.0.0/32");
    server.create(claim("a"), from("p", json!({"prefixLength": 32}))).unwrap();
    expect![[r#"
        507 InsufficientStorage: IPPool "p" is exhausted: no free block of length /32, no address of it is free
        - PoolExhausted spec.prefixLength: IPPool "p" is exhausted: no free block of length /32, no address of it is free
        - Pool : p
    "#]]
    .assert_eq(&show(&server.create(claim("b"), from("p", json!({"prefixLength": 32})))));
}

#[test]
fn all_field_errors_are_reported_together() {
    let owner = json!({"apiGroup": "apps"});
    let spec = json!({"prefixLength": 0, "address": "nonsense", "ownerRef": owner});
    check(
        spec,
        expect![[r#"
        422 Invalid: IPClaim.ipam.miloapis.com "new" is invalid: [spec.address: Invalid value: "nonsense": not an IP address; write four decimal octets such as 10.0.0.0, or IPv6 groups such as 2001:db8::, without blanks or signs, spec.prefixLength: Invalid value: 0: must be greater than 0, spec.ownerRef.kind: Required value, spec.ownerRef.name: Required value, spec: Required value: one of poolRef and poolSelector must be given]
        - FieldValueInvalid spec.address: Invalid value: "nonsense": not an IP address; write four decimal octets such as 10.0.0.0, or IPv6 groups such as 2001:db8::, without blanks or signs
        - FieldValueInvalid spec.prefixLength: Invalid value: 0: must be greater than 0
        - FieldValueRequired spec.ownerRef.kind: Required value
        - FieldValueRequired spec.ownerRef.name: Required value
        - FieldValueRequired spec: Required value: one of poolRef and poolSelector must be given
    "#]],
    );
    check(
        json!({"poolSelector": {"projectRef": {"name": ""}}, "prefixLength": -1}),
        expect![[r#"
        422 Invalid: IPClaim.ipam.miloapis.com "new" is invalid: [spec.prefixLength: Invalid value: -1: must be greater than 0, spec.poolSelector.projectRef.name: Required value, spec.poolSelector: Required value: it must have matchLabels or matchExpressions: an empty selector would mean every pool]
        - FieldValueInvalid spec.prefixLength: Invalid value: -1: must be greater than 0
        - FieldValueRequired spec.poolSelector.projectRef.name: Required value
        - FieldValueRequired spec.poolSelector: Required value: it must have matchLabels or matchExpressions: an empty selector would mean every pool
    "#]],
    );
}

#[test]
fn lowest_block_is_allocated_and_reused_after_delete() {
    let mut server = Server::with_pool("p", "10.0.0.0/24");
    let mut claims = |name: &str, length: u8| {
        server
            .create(claim(name), from("p", json!({"prefixLength": length})))
            .unwrap()
            .0
            .text("/status/allocatedCIDR")
            .to_owned()
    };
    assert_eq!(claims("a", 32), "10.0.0.0/32", "the network address is an ordinary one");
    assert_eq!(claims("b", 26), "10.0.0.64/26");
    assert_eq!(claims("c", 32), "10.0.0.1/32");
    server.delete(&claim("a")).unwrap();
    let (again, _) = server.create(claim("d"), from("p", json!({"prefixLength": 32}))).unwrap();
    assert_eq!(again.text("/status/allocatedCIDR"), "10.0.0.0/32");
}

#[test]
fn best_fit_uses_the_smallest_sufficient_region() {
    let mut server = Server::new();
    server.create(pool("p"), json!({"cidr": "10.0.0.0/24", "allocation": {"strategy": "BestFit"}})).unwrap();
    for (name, address) in [("a", "10.0.0.0/26"), ("b", "10.0.0.128/27"), ("c", "10.0.0.255")] {
        server.create(claim(name), from("p", json!({"address": address}))).unwrap();
    }
    let (best, _) = server.create(claim("d"), from("p", json!({"prefixLength": 28}))).unwrap();
    assert_eq!(best.text("/status/allocatedCIDR"), "10.0.0.224/28");
    server
        .update(&pool("p"), |pool| {
            pool.fields["spec"]["allocation"]["strategy"] = "FirstFit".into();
        })
        .unwrap();
    let (first, _) = server.create(claim("e"), from("p", json!({"prefixLength": 28}))).unwrap();
    assert_eq!(first.text("/status/allocatedCIDR"), "10.0.0.64/28");
}

#[test]
fn existing_claim_name_is_rejected_without_writes() {
    let mut server = Server::with_pool("p", "10.0.0.0/24");
    server.create(claim("a"), from("p", json!({"prefixLength": 32}))).unwrap();
    let writes = server.log.len();
    let refusal = server.create(claim("a"), from("p", json!({"prefixLength": 32}))).unwrap_err();
    assert_eq!(refusal.reason.as_str(), "AlreadyExists");
    assert_eq!(server.log.len(), writes);
}

#[test]
fn dry_run_reports_next_block_and_writes_nothing() {
    let mut server = Server::with_pool("p", "10.0.0.0/24");
    server.create(claim("a"), from("p", json!({"prefixLength": 32}))).unwrap();
    let writes = server.log.len();
    expect![[r#"
        Bound 10.0.0.128/25
        warning: dry run: 10.0.0.128/25 was not allocated, and a later request may get another block; with it, IPPool "p" would have 127 of 256 addresses free, largest free block /26
    "#]].assert_eq(&show(&server.dry_run(&claim("b"), from("p", json!({"prefixLength": 25})))));
    let all = server.dry_run(&claim("b"), from("p", json!({"address": "10.0.0.1"})));
    expect![[r#"
        Bound 10.0.0.1/32
        warning: dry run: 10.0.0.1/32 was not allocated, and a later request may get another block; with it, IPPool "p" would have 254 of 256 addresses free, largest free block /25
    "#]].assert_eq(&show(&all));
    assert_eq!(server.log.len(), writes);
    let (real, _) = server.create(claim("b"), from("p", json!({"prefixLength": 25}))).unwrap();
    assert_eq!(real.text("/status/allocatedCIDR"), "10.0.0.128/25");
    let mut server = Server::with_pool("one", "10.0.0.0/32");
    expect![[r#"
        Bound 10.0.0.0/32
        warning: dry run: 10.0.0.0/32 was not allocated, and a later request may get another block; with it, IPPool "one" would have 0 of 1 addresses free, no free block
    "#]].assert_eq(&show(&server.dry_run(&claim("b"), from("one", json!({"prefixLength": 32})))));
}

#[test]
fn only_reclaim_policy_is_mutable() {
    let mut server = Server::with_pool("p", "10.0.0.0/24");
    let spec = from("p", json!({"prefixLength": 32, "ownerRef": {"kind": "Pod", "name": "a"}}));
    server.create(claim("a"), spec.clone()).unwrap();
    let mut change = |spec: Value| show(&server.update(&claim("a"), |claim| claim.set_field("spec", spec)));
    expect![[r#"
        422 Invalid: IPClaim.ipam.miloapis.com "a" is invalid: [spec.ipFamily: Forbidden: spec.ipFamily is immutable, spec.ownerRef: Forbidden: spec.ownerRef is immutable, spec.poolRef: Forbidden: spec.poolRef is immutable, spec.poolSelector: Forbidden: spec.poolSelector is immutable, spec.prefixLength: Forbidden: spec.prefixLength is immutable, spec.address: Forbidden: spec.address is immutable, except that it may name the block of the claim, 10.0.0.0/32]
        - FieldValueForbidden spec.ipFamily: Forbidden: spec.ipFamily is immutable
        - FieldValueForbidden spec.ownerRef: Forbidden: spec.ownerRef is immutable
        - FieldValueForbidden spec.poolRef: Forbidden: spec.poolRef is immutable
        - FieldValueForbidden spec.poolSelector: Forbidden: spec.poolSelector is immutable
        - FieldValueForbidden spec.prefixLength: Forbidden: spec.prefixLength is immutable
        - FieldValueForbidden spec.address: Forbidden: spec.address is immutable, except that it may name the block of the claim, 10.0.0.0/32
    "#]].assert_eq(&change(json!({
        "poolSelector": {}, "ipFamily": "IPv6", "prefixLength": 31, "address": "10.0.0.9/32",
        "ownerRef": {"kind": "Pod", "name": "b"},
    })));
    expect![[r#"
        422 Invalid: IPClaim.ipam.miloapis.com "a" is invalid: spec.poolRef: Forbidden: spec.poolRef is immutable
        - FieldValueForbidden spec.poolRef: Forbidden: spec.poolRef is immutable
    "#]]
    .assert_eq(&change(from("q", spec.clone())));
    expect![[r#"
        Bound 10.0.0.0/32
    "#]]
    .assert_eq(&change(spec.clone()));
    let mut retained = spec;
    retained["reclaimPolicy"] = "Retain".into();
    expect![[r#"
        Bound 10.0.0.0/32
    "#]]
    .assert_eq(&change(retained));
    let object = server.get(&claim("a"));
    assert_eq!((object.metadata.generation, &object.field("status")["observedGeneration"]), (Some(2), &json!(2)));
    server.delete(&claim("a")).unwrap();
    assert_eq!(server.holders("p"), ["10.0.0.0/32"], "the new policy holds");
}

#[test]
fn users_may_write_only_foreign_conditions_of_status() {
    let mut server = Server::with_pool("p", "10.0.0.0/24");
    server.create(claim("a"), from("p", json!({"prefixLength": 32}))).unwrap();
    let used = json!({"type": "InUse", "status": "True", "reason": "Pinged", "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z"});
    let (object, _) = server
        .update_status(&claim("a"), |claim| {
            claim.fields["status"]["conditions"].as_array_mut().unwrap().push(used.clone());
        })
        .unwrap();
    assert_eq!(object.field("status")["conditions"][2], used);
    let answer = server.update_status(&claim("a"), |claim| {
        claim.fields["status"]["allocatedCIDR"] = "10.0.0.9/32".into();
        claim.fields["status"]["poolRef"]["name"] = "q".into();
        claim.fields["status"]["conditions"][0]["status"] = "False".into();
    });
    expect![[r#"
        422 Invalid: IPClaim.ipam.miloapis.com "a" is invalid: [status.allocatedCIDR: Forbidden: is set by the service, status.poolRef.name: Forbidden: is set by the service, status.conditions[Allocated]: Forbidden: is set by the service]
        - FieldValueForbidden status.allocatedCIDR: Forbidden: is set by the service
        - FieldValueForbidden status.poolRef.name: Forbidden: is set by the service
        - FieldValueForbidden status.conditions[Allocated]: Forbidden: is set by the service
    "#]].assert_eq(&show(&answer));
}

#[test]
fn delete_removes_allocation_and_frees_block() {
    let mut server = Server::with_pool("p", "10.0.0.0/24");
    server.create(claim("a"), from("p", json!({"prefixLength": 25}))).unwrap();
    let allocation = server.allocation_of(&claim("a"));
    server.delete(&claim("a")).unwrap();
    assert!(!server.objects.contains_key(&claim("a")) && !server.objects.contains_key(&allocation));
    assert_eq!(server.get(&pool("p")).field("status")["largestFreePrefix"], 24);
}

#[test]
fn finalizers_keep_the_block_until_the_last_is_removed() {
    let mut server = Server::with_pool("p", "10.0.0.0/32");
    let finalizers = vec!["example.com/a".to_owned(), "example.com/b".to_owned()];
    let spec = from("p", json!({"prefixLength": 32}));
    server
        .create_with(claim("a"), spec.clone(), |meta| {
            meta.finalizers = finalizers;
        })
        .unwrap();
    server.delete(&claim("a")).unwrap();
    expect![[r#"
        {
          "allocatedCIDR": "10.0.0.0/32",
          "boundAllocationRef": {
            "name": "alloc-9efb36117d50566e"
          },
          "conditions": [
            {
              "lastTransitionTime": "2026-01-01T00:00:02Z",
              "message": "10.0.0.0/32 of IPPool p",
              "reason": "AllocationSucceeded",
              "status": "True",
              "type": "Allocated"
            },
            {
              "lastTransitionTime": "2026-01-01T00:00:03Z",
              "message": "the claim is being deleted; its finalizers keep the block",
              "reason": "Releasing",
              "status": "False",
              "type": "Ready"
            }
          ],
          "observedGeneration": 2,
          "phase": "Releasing",
          "poolRef": {
            "name": "p"
          }
        }"#]]
    .assert_eq(&format!("{:#}", server.get(&claim("a")).field("status")));
    server
        .update(&claim("a"), |claim| {
            drop(claim.metadata.finalizers.remove(0));
        })
        .unwrap();
    assert_eq!(server.create(claim("b"), spec.clone()).unwrap_err().reason.code(), 507);
    server
        .update(&claim("a"), |claim| {
            drop(claim.metadata.finalizers.remove(0));
        })
        .unwrap();
    server.create(claim("b"), spec).expect("the block is back");
}

#[test]
fn retained_allocation_blocks_its_claim_name_until_deleted() {
    let mut server = Server::with_pool("p", "10.0.0.0/24");
    let spec = from("p", json!({"prefixLength": 32, "reclaimPolicy": "Retain"}));
    server.create(claim("a"), spec.clone()).unwrap();
    let allocation = server.allocation_of(&claim("a"));
    server.delete(&claim("a")).unwrap();
    expect![[r#"
        422 Invalid: IPClaim.ipam.miloapis.com "a" is invalid: metadata.name: Invalid value: "a": IPAllocation "alloc-9efb36117d50566e", whose name this claim's allocation would have, still keeps 10.0.0.0/32; delete that allocation, or give the claim another name
        - AllocationRetained metadata.name: Invalid value: "a": IPAllocation "alloc-9efb36117d50566e", whose name this claim's allocation would have, still keeps 10.0.0.0/32; delete that allocation, or give the claim another name
    "#]].assert_eq(&show(&server.create(claim("a"), spec.clone())));
    let (other, _) = server.create(claim("b"), spec.clone()).unwrap();
    assert_eq!(other.text("/status/allocatedCIDR"), "10.0.0.1/32", "the retained block is held");
    server.delete(&allocation).unwrap();
    let (again, _) = server.create(claim("a"), spec).unwrap();
    assert_eq!(again.text("/status/allocatedCIDR"), "10.0.0.0/32");
}

#[test]
fn delete_of_bound_claim_without_allocation_is_500() {
    let mut server = Server::with_pool("p", "10.0.0.0/24");
    server.create(claim("a"), from("p", json!({"prefixLength": 32}))).unwrap();
    let allocation = server.allocation_of(&claim("a"));
    server.objects.remove(&allocation);
    expect![[r#"
        500 InternalError: IPClaim "a" is bound, but has no IPAllocation "alloc-9efb36117d50566e"
    "#]]
    .assert_eq(&show_refusal(&server.delete(&claim("a")).unwrap_err()));
}
