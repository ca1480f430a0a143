//! Updates of the spec of a bound claim: only its own block is accepted, in any notation.

use http::Method;
use serde_json::{Value, json};
use testkit::{Answer, claim, pool};

use super::support::{CLAIMS, POOLS, ServerFixture, assert_causes, assert_refused, body, failure, text, warnings};

const CLAIM: &str = "/apis/ipam.miloapis.com/v1alpha1/namespaces/default/ipclaims/a";

async fn set(front: &ServerFixture, field: &str, value: impl Into<Value>) -> Answer {
    front.patch(CLAIM, "merge", &json!({ "spec": { field: value.into() } })).await
}

async fn apply(front: &ServerFixture, spec: Value) -> Answer {
    let config = json!({
        "apiVersion": "ipam.miloapis.com/v1alpha1", "kind": "IPClaim", "metadata": { "name": "a" }, "spec": spec,
    });
    let media = [("content-type", "application/apply-patch+yaml")];
    front.send(Method::PATCH, &format!("{CLAIM}?fieldManager=gitops"), &media, config.to_string()).await
}

#[tokio::test]
async fn bound_block_can_be_written_to_spec_address() {
    let front = ServerFixture::with_pool().await;
    front.claim(claim("before").pool("root").length(24)).await;
    let spec = json!({ "poolRef": { "name": "root" }, "prefixLength": 24 });
    let created = body(&apply(&front, spec.clone()).await, 201);
    assert_eq!(text(&created, "/status/allocatedCIDR"), "10.0.1.0/24");

    let mut pinned = spec.clone();
    for (generation, spelling) in [(2, "10.0.1.0/24"), (3, "10.0.1.0")] {
        pinned["address"] = spelling.into();
        let answer = body(&apply(&front, pinned.clone()).await, 200);
        assert_eq!(text(&answer, "/spec/address"), spelling);
        assert_eq!((text(&answer, "/status/phase"), text(&answer, "/status/allocatedCIDR")), ("Bound", "10.0.1.0/24"));
        let status = &answer["status"];
        assert_eq!(
            (&answer["metadata"]["generation"], &status["observedGeneration"]),
            (&json!(generation), &json!(generation))
        );
        assert_eq!(text(status, "/boundAllocationRef/name"), text(&created, "/status/boundAllocationRef/name"));
    }
    front.delete_claim("a").await;
    front.delete_claim("before").await;
    let again = body(&apply(&front, pinned).await, 201);
    assert_eq!(text(&again, "/status/allocatedCIDR"), "10.0.1.0/24", "the pin holds for a new claim");
    let removed = body(&apply(&front, spec).await, 200);
    assert_eq!((removed["spec"].get("address"), text(&removed, "/status/allocatedCIDR")), (None, "10.0.1.0/24"));
}

#[tokio::test]
async fn equivalent_spellings_of_a_block_are_equal() {
    let front = ServerFixture::open().await;
    front.pool(pool("six").cidr("2001:db8::/32")).await;
    front.claim(claim("a").pool("six").length(48).address("2001:db8:a::/48")).await;
    for spelling in
        ["2001:DB8:A::/48", "2001:0db8:000a:0000:0000:0000:0000:0000/48", "2001:db8:a::", "2001:db8:a:0::0/48"]
    {
        let answer = body(&set(&front, "address", spelling).await, 200);
        assert_eq!(
            (text(&answer, "/spec/address"), text(&answer, "/status/allocatedCIDR")),
            (spelling, "2001:db8:a::/48")
        );
        let selected = front.get(&format!("{CLAIMS}?fieldSelector=status.allocatedCIDR%3D2001:DB8:A:0::/48")).await;
        assert_eq!(body(&selected, 200)["items"].as_array().unwrap().len(), 1);
    }
    let mut status = body(&front.get(CLAIM).await, 200);
    let before = status.clone();
    status["status"]["allocatedCIDR"] = "2001:DB8:A:0::/48".into();
    let written = front.http.send_json(Method::PUT, &format!("{CLAIM}/status"), &status).await.unwrap();
    assert_eq!(body(&written, 200), before);

    front.pool(pool("four").cidr("10.0.0.0/8")).await;
    let six = body(
        &front.patch(&format!("{POOLS}/six"), "merge", &json!({ "spec": { "cidr": "2001:DB8:0::/32" } })).await,
        200,
    );
    assert_eq!((text(&six, "/spec/cidr"), text(&six, "/status/allocatedCIDR")), ("2001:DB8:0::/32", "2001:db8::/32"));
    let four = front.patch(&format!("{POOLS}/four"), "merge", &json!({ "spec": { "cidr": "10.9.8.7/8" } })).await;
    assert_eq!(text(&body(&four, 200), "/status/allocatedCIDR"), "10.0.0.0/8");
    assert!(matches!(warnings(&four)[..], [one] if one.contains("10.9.8.7/8")), "{:?}", warnings(&four));
}

#[tokio::test]
async fn spec_address_cannot_name_another_block() {
    let front = ServerFixture::with_pool().await;
    front.claim(claim("a").pool("root").length(24)).await;
    let before = front.everything().await;
    for other in ["10.0.1.0/24", "10.0.0.0/25", "10.0.0.0/23", "10.0.1.0", "2001:db8::/48"] {
        let status = failure(&set(&front, "address", other).await);
        assert_refused(&status, 422, "Invalid", &["spec.address is immutable", "10.0.0.0/24"]);
        assert_causes(&status, &[("FieldValueForbidden", "spec.address")]);
    }
    for (unclear, words) in [("10.0.0.9", "10.0.0.0/24 for the block"), ("10.0.0.9/24", "10.0.0.9 for the address")] {
        let status = failure(&set(&front, "address", unclear).await);
        assert_refused(&status, 422, "Invalid", &[words]);
        assert_causes(&status, &[("FieldValueInvalid", "spec.address")]);
    }
    assert_eq!(front.everything().await, before);
}

#[tokio::test]
async fn omitted_defaulted_fields_keep_their_value() {
    let front = ServerFixture::with_pool().await;
    let owner = json!({ "kind": "Pod", "name": "p", "apiGroup": "" });
    let wanted = claim("a").pool("root").length(24).spec("ownerRef", owner.clone());
    let created = body(&front.post(CLAIMS, wanted).await, 201);
    assert_eq!(text(&created, "/spec/ipFamily"), "IPv4", "filled in from the pool");
    let filled_in = |object: &Value| {
        let spec = &object["spec"];
        assert_eq!(
            (&spec["ipFamily"], &spec["reclaimPolicy"], &spec["ownerRef"]),
            (&json!("IPv4"), &json!("Delete"), &owner)
        );
        assert_eq!(object["metadata"]["generation"], 1, "nothing has changed: {object}");
    };
    let bare = json!({ "poolRef": { "name": "root" }, "prefixLength": 24 });
    let mut replaced = created.clone();
    replaced["spec"] = bare.clone();
    filled_in(&body(&front.http.send_json(Method::PUT, CLAIM, &replaced).await.unwrap(), 200));
    filled_in(&body(&set(&front, "ipFamily", Value::Null).await, 200));
    filled_in(&body(&apply(&front, bare.clone()).await, 200));
    let mut with_family = bare.clone();
    with_family["ipFamily"] = "IPv4".into();
    filled_in(&body(&apply(&front, with_family).await, 200));
    filled_in(&body(&apply(&front, bare).await, 200));
    let other = failure(&set(&front, "ipFamily", "IPv6").await);
    assert_refused(&other, 422, "Invalid", &["spec.ipFamily is immutable"]);
}
