//! Tests of both selectors.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{field::Path, fixture, limits::REQUIREMENTS_MAX, object::Object, resource::Resource};

fn labels(text: &str) -> BTreeMap<String, String> {
    let pairs = text.split(',').filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').unwrap()).map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}

#[test]
fn label_selectors_match_labels() {
    for (selector, of, expected) in [
        ("", "a=1", true),
        ("a=1", "a=1", true),
        ("a==1", "a=2", false),
        ("a!=1", "a=2", true),
        ("a!=1", "", true),
        ("a in (1, 2)", "a=2", true),
        ("a in (1,2)", "", false),
        ("a notin (1,2)", "a=3", true),
        ("a notin (1,2)", "", true),
        ("a", "a=", true),
        ("a", "b=1", false),
        ("!a", "b=1", true),
        ("a=,b", "a=,b=1", true),
        ("a>1", "a=2", true),
        ("a>1", "a=x", false),
        ("a>1", "a=1", false),
        ("a<1", "a=0", true),
        ("a<1", "", false),
        ("in in (in)", "in=in", true),
        ("a in (,b)", "a=", true),
        (" a = 1 , ! b ", "a=1", true),
        ("example.com/a=1,!b", "example.com/a=1", true),
        ("example.com/a=1,!b", "example.com/a=1,b=2", false),
    ] {
        assert_eq!(LabelSelector::parse(selector).unwrap().matches(&labels(of)), expected, "{selector} on {of}");
    }
}

#[test]
fn malformed_label_selectors_are_bad_requests() {
    for selector in
        ["a=b=c", "a in", "a in (", "a in (b", "=a", "a,", ",", "a b", "!", "a>x", "-a=1", "a=-", "a in b", "()"]
    {
        let refusal = LabelSelector::parse(selector).unwrap_err();
        assert_eq!(refusal.reason.code(), 400, "{selector}");
    }
}

#[test]
fn json_label_selector_reports_all_errors() {
    let good =
        json!({"matchLabels": {"a": "1"}, "matchExpressions": [{"key": "b", "operator": "In", "values": ["2"]}]});
    let selector = LabelSelector::from_json(&good, &Path::new("s")).unwrap();
    assert!(selector.matches(&labels("a=1,b=2")) && !selector.matches(&labels("a=1,b=3")));

    let bad = json!({
        "matchLabels": {"-": "1"},
        "matchExpressions": [
            {"key": "b", "operator": "In"},
            {"key": "b", "operator": "Exists", "values": ["x"]},
            {"key": "", "operator": "Near"},
        ],
    });
    let errors = LabelSelector::from_json(&bad, &Path::new("s")).unwrap_err();
    let paths: Vec<_> = errors.iter().map(|error| error.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "s.matchLabels",
            "s.matchExpressions[0].values",
            "s.matchExpressions[1].values",
            "s.matchExpressions[2].operator",
            "s.matchExpressions[2].key",
        ]
    );
}

#[test]
fn json_label_selector_types_are_checked() {
    let paths = |selector: serde_json::Value| match LabelSelector::from_json(&selector, &Path::new("s")) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.iter().map(|error| error.path.to_string()).collect(),
    };
    for good in [json!(null), json!({}), json!({"matchLabels": null, "matchExpressions": null})] {
        assert!(paths(good).is_empty());
    }
    assert_eq!(paths(json!([])), ["s"]);
    assert_eq!(paths(json!({"matchLabels": [], "matchExpressions": {}})), ["s.matchLabels", "s.matchExpressions"]);
    let bad =
        json!({"matchLabels": {"a": 1}, "matchExpressions": [7, {"key": "a", "operator": "In", "values": [1, "-"]}]});
    let places = ["values[0]", "values[1]"].map(|place| format!("s.matchExpressions[1].{place}"));
    let [first, second] = places.each_ref().map(String::as_str);
    assert_eq!(paths(bad), ["s.matchLabels[a]", "s.matchExpressions[0]", first, second]);
}

fn object() -> Object {
    Object::from_value(json!({"metadata": {"name": "n", "namespace": "ns"}, "spec": {"colour": "a,b=c\\"}})).unwrap()
}

#[test]
fn field_selectors_match_fields() {
    for (selector, expected) in [
        ("", true),
        ("metadata.name=n", true),
        ("metadata.name==n,metadata.name!=other", true),
        ("metadata.name!=n", false),
        (r"spec.colour=a\,b\=c\\", true),
        ("spec.colour=", false),
    ] {
        let parsed = FieldSelector::parse(selector).unwrap();
        assert_eq!(parsed.matches(&object()), expected, "{selector}");
    }
    let parsed = FieldSelector::parse("metadata.name=n").unwrap();
    assert_eq!(parsed.name(), Some("n"));
}

#[test]
fn unknown_field_is_rejected_with_list_of_supported_ones() {
    let check =
        |selector, resource: Resource| FieldSelector::parse(selector).unwrap().for_resource(&resource).map(drop);
    let refusal = check("spec.size=1", fixture::shelf()).unwrap_err();
    assert_eq!(refusal.message, "\"spec.size\" is not a known field selector: only \"metadata.name\", \"spec.colour\"");
    assert!(check("metadata.namespace=n", fixture::shelf()).is_err(), "the kind is cluster-scoped");
    assert!(check("metadata.namespace=n", fixture::book()).is_ok());
    for malformed in ["metadata.name", "metadata.name=a=b", r"metadata.name=\n", "metadata.name!a"] {
        assert!(FieldSelector::parse(malformed).is_err(), "{malformed}");
    }
}

#[test]
fn selector_requirements_are_bounded() {
    let labels = |count: usize| LabelSelector::parse(&vec!["a"; count].join(","));
    let fields = |count: usize| FieldSelector::parse(&vec!["metadata.name=a"; count].join(","));
    assert!(labels(REQUIREMENTS_MAX).is_ok() && fields(REQUIREMENTS_MAX).is_ok());
    for refusal in [labels(REQUIREMENTS_MAX + 1).unwrap_err(), fields(REQUIREMENTS_MAX + 1).unwrap_err()] {
        assert!(refusal.message.contains("more than 1000 requirements"), "{}", refusal.message);
        assert!(refusal.message.len() < 2000, "{}", refusal.message.len());
    }
}

proptest! {
    #[test]
    fn arbitrary_selectors_do_not_panic_and_valid_ones_round_trip(text in "[a-c=!,()<>\\\\ .0-9innot]{0,24}") {
        if let Ok(selector) = LabelSelector::parse(&text) {
            prop_assert_eq!(LabelSelector::parse(&selector.to_string()).unwrap(), selector);
        }
        let term = format!("metadata.name={text}");
        if let Ok(selector) = FieldSelector::parse(&term) {
            prop_assert_eq!(FieldSelector::parse(&selector.to_string()).unwrap(), selector);
        }
    }
}
