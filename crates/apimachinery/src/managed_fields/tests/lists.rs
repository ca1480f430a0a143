//! Sets and list maps: order, keys with defaults, duplicates (`merge/{set,duplicates,default_keys}_test.go`).

use expect_test::expect;

use super::*;

#[test]
fn set_apply_update_apply() {
    check(
        "apply a: {set: [a, c]}\napply a: {set: [a, b, c, d]}",
        expect![[r#"
        {"set":["a","b","c","d"]}
        Apply a: .set[="a"] .set[="b"] .set[="c"] .set[="d"]
    "#]],
    );
    check(
        "apply a: {set: [a, c]}\nupdate u: {set: [a, b, c, d]}\napply a: {set: [a, c, e]}",
        expect![[r#"
        {"set":["a","b","c","d","e"]}
        Apply a: .set[="a"] .set[="c"] .set[="e"]
        Update u: .set[="b"] .set[="d"]
    "#]],
    );
    check(
        "apply a: {set: [a, c]}\nupdate u: {set: [a, b, c, d]}\napply a: {set: [a, b, c]}",
        expect![[r#"
        {"set":["a","b","c","d"]}
        Apply a: .set[="a"] .set[="b"] .set[="c"]
        Update u: .set[="b"] .set[="d"]
    "#]],
    );
    check(
        "apply a: {set: [a, b, c, d]}\napply a: {set: [a, c, e]}",
        expect![[r#"
        {"set":["a","c","e"]}
        Apply a: .set[="a"] .set[="c"] .set[="e"]
    "#]],
    );
}

#[test]
fn merged_items_have_the_order_of_the_configuration() {
    let order = |live: &str, config: &str, expected: &str| {
        let mut bench = Bench::new(&schema());
        bench.run(&format!("update u: {{set: {live}}}\nforce a: {{set: {config}}}"));
        let set = &bench.live.as_ref().unwrap()["spec"]["set"];
        assert_eq!(set, &yaml(expected), "{config} on {live}");
    };
    order("[a, b, c, d]", "[a, d, c, b]", "[a, d, c, b]");
    order("[a, b, c, d]", "[d, a]", "[b, c, d, a]");
    order("[a, b, c, d]", "[d, x, a]", "[b, c, d, x, a]");
    order("[a, b, c]", "[x, b]", "[a, x, b, c]");
    order("[a, b]", "[x, q]", "[a, b, x, q]");
    order("[a, x, b]", "[b, a]", "[x, b, a]");
    order("[a, b, q]", "[a, x, b]", "[a, x, b, q]");
    order("[]", "[b, a]", "[b, a]");
    order("[a]", "[]", "[a]");
}

#[test]
fn sets_with_duplicates() {
    check(
        "update one: {set: [a, a, c]}",
        expect![[r#"
            {"set":["a","a","c"]}
            Update one: .spec .set .set[="a"] .set[="c"]
        "#]],
    );
    check(
        "update one: {set: [a, c]}\nupdate two: {set: [a, a, c]}",
        expect![[r#"
            {"set":["a","a","c"]}
            Update one: .spec .set .set[="c"]
            Update two: .set[="a"]
        "#]],
    );
    check(
        "update one: {set: [a, a, c]}\nupdate two: {set: [a, c]}",
        expect![[r#"
            {"set":["a","c"]}
            Update one: .spec .set .set[="c"]
            Update two: .set[="a"]
        "#]],
    );
    check(
        "update u: {set: [a, a, c]}\napply a: {set: [a]}\nforce a: {set: [a]}",
        expect![[r#"
            Apply failed with 1 conflict: conflict with "u" using store.example.com/v1: .spec.set[="a"]
            {"set":["a","c"]}
            Apply a: .set[="a"]
            Update u: .spec .set .set[="c"]
        "#]],
    );
    check(
        "update u: {set: [a, a, c]}\napply a: {set: [e]}",
        expect![[r#"
            {"set":["a","a","c","e"]}
            Apply a: .set[="e"]
            Update u: .spec .set .set[="a"] .set[="c"]
        "#]],
    );
}

#[test]
fn maps_with_duplicates() {
    let items = "{name: a, value: 1}, {name: a, value: 2}, {name: b, value: 3}";
    check(
        &format!("update one: {{list: [{items}]}}"),
        expect![[r#"
            {"list":[{"name":"a","value":1},{"name":"a","value":2},{"name":"b","value":3}]}
            Update one: .spec .list .list[name="a"] .list[name="b"] .list[name="b"].name .list[name="b"].value
        "#]],
    );
    let change = |second: &str| format!("update one: {{list: [{items}]}}\nupdate two: {{list: [{second}]}}");
    check(
        &change("{name: a, value: 1}, {name: a, value: 3}, {name: b, value: 3}"),
        expect![[r#"
            {"list":[{"name":"a","value":1},{"name":"a","value":3},{"name":"b","value":3}]}
            Update one: .spec .list .list[name="b"] .list[name="b"].name .list[name="b"].value
            Update two: .list[name="a"]
        "#]],
    );
    check(
        &change("{name: a, value: 1}, {name: b, value: 3}"),
        expect![[r#"
            {"list":[{"name":"a","value":1},{"name":"b","value":3}]}
            Update one: .spec .list .list[name="b"] .list[name="b"].name .list[name="b"].value
            Update two: .list[name="a"] .list[name="a"].name .list[name="a"].value
        "#]],
    );
    check(
        "update one: {list: [{name: a, value: 1}]}\nupdate two: {list: [{name: a, value: 1}, {name: a, st: {}}]}",
        expect![[r#"
            {"list":[{"name":"a","value":1},{"name":"a","st":{}}]}
            Update one: .spec .list
            Update two: .list[name="a"]
        "#]],
    );
    let apply = |config: &str| format!("update u: {{list: [{items}]}}\napply a: {{list: [{config}]}}");
    check(
        &apply("{name: b, value: 3}, {name: c}"),
        expect![[r#"
            {"list":[{"name":"a","value":1},{"name":"a","value":2},{"name":"b","value":3},{"name":"c"}]}
            Apply a: .list[name="b"] .list[name="c"] .list[name="b"].name .list[name="b"].value .list[name="c"].name
            Update u: .spec .list .list[name="a"] .list[name="b"] .list[name="b"].name .list[name="b"].value
        "#]],
    );
    check(
        &apply("{name: a, value: 1}"),
        expect![[r#"
            Apply failed with 1 conflict: conflict with "u" using store.example.com/v1: .spec.list[name="a"]
            {"list":[{"name":"a","value":1},{"name":"a","value":2},{"name":"b","value":3}]}
            Update u: .spec .list .list[name="a"] .list[name="b"] .list[name="b"].name .list[name="b"].value
        "#]],
    );
    check(
        &apply("{name: b, value: 4}"),
        expect![[r#"
            Apply failed with 1 conflict: conflict with "u" using store.example.com/v1: .spec.list[name="b"].value
            {"list":[{"name":"a","value":1},{"name":"a","value":2},{"name":"b","value":3}]}
            Update u: .spec .list .list[name="a"] .list[name="b"] .list[name="b"].name .list[name="b"].value
        "#]],
    );
}

#[test]
fn duplicates_in_a_configuration_are_rejected() {
    check(
        "apply a: {set: [a, b, a]}\napply a: {list: [{name: a}, {name: a, value: 1}]}",
        expect![[r#"
        failed to create typed patch object (/o; store.example.com/v1, Kind=Thing): .spec.set: duplicate entries for key [="a"]
        failed to create typed patch object (/o; store.example.com/v1, Kind=Thing): .spec.list: duplicate entries for key [name="a"]
    "#]],
    );
}

#[test]
fn default_keys_flat() {
    check(
        "apply a: {ports: [{port: 80}]}",
        expect![[r#"
        {"ports":[{"port":80}]}
        Apply a: .ports[port=80,protocol="TCP"] .ports[port=80,protocol="TCP"].port
    "#]],
    );
    check(
        "apply a: {ports: [{port: 80}, {port: 80, protocol: UDP}]}",
        expect![[r#"
        {"ports":[{"port":80},{"port":80,"protocol":"UDP"}]}
        Apply a: .ports[port=80,protocol="TCP"] .ports[port=80,protocol="UDP"] .ports[port=80,protocol="TCP"].port .ports[port=80,protocol="UDP"].port .ports[port=80,protocol="UDP"].protocol
    "#]],
    );
    check(
        "apply one: {ports: [{port: 80, protocol: TCP, name: x}]}
         apply two: {ports: [{port: 80, name: q}]}",
        expect![[r#"
            Apply failed with 1 conflict: conflict with "one": .spec.ports[port=80,protocol="TCP"].name
            {"ports":[{"name":"x","port":80,"protocol":"TCP"}]}
            Apply one: .ports[port=80,protocol="TCP"] .ports[port=80,protocol="TCP"].name .ports[port=80,protocol="TCP"].port .ports[port=80,protocol="TCP"].protocol
        "#]],
    );
    check(
        "apply a: {ports: [{protocol: TCP, name: x}]}",
        expect![[r#"
        {"ports":[{"name":"x","protocol":"TCP"}]}
        Apply a: .ports[protocol="TCP"] .ports[protocol="TCP"].name .ports[protocol="TCP"].protocol
    "#]],
    );
    check(
        "apply a: {ports: [{port: 80}, {port: 80}]}\napply a: {ports: [{port: 80}, {port: 80, protocol: TCP}]}",
        expect![[r#"
            failed to create typed patch object (/o; store.example.com/v1, Kind=Thing): .spec.ports: duplicate entries for key [port=80,protocol="TCP"]
            failed to create typed patch object (/o; store.example.com/v1, Kind=Thing): .spec.ports: duplicate entries for key [port=80,protocol="TCP"]
        "#]],
    );
}

#[test]
fn numeric_keys_have_defaults() {
    let schema = json!({"type": "object", "properties": {
        "apiVersion": {"type": "string"}, "kind": {"type": "string"},
        "metadata": {"type": "object"},
        "spec": {"type": "object", "properties": {"lines": {
            "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["page", "line"],
            "items": {"type": "object", "properties": {
                "page": {"type": "number", "default": 2.0}, "line": {"type": "integer", "default": 3},
                "text": {"type": "string"},
            }},
        }}},
    }});
    check_with(
        &schema,
        "apply a: {lines: [{text: x}]}\napply b: {lines: [{page: 2, text: x}]}",
        expect![[r#"
        {"lines":[{"page":2,"text":"x"}]}
        Apply a: .lines[line=3,page=2] .lines[line=3,page=2].text
        Apply b: .lines[line=3,page=2] .lines[line=3,page=2].page .lines[line=3,page=2].text
    "#]],
    );
}

#[test]
fn items_without_key_are_rejected() {
    let refusals = "apply a: {list: [{value: 1}]}
                    apply a: {list: [x]}
                    apply a: {list: [null]}
                    apply a: {set: [{a: x}]}
                    apply a: {set: [[x]]}
                    apply a: {set: [null]}
                    apply a: {list: {a: x}}";
    check(
        refusals,
        expect![[r#"
        failed to create typed patch object (/o; store.example.com/v1, Kind=Thing): .spec.list: element 0: associative list with keys has an element that omits all key fields ["name"] (and doesn't have default values for any key fields)
        failed to create typed patch object (/o; store.example.com/v1, Kind=Thing): .spec.list: element 0: associative list with keys may not have non-map elements
        failed to create typed patch object (/o; store.example.com/v1, Kind=Thing): .spec.list: element 0: associative list with keys may not have a null element
        failed to create typed patch object (/o; store.example.com/v1, Kind=Thing): .spec.set: element 0: associative list without keys has an element that's a map type
        failed to create typed patch object (/o; store.example.com/v1, Kind=Thing): .spec.set: element 0: not supported: associative list with lists as elements
        failed to create typed patch object (/o; store.example.com/v1, Kind=Thing): .spec.set: element 0: associative list without keys has an element that's an explicit null
        failed to create typed patch object (/o; store.example.com/v1, Kind=Thing): .spec.list: expected list, got {"a":"x"}
    "#]],
    );
}
