//! Operations on typed values (`typed/{validate,toset,symdiff,merge,remove,deduced}_test.go`).

use expect_test::{Expect, expect};

use super::*;

/// The schema of the spec.
fn spec() -> Schema {
    Schema::compile(&schema()["properties"]["spec"])
}

fn print(set: &FieldSet) -> String {
    set.paths().iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

#[test]
fn to_field_set() {
    let cases = [
        ("{}", ""),
        ("{n: 1, t: null}", ".n .t"),
        ("{set: [], atomic: [], plain: [{a: x}], amap: {a: x}, ast: {}}", ".amap .ast .atomic .plain"),
        ("{set: [a, b], nums: [1, 2.5]}", r#".nums[=1] .nums[=2.5] .set[="a"] .set[="b"]"#),
        (
            "{list: [{name: a, value: 1}, {name: b, st: {}}]}",
            r#".list[name="a"] .list[name="b"] .list[name="a"].name .list[name="a"].value .list[name="b"].name .list[name="b"].st"#,
        ),
        (
            "{map: {a: x}, mom: {a: {b: x}, c: {}}, mol: {a: [x]}}",
            r#".map.a .mol.a .mol.a[="x"] .mom.a .mom.c .mom.a.b"#,
        ),
        ("{map: {}, st: {}, free: {}}", ".free .map .st"),
        ("{st: {a: x, c: {d: q}}}", ".st.a .st.c.d"),
        (
            "{any: {a: 1, b: {c: [1], d: {}}}, open: {a: x, u: {v: 1}}}",
            ".any.a .any.b .any.b.c .any.b.d .open.a .open.u .open.u.v",
        ),
        ("{any: 1}", ".any"),
        ("{any: [1]}", ".any"),
        ("{set: [a, a, b]}", r#".set[="a"] .set[="b"]"#),
        ("{list: [{name: a, value: 1}, {name: a, value: 2}]}", r#".list[name="a"]"#),
        ("{set: null, list: null, map: null, st: null}", ".list .map .set .st"),
    ];
    let schema = spec();
    for (value, expected) in cases {
        let value = yaml(value);
        assert_eq!(
            print(&schema.typed(&value, Strictness::AllowDuplicates).unwrap().to_field_set()),
            expected,
            "{value}"
        );
    }
}

#[test]
fn errors() {
    let cases = [
        ("{n: x}", r#".n: expected numeric (int or float), got "x""#),
        ("{t: 1}", ".t: expected string, got 1"),
        ("{b: x}", r#".b: expected boolean, got "x""#),
        ("{when: {}}", ".when: expected any scalar, got {}"),
        ("{when: 1}", ""),
        ("{set: x}", r#".set: expected list, got "x""#),
        ("{map: [x]}", r#".map: expected map, got ["x"]"#),
        ("[x]", r#"expected map, got ["x"]"#),
        ("{foo: 1}", ".foo: field not declared in schema"),
        ("{st: {c: {foo: 1}}}", ".st.c.foo: field not declared in schema"),
        ("{open: {foo: 1}, free: {foo: 1}, any: {foo: 1}}", ""),
        (
            "{atomic: [1], plain: [{b: x}]}",
            "errors:\n  .atomic[0]: expected string, got 1\n  .plain[0].b: expected numeric (int or float), got \"x\"",
        ),
        ("{set: [a, b, a]}", r#".set: duplicate entries for key [="a"]"#),
        ("{nums: [1, 1.0]}", ".nums: duplicate entries for key [=1]"),
        (
            "{ports: [{port: 80}, {port: 80, protocol: TCP}]}",
            r#".ports: duplicate entries for key [port=80,protocol="TCP"]"#,
        ),
        ("{list: [{name: a, more: [x, x]}]}", r#".list[name="a"].more: duplicate entries for key [="x"]"#),
        (
            "{list: [{value: 1}]}",
            r#".list: element 0: associative list with keys has an element that omits all key fields ["name"] (and doesn't have default values for any key fields)"#,
        ),
        ("{list: [{name: a}, null]}", ".list: element 1: associative list with keys may not have a null element"),
        ("{list: [1]}", ".list: element 0: associative list with keys may not have non-map elements"),
        ("{set: [{}]}", ".set: element 0: associative list without keys has an element that's a map type"),
        ("{set: [[]]}", ".set: element 0: not supported: associative list with lists as elements"),
        ("{set: [null]}", ".set: element 0: associative list without keys has an element that's an explicit null"),
        ("{n: null, set: null, list: null, map: null, st: null, any: null}", ""),
    ];
    let schema = spec();
    for (value, expected) in cases {
        let value = yaml(value);
        let errors = schema.typed(&value, Strictness::Strict).err().map(|errors| errors.to_string());
        assert_eq!(errors.unwrap_or_default(), expected, "{value}");
    }
    let stored = yaml("{foo: 1, set: [a, a], st: {bar: 2}}");
    assert!(schema.typed(&stored, Strictness::AllowDuplicates).is_ok());
}

#[test]
fn reported_mismatches_are_bounded() {
    let many = Value::Object((0..1000).map(|n| (format!("x{n}"), json!(1))).collect());
    assert_eq!(spec().typed(&many, Strictness::Strict).unwrap_err().0.len(), 100);
}

#[test]
fn compare() {
    // Old value, new value, and the removed, modified and added paths.
    let cases = [
        ("{n: 1}", "{n: 1.0}", ["", "", ""]),
        ("{n: 1}", "{n: 2, t: x}", ["", ".n", ".t"]),
        ("{n: 1, t: x}", "{t: x}", [".n", "", ""]),
        ("{map: {}}", "{map: null}", ["", ".map", ""]),
        ("{map: {}}", "{map: {a: x}}", ["", "", ".map.a"]),
        ("{map: {a: x}}", "{map: {}}", [".map.a", "", ""]),
        ("{map: {a: x}}", "{map: {a: q, b: z}}", ["", ".map.a", ".map.b"]),
        ("{}", "{map: {a: x}, set: [], st: {c: {}}}", ["", "", ".map .set .st .map.a .st.c"]),
        ("{set: [a, b]}", "{set: [c, b]}", [r#".set[="a"]"#, "", r#".set[="c"]"#]),
        ("{set: [a, b]}", "{set: [b, a]}", ["", "", ""]),
        ("{set: []}", "{set: null}", ["", ".set", ""]),
        ("{atomic: [a, b]}", "{atomic: [b, a]}", ["", ".atomic", ""]),
        ("{amap: {a: x}}", "{amap: {a: x, b: q}}", ["", ".amap", ""]),
        (
            "{list: [{name: a, value: 1}]}",
            "{list: [{name: a, value: 2}, {name: b}]}",
            ["", r#".list[name="a"].value"#, r#".list[name="b"] .list[name="b"].name"#],
        ),
        (
            "{ports: [{port: 80}]}",
            "{ports: [{port: 80, protocol: TCP}]}",
            ["", "", r#".ports[port=80,protocol="TCP"].protocol"#],
        ),
        ("{any: 1}", "{any: {a: 1}}", ["", ".any", ".any.a"]),
        ("{any: {a: 1}}", "{any: [1]}", [".any.a", ".any", ""]),
        ("{any: {a: {b: 1}}}", "{any: {a: {b: 2}, c: [1]}}", ["", ".any.a.b", ".any.c"]),
        ("{any: {a: {b: 1}}}", "{any: {}}", [".any.a .any.a.b", "", ""]),
        ("{set: [a, a]}", "{set: [a, a]}", ["", "", ""]),
        ("{set: [a, a]}", "{set: [a, a, a]}", ["", r#".set[="a"]"#, ""]),
        ("{set: [a]}", "{set: [a, a]}", [r#".set[="a"]"#, "", r#".set[="a"]"#]),
        (
            "{list: [{name: a}, {name: a}]}",
            "{list: [{name: a}]}",
            [r#".list[name="a"]"#, "", r#".list[name="a"] .list[name="a"].name"#],
        ),
    ];
    let schema = spec();
    for (old, new, expected) in cases {
        let (old, new) = (yaml(old), yaml(new));
        let [old, new] = [&old, &new].map(|value| schema.typed(value, Strictness::AllowDuplicates).unwrap());
        let Comparison { removed, modified, added } = old.compare(&new);
        let found = [&removed, &modified, &added].map(print);
        assert_eq!(found, expected, "{} and {}", old.value(), new.value());
    }
}

#[test]
fn comparison_without_paths_excludes_their_children() {
    let schema = spec();
    let (old, new) = (yaml("{n: 1, st: {a: x}}"), yaml("{n: 2, st: {c: {d: q}}, map: {}}"));
    let [old, new] = [&old, &new].map(|value| schema.typed(value, Strictness::Strict).unwrap());
    let without = old.compare(&new).without(&fields(&["n", "st.c", "map.a"]));
    let expected = Comparison { removed: fields(&["st.a"]), modified: FieldSet::new(), added: fields(&["map"]) };
    assert_eq!(without, expected);
    assert_eq!(old.compare(&old), Comparison::default());
}

#[test]
fn merge() {
    let cases = [
        ("{n: 1}", "{t: x}", "{n: 1, t: x}"),
        ("{n: 1}", "{n: null}", "{n: null}"),
        ("{map: {a: x}}", "{map: {}}", "{map: {a: x}}"),
        ("{map: {a: x}}", "{map: null}", "{map: {a: x}}"),
        ("{map: {}}", "{map: null}", "{map: null}"),
        ("{map: null}", "{map: {}}", "{map: {}}"),
        ("{map: {a: x}}", "{map: {b: q}}", "{map: {a: x, b: q}}"),
        ("{amap: {a: x}}", "{amap: {b: q}}", "{amap: {b: q}}"),
        ("{atomic: [a]}", "{atomic: [b]}", "{atomic: [b]}"),
        ("{plain: [{a: x}]}", "{plain: [{b: 1}]}", "{plain: [{b: 1}]}"),
        ("{set: [a]}", "{set: null}", "{set: [a]}"),
        ("{set: [a]}", "{set: []}", "{set: [a]}"),
        ("{set: []}", "{set: null}", "{set: null}"),
        (
            "{list: [{name: a, value: 1}]}",
            "{list: [{name: a, st: {a: x}}, {name: b}]}",
            "{list: [{name: a, st: {a: x}, value: 1}, {name: b}]}",
        ),
        (
            "{ports: [{port: 80, name: x}]}",
            "{ports: [{port: 80, protocol: TCP}]}",
            "{ports: [{name: x, port: 80, protocol: TCP}]}",
        ),
        (
            "{list: [{name: a, value: 1}, {name: a, value: 2}, {name: b}]}",
            "{list: [{name: a, value: 3}]}",
            "{list: [{name: a, value: 3}, {name: b}]}",
        ),
        ("{any: {a: 1, b: [1, 2]}}", "{any: {b: [3], c: {}}}", "{any: {a: 1, b: [3], c: {}}}"),
        ("{any: {a: 1}}", "{any: [1]}", "{any: [1]}"),
        ("{any: x}", "{any: {a: 1}}", "{any: {a: 1}}"),
        ("{foo: 1}", "{n: 1}", "{foo: 1, n: 1}"),
    ];
    let schema = spec();
    for (live, config, expected) in cases {
        let (live, config) = (yaml(live), yaml(config));
        let merged = schema
            .typed(&live, Strictness::AllowDuplicates)
            .unwrap()
            .merge(&schema.typed(&config, Strictness::Strict).unwrap());
        assert_eq!(merged, yaml(expected), "{config} on {live}");
    }
}

#[test]
fn remove() {
    let schema = spec();
    let value = yaml(
        "{n: 1, t: x, set: [a, b], list: [{name: a, value: 1, st: {a: x, b: q}}, {name: b}], atomic: [a],
          amap: {a: x}, st: {a: x, c: {d: q, e: z}}, any: {a: {b: 1, c: 2}}, mol: {a: [x, q]}}",
    );
    let check = |paths: &str, removed: Expect| {
        let set = field_set(paths);
        let typed = schema.typed(&value, Strictness::Strict).unwrap();
        removed.assert_eq(&typed.remove(&set).to_string());
    };
    check(
        "{}",
        expect![[
            r#"{"amap":{"a":"x"},"any":{"a":{"b":1,"c":2}},"atomic":["a"],"list":[{"name":"a","st":{"a":"x","b":"q"},"value":1},{"name":"b"}],"mol":{"a":["x","q"]},"n":1,"set":["a","b"],"st":{"a":"x","c":{"d":"q","e":"z"}},"t":"x"}"#
        ]],
    );
    check(
        r#"{"f:n":{},"f:set":{"v:\"a\"":{}}}"#,
        expect![[
            r#"{"amap":{"a":"x"},"any":{"a":{"b":1,"c":2}},"atomic":["a"],"list":[{"name":"a","st":{"a":"x","b":"q"},"value":1},{"name":"b"}],"mol":{"a":["x","q"]},"set":["b"],"st":{"a":"x","c":{"d":"q","e":"z"}},"t":"x"}"#
        ]],
    );
    check(
        r#"{"f:set":{"v:\"a\"":{},"v:\"b\"":{}},"f:st":{"f:a":{},"f:c":{"f:d":{}}}}"#,
        expect![[
            r#"{"amap":{"a":"x"},"any":{"a":{"b":1,"c":2}},"atomic":["a"],"list":[{"name":"a","st":{"a":"x","b":"q"},"value":1},{"name":"b"}],"mol":{"a":["x","q"]},"n":1,"set":null,"st":{"c":{"e":"z"}},"t":"x"}"#
        ]],
    );
    check(
        r#"{"f:list":{"k:{\"name\":\"a\"}":{"f:st":{"f:a":{}}},"k:{\"name\":\"b\"}":{}}}"#,
        expect![[
            r#"{"amap":{"a":"x"},"any":{"a":{"b":1,"c":2}},"atomic":["a"],"list":[{"name":"a","st":{"b":"q"},"value":1}],"mol":{"a":["x","q"]},"n":1,"set":["a","b"],"st":{"a":"x","c":{"d":"q","e":"z"}},"t":"x"}"#
        ]],
    );
    check(
        r#"{"f:atomic":{"i:0":{}},"f:amap":{"f:a":{}},"f:any":{"f:a":{"f:c":{}}}}"#,
        expect![[
            r#"{"amap":null,"any":{"a":{"b":1}},"atomic":null,"list":[{"name":"a","st":{"a":"x","b":"q"},"value":1},{"name":"b"}],"mol":{"a":["x","q"]},"n":1,"set":["a","b"],"st":{"a":"x","c":{"d":"q","e":"z"}},"t":"x"}"#
        ]],
    );
    check(
        r#"{"f:st":{},"f:list":{},"f:mol":{"f:a":{"v:\"x\"":{}}}}"#,
        expect![[
            r#"{"amap":{"a":"x"},"any":{"a":{"b":1,"c":2}},"atomic":["a"],"mol":{"a":["q"]},"n":1,"set":["a","b"],"t":"x"}"#
        ]],
    );
}

#[test]
fn undeclared_types_are_deduced() {
    let deduced = |schema: Value| {
        let schema = Schema::compile(&schema);
        let value = json!({"a": {"b": [1]}});
        schema
            .typed(&value, Strictness::Strict)
            .map(|typed| print(&typed.to_field_set()))
            .map_err(|errors| errors.to_string())
    };
    let text = json!({"type": "string"});
    let whole = Ok(".a .a.b".to_owned());
    assert_eq!(deduced(json!({})), whole);
    assert_eq!(deduced(json!({"type": "object"})), whole);
    assert_eq!(deduced(json!({"type": "object", "additionalProperties": true})), whole);
    let open = json!({"type": "object", "properties": {"z": text}, "x-kubernetes-preserve-unknown-fields": true});
    assert_eq!(deduced(open), whole);
    // `x-kubernetes-preserve-unknown-fields` also applies to nested objects.
    let inside = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true,
                        "properties": {"a": {"type": "object", "properties": {"z": text}}}});
    assert_eq!(deduced(inside), Ok(".a.b".to_owned()));
    assert_eq!(deduced(json!({"properties": {"a": {}}})), Ok(".a.b".to_owned()));
    assert_eq!(
        deduced(json!({"type": "object", "properties": {"a": {"properties": {"b": {"items": {}}}}}})),
        Ok(".a.b".to_owned())
    );
    let undeclared = Err(".a: field not declared in schema".to_owned());
    assert_eq!(deduced(json!({"type": "object", "properties": {"z": text}})), undeclared);
    assert_eq!(deduced(json!({"type": "object", "additionalProperties": false})), undeclared);
}
