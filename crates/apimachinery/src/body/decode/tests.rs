//! Tests of decoding.

use proptest::prelude::*;
use serde_json::json;

use super::*;

#[test]
fn repeated_keys_are_reported_with_their_paths() {
    let body = br#"{"a":1,"b":[{"c":1,"c":2}],"a":{"d":null,"d":1}}"#;
    let decoded = decode(None, body).unwrap();
    assert_eq!(decoded.duplicates, ["b[0].c", "a.d", "a"]);
    assert_eq!(decoded.value, json!({"a": {"d": 1}, "b": [{"c": 2}]}));
}

#[test]
fn nesting_depth_is_bounded_in_json_and_yaml() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    for content_type in ["application/json", "application/yaml"] {
        let decode = |depth| decode(Some(content_type), nested(depth).as_bytes());
        assert!(decode(DEPTH_MAX).is_ok(), "{content_type}");
        let refusal = decode(DEPTH_MAX + 1).unwrap_err();
        assert_eq!(refusal.reason.code(), 400, "{content_type}");
    }
}

#[test]
fn integers_are_decoded_exactly() {
    let decoded = decode(Some("application/json; charset=utf-8"), b"[9223372036854775807,-9223372036854775808]");
    assert_eq!(decoded.unwrap().value, json!([i64::MAX, i64::MIN]));
}

#[test]
fn malformed_json_is_a_bad_request() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for body in ["", "{", "{} {}", "{\"a\":}", "nul", "\u{feff}{}", "1e999", &deep] {
        let refusal = decode(None, body.as_bytes()).unwrap_err();
        assert_eq!(refusal.reason.code(), 400, "{body:.20}");
    }
    assert_eq!(decode(None, b"\xff").unwrap_err().reason.code(), 400);
    assert_eq!(decode(Some("application/vnd.kubernetes.protobuf"), b"{}").unwrap_err().reason.code(), 415);
}

fn yaml(body: &str) -> Result<Decoded, u16> {
    decode(Some("application/yaml"), body.as_bytes()).map_err(|refusal| refusal.reason.code())
}

#[test]
fn yaml_is_decoded_as_yaml_1_2() {
    for (body, expected) in [
        ("a:\n- 1\n- \"x\"\nb: {c: true}\n", json!({"a": [1, "x"], "b": {"c": true}})),
        ("a: no\nb: ~\nc: 9223372036854775807\nd: '1'\n", json!({"a": "no", "b": null, "c": i64::MAX, "d": "1"})),
        ("# nothing\n---\n1: x\n...\n", json!({"1": "x"})),
        ("a: &x {b: 1}\nc: *x\n", json!({"a": {"b": 1}, "c": {"b": 1}})),
        ("{\"a\": [null, 1.5]}", json!({"a": [null, 1.5]})),
    ] {
        assert_eq!(yaml(body), Ok(expected.into()), "{body}");
    }
    let repeated = yaml("a: 1\nb: [{c: 1, c: 2}]\na: 2\n").unwrap();
    assert_eq!(
        (repeated.value, repeated.duplicates),
        (json!({"a": 2, "b": [{"c": 2}]}), vec!["b[0].c".into(), "a".into()])
    );
}

#[test]
fn malformed_or_deep_yaml_is_a_bad_request() {
    let deep = "[".repeat(DEPTH_MAX + 1) + &"]".repeat(DEPTH_MAX + 1);
    for body in ["a: [", "a: 1\n---\nb: 2\n", "a: .nan", "a: *b", &deep] {
        assert_eq!(yaml(body), Err(400), "{body:.40}");
    }
}

#[test]
fn yaml_aliases_are_bounded() {
    let bomb = (1..9).fold("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned(), |bomb, n| {
        format!("{bomb}a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 10].join(", "))
    });
    assert_eq!(yaml(&bomb), Err(400));
}

#[test]
fn body_of_many_small_values_is_too_large() {
    let many = |item: &str| format!("[{}]", vec![item; 200_000].join(","));
    for body in [many("[0]"), many("{\"\":0}"), many("\"\""), many("[[]]")] {
        for content_type in ["application/json", "application/yaml"] {
            let refusal = decode(Some(content_type), body.as_bytes()).unwrap_err();
            assert_eq!(refusal.reason.code(), 413, "{content_type} {body:.20}: {}", refusal.message);
            assert!(refusal.message.contains("limit of 6291456 bytes"), "{}", refusal.message);
        }
    }
    let keys: Map<String, Value> = (0..100_000).map(|n| (n.to_string(), 0.into())).collect();
    assert_eq!(decode(None, Value::from(keys).to_string().as_bytes()).unwrap_err().reason.code(), 413);
    let long = json!({"a": "x".repeat(3 << 20)}).to_string();
    assert!(decode(None, long.as_bytes()).is_ok(), "a long text takes as much memory as in the body");
}

proptest! {
    #[test]
    fn arbitrary_bodies_do_not_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        drop(decode(None, &body));
        drop(decode(Some("application/yaml"), &body));
    }
}

#[test]
fn reported_repeated_keys_are_bounded() {
    let members: Vec<_> = (0..1_000).map(|n| format!(r#""k{n:03}":1,"k{n:03}":2"#)).collect();
    let decoded = decode(None, format!("{{{}}}", members.join(",")).as_bytes()).unwrap();
    assert_eq!((decoded.duplicates.len(), &decoded.value["k999"]), (DUPLICATES_MAX, &json!(2)));
}
