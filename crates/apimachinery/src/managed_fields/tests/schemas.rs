//! Schema changes (`merge/schema_change_test.go`, `typed/reconcile_schema_test.go`).

use expect_test::{Expect, expect};

use super::*;

/// The test schema with another type for one field of the spec.
fn with(field: &str, of: Value) -> Value {
    let mut schema = schema();
    schema["properties"]["spec"]["properties"][field] = of;
    schema
}

#[expect(clippy::needless_pass_by_value, reason = "reads as a table")]
fn check_change(before: &Value, first: &str, after: &Value, then: &str, expected: Expect) {
    let mut bench = Bench::new(before);
    bench.run(first);
    let live = bench.live;
    let mut bench = Bench { live, clock: bench.clock, ..Bench::new(after) };
    expected.assert_eq(&bench.run(then));
}

#[test]
fn granular_to_atomic() {
    let mut atomic = schema()["properties"]["spec"]["properties"]["st"].clone();
    atomic["x-kubernetes-map-type"] = "atomic".into();
    let after = with("st", atomic);
    let first =
        "apply a: {st: {a: x, b: 1}}\napply b: {st: {c: {d: q}}}\nupdate u: {st: {a: x, b: 1, c: {d: q}}, n: 1}";
    check_change(
        &schema(),
        first,
        &after,
        "apply b: {st: {c: {d: z}}}\nforce b: {st: {c: {d: z}}}",
        expect![[r#"
            Apply failed with 1 conflict: conflict with "a": .spec.st
            {"n":1,"st":{"c":{"d":"z"}}}
            Apply b: .st
            Update u: .n
        "#]],
    );
    check_change(
        &schema(),
        first,
        &after,
        "update w: {st: {a: x, b: 1, c: {d: q}}, n: 2}",
        expect![[r#"
            {"n":2,"st":{"a":"x","b":1,"c":{"d":"q"}}}
            Apply a: .st
            Apply b: .st
            Update w: .n
        "#]],
    );
    let list = json!({"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "atomic"});
    check_change(
        &schema(),
        "apply a: {set: [x]}\napply b: {set: [q]}",
        &with("set", list),
        "apply a: {set: [z]}",
        expect![[r#"
            Apply failed with 1 conflict: conflict with "b": .spec.set
            {"set":["x","q"]}
            Apply a: .set[="x"]
            Apply b: .set[="q"]
        "#]],
    );
}

#[test]
fn granular_to_atomic_of_an_owner_without_children() {
    let mut atomic = schema()["properties"]["spec"]["properties"]["st"].clone();
    atomic["x-kubernetes-map-type"] = "atomic".into();
    check_change(
        &schema(),
        "apply a: {st: {}}",
        &with("st", atomic),
        "apply b: {st: {a: x}}",
        expect![[r#"
        Apply failed with 1 conflict: conflict with "a": .spec.st
        {"st":{}}
        Apply a: .st
    "#]],
    );
}

#[test]
fn atomic_to_granular() {
    let granular = json!({"type": "object", "additionalProperties": {"type": "string"}});
    let after = with("amap", granular);
    let first = "apply a: {amap: {a: x, b: q}}";
    check_change(
        &schema(),
        first,
        &after,
        "apply b: {amap: {b: z}}\napply a: {amap: {a: x}}",
        expect![[r#"
            {"amap":{"a":"x","b":"z"}}
            Apply a: .amap.a
            Apply b: .amap.b
        "#]],
    );
}

#[test]
fn list_with_additional_key_keeps_old_entries() {
    let item = |extra: Value| {
        json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name", "zone"],
               "items": {"type": "object", "properties": {
                   "name": {"type": "string"}, "zone": extra, "value": {"type": "integer"}}}})
    };
    let first = "apply a: {list: [{name: a, value: 1}]}";
    let defaulted = with("list", item(json!({"type": "string", "default": "here"})));
    check_change(
        &schema(),
        first,
        &defaulted,
        "force b: {list: [{name: a, zone: here, value: 2}]}",
        expect![[r#"
        {"list":[{"name":"a","value":2,"zone":"here"}]}
        Apply a: .list[name="a"] .list[name="a"].name .list[name="a"].value
        Apply b: .list[name="a",zone="here"] .list[name="a",zone="here"].name .list[name="a",zone="here"].value .list[name="a",zone="here"].zone
    "#]],
    );
    let optional = with("list", item(json!({"type": "string"})));
    check_change(
        &schema(),
        first,
        &optional,
        "apply b: {list: [{name: a, zone: here, value: 2}]}",
        expect![[r#"
        {"list":[{"name":"a","value":1},{"name":"a","value":2,"zone":"here"}]}
        Apply a: .list[name="a"] .list[name="a"].name .list[name="a"].value
        Apply b: .list[name="a",zone="here"] .list[name="a",zone="here"].name .list[name="a",zone="here"].value .list[name="a",zone="here"].zone
    "#]],
    );
    check_change(
        &schema(),
        first,
        &optional,
        "apply a: {list: [{name: a, value: 2}]}",
        expect![[r#"
        {"list":[{"name":"a","value":2}]}
        Apply a: .list[name="a"] .list[name="a"].name .list[name="a"].value
    "#]],
    );
}

#[test]
fn field_removed_from_schema_stays_until_overwritten() {
    let mut after = schema();
    after["properties"]["spec"]["properties"].as_object_mut().unwrap().remove("t");
    check_change(
        &schema(),
        "apply a: {n: 1, t: x}",
        &after,
        "apply b: {b: true}\napply a: {n: 1, t: x}",
        expect![[r#"
        failed to create typed patch object (/o; store.example.com/v1, Kind=Thing): .spec.t: field not declared in schema
        {"b":true,"n":1,"t":"x"}
        Apply a: .n .t
        Apply b: .b
    "#]],
    );
}
