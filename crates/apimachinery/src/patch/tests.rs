//! Tests of patches.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::limits::{DEPTH_MAX, ITEMS_SHIFTED_MAX, OPERATIONS_MAX};

fn apply(content_type: &str, patch: &str, to: Value) -> Result<Value, u16> {
    Patch::parse(content_type, patch.as_bytes()).and_then(|patch| patch.apply(&to)).map_err(|r| r.reason.code())
}

#[test]
fn merge_patch_sets_and_removes_fields() {
    let patched = apply(PATCH_TYPES[1], r#"{"a":null,"b":{"c":1}}"#, json!({"a": 1, "b": {"d": 2}}));
    assert_eq!(patched, Ok(json!({"b": {"c": 1, "d": 2}})));
    assert_eq!(apply(PATCH_TYPES[1], "[]", json!({})), Err(400));
}

#[test]
fn json_patch_fails_if_one_operation_fails() {
    let patch = r#"[{"op":"test","path":"/a","value":1},{"op":"add","path":"/b","value":2}]"#;
    assert_eq!(apply(PATCH_TYPES[0], patch, json!({"a": 1})), Ok(json!({"a": 1, "b": 2})));
    assert_eq!(apply(PATCH_TYPES[0], patch, json!({"a": 2})), Err(422));
    assert_eq!(apply(PATCH_TYPES[0], r#"[{"op":"remove","path":"/x"}]"#, json!({})), Err(422));
    assert_eq!(apply(PATCH_TYPES[0], r#"[{"op":"destroy"}]"#, json!({})), Err(422));
    assert_eq!(apply(PATCH_TYPES[0], r#"[{"op":1}]"#, json!({})), Err(400));
    assert_eq!(apply(PATCH_TYPES[0], "[1]", json!({})), Err(400));
    assert_eq!(apply(PATCH_TYPES[0], "{}", json!({})), Err(400));
}

/// Deviations of kube-apiserver from the RFC, in both directions.
#[test]
fn json_patch_deviates_from_rfc_like_kubernetes() {
    let check = |operation: &str, expected: Result<Value, u16>| {
        let done = apply(PATCH_TYPES[0], &format!("[{operation}]"), json!({"a": [1, 2], "b": {"~/": null}}));
        assert_eq!(done, expected, "{operation}");
    };
    let with = |a: Value, b: Value| Ok(json!({"a": a, "b": b}));
    let b = || json!({"~/": null});
    check(r#"{"op":"replace","path":"/b/new","value":1}"#, with(json!([1, 2]), json!({"~/": null, "new": 1})));
    check(r#"{"op":"copy","from":"/b/none","path":"/a/0"}"#, with(json!([null, 1, 2]), b()));
    check(r#"{"op":"test","path":"/none","value":null}"#, with(json!([1, 2]), b()));
    check(r#"{"op":"test","path":"/b/~0~1"}"#, with(json!([1, 2]), b()));
    check(r#"{"op":"add","path":"/a/-"}"#, with(json!([1, 2, null]), b()));
    check(r#"{"op":"add","path":"/a/2","value":3}"#, with(json!([1, 2, 3]), b()));
    check(r#"{"op":"add","path":"/a/-1","value":3}"#, with(json!([1, 2, 3]), b()));
    check(r#"{"op":"remove","path":"/a/-1"}"#, with(json!([1]), b()));
    check(r#"{"op":"move","from":"/a/0","path":"/b"}"#, with(json!([2]), json!(1)));
    check(r#"{"op":"replace","path":"","value":{"c":1}}"#, Ok(json!({"c": 1})));
    for refused in [
        r#"{"op":"replace","path":"/a/2","value":3}"#,
        r#"{"op":"replace","path":"/b/~0~1/c","value":3}"#,
        r#"{"op":"replace","path":"","value":1}"#,
        r#"{"op":"replace","path":"b","value":1}"#,
        r#"{"op":"add","path":"/a/3","value":3}"#,
        r#"{"op":"add","path":"/a/x","value":3}"#,
        r#"{"op":"add","path":"","value":{}}"#,
        r#"{"op":"add","value":3}"#,
        r#"{"op":"remove","path":"/b/none"}"#,
        r#"{"op":"remove","path":"/a/-3"}"#,
        r#"{"op":"move","from":"/b/none","path":"/c"}"#,
        r#"{"op":"copy","path":"/c"}"#,
        r#"{"op":"test","path":"/a/0","value":2}"#,
    ] {
        check(refused, Err(422));
    }
}

#[test]
fn failed_operation_is_an_error_on_field_patch() {
    let patch = Patch::parse(PATCH_TYPES[0], br#"[{"op":"test","path":"/a","value":1}]"#).unwrap();
    let refusal = patch.apply(&json!({"a": 2})).unwrap_err();
    assert_eq!(refusal.details.causes[0].field, "patch");
    assert!(refusal.message.starts_with("the server rejected our request due to an error in our request: "));
}

#[test]
fn repeated_fields_of_merge_patch_are_reported() {
    let patch = Patch::parse(PATCH_TYPES[1], br#"{"a":1,"b":{"c":1,"c":2}}"#).unwrap();
    assert_eq!(patch.duplicates(), ["b.c"]);
}

#[test]
fn json_patch_limits_copied_bytes_and_operations() {
    let check = |operation: &str, times: usize, to: Value, expected: Result<(), u16>| {
        let patch = format!("[{}]", vec![operation; times].join(","));
        assert_eq!(apply(PATCH_TYPES[0], &patch, to).map(drop), expected, "{operation} {times} times");
    };
    let doubling = r#"{"op":"copy","from":"/a","path":"/a/-"}"#;
    check(doubling, 3, json!({"a": ["x".repeat(100)]}), Ok(()));
    check(doubling, 64, json!({"a": ["x".repeat(100)]}), Err(413));
    check(r#"{"op":"copy","from":"/a","path":"/a/-1"}"#, 64, json!({"a": ["x".repeat(100)]}), Err(413));
    check(r#"{"op":"copy","from":"/a/-1","path":"/a/-1/-"}"#, 64, json!({"a": [["x".repeat(100)]]}), Err(413));
    check(doubling, OPERATIONS_MAX + 1, json!({}), Err(413));
    // Each of these increases the depth by one level, but hardly the size.
    check(r#"{"op":"copy","from":"","path":"/a"}"#, 100, json!({}), Err(422));
    check(r#"{"op":"copy","from":"/b","path":"/b/b"}"#, 100, json!({"b": {}}), Err(422));
    let deep = "[".repeat(DEPTH_MAX - 2) + &"]".repeat(DEPTH_MAX - 2);
    check(&format!(r#"{{"op":"add","path":"/a","value":{deep}}}"#), 1, json!({}), Ok(()));
    check(&format!(r#"{{"op":"add","path":"/a/b/c/d","value":{deep}}}"#), 1, json!({"a": {"b": {"c": {}}}}), Err(422));
    let there_and_back = r#"{"op":"move","from":"/a","path":"/b"},{"op":"move","from":"/b","path":"/a"}"#;
    check(there_and_back, 1000, json!({"a": "x".repeat(100)}), Ok(()));
    check(there_and_back, 5000, json!({"a": "x".repeat(1000)}), Err(413));
}

#[test]
fn other_patch_types_are_unsupported() {
    for content_type in ["application/strategic-merge-patch+json", "application/apply-patch+yaml", "text/plain", ""] {
        assert_eq!(apply(content_type, "{}", json!({})), Err(415), "{content_type}");
    }
}

fn operation() -> impl Strategy<Value = Value> {
    let pointer = || {
        prop::sample::select(vec!["", "/", "/a", "/a/0", "/a/-", "/a/-1", "/a/b", "a", "/~", "/a/18446744073709551616"])
    };
    let op = prop::sample::select(vec!["add", "remove", "replace", "move", "copy", "test"]);
    (op, pointer(), pointer(), prop::sample::select(vec![json!(1), json!([1, 2]), json!({"b": null})]))
        .prop_map(|(op, from, path, value)| json!({"op": op, "from": from, "path": path, "value": value}))
}

proptest! {
    #[test]
    fn arbitrary_patches_do_not_panic(operations in prop::collection::vec(operation(), 0..12), body in any::<Vec<u8>>()) {
        let _ = apply(PATCH_TYPES[0], &json!(operations).to_string(), json!({"a": [1, {"b": 2}]}));
        for patch_type in PATCH_TYPES {
            drop(Patch::parse(patch_type, &body));
        }
    }
}

#[test]
fn json_patch_may_have_the_maximum_of_operations() {
    let operation =
        |n: usize| json!({"op": "add", "path": format!("/data/key-{}", n % 100), "value": format!("value-{n}")});
    let patch: Value = (0..OPERATIONS_MAX).map(operation).collect();
    let patched = apply(PATCH_TYPES[0], &patch.to_string(), json!({"data": {}})).unwrap();
    assert_eq!(patched["data"].as_object().unwrap().len(), 100);
}

#[test]
fn json_patch_limits_shifted_list_items() {
    let items = ITEMS_SHIFTED_MAX / 100;
    let list = |count: usize| json!({"a": vec![0; count]});
    for operations in [
        r#"{"op":"move","from":"/a/0","path":"/a/-"}"#,
        r#"{"op":"add","path":"/a/0","value":1},{"op":"remove","path":"/a/-1"}"#,
        r#"{"op":"remove","path":"/a/0"},{"op":"add","path":"/a/-","value":1}"#,
        r#"{"op":"copy","from":"/a/0","path":"/a/0"},{"op":"remove","path":"/a/-1"}"#,
    ] {
        let patch = |times: usize| format!("[{}]", vec![operations; times].join(","));
        assert!(apply(PATCH_TYPES[0], &patch(50), list(items)).is_ok(), "{operations}");
        assert_eq!(apply(PATCH_TYPES[0], &patch(110), list(items)), Err(413), "{operations}");
    }
    let appended = format!("[{}]", vec![r#"{"op":"add","path":"/a/-","value":1}"#; OPERATIONS_MAX].join(","));
    assert!(apply(PATCH_TYPES[0], &appended, list(items)).is_ok(), "appending shifts nothing");
}

#[test]
fn patch_result_has_the_size_limit_of_a_body() {
    let full: Value = vec![json!([0]); 90_000].into();
    for (content_type, patch) in
        [(PATCH_TYPES[0], json!([{"op": "add", "path": "/b", "value": &full}])), (PATCH_TYPES[1], json!({"b": &full}))]
    {
        assert!(apply(content_type, &patch.to_string(), json!({"a": 1})).is_ok(), "{content_type}");
        assert_eq!(apply(content_type, &patch.to_string(), json!({"a": &full})), Err(413), "{content_type}");
    }
}
