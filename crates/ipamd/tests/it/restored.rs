//! Objects that are created from a backup: a warning reports a block that differs from the backup.

use http::Method;
use serde_json::{Value, json};
use testkit::{Answer, claim, pool};

use super::support::{CLAIMS, POOLS, ServerFixture, body, text, warnings};

/// The object as in a backup: without the metadata that the original server set.
fn backed_up(object: &Value) -> Value {
    let mut object = object.clone();
    for name in ["uid", "resourceVersion", "creationTimestamp", "generation", "managedFields"] {
        object["metadata"].as_object_mut().unwrap().remove(name);
    }
    object
}

/// Asserts that the response has exactly one warning, which contains these words.
#[track_caller]
fn assert_warned(answer: &Answer, words: &[&str]) {
    let said = warnings(answer);
    assert!(matches!(said[..], [one] if words.iter().all(|word| one.contains(word))), "{words:?} in {said:?}");
}

#[tokio::test]
async fn restored_claim_with_another_block_warns() {
    let front = ServerFixture::with_pool().await;
    let first = backed_up(&body(&front.post(CLAIMS, claim("first").pool("root").length(24)).await, 201));
    let second = backed_up(&body(&front.post(CLAIMS, claim("second").pool("root").length(24)).await, 201));
    front.delete_claim("first").await;
    front.delete_claim("second").await;
    front.claim(claim("other").pool("root").length(24)).await;

    let answer = front.post(CLAIMS, first.clone()).await;
    assert_eq!(text(&body(&answer, 201), "/status/allocatedCIDR"), "10.0.1.0/24");
    assert_warned(&answer, &["status.allocatedCIDR", "10.0.0.0/24", "10.0.1.0/24", "spec.address"]);

    let apply = [("content-type", "application/apply-patch+yaml")];
    let path = format!("{CLAIMS}/second?fieldManager=restore");
    let dry = front.send(Method::PATCH, &format!("{path}&dryRun=All"), &apply, second.to_string()).await;
    assert_eq!(warnings(&dry).len(), 2, "{:?}", warnings(&dry));
    let answer = front.send(Method::PATCH, &path, &apply, second.to_string()).await;
    assert_eq!(text(&body(&answer, 201), "/status/allocatedCIDR"), "10.0.2.0/24");
    assert_warned(&answer, &["10.0.1.0/24", "10.0.2.0/24", "spec.address"]);
}

#[tokio::test]
async fn restored_claim_with_same_block_does_not_warn() {
    let front = ServerFixture::open().await;
    front.pool(pool("six").cidr("2001:db8::/32")).await;
    let mut saved = backed_up(&body(&front.post(CLAIMS, claim("a").pool("six").length(48)).await, 201));
    for spelling in ["2001:db8::/48", "2001:0DB8:0:0:0:0:0:0/48"] {
        front.delete_claim("a").await;
        saved["status"]["allocatedCIDR"] = spelling.into();
        let answer = front.post(CLAIMS, saved.clone()).await;
        assert_eq!(text(&body(&answer, 201), "/status/allocatedCIDR"), "2001:db8::/48");
        assert_eq!(warnings(&answer), Vec::<&str>::new(), "{spelling}");
    }
    front.delete_claim("a").await;
    saved["status"]["allocatedCIDR"] = "2001:db8:7::/48".into();
    saved["spec"]["address"] = "2001:db8:7::/48".into();
    let answer = front.post(CLAIMS, saved).await;
    assert_eq!(text(&body(&answer, 201), "/status/allocatedCIDR"), "2001:db8:7::/48");
    assert_eq!(warnings(&answer), Vec::<&str>::new(), "the address was asked for");
}

#[tokio::test]
async fn restored_child_pool_with_another_block_warns() {
    let front = ServerFixture::with_pool().await;
    let saved = backed_up(&body(&front.post(POOLS, pool("child").parent("root").length(24)).await, 201));
    front.delete_pool("child").await;
    let again = front.post(POOLS, saved.clone()).await;
    assert_eq!((again.status.as_u16(), warnings(&again).len()), (201, 0), "{}", again.text());
    front.delete_pool("child").await;
    front.claim(claim("other").pool("root").length(24)).await;
    let answer = front.post(POOLS, saved).await;
    assert_eq!(text(&body(&answer, 201), "/status/allocatedCIDR"), "10.0.1.0/24");
    assert_warned(&answer, &["10.0.0.0/24", "10.0.1.0/24", "spec.cidr"]);
}

#[tokio::test]
async fn warning_truncates_malformed_status_block() {
    let front = ServerFixture::with_pool().await;
    let mut object: Value = claim("a").pool("root").length(24).into();
    object["status"] = json!({ "allocatedCIDR": "x".repeat(100_000) });
    let answer = front.post(CLAIMS, object.clone()).await;
    assert_eq!(text(&body(&answer, 201), "/status/allocatedCIDR"), "10.0.0.0/24");
    assert_warned(&answer, &["xxx", "10.0.0.0/24", "spec.address"]);
    front.delete_claim("a").await;
    for nothing in [json!(null), json!({}), json!({ "allocatedCIDR": "" }), json!({ "allocatedCIDR": 7 })] {
        object["status"] = nothing;
        let answer = front.post(CLAIMS, object.clone()).await;
        assert_eq!((answer.status.as_u16(), warnings(&answer)), (201, Vec::new()), "{}", object["status"]);
        front.delete_claim("a").await;
    }
}
