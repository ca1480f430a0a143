//! The order of values (`value/{less,equals}_test.go`).

use std::cmp::Ordering;

use super::{super::value, *};

#[test]
fn order_of_values_is_total() {
    let sorted = [
        json!(-1),
        json!(0.5),
        json!(1),
        json!(2),
        json!(1e30),
        json!(""),
        json!("10"),
        json!("9"),
        json!("a"),
        json!(false),
        json!(true),
        json!([]),
        json!([1]),
        json!([1, 2]),
        json!([2]),
        json!({}),
        json!({"a": 1}),
        json!({"a": 1, "b": 1}),
        json!({"a": 2}),
        json!({"b": 0}),
        json!(null),
    ];
    for (i, left) in sorted.iter().enumerate() {
        for (j, right) in sorted.iter().enumerate() {
            assert_eq!(value::compare(left, right), i.cmp(&j), "{left} and {right}");
        }
    }
}

#[test]
fn numbers_are_compared_by_value() {
    assert!(value::equal(&json!(1), &json!(1.0)) && value::equal(&json!([{"a": 2.0}]), &json!([{"a": 2}])));
    assert!(!value::equal(&json!(1), &json!("1")) && !value::equal(&json!(null), &json!({})));
    // Large integers are distinguished, although their floats would be equal.
    let (odd, even) = (json!(9_007_199_254_740_993_i64), json!(9_007_199_254_740_992.0));
    assert_eq!(value::compare(&odd, &even), Ordering::Greater);
    assert_eq!(value::compare(&even, &odd), Ordering::Less);
    // A float that is written as an integer is equal after decoding.
    for float in ["8800000392436609e1", "-9007199254740994.0", "1e19"] {
        let float: f64 = float.parse().unwrap();
        let written = PathElement::Value(json!(float));
        assert_eq!(PathElement::from_text(&written.to_text()), Ok(Some(written)));
    }
    assert!(value::equal(&json!(u64::MAX), &json!(u64::MAX)) && !value::equal(&json!(u64::MAX), &json!(-1)));
}
