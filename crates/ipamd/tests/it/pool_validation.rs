//! Validation of pools: strict CIDRs, root and child specs, bounds, and all field errors in one response.

use serde_json::json;
use testkit::{Pool, pool};

use crate::support::{POOLS, ServerFixture, assert_causes, assert_refused, body, causes, failure, text};

async fn assert_refuses(front: &ServerFixture, cases: Vec<(Pool, (&str, &str))>) {
    for (pool, cause) in cases {
        let shown = format!("{pool:?}");
        let status = front.refused_pool(pool).await;
        assert_refused(&status, 422, "Invalid", &["IPPool.ipam.miloapis.com \"p\" is invalid: ", cause.1]);
        assert_eq!(causes(&status), [cause], "{shown}: {}", status.message);
    }
}

#[tokio::test]
async fn malformed_cidrs_are_rejected() {
    let front = ServerFixture::open().await;
    let invalid = ("FieldValueInvalid", "spec.cidr");
    let texts = [
        "10.0.0.0",
        "10.0.0.0/33",
        "10.0.0.0/-1",
        "10.0.0.0/",
        "10.0.0.0/08",
        "010.0.0.0/8",
        "10.0.0/8",
        "10.0.0.0/8 ",
        "10.0.0.256/32",
        "::/129",
        "fe80::%1/64",
        "::ffff:10.0.0.0/104",
        "2001:db8::/032",
        "1:2:3:4:5:6:7:8:9/64",
        "/8",
        "x/8",
    ];
    assert_refuses(&front, texts.map(|cidr| (pool("p").cidr(cidr), invalid)).into()).await;
    let nothing = front.refused_pool(pool("p")).await;
    assert_refused(&nothing, 422, "Invalid", &[]);
    assert_causes(&nothing, &[("FieldValueRequired", "spec.cidr")]);
    assert_eq!(front.everything().await, json!([[], [], []]));
}

#[tokio::test]
async fn host_bits_of_cidr_are_cleared_with_warning() {
    let front = ServerFixture::open().await;
    for (name, written, meant) in [("four", "10.1.2.3/16", "10.1.0.0/16"), ("six", "2001:DB8::1/32", "2001:db8::/32")] {
        let answer = front.post(POOLS, pool(name).cidr(written)).await;
        let created = body(&answer, 201);
        assert_eq!((text(&created, "/spec/cidr"), text(&created, "/status/allocatedCIDR")), (written, meant));
        let warning = answer.header("warning").expect("one warning");
        assert!(warning.starts_with("299 - \"") && warning.contains(meant), "{warning}");
    }
    let clean = front.post(POOLS, pool("clean").cidr("172.16.0.0/16")).await;
    assert_eq!((clean.status.as_u16(), clean.header("warning")), (201, None));
}

#[tokio::test]
async fn root_pool_needs_cidr_and_child_needs_length() {
    let front = ServerFixture::open().await;
    front.pool(pool("root").cidr("10.0.0.0/16")).await;
    let child = || pool("p").parent("root");
    let cases = vec![
        (pool("p").cidr("172.16.0.0/16").length(16), ("FieldValueForbidden", "spec.prefixLength")),
        (pool("p").cidr("172.16.0.0/16").spec("ipFamily", "IPv6"), ("FieldValueInvalid", "spec.ipFamily")),
        (pool("p").cidr("172.16.0.0/16").spec("ipFamily", "v4"), ("FieldValueNotSupported", "spec.ipFamily")),
        (pool("p").cidr("172.16.0.0/16").spec("visibility", "secret"), ("FieldValueNotSupported", "spec.visibility")),
        (child(), ("FieldValueRequired", "spec.prefixLength")),
        (child().length(24).spec("ipFamily", "IPv4"), ("FieldValueForbidden", "spec.ipFamily")),
        (child().length(16), ("FieldValueInvalid", "spec.prefixLength")),
        (child().length(8), ("FieldValueInvalid", "spec.prefixLength")),
        (child().length(33), ("FieldValueInvalid", "spec.prefixLength")),
        (child().length(0), ("FieldValueInvalid", "spec.prefixLength")),
    ];
    assert_refuses(&front, cases).await;
    assert_eq!(front.addresses("root").await.1, 0);
}

#[tokio::test]
async fn invalid_prefix_length_bounds_are_rejected() {
    let front = ServerFixture::open().await;
    let root = || pool("p").cidr("10.0.0.0/16");
    for (faulty, field) in [
        (root().bounds(24, 20), "PrefixLength"),
        (root().bounds(20, 24).default_length(25), "spec.allocation.defaultPrefixLength"),
        (root().bounds(20, 24).default_length(19), "spec.allocation.defaultPrefixLength"),
        (root().bounds(0, 24), "spec.allocation.minPrefixLength"),
        (root().bounds(20, 33), "spec.allocation.maxPrefixLength"),
        (root().default_length(33), "spec.allocation.defaultPrefixLength"),
    ] {
        let shown = format!("{faulty:?}");
        let status = front.refused_pool(faulty).await;
        assert_refused(&status, 422, "Invalid", &[]);
        assert!(
            causes(&status).iter().all(|(cause, at)| *cause == "FieldValueInvalid" && at.contains(field)),
            "{shown}: {status:?}"
        );
        assert!(!causes(&status).is_empty(), "{shown}: {status:?}");
    }
    assert_refuses(&front, vec![(root().strategy("Random"), ("FieldValueNotSupported", "spec.allocation.strategy"))])
        .await;
}

#[tokio::test]
async fn all_field_errors_are_returned_together() {
    let front = ServerFixture::open().await;
    let faulty = pool("p")
        .cidr("10.0.0.0/99")
        .length(12)
        .strategy("Random")
        .spec("visibility", "secret")
        .spec("ipFamily", "IPv5");
    let status = front.refused_pool(faulty).await;
    assert_refused(&status, 422, "Invalid", &["IPPool.ipam.miloapis.com \"p\" is invalid: ["]);
    assert_causes(
        &status,
        &[
            ("FieldValueInvalid", "spec.cidr"),
            ("FieldValueForbidden", "spec.prefixLength"),
            ("FieldValueNotSupported", "spec.allocation.strategy"),
            ("FieldValueNotSupported", "spec.visibility"),
            ("FieldValueNotSupported", "spec.ipFamily"),
        ],
    );
    assert_eq!(status.details.unwrap().kind, "IPPool");
}

#[tokio::test]
async fn create_response_has_complete_spec_and_status() {
    let front = ServerFixture::open().await;
    let created = body(&front.post(POOLS, pool("root").cidr("10.0.0.0/16")).await, 201);
    assert_eq!((text(&created, "/spec/ipFamily"), text(&created, "/spec/allocation/strategy")), ("IPv4", "FirstFit"));
    let status = &created["status"];
    assert_eq!((text(status, "/phase"), text(status, "/ipFamily")), ("Ready", "IPv4"));
    assert_eq!(status["capacity"]["total"], 65_536);
    assert_eq!((&status["utilizationPercent"], &status["largestFreePrefix"]), (&json!(0), &json!(16)));
    assert_eq!(status["observedGeneration"], 1);
    assert_eq!(crate::support::condition(status, "Allocated"), ("True", "AllocationSucceeded"));
    assert_eq!(crate::support::condition(status, "Ready").0, "True");
    assert_eq!(body(&front.get(&format!("{POOLS}/root")).await, 200), created);
}

#[tokio::test]
async fn malformed_body_is_bad_request() {
    let front = ServerFixture::open().await;
    for body in ["", "{", "[]", "null", "7", "\"text\"", "{\"spec\":", "not json", "{} {}", "\u{0}"] {
        let answer = front.send(http::Method::POST, POOLS, &[("content-type", "application/json")], body).await;
        let status = failure(&answer);
        assert!([400, 422].contains(&status.code), "{body:?}: {status:?}");
    }
    assert_eq!(front.everything().await, json!([[], [], []]));
}
