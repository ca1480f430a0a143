//! Tests of schema checks.

use super::*;
use crate::fixture;

fn check(mut value: Value) -> (Value, Vec<String>, Vec<String>) {
    let findings = Schema::for_resource(&fixture::shelf()).check(&mut value);
    let errors = findings.errors.iter().map(|error| format!("{} {}", error.error_type.as_str(), error.path));
    (value, findings.unknown, errors.collect())
}

#[test]
fn unknown_fields_are_removed_and_reported() {
    let (value, unknown, errors) = check(json!({
        "apiVersion": "v", "kind": "k", "extra": 1,
        "metadata": {"name": "a", "nom": "b", "labels": {"any": "thing"}},
        "spec": {"color": "red"},
    }));
    assert_eq!(unknown, ["extra", "metadata.nom", "spec.color"]);
    assert!(errors.is_empty(), "{errors:?}");
    let clean =
        json!({"apiVersion": "v", "kind": "k", "metadata": {"name": "a", "labels": {"any": "thing"}}, "spec": {}});
    assert_eq!(value, clean);
}

#[test]
fn all_type_errors_are_reported() {
    let (_, _, errors) = check(json!({
        "kind": 1, "metadata": {"labels": {"a": 1}, "finalizers": ["a", 2], "generation": 1.5, "ownerReferences": {}},
        "spec": [],
    }));
    assert_eq!(
        errors,
        [
            "FieldValueTypeInvalid kind",
            "FieldValueTypeInvalid metadata.finalizers[1]",
            "FieldValueTypeInvalid metadata.generation",
            "FieldValueTypeInvalid metadata.labels[a]",
            "FieldValueTypeInvalid metadata.ownerReferences",
            "FieldValueTypeInvalid spec",
        ]
    );
}

#[test]
fn missing_required_fields_are_reported() {
    let item = json!({
        "type": "object", "required": ["name", "size"],
        "properties": {"name": {"type": "string"}, "size": {"type": "integer"}, "note": {"type": "string"}},
    });
    let schema = json!({"type": "object", "properties": {"items": {"type": "array", "items": item}}});
    let mut value = json!({"items": [{"note": "x"}, {"name": "a", "size": "big"}, {"name": null, "size": 1}]});
    let mut findings = CheckResult::default();
    assert!(Node::compile(&schema).check(&mut value, None, &mut findings));
    let errors: Vec<_> = findings.errors.iter().map(ToString::to_string).collect();
    assert_eq!(
        errors,
        [
            "items[0].name: Required value",
            "items[0].size: Required value",
            "items[1].size: Invalid value: \"string\": items[1].size in body must be of type integer: \"string\"",
            "items[2].name: Required value",
        ],
        "a value of a wrong type is present, null is missing"
    );
    let (_, _, errors) = check(json!({"metadata": {"ownerReferences": [{"name": "n"}]}}));
    assert!(errors.is_empty(), "metadata is validated separately: {errors:?}");
}

#[test]
fn duplicate_list_items_are_reported() {
    let ports = json!({
        "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["port", "protocol"],
        "items": {"type": "object", "properties": {
            "port": {"type": "integer"}, "protocol": {"type": "string", "default": "TCP"}, "title": {"type": "string"},
        }},
    });
    let texts =
        |list_type: &str| json!({"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": list_type});
    let schema =
        json!({"type": "object", "properties": {"ports": ports, "set": texts("set"), "list": texts("atomic")}});
    let mut value = json!({
        "ports": [{"port": 1}, {"port": 1, "protocol": "UDP"}, {"port": 1, "protocol": "TCP", "title": "x"}, {"title": "x"}],
        "set": ["a", "b", "a", "a"], "list": ["a", "a"],
    });
    let mut findings = CheckResult::default();
    assert!(Node::compile(&schema).check(&mut value, None, &mut findings));
    let errors: Vec<_> = findings.errors.iter().map(ToString::to_string).collect();
    let twice = r#"ports[2]: Duplicate value: {"port":1,"protocol":"TCP"}"#;
    assert_eq!(errors, [twice, r#"set[2]: Duplicate value: "a""#]);
    assert_eq!(value["set"], json!(["a", "b", "a", "a"]), "indices do not shift");
    let owner = json!({"apiVersion": "v1", "kind": "K", "name": "n", "uid": "u"});
    let (_, _, errors) = check(json!({"metadata": {"finalizers": ["a", "a"], "ownerReferences": [owner, owner]}}));
    assert!(errors.is_empty(), "{errors:?}");
}

#[test]
fn null_is_treated_as_absent() {
    let (value, unknown, errors) = check(json!({"metadata": {"creationTimestamp": null}, "status": null}));
    assert_eq!((value, unknown.len(), errors.len()), (json!({"metadata": {}}), 0, 0));
}

#[test]
fn unknown_fields_are_kept_if_the_schema_preserves_them() {
    let text = json!({"type": "string"});
    let schema = json!({"type": "object", "properties": {
        "any": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {"a": text}},
        "map": {"type": "object", "additionalProperties": {"type": "object", "properties": {"a": text}}},
        "none": {"type": "object"}, "untyped": {},
    }});
    let mut value = json!({
        "any": {"a": 1, "b": {"c": [null]}}, "map": {"x/y": {"a": 1, "b": 2}, "z": null}, "none": {"a": 1}, "untyped": {"a": 1},
    });
    let mut findings = CheckResult::default();
    Node::compile(&schema).check(&mut value, None, &mut findings);
    let expected = json!({
        "any": {"b": {"c": [null]}}, "map": {"x/y": {}}, "none": {}, "untyped": {"a": 1},
    });
    assert_eq!(value, expected, "values of a wrong type are removed, too");
    assert_eq!(findings.unknown, ["map[x/y].b", "none.a"]);
    let paths: Vec<_> = findings.errors.iter().map(|error| error.path.as_str()).collect();
    assert_eq!(paths, ["any.a", "map[x/y].a"]);
}

#[test]
fn reported_fields_are_bounded_and_all_are_removed() {
    let many: serde_json::Map<_, _> = (0..1000).map(|n| (format!("f{n}"), json!(1))).collect();
    let (value, unknown, errors) = check(json!({"spec": many, "metadata": {"labels": many}}));
    assert_eq!((unknown.len(), errors.len(), &value["spec"]), (SCHEMA_ERRORS_MAX, SCHEMA_ERRORS_MAX, &json!({})));
}

#[test]
fn body_that_is_no_object_is_a_type_error() {
    for body in [json!(null), json!([]), json!("x"), json!(1)] {
        assert_eq!(check(body).2.len(), 1);
    }
}

#[test]
fn integer_range_and_enum_are_checked() {
    let schema = json!({"type": "object", "properties": {
        "n": {"type": "integer", "format": "int32"}, "m": {"type": "integer"}, "c": {"type": "string", "enum": ["a", "b"]},
    }});
    let node = Node::compile(&schema);
    let mut value = json!({"n": 2_147_483_648_i64, "m": u64::MAX, "c": "d"});
    let mut findings = CheckResult::default();
    node.check(&mut value, None, &mut findings);
    let errors: Vec<_> = findings.errors.iter().map(ToString::to_string).collect();
    assert_eq!(
        errors,
        [
            "c: Unsupported value: \"d\": supported values: \"a\", \"b\"",
            "m: Invalid value: \"integer\": m in body must be of type int64: \"integer\"",
            "n: Invalid value: \"integer\": n in body must be of type int32: \"integer\"",
        ]
    );
}

#[test]
fn whole_number_written_as_a_double_is_an_integer() {
    let schema = json!({"type": "object", "properties": {
        "n": {"type": "integer", "format": "int32"}, "m": {"type": "integer", "format": "int64"}, "r": {"type": "number"},
        "list": {"type": "array", "items": {"type": "integer"}},
    }});
    let node = Node::compile(&schema);
    let check = |text: &str| {
        let mut value = serde_json::from_str(text).unwrap();
        let mut findings = CheckResult::default();
        node.check(&mut value, None, &mut findings);
        (value.to_string(), findings.errors.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    for (written, expected) in [
        (r#"{"n":24.0}"#, r#"{"n":24}"#),
        (r#"{"n":2.4e1}"#, r#"{"n":24}"#),
        (r#"{"n":-0.0}"#, r#"{"n":0}"#),
        (r#"{"m":9.007199254740991e+15}"#, r#"{"m":9007199254740991}"#),
        (r#"{"m":-9007199254740991.0}"#, r#"{"m":-9007199254740991}"#),
        (r#"{"m":9223372036854775807}"#, r#"{"m":9223372036854775807}"#),
        (r#"{"list":[1.0,2]}"#, r#"{"list":[1,2]}"#),
        (r#"{"r":1.0}"#, r#"{"r":1.0}"#),
    ] {
        assert_eq!(check(written), (expected.to_owned(), Vec::new()), "{written}");
    }
    for written in [r#"{"n":24.5}"#, r#"{"n":2147483648.0}"#, r#"{"m":9007199254740992.0}"#, r#"{"m":1e300}"#] {
        let (value, errors) = check(written);
        assert_eq!((value.as_str(), errors.len()), ("{}", 1), "{written}: {errors:?}");
    }
}

#[test]
fn times_must_be_rfc_3339() {
    let meta = |time: &str| check(json!({"metadata": {"creationTimestamp": time}})).2;
    assert!(meta("2026-01-02T03:04:05Z").is_empty() && meta("2026-01-02T03:04:05.5+01:00").is_empty());
    for bad in ["", "yesterday", "2026-13-01T00:00:00Z", "99999999-01-01T00:00:00Z"] {
        assert_eq!(meta(bad), ["FieldValueInvalid metadata.creationTimestamp"], "{bad}");
    }
}

#[test]
fn metadata_lists_are_bounded() {
    use crate::limits::{ANNOTATIONS_MAX, FINALIZERS_MAX, LABELS_MAX, MANAGERS_MAX, OWNERS_MAX};
    let texts = |count: usize| -> Value { (0..count).map(|n| format!("f{n}")).collect() };
    let map = |count: usize| -> Value {
        (0..count).map(|n| (format!("k{n}"), json!("v"))).collect::<serde_json::Map<_, _>>().into()
    };
    let objects = |count: usize| -> Value { (0..count).map(|n| json!({"uid": n.to_string()})).collect() };
    let entries = |count: usize| -> Value { vec![json!({}); count].into() };
    for (field, limit, make) in [
        ("labels", LABELS_MAX, &map as &dyn Fn(usize) -> Value),
        ("annotations", ANNOTATIONS_MAX, &map),
        ("finalizers", FINALIZERS_MAX, &texts),
        ("ownerReferences", OWNERS_MAX, &objects),
        ("managedFields", MANAGERS_MAX, &entries),
    ] {
        assert_eq!(check(json!({"metadata": {field: make(limit)}})).2, Vec::<String>::new(), "{field}");
        let (value, _, errors) = check(json!({"metadata": {field: make(limit + 1)}}));
        assert_eq!((errors, value), (vec![format!("FieldValueTooMany metadata.{field}")], json!({"metadata": {}})));
    }
}

#[test]
fn too_long_list_is_a_field_error() {
    let body = json!({"metadata": {"name": "a", "finalizers": vec!["x"; 2000]}, "spec": {"colour": 1}});
    let decoded = fixture::decoded(&fixture::shelf(), body.into(), crate::options::FieldValidation::Warn).unwrap();
    let errors: Vec<String> = decoded.errors.iter().map(ToString::to_string).collect();
    assert_eq!(errors[0], "metadata.finalizers: Too many: 2000: must have at most 1000 items");
    assert!(errors[1].starts_with("spec.colour: Invalid value"), "{errors:?}");
}

#[test]
fn paths_of_findings_are_bounded() {
    let long = "k".repeat(100_000);
    let (_, unknown, errors) = check(json!({"metadata": {"labels": {&long: 1}}, "spec": {&long: 1}}));
    assert!(unknown[0].len() < 1000 && errors[0].len() < 1000, "{} {}", unknown[0].len(), errors[0].len());
}
