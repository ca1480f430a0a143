//! Sets of paths: set operations compared with plain sets of paths, and the encoding
//! (`fieldpath/{set,element,path,serialize*}_test.go`).

use std::collections::BTreeSet;

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::limits::FIELD_PATH_ELEMENTS_MAX;

fn element() -> impl Strategy<Value = PathElement> {
    let scalar = prop_oneof![
        "[a-c<\"]{0,2}".prop_map(Value::from),
        (-2i64..3).prop_map(Value::from),
        prop_oneof![Just(0.5), Just(1.0), Just(1e30), Just(2e-9)].prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        Just(Value::Null),
    ];
    prop_oneof![
        4 => "[a-c.]{1,2}".prop_map(PathElement::Field),
        1 => vec(("[a-b]", scalar.clone()), 1..3).prop_map(|fields| {
            PathElement::key(fields.into_iter().collect::<std::collections::BTreeMap<String, Value>>())
        }),
        1 => scalar.prop_map(PathElement::Value),
        1 => (-1i64..3).prop_map(PathElement::Index),
    ]
}

fn paths() -> impl Strategy<Value = BTreeSet<Path>> {
    vec(vec(element(), 1..4).prop_map(Path), 0..8).prop_map(|paths| paths.into_iter().collect())
}

fn set(paths: &BTreeSet<Path>) -> FieldSet {
    paths.iter().cloned().collect()
}

/// The members of a set; each must occur once.
fn members(set: &FieldSet) -> BTreeSet<Path> {
    let paths = set.paths();
    let members: BTreeSet<Path> = paths.iter().cloned().collect();
    assert_eq!((paths.len(), set.len(), set.is_empty()), (members.len(), members.len(), members.is_empty()));
    assert!(members.iter().all(|path| set.contains(&path.0)));
    members
}

fn starts_with(path: &Path, other: &Path) -> bool {
    path.0.starts_with(&other.0)
}

proptest! {
    #[test]
    fn set_operations_equal_those_on_plain_sets(left in paths(), right in paths()) {
        let (a, b) = (set(&left), set(&right));
        prop_assert_eq!(members(&a), left.clone());
        prop_assert_eq!(members(&a.union(&b)), left.union(&right).cloned().collect());
        prop_assert_eq!(members(&a.intersection(&b)), left.intersection(&right).cloned().collect());
        prop_assert_eq!(members(&a.difference(&b)), left.difference(&right).cloned().collect());
        let outside = left.iter().filter(|path| !right.iter().any(|other| starts_with(path, other)));
        let mut rest = a.clone();
        rest.remove_recursively(&b);
        prop_assert_eq!(members(&rest), outside.cloned().collect());
        // Equal sets are equal however they were constructed.
        prop_assert_eq!(a.difference(&b).union(&a.intersection(&b)), a.clone());
        prop_assert_eq!(a.union(&b), b.union(&a));
        prop_assert_eq!(left == right, a == b);
    }

    #[test]
    fn fields_v1_round_trips(paths in paths()) {
        let a = set(&paths);
        prop_assert_eq!(FieldSet::from_fields_v1(&a.to_fields_v1()), Ok(a));
    }

    #[test]
    fn arbitrary_fields_v1_does_not_panic(text in "\\PC{0,40}", key in "[fkvix.]?:?\\PC{0,12}") {
        let _ = serde_json::from_str(&text).map(|fields| FieldSet::from_fields_v1(&fields));
        if let Ok(Some(element)) = PathElement::from_text(&key) {
            prop_assert_eq!(PathElement::from_text(&element.to_text()), Ok(Some(element)));
        }
    }

    #[test]
    fn order_of_path_elements_is_total(elements in vec(element(), 0..6)) {
        for a in &elements {
            for b in &elements {
                prop_assert_eq!(a.cmp(b), b.cmp(a).reverse());
                for c in elements.iter().filter(|_| a <= b) {
                    prop_assert!(b > c || a <= c, "{a} <= {b} <= {c}");
                }
            }
        }
    }
}

#[test]
fn nodes_are_in_element_order() {
    let keys = [
        "f:a",
        "f:b",
        r#"k:{"name":"x"}"#,
        r#"k:{"name":"x","port":80}"#,
        r#"k:{"port":9}"#,
        r#"k:{"port":80}"#,
        "v:1",
        "v:1.5",
        "v:10",
        r#"v:"10""#,
        r#"v:"9""#,
        "v:false",
        "v:true",
        "v:[]",
        "v:{}",
        "v:null",
        "i:-1",
        "i:2",
        "i:10",
    ];
    let sorted_as_text = keys.iter().map(|key| ((*key).to_owned(), json!({})));
    let set = FieldSet::from_fields_v1(&Value::Object(sorted_as_text.collect())).unwrap();
    assert_eq!(set.nodes().iter().map(|node| node.element.to_text()).collect::<Vec<_>>(), keys);
}

#[test]
fn elements_are_encoded_as_go_json() {
    let written = |element: PathElement, expected: &str| {
        assert_eq!(json!(element.to_text()).to_string(), expected);
    };
    written(PathElement::field("a\"<\\\n\u{1}\u{e9}"), r#""f:a\"<\\\n\u0001é""#);
    written(PathElement::Value("<&>\u{2028}".into()), r#""v:\"\\u003c\\u0026\\u003e\\u2028\"""#);
    written(PathElement::key([("b<", "<"), ("a", "\t")]), r#""k:{\"a\":\"\\t\",\"b<\":\"\\u003c\"}""#);
    for (number, text) in [(1.0, "1"), (1.5, "1.5"), (1e20, "100000000000000000000"), (1e21, "1e+21"), (2e-7, "2e-07")]
    {
        written(PathElement::Value(number.into()), &format!("\"v:{text}\""));
    }
    written(PathElement::Value(u64::MAX.into()), "\"v:18446744073709551615\"");
}

#[test]
fn paths_are_formatted_as_in_messages() {
    let print = |elements: &[PathElement], expected: &str| assert_eq!(Path(elements.to_vec()).to_string(), expected);
    let f = |name: &str| PathElement::field(name);
    print(&[f("spec"), f("cidr")], ".spec.cidr");
    print(
        &[f("l"), PathElement::key([("port", json!(80)), ("name", json!("x"))]), f("x")],
        r#".l[name="x",port=80].x"#,
    );
    print(
        &[PathElement::Value(json!("a\"\u{7}\u{1}\u{7f}\u{a0}é")), PathElement::Index(3)],
        r#"[="a\"\a\x01\x7f\u00a0é"][3]"#,
    );
    print(
        &[PathElement::Value(json!(1e6)), PathElement::Value(json!(0.00001)), PathElement::Value(json!(1.5))],
        "[=1e+06][=1e-05][=1.5]",
    );
    print(&[PathElement::Value(json!([1, null, {"a": true}]))], "[=[1,null,a=true]]");
}

#[test]
fn paths_are_listed_level_by_level() {
    let paths: Vec<String> = fields(&["b", "a.c", "a", "a.b.d"]).paths().iter().map(ToString::to_string).collect();
    assert_eq!(paths, [".a", ".b", ".a.c", ".a.b.d"]);
}

#[test]
fn unknown_element_types_are_ignored_and_malformed_rejected() {
    let read = |text: &str| FieldSet::from_fields_v1(&serde_json::from_str(text).unwrap());
    for (text, expected) in [
        ("{}", "{}"),
        ("null", "{}"),
        (r#"{".":{}}"#, "{}"),
        (r#"{"x:new":{"f:a":{}},"f:b":{"x:new":{}}}"#, r#"{"f:b":{}}"#),
        (r#"{"f:a":null}"#, r#"{"f:a":{}}"#),
        (r#"{"f:":{}}"#, r#"{"f:":{}}"#),
        (r#"{"k:null":{},"v: 1":{},"i:+2":{}}"#, r#"{"i:2":{},"k:{}":{},"v:1":{}}"#),
        (
            r#"{"k:{\"b\":1,\"a\":2}":{"f:x":{}},"k:{\"a\":2.0,\"b\":1}":{}}"#,
            r#"{"k:{\"a\":2,\"b\":1}":{".":{},"f:x":{}}}"#,
        ),
        (r#"{"f:a":{".":{"f:ignored":{}},"f:b":{}}}"#, r#"{"f:a":{".":{},"f:b":{}}}"#),
    ] {
        assert_eq!(read(text).unwrap().to_fields_v1().to_string(), expected, "{text}");
    }
    for text in [
        "1",
        "[]",
        r#"{"f:a":1}"#,
        r#"{"f:a":[]}"#,
        r#"{"f":{}}"#,
        r#"{"":{}}"#,
        r#"{"fa":{}}"#,
        r#"{"k:":{}}"#,
        r#"{"k:[]":{}}"#,
        r#"{"k:{}x":{}}"#,
        r#"{"v:":{}}"#,
        r#"{"v:1 2":{}}"#,
        r#"{"i:x":{}}"#,
        r#"{"i:":{}}"#,
        r#"{"é:":{}}"#,
    ] {
        assert!(read(text).is_err(), "{text}");
    }
}

#[test]
fn path_depth_is_bounded() {
    let nested = |depth: usize| (0..depth).fold(json!({}), |inner, _| json!({"f:a": inner}));
    assert_eq!(FieldSet::from_fields_v1(&nested(FIELD_PATH_ELEMENTS_MAX)).map(|set| set.len()), Ok(1));
    assert_eq!(FieldSet::from_fields_v1(&nested(FIELD_PATH_ELEMENTS_MAX + 1)), Err(FieldsError::TooDeep));
    let deep = (0..=FIELD_PATH_ELEMENTS_MAX).fold(json!(1), |inner, _| json!({"a": inner}));
    let any = Schema::compile(&json!({}));
    assert!(any.typed(&deep["a"], Strictness::Strict).is_ok());
    assert!(any.typed(&deep, Strictness::Strict).unwrap_err().to_string().ends_with("nests deeper than 128 levels"));
}

/// Many managers with many fields: the work is proportional to the number of elements, not to a product.
#[test]
fn large_sets_are_merged_and_compared_in_linear_time() {
    const COUNT: usize = 3000;
    let of = |names: &mut dyn Iterator<Item = usize>| -> FieldSet {
        names.map(|n| Path::fields(["metadata".to_owned(), format!("f{n:06}")].iter().map(String::as_str))).collect()
    };
    let sets: Vec<FieldSet> = (0..COUNT).map(|n| of(&mut [n, n + COUNT].into_iter())).collect();
    let all = FieldSet::union_all(&sets);
    assert_eq!(all, of(&mut (0..2 * COUNT)));
    let folded = sets[..50].iter().fold(FieldSet::new(), |all, set| all.union(set));
    assert_eq!(folded, FieldSet::union_all(&sets[..50]));
    for (n, set) in sets.iter().enumerate() {
        assert_eq!(set.intersection(&all).len(), 2);
        assert!(set.difference(&all).is_empty());
        assert_eq!(all.intersection(set), *set, "{n}");
    }
}

#[test]
fn elements_with_equal_value_are_merged() {
    let written = (0..2000).map(|n| (format!("v:{}1", " ".repeat(n)), json!({format!("f:a{n}"): {}})));
    let set = FieldSet::from_fields_v1(&Value::Object(written.collect())).unwrap();
    assert_eq!((set.nodes().len(), set.len()), (1, 2000));
}

#[test]
fn memory_of_element_keys_is_bounded_by_text_length() {
    let read = |content: String| PathElement::from_text(&format!("k:{content}"));
    assert!(read(json!({"type": "x".repeat(1 << 20)}).to_string()).is_ok());
    assert!(read(format!("{{\"a\":[{}0]}}", "[0],".repeat(100_000))).is_err());
}
