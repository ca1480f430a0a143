//! Validation of claims: code, reason, cause and field of each API error, and that a rejected claim changes nothing.

use http::Method;
use serde_json::{Value, json};
use testkit::{Claim, claim, pool};

use super::support::{CLAIMS, ServerFixture, assert_causes, assert_refused, causes, failure, warnings};

/// An IPv4 pool without a default length, and an IPv6 pool.
async fn two_pools() -> ServerFixture {
    let front = ServerFixture::open().await;
    front.pool(pool("four").cidr("10.0.0.0/16")).await;
    front.pool(pool("six").cidr("2001:db8::/32")).await;
    front
}

async fn assert_nothing_taken(front: &ServerFixture) {
    let everything = front.everything().await;
    assert_eq!((&everything[1], &everything[2]), (&json!([]), &json!([])), "a rejected claim changed something");
    assert_eq!(front.addresses("four").await, (65_536, 0, 65_536));
}

#[tokio::test]
async fn exactly_one_of_pool_ref_and_selector_is_required() {
    let front = two_pools().await;
    let neither = front.refused_claim(claim("a").length(24)).await;
    assert_refused(&neither, 422, "Invalid", &["IPClaim.ipam.miloapis.com \"a\" is invalid: spec: Required value"]);
    assert_causes(&neither, &[("FieldValueRequired", "spec")]);

    let both = front.refused_claim(claim("a").length(24).pool("four").select("tier", "edge")).await;
    assert_refused(&both, 422, "Invalid", &["spec: Forbidden", "mutually exclusive"]);
    assert_causes(&both, &[("FieldValueForbidden", "spec")]);
    assert_nothing_taken(&front).await;
}

#[tokio::test]
async fn all_field_errors_are_returned_together() {
    let front = two_pools().await;
    let faulty = claim("a").family("IPv5").length(0).spec("reclaimPolicy", "Maybe").spec("address", "nowhere");
    let status = front.refused_claim(faulty).await;
    assert_refused(&status, 422, "Invalid", &["IPClaim.ipam.miloapis.com \"a\" is invalid: ["]);
    assert_causes(
        &status,
        &[
            ("FieldValueRequired", "spec"),
            ("FieldValueNotSupported", "spec.ipFamily"),
            ("FieldValueInvalid", "spec.prefixLength"),
            ("FieldValueNotSupported", "spec.reclaimPolicy"),
            ("FieldValueInvalid", "spec.address"),
        ],
    );
    let details = status.details.unwrap();
    assert_eq!(
        (details.name.as_str(), details.group.as_str(), details.kind.as_str()),
        ("a", "ipam.miloapis.com", "IPClaim")
    );
    assert_nothing_taken(&front).await;
}

#[tokio::test]
async fn invalid_claim_field_is_reported_with_path() {
    let front = two_pools().await;
    let four = || claim("a").pool("four").length(24);
    let bad_length = |length| claim("a").pool("four").length(length);
    let invalid_length = ("FieldValueInvalid", "spec.prefixLength");
    let cases: Vec<(Claim, (&str, &str), &str)> = vec![
        (bad_length(0), invalid_length, "must be greater than 0"),
        (bad_length(-1), invalid_length, "must be greater than 0"),
        (bad_length(i32::MIN), invalid_length, "must be greater than 0"),
        (bad_length(33), invalid_length, "prefixLength"),
        (claim("a").pool("six").length(129), invalid_length, "prefixLength"),
        (claim("a").pool("four"), ("FieldValueRequired", "spec.prefixLength"), "Required value"),
        (four().family("IPv6"), ("FieldValueInvalid", "spec.ipFamily"), "address family IPv6 does not match"),
        (
            claim("a").pool("six").length(32).family("IPv4"),
            ("FieldValueInvalid", "spec.ipFamily"),
            "address family IPv4 does not match",
        ),
        (four().family("ipv4"), ("FieldValueNotSupported", "spec.ipFamily"), r#"supported values: "IPv4", "IPv6""#),
        (
            four().spec("reclaimPolicy", "Recycle"),
            ("FieldValueNotSupported", "spec.reclaimPolicy"),
            r#"supported values: "Delete", "Retain""#,
        ),
        (four().spec("poolRef", json!({})), ("FieldValueRequired", "spec.poolRef.name"), "Required value"),
    ];
    for (claim, cause, words) in cases {
        let shown = format!("{claim:?}");
        let status = front.refused_claim(claim).await;
        assert_refused(&status, 422, "Invalid", &[words, cause.1]);
        assert_eq!(causes(&status), [cause], "{shown}");
    }
    assert_nothing_taken(&front).await;
}

#[tokio::test]
async fn malformed_addresses_are_rejected() {
    let front = two_pools().await;
    for address in
        ["nowhere", "10.0.0.01", "10.0.0", "10.0.0.0/33", "10.0.0.0/-1", "::ffff:10.0.0.1", "fe80::1%eth0", " 10.0.0.1"]
    {
        let status = front.refused_claim(claim("a").pool("four").address(address)).await;
        assert_refused(&status, 422, "Invalid", &["spec.address"]);
        assert_eq!(causes(&status), [("FieldValueInvalid", "spec.address")], "{address:?}");
    }
    assert_nothing_taken(&front).await;
}

#[tokio::test]
async fn invalid_selector_expression_is_reported_with_path() {
    let front = two_pools().await;
    for (expression, field) in [
        (json!({ "key": "tier", "operator": "Near", "values": ["a"] }), "operator"),
        (json!({ "key": "tier", "operator": "In" }), "values"),
        (json!({ "key": "tier", "operator": "Exists", "values": ["a"] }), "values"),
        (json!({ "key": "not a key", "operator": "Exists" }), "key"),
    ] {
        let claim = claim("a").length(24).spec("poolSelector", json!({ "matchExpressions": [expression] }));
        let status = front.refused_claim(claim).await;
        assert_refused(&status, 422, "Invalid", &[]);
        let expected = format!("spec.poolSelector.matchExpressions[0].{field}");
        assert!(causes(&status).iter().all(|(_, field)| field.starts_with(&expected)), "{status:?}");
        assert!(!causes(&status).is_empty(), "{status:?}");
    }
    assert_nothing_taken(&front).await;
}

#[tokio::test]
async fn empty_pool_selector_is_rejected() {
    let front = two_pools().await;
    for selector in [
        json!({}),
        json!({ "matchLabels": {} }),
        json!({ "matchLabels": {}, "matchExpressions": [] }),
        json!({ "projectRef": { "name": "p" } }),
    ] {
        let status = front.refused_claim(claim("a").length(24).spec("poolSelector", selector)).await;
        assert_refused(&status, 422, "Invalid", &["every pool"]);
        assert_causes(&status, &[("FieldValueRequired", "spec.poolSelector")]);
    }
    assert_nothing_taken(&front).await;
}

#[tokio::test]
async fn unknown_pool_is_bad_request() {
    let front = two_pools().await;
    let status = front.refused_claim(claim("a").pool("seven").length(24)).await;
    assert_refused(&status, 400, "BadRequest", &["IPPool \"seven\" not found"]);
    assert_causes(&status, &[("PoolNotFound", "spec.poolRef.name")]);
    assert_nothing_taken(&front).await;
}

#[tokio::test]
async fn claim_length_outside_pool_bounds_is_rejected() {
    let front = two_pools().await;
    front.pool(pool("bounded").cidr("172.16.0.0/12").bounds(20, 28)).await;
    for length in [19, 29] {
        let status = front.refused_claim(claim("a").pool("bounded").length(length)).await;
        assert_refused(&status, 422, "Invalid", &["prefixLength", "20", "28"]);
        assert_causes(&status, &[("FieldValueInvalid", "spec.prefixLength")]);
    }
    for (name, length) in [("shortest", 20), ("longest", 28)] {
        front.claim(claim(name).pool("bounded").length(length)).await;
    }
    let past = front.refused_claim(claim("b").pool("bounded").address("172.16.255.1")).await;
    assert_refused(&past, 422, "Invalid", &["20", "28"]);
}

#[tokio::test]
async fn claim_without_length_uses_pool_default() {
    let front = two_pools().await;
    front.pool(pool("default").cidr("172.16.0.0/16").bounds(20, 30).default_length(26)).await;
    front.pool(pool("only").cidr("172.17.0.0/16").bounds(27, 27)).await;
    front.pool(pool("open").cidr("172.18.0.0/16").bounds(20, 30)).await;
    assert_eq!(front.block(claim("a").pool("default")).await, "172.16.0.0/26");
    assert_eq!(front.block(claim("b").pool("only")).await, "172.17.0.0/27");
    let status = front.refused_claim(claim("c").pool("open")).await;
    assert_refused(&status, 422, "Invalid", &[]);
    assert_causes(&status, &[("FieldValueRequired", "spec.prefixLength")]);
}

#[tokio::test]
async fn wrong_json_type_is_reported_with_field() {
    let front = two_pools().await;
    for (field, value) in [
        ("prefixLength", json!("24")),
        ("prefixLength", json!(24.5)),
        ("prefixLength", json!(99_999_999_999_u64)),
        ("poolRef", json!("four")),
        ("poolSelector", json!([])),
        ("ipFamily", json!(4)),
        ("address", json!(true)),
        ("reclaimPolicy", json!({})),
    ] {
        let answer = front.post(CLAIMS, claim("a").pool("four").length(24).spec(field, value.clone())).await;
        let status = failure(&answer);
        assert!([400, 422].contains(&status.code), "{field} {value}: {status:?}");
        assert!(status.message.contains(field), "{field} {value}: {}", status.message);
    }
    assert_nothing_taken(&front).await;
}

#[tokio::test]
async fn claim_names_and_labels_follow_kubernetes_rules() {
    let front = two_pools().await;
    let long = "a".repeat(254);
    for (name, reason) in [
        ("", "FieldValueRequired"),
        ("Upper", "FieldValueInvalid"),
        ("a_b", "FieldValueInvalid"),
        ("-a", "FieldValueInvalid"),
        (&long, "FieldValueInvalid"),
    ] {
        let status = failure(&front.post(CLAIMS, claim(name).pool("four").length(24)).await);
        assert_refused(&status, 422, "Invalid", &["metadata.name"]);
        assert!(causes(&status).iter().all(|(_, field)| *field == "metadata.name"), "{name:?}: {status:?}");
        assert!(causes(&status).iter().any(|(cause, _)| cause.starts_with(&reason[..10])), "{name:?}: {status:?}");
    }
    let mut labelled: Value = claim("a").pool("four").length(24).into();
    labelled["metadata"]["labels"] = json!({ "a b": "c", "d": "e f" });
    let status = failure(&front.post(CLAIMS, labelled).await);
    assert_refused(&status, 422, "Invalid", &["metadata.labels"]);
    assert_nothing_taken(&front).await;
}

#[tokio::test]
async fn body_that_contradicts_the_url_is_rejected() {
    let front = two_pools().await;
    let with = |pointer: &str, value: &str| {
        let mut body: Value = claim("a").pool("four").length(24).into();
        body["metadata"]["namespace"] = "default".into();
        *body.pointer_mut(pointer).unwrap() = value.into();
        body
    };
    for (body, words) in [
        (with("/apiVersion", "ipam.miloapis.com/v2"), "does not match"),
        (
            with("/metadata/namespace", "other"),
            "the namespace of the provided object does not match the namespace sent on the request",
        ),
    ] {
        assert_refused(&failure(&front.post(CLAIMS, body).await), 400, "BadRequest", &[words]);
    }
    let other = failure(&front.post(CLAIMS, with("/kind", "IPPool")).await);
    assert_refused(&other, 422, "Invalid", &["kind: Invalid value: \"IPPool\": must be IPClaim"]);
    assert_nothing_taken(&front).await;
}

#[tokio::test]
async fn unknown_and_duplicate_fields_warn_or_fail() {
    let front = two_pools().await;
    let body = r#"{"metadata":{"name":"a"},"spec":{"poolRef":{"name":"four"},"prefixLength":24,"prefixLength":25,"colour":"red"}}"#;
    let send =
        async |path: String| front.send(Method::POST, &path, &[("content-type", "application/json")], body).await;
    let strict = failure(&send(format!("{CLAIMS}?fieldValidation=Strict")).await);
    assert_refused(
        &strict,
        400,
        "BadRequest",
        &["strict decoding error", r#"unknown field "spec.colour""#, r#"duplicate field "spec.prefixLength""#],
    );
    let bad = failure(&send(format!("{CLAIMS}?fieldValidation=Loud")).await);
    assert_refused(&bad, 422, "Invalid", &["fieldValidation"]);
    let warned = send(CLAIMS.to_owned()).await;
    assert_eq!(warned.status, 201, "{}", warned.text());
    let warnings = warnings(&warned);
    assert!(warnings.contains(&r#"299 - "unknown field \"spec.colour\"""#), "{warnings:?}");
    assert!(warnings.iter().any(|warning| warning.contains("prefixLength")), "{warnings:?}");
}
