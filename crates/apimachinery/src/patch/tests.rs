//! Tables for patches.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn apply(content_type: &str, patch: &str, to: Value) -> Result<Value, u16> {
    Patch::parse(content_type, patch.as_bytes()).and_then(|patch| patch.apply(&to)).map_err(|r| r.reason.code())
}

#[test]
fn a_merge_patch_sets_and_removes() {
    let patched = apply(PATCH_TYPES[1], r#"{"a":null,"b":{"c":1}}"#, json!({"a": 1, "b": {"d": 2}}));
    assert_eq!(patched, Ok(json!({"b": {"c": 1, "d": 2}})));
    assert_eq!(apply(PATCH_TYPES[1], "[]", json!({})), Err(400));
}

#[test]
fn a_json_patch_applies_all_or_nothing() {
    let patch = r#"[{"op":"test","path":"/a","value":1},{"op":"add","path":"/b","value":2}]"#;
    assert_eq!(apply(PATCH_TYPES[0], patch, json!({"a": 1})), Ok(json!({"a": 1, "b": 2})));
    assert_eq!(apply(PATCH_TYPES[0], patch, json!({"a": 2})), Err(422));
    assert_eq!(apply(PATCH_TYPES[0], r#"[{"op":"remove","path":"/x"}]"#, json!({})), Err(422));
    assert_eq!(apply(PATCH_TYPES[0], r#"[{"op":"destroy"}]"#, json!({})), Err(400));
    assert_eq!(apply(PATCH_TYPES[0], "{}", json!({})), Err(400));
}

#[test]
fn a_failed_operation_is_the_patchs_fault() {
    let patch = Patch::parse(PATCH_TYPES[0], br#"[{"op":"test","path":"/a","value":1}]"#).unwrap();
    let refusal = patch.apply(&json!({"a": 2})).unwrap_err();
    assert_eq!(refusal.details.causes[0].field, "patch");
    assert!(refusal.message.starts_with("the server rejected our request due to an error in our request: "));
}

#[test]
fn a_merge_patch_that_repeats_a_field_says_so() {
    let patch = Patch::parse(PATCH_TYPES[1], br#"{"a":1,"b":{"c":1,"c":2}}"#).unwrap();
    assert_eq!(patch.duplicates(), ["b.c"]);
}

#[test]
fn growth_and_length_are_bounded() {
    let check = |operation: &str, times: usize, to: Value, expected: Result<(), u16>| {
        let patch = format!("[{}]", vec![operation; times].join(","));
        assert_eq!(apply(PATCH_TYPES[0], &patch, to).map(drop), expected, "{operation} {times} times");
    };
    let doubling = r#"{"op":"copy","from":"/a","path":"/a/-"}"#;
    check(doubling, 3, json!({"a": ["x".repeat(100)]}), Ok(()));
    check(doubling, 64, json!({"a": ["x".repeat(100)]}), Err(413));
    check(doubling, OPERATIONS_MAX + 1, json!({}), Err(413));
    // Nesting grows by a level with each of these, and bytes hardly do.
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
fn other_patch_types_are_unsupported_not_malformed() {
    for content_type in ["application/strategic-merge-patch+json", "application/apply-patch+yaml", "text/plain", ""] {
        assert_eq!(apply(content_type, "{}", json!({})), Err(415), "{content_type}");
    }
}

fn operation() -> impl Strategy<Value = Value> {
    let pointer = || prop::sample::select(vec!["", "/", "/a", "/a/0", "/a/-", "/a/b", "/~", "/a/18446744073709551616"]);
    let op = prop::sample::select(vec!["add", "remove", "replace", "move", "copy", "test"]);
    (op, pointer(), pointer(), prop::sample::select(vec![json!(1), json!([1, 2]), json!({"b": null})]))
        .prop_map(|(op, from, path, value)| json!({"op": op, "from": from, "path": path, "value": value}))
}

proptest! {
    #[test]
    fn no_patch_makes_it_panic(operations in prop::collection::vec(operation(), 0..12), body in any::<Vec<u8>>()) {
        let _ = apply(PATCH_TYPES[0], &json!(operations).to_string(), json!({"a": [1, {"b": 2}]}));
        for patch_type in PATCH_TYPES {
            drop(Patch::parse(patch_type, &body));
        }
    }
}
