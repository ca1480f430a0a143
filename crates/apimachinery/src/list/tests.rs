//! Tests of lists, snapshots and continue tokens.

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;
use crate::{fixture, options::Query};

const PREFIX: &str = "books/platform/library/";

fn check(query: &str, expected: &Expect) {
    let query = Query::parse(query).unwrap();
    let options = ListOptions::parse(&query, &fixture::book()).unwrap();
    let text = match list_version(&options, PREFIX) {
        Ok(snapshot) => format!("{snapshot:?}"),
        Err(refusal) => format!("{} {refusal}", refusal.reason.code()),
    };
    expected.assert_eq(&text);
}

#[test]
fn resource_version_selects_the_state() {
    check("", &expect!["Latest"]);
    check("limit=500", &expect!["Latest"]);
    check("resourceVersion=0", &expect!["NotOlderThan(0)"]);
    check("resourceVersion=0&limit=500", &expect!["NotOlderThan(0)"]);
    check("resourceVersion=0&resourceVersionMatch=NotOlderThan", &expect!["NotOlderThan(0)"]);
    check("resourceVersion=7", &expect!["NotOlderThan(7)"]);
    check("resourceVersion=7&limit=500", &expect!["Exact(7)"]);
    check("resourceVersion=7&limit=500&resourceVersionMatch=NotOlderThan", &expect!["NotOlderThan(7)"]);
    check("resourceVersion=7&resourceVersionMatch=Exact", &expect!["Exact(7)"]);
}

#[test]
fn token_continues_at_its_revision() {
    let key = format!("{PREFIX}a");
    let token = ContinueToken::encode(7, &key);
    check(
        &format!("limit=1&continue={token}"),
        &expect![[r#"Continue { revision: Some(7), after: "books/platform/library/a" }"#]],
    );
    let token = ContinueToken::encode_latest(&key);
    check(
        &format!("limit=1&continue={token}"),
        &expect![[r#"Continue { revision: None, after: "books/platform/library/a" }"#]],
    );
}

#[test]
fn token_of_another_list_is_rejected() {
    for key in ["books/platform/other/a", "books/tenant/library/a", "books/platform/library", "../secrets/x"] {
        let token = ContinueToken::encode(7, key);
        check(&format!("limit=1&continue={token}"), &expect!["400 invalid continue token: it belongs to another list"]);
    }
}

#[test]
fn malformed_tokens_are_rejected() {
    let token = |json: &str| URL_SAFE_NO_PAD.encode(json);
    let key = "books/platform/library/a";
    let cases = [
        "%".to_owned(),
        "not base64!".to_owned(),
        token("{}"),
        token("[]"),
        token(&format!(r#"{{"v":"meta.k8s.io/v2","rv":7,"start":"{key}\u0000"}}"#)),
        token(&format!(r#"{{"v":"meta.k8s.io/v1","rv":0,"start":"{key}\u0000"}}"#)),
        token(&format!(r#"{{"v":"meta.k8s.io/v1","rv":-2,"start":"{key}\u0000"}}"#)),
        token(&format!(r#"{{"v":"meta.k8s.io/v1","rv":7,"start":"{key}"}}"#)),
        token(r#"{"v":"meta.k8s.io/v1","rv":7,"start":"\u0000"}"#),
        // Valid except for its length.
        ContinueToken::encode(7, &"x".repeat(CONTINUE_TOKEN_BYTES_MAX)),
    ];
    for case in cases {
        let refusal = ContinueToken::decode(&case).expect_err(&case);
        assert_eq!(refusal.reason, StatusReason::BadRequest);
        assert!(refusal.message.starts_with("invalid continue token: "), "{refusal}");
    }
}

#[test]
fn token_has_the_format_of_kubernetes() {
    let inside = URL_SAFE_NO_PAD.decode(ContinueToken::encode(7, "books/x/y/z")).unwrap();
    expect![[r#"{"v":"meta.k8s.io/v1","rv":7,"start":"books/x/y/z\u0000"}"#]]
        .assert_eq(&String::from_utf8(inside).unwrap());
}

#[test]
fn expired_token_error_has_a_fresh_token() {
    let status = serde_json::to_value(expired_continue("fresh".to_owned())).unwrap();
    assert_eq!(status["code"], 410);
    assert_eq!(status["reason"], "Expired");
    assert_eq!(status["metadata"], serde_json::json!({"continue": "fresh"}));
    let message = status["message"].as_str().unwrap();
    assert!(message.starts_with("The provided continue parameter is too old to display a consistent list result."));
    assert_eq!(expired_list().to_status().code, 410);
}

#[test]
fn future_revision_error_has_the_cause() {
    let status = serde_json::to_string(&too_large(9, 7).to_status()).unwrap();
    expect![[r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"Timeout: Too large resource version: 9, current: 7","reason":"Timeout","details":{"causes":[{"reason":"ResourceVersionTooLarge","message":"Too large resource version"}],"retryAfterSeconds":1},"code":504}"#]]
        .assert_eq(&status);
}

proptest! {
    #[test]
    fn tokens_round_trip(revision in 1..=i64::MAX.cast_unsigned(), key in ".+") {
        let key = key.trim_end_matches('\0');
        prop_assume!(!key.is_empty() && key.len() < 1024);
        let token = ContinueToken::decode(&ContinueToken::encode(revision, key)).unwrap();
        prop_assert_eq!(token, ContinueToken { revision: Some(revision), after: key.to_owned() });
        let token = ContinueToken::decode(&ContinueToken::encode_latest(key)).unwrap();
        prop_assert_eq!(token, ContinueToken { revision: None, after: key.to_owned() });
    }

    #[test]
    fn arbitrary_tokens_do_not_panic(text in "(?s).*", inside: Vec<u8>) {
        let _ = ContinueToken::decode(&text);
        let _ = ContinueToken::decode(&URL_SAFE_NO_PAD.encode(inside));
    }
}
