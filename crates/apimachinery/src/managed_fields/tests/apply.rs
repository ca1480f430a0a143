//! Several managers of one object: scalars, nested and deduced values, conflicts
//! (`merge/{leaf,nested,deduced,multiple_appliers,key,ignore,obsolete_versions,preserve_unknown}_test.go`).

use expect_test::expect;

use super::*;

#[test]
fn leaf_apply_twice() {
    check(
        "apply a: {n: 1, t: x}
         apply a: {n: 2, t: q, b: false}",
        expect![[r#"
            {"b":false,"n":2,"t":"q"}
            Apply a: .b .n .t
        "#]],
    );
}

#[test]
fn leaf_apply_update_apply_no_conflict() {
    check(
        "apply a: {n: 1, t: x}
         update c: {n: 1, t: x, b: true}
         apply a: {n: 2, t: x}",
        expect![[r#"
            {"b":true,"n":2,"t":"x"}
            Apply a: .n .t
            Update c: .b
        "#]],
    );
}

#[test]
fn leaf_apply_update_apply_with_conflict() {
    let script = "apply a: {n: 1, t: x}
                  update c: {n: 1, t: q, b: true}
                  apply a: {n: 2, t: z}";
    check(
        script,
        expect![[r#"
            Apply failed with 1 conflict: conflict with "c" using store.example.com/v1: .spec.t
            {"b":true,"n":1,"t":"q"}
            Apply a: .n
            Update c: .b .t
        "#]],
    );
    check(
        &script.replace("apply a: {n: 2", "force a: {n: 2"),
        expect![[r#"
            {"b":true,"n":2,"t":"z"}
            Apply a: .n .t
            Update c: .b
        "#]],
    );
}

#[test]
fn leaf_apply_twice_remove() {
    check(
        "apply a: {n: 1, t: x, b: false}
         apply a: {t: q}",
        expect![[r#"
            {"t":"q"}
            Apply a: .t
        "#]],
    );
}

#[test]
fn leaf_update_apply_omits() {
    check(
        "apply a: {n: 2}
         update c: {n: 1}
         apply a: {}",
        expect![[r#"
            {"n":1}
            Apply a: .spec
            Update c: .n
        "#]],
    );
}

#[test]
fn leaf_update_and_apply_remove_empty_set() {
    check(
        "update c: {t: x}\nupdate d: {}",
        expect![[r"
            {}
            Update c: .spec
        "]],
    );
    check(
        "apply a: {t: x}\napply b: {t: q, n: 1}\nforce b: {t: q}",
        expect![[r#"
            Apply failed with 1 conflict: conflict with "a": .spec.t
            {"t":"q"}
            Apply b: .t
        "#]],
    );
}

#[test]
fn apply_of_equal_value_shares_ownership_and_update_does_not() {
    check(
        "apply a: {n: 1}
         update c: {n: 1}
         apply b: {n: 1}",
        expect![[r#"
            {"n":1}
            Apply b: .n
            Apply a: .n
        "#]],
    );
}

#[test]
fn conflicts_are_grouped_by_manager() {
    check(
        "apply a: {n: 1, t: x}
         apply b: {t: x, b: true}
         update c: {n: 1, t: x, b: true, map: {k: x}}
         apply d: {n: 2, t: q, b: false, map: {k: q}}",
        expect![[r#"
            Apply failed with 5 conflicts: conflicts with "a":
            - .spec.n
            - .spec.t
            conflicts with "b":
            - .spec.b
            - .spec.t
            conflicts with "c" using store.example.com/v1:
            - .spec.map.k
            {"b":true,"map":{"k":"x"},"n":1,"t":"x"}
            Apply a: .n .t
            Apply b: .b .t
            Update c: .map .map.k
        "#]],
    );
}

#[test]
fn explicit_null_is_owned_and_removes_nothing() {
    check(
        "apply a: {t: x}\napply b: {n: null, st: {c: null}}\napply b: {}",
        expect![[r#"
            {"t":"x"}
            Apply a: .t
            Apply b: .spec
        "#]],
    );
}

#[test]
fn multiple_appliers_set() {
    check(
        "apply one: {list: [{name: a}, {name: b}]}
         apply two: {list: [{name: c}]}
         apply one: {list: [{name: a}]}",
        expect![[r#"
            {"list":[{"name":"a"},{"name":"c"}]}
            Apply two: .list[name="c"] .list[name="c"].name
            Apply one: .list[name="a"] .list[name="a"].name
        "#]],
    );
    check(
        "apply one: {list: [{name: a, value: 0}]}
         apply two: {list: [{name: a, value: 0}]}
         apply two: {list: [{name: a, value: 1}]}",
        expect![[r#"
            Apply failed with 1 conflict: conflict with "one": .spec.list[name="a"].value
            {"list":[{"name":"a","value":0}]}
            Apply two: .list[name="a"] .list[name="a"].name .list[name="a"].value
            Apply one: .list[name="a"] .list[name="a"].name .list[name="a"].value
        "#]],
    );
    check(
        "apply one: {list: [{name: a}, {name: b}, {name: c}]}
         apply two: {list: [{name: c}, {name: d}]}
         apply one: {list: [{name: a}]}",
        expect![[r#"
            {"list":[{"name":"a"},{"name":"c"},{"name":"d"}]}
            Apply two: .list[name="c"] .list[name="d"] .list[name="c"].name .list[name="d"].name
            Apply one: .list[name="a"] .list[name="a"].name
        "#]],
    );
}

#[test]
fn multiple_appliers_field_unsetting() {
    check(
        "apply one: {st: {a: x, b: 1}}\napply one: {st: {a: x}}",
        expect![[r#"
        {"st":{"a":"x"}}
        Apply one: .st.a
    "#]],
    );
    check(
        "apply one: {st: {a: x, b: 1}}\napply two: {st: {b: 1}}\napply one: {st: {a: x}}",
        expect![[r#"
        {"st":{"a":"x","b":1}}
        Apply two: .st.b
        Apply one: .st.a
    "#]],
    );
    check(
        "update u: {st: {a: x, b: 1}}\napply one: {st: {a: x, b: 1}}\napply one: {st: {a: x}}",
        expect![[r#"
            {"st":{"a":"x","b":1}}
            Apply one: .st.a
            Update u: .spec .st .st.a .st.b
        "#]],
    );
    check(
        "apply one: {st: {a: x, b: 1}}\nupdate u: {st: {a: x, b: 2}}",
        expect![[r#"
        {"st":{"a":"x","b":2}}
        Apply one: .st.a
        Update u: .st.b
    "#]],
    );
    check(
        "apply one: {st: {a: x, c: {d: q}}}\napply one: {st: {a: x}}",
        expect![[r#"
            {"st":{"a":"x"}}
            Apply one: .st.a
        "#]],
    );
    check(
        "apply one: {st: {a: x, c: {d: q}}}\napply two: {st: {c: {d: q}}}\napply one: {st: {a: x}}",
        expect![[r#"
            {"st":{"a":"x","c":{"d":"q"}}}
            Apply two: .st.c.d
            Apply one: .st.a
        "#]],
    );
}

#[test]
fn multiple_appliers_nested_type() {
    // remove_one_keep_one_with_two_sub_items, ..._with_dangling_subitem
    let script = "apply one: {list: [{name: a}, {name: b, more: [c]}]}
                  apply two: {list: [{name: b, more: [d]}]}
                  apply one: {list: [{name: a}]}";
    check(
        script,
        expect![[r#"
        {"list":[{"name":"a"},{"more":["d"],"name":"b"}]}
        Apply two: .list[name="b"] .list[name="b"].name .list[name="b"].more[="d"]
        Apply one: .list[name="a"] .list[name="a"].name
    "#]],
    );
    let dangling = "apply two: {list: [{name: b, more: [d]}]}
                    update controller: {list: [{name: a}, {name: b, more: [c, d, e]}]}";
    check(
        &script.replace("apply two: {list: [{name: b, more: [d]}]}", dangling),
        expect![[r#"
        {"list":[{"name":"a"},{"more":["d","e"],"name":"b"}]}
        Apply two: .list[name="b"] .list[name="b"].name .list[name="b"].more[="d"]
        Apply one: .list[name="a"] .list[name="a"].name
        Update controller: .list[name="b"].more[="e"]
    "#]],
    );
    // remove_one_with_dangling_subitem_keep_one
    check(
        "apply one: {list: [{name: a}, {name: b, more: [c]}]}
         apply two: {list: [{name: a, more: [b]}]}
         update controller: {list: [{name: a, more: [b]}, {name: b, more: [c, d]}]}
         apply one: {list: [{name: a}]}",
        expect![[r#"
            {"list":[{"more":["b"],"name":"a"}]}
            Apply two: .list[name="a"] .list[name="a"].name .list[name="a"].more[="b"]
            Apply one: .list[name="a"] .list[name="a"].name
        "#]],
    );
}

#[test]
fn unowned_fields_stay_while_their_parent_is_owned() {
    let mut bench = Bench::new(&schema());
    bench.run("apply one: {list: [{name: a}, {name: b}]}\napply two: {list: [{name: b}]}");
    // As if set by a default.
    bench.live.as_mut().unwrap()["spec"]["list"] = json!([{"name": "a", "value": 1}, {"name": "b", "value": 1}]);
    expect![[r#"
        {"list":[{"name":"b","value":1}]}
        Apply two: .list[name="b"] .list[name="b"].name
        Apply one: .spec
    "#]]
    .assert_eq(&bench.run("apply one: {}"));
}

#[test]
fn multiple_appliers_recursive_map() {
    let script = "apply one: {rec: {a: {b: {}}, c: {d: {}}}}
                  apply two: {rec: {a: {}, c: {d: {}}}}
                  update controller: {rec: {a: {b: {c: x}}, c: {d: {e: q}}}}
                  apply one: {}
                  apply two: {rec: {c: {d: {}}}}";
    check(
        script,
        expect![[r#"
            {"rec":{"c":{"d":{"e":"q"}}}}
            Apply one: .spec
            Apply two: .rec.c .rec.c.d
            Update controller: .rec.c.d.e
        "#]],
    );
    check(
        &script.replace("rec:", "any:"),
        expect![[r#"
            {"any":{"c":{"d":{"e":"q"}}}}
            Apply one: .spec
            Apply two: .any.c .any.c.d
            Update controller: .any.c.d.e
        "#]],
    );
}

#[test]
fn multiple_applier_atomic_maps() {
    check(
        "apply one: {amap: {a: x}}
         update u: {amap: {a: x, b: q}}
         apply one: {amap: {a: z}}
         force one: {amap: {c: z}}",
        expect![[r#"
            Apply failed with 1 conflict: conflict with "u" using store.example.com/v1: .spec.amap
            {"amap":{"c":"z"}}
            Apply one: .amap
        "#]],
    );
}

#[test]
fn removed_structs_keep_fields_of_other_managers() {
    // struct_apply_remove_all, ..._remove_dangling, ..._update_remove_all, ..._update_dict_null, ..._update_took_over
    check(
        "apply a: {st: {a: x, b: 1}}\napply a: {}",
        expect![[r"
            null
            Apply a: .spec
        "]],
    );
    check(
        "apply a: {st: {a: x, b: 1}}\napply a: {st: {a: x}}",
        expect![[r#"
        {"st":{"a":"x"}}
        Apply a: .st.a
    "#]],
    );
    check(
        "apply a: {st: {a: x}}\nupdate u: {st: {a: x, b: 1}}\napply a: {}",
        expect![[r#"
            {"st":{"b":1}}
            Apply a: .spec
            Update u: .st.b
        "#]],
    );
    check(
        "apply a: {st: {a: x}}\nupdate u: {st: null}\napply a: {}",
        expect![[r#"
            {"st":null}
            Apply a: .spec
            Update before-first-apply: .spec .st
        "#]],
    );
    check(
        "apply a: {st: {a: x}}\nupdate u: {st: {a: q}}\napply a: {}",
        expect![[r#"
            {"st":{"a":"q"}}
            Apply a: .spec
            Update u: .st.a
        "#]],
    );
    check(
        "apply a: {map: {a: x}}\nupdate u: {map: {a: x, b: q}}\napply a: {}",
        expect![[r#"
            {"map":{"b":"q"}}
            Apply a: .spec
            Update u: .map.b
        "#]],
    );
}

#[test]
fn nested_values_and_keys_are_replaced() {
    check(
        "apply a: {list: [{name: a, more: [b, c]}]}\napply a: {list: [{name: a, more: [a, c]}]}",
        expect![[r#"
        {"list":[{"more":["a","c"],"name":"a"}]}
        Apply a: .list[name="a"] .list[name="a"].name .list[name="a"].more[="a"] .list[name="a"].more[="c"]
    "#]],
    );
    check(
        "apply a: {list: [{name: a, more: [b, c]}]}\napply a: {list: [{name: b, more: [a, c]}]}",
        expect![[r#"
        {"list":[{"more":["a","c"],"name":"b"}]}
        Apply a: .list[name="b"] .list[name="b"].name .list[name="b"].more[="a"] .list[name="b"].more[="c"]
    "#]],
    );
    check(
        "apply a: {mol: {a: [b, c]}}\napply a: {mol: {b: [a, c]}}",
        expect![[r#"
        {"mol":{"b":["a","c"]}}
        Apply a: .mol.b .mol.b[="a"] .mol.b[="c"]
    "#]],
    );
    check(
        "apply a: {mom: {a: {b: x, c: q}}}\napply a: {mom: {a: {a: x, c: z}}}",
        expect![[r#"
            {"mom":{"a":{"a":"x","c":"z"}}}
            Apply a: .mom.a .mom.a.a .mom.a.c
        "#]],
    );
    check(
        "apply a: {rec: {a: {b: {}}}}\napply a: {rec: {a: {c: {}}}}",
        expect![[r#"
        {"rec":{"a":{"c":{}}}}
        Apply a: .rec.a .rec.a.c
    "#]],
    );
}

#[test]
fn removing_obsolete_applied_structs() {
    check(
        "apply a: {list: [{name: a, value: 1}]}\napply a: {list: [{name: b, value: 2}]}",
        expect![[r#"
        {"list":[{"name":"b","value":2}]}
        Apply a: .list[name="b"] .list[name="b"].name .list[name="b"].value
    "#]],
    );
}

#[test]
fn deduced_apply_twice_list_is_atomic() {
    check(
        "apply a: {any: {l: [a, b]}}\napply b: {any: {l: [a, b, c]}}\nforce b: {any: {l: [c]}}",
        expect![[r#"
        Apply failed with 1 conflict: conflict with "a": .spec.any.l
        {"any":{"l":["c"]}}
        Apply b: .any.l
    "#]],
    );
}

#[test]
fn deduced_apply_update_apply_nested() {
    check(
        "apply a: {any: {a: 1, b: {c: {d: [1]}}}}
         update u: {any: {a: 1, b: {c: {d: [2], e: x}}}}
         apply a: {any: {a: 2, b: {c: {d: [1]}}}}
         force a: {any: {a: 2, b: q}}",
        expect![[r#"
            Apply failed with 1 conflict: conflict with "u" using store.example.com/v1: .spec.any.b.c.d
            {"any":{"a":2,"b":"q"}}
            Apply a: .any.a .any.b
        "#]],
    );
}

#[test]
fn preserve_unknown_fields() {
    check(
        "apply a: {open: {a: x, u: {v: 1}}}\napply b: {open: {w: 1, u: {v: 1}}}\napply a: {open: {a: x}}",
        expect![[r#"
            {"open":{"a":"x","u":{"v":1},"w":1}}
            Apply a: .open.a
            Apply b: .open.u .open.w .open.u.v
        "#]],
    );
}

#[test]
fn reset_fields_are_neither_owned_nor_in_conflict() {
    let mut bench = Bench::new(&schema());
    let with_status = |phase: &str| {
        let mut config = thing(json!({"n": 1}));
        config["status"] = json!({"phase": phase});
        config
    };
    bench.apply("a", &with_status("x"), OnConflict::Fail).unwrap();
    bench.apply("b", &with_status("q"), OnConflict::Fail).unwrap();
    bench.update("c", with_status("z"));
    assert_eq!(bench.owners(), "Apply a: .n\nApply b: .n\n");
    bench.update_status("d", json!({"phase": "p"}));
    assert_eq!(bench.owners(), "Apply a: .n\nApply b: .n\nUpdate d/status: .status.phase\n");
}

#[test]
fn obsolete_versions_are_dropped_when_the_object_changes() {
    let mut bench = Bench::new(&schema());
    bench.run("apply a: {n: 1}\nupdate u: {n: 1, t: x}");
    let old = bench.entries().into_iter().map(|mut entry| {
        entry["apiVersion"] = "store.example.com/v0".into();
        entry
    });
    let old: Vec<Value> = old.collect();
    let mut live = bench.live.clone().unwrap();
    live["metadata"]["managedFields"] = old.clone().into();
    bench.live = Some(live.clone());
    bench.update("u", live);
    assert_eq!(bench.entries(), old, "nothing changed");
    // The entry of the applier was dropped, so the fields that it does not repeat stay.
    expect![[r#"
        {"b":true,"n":1,"t":"x"}
        Apply a: .b
    "#]]
    .assert_eq(&bench.run("apply a: {b: true}"));
}

#[test]
fn appliers_of_one_object_are_bounded() {
    let mut bench = Bench::new(&schema());
    bench.run("apply a0: {n: 1}");
    let entry = bench.entries().remove(0);
    let named = |n: usize| {
        let mut entry = entry.clone();
        entry["manager"] = format!("a{n}").into();
        entry
    };
    bench.live.as_mut().unwrap()["metadata"]["managedFields"] = (0..APPLIERS_MAX).map(named).collect();
    let refused = bench.apply("more", &thing(json!({"n": 1})), OnConflict::Fail);
    assert_eq!(refused, Err(ApplyError::Managers));
    assert_eq!(crate::status_error::StatusError::from(ApplyError::Managers).reason.code(), 422);
    bench.apply("a7", &thing(json!({"n": 1, "t": "x"})), OnConflict::Fail).unwrap();
}

#[test]
fn conflict_error_lists_some_conflicts_and_counts_all() {
    let many = |value: &str| -> Value {
        let labels: serde_json::Map<String, Value> = (0..5000).map(|n| (format!("k{n}"), value.into())).collect();
        let mut object = thing(json!({}));
        object["metadata"]["labels"] = labels.into();
        object
    };
    let mut bench = Bench::new(&schema());
    bench.apply("a", &many("x"), OnConflict::Fail).unwrap();
    let Err(ApplyError::Conflicts(conflicts)) = bench.apply("b", &many("y"), OnConflict::Fail) else { panic!() };
    assert_eq!((conflicts.count, conflicts.first.len()), (5000, crate::limits::CAUSES_MAX));
    let text = conflicts.to_string();
    assert!(text.starts_with("Apply failed with 5000 conflicts: ") && text.ends_with("\nand 4900 more"), "{text}");
}
