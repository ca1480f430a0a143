//! Tests of query parameters and option bodies.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::fixture;

fn query(text: &str) -> Query {
    Query::parse(text).unwrap()
}

#[test]
fn query_strings_are_decoded() {
    let query = query("a=1&b=%2F+x&a=2&c&=d&x+y=z");
    assert_eq!(
        (query.get("a"), query.get("b"), query.get("c"), query.get("x")),
        (Some("1"), Some("/ x"), Some(""), None)
    );
    assert_eq!(query.get_all("a").collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!(query.get("x y"), Some("z"));
    for malformed in ["a=%", "a=%2", "a=%zz", "a=%ff", "a=%+1"] {
        assert!(Query::parse(malformed).is_err(), "{malformed}");
    }
}

#[test]
fn boolean_parameters_are_false_only_if_absent_zero_or_false() {
    for (text, expected) in [("", false), ("w=0", false), ("w=FALSE", false), ("w", true), ("w=", true), ("w=no", true)]
    {
        assert_eq!(query(text).flag("w"), expected, "{text}");
    }
}

#[test]
fn write_options_report_all_errors() {
    let options = WriteOptions::parse(&query("dryRun=All&fieldValidation=Strict&fieldManager=me"), OptionsKind::Patch);
    let options = options.unwrap();
    assert_eq!((options.dry_run, options.field_validation), (true, FieldValidation::Strict));
    let bad = query("dryRun=Some&fieldValidation=Maybe&force=true&fieldManager=%00");
    let refusal = WriteOptions::parse(&bad, OptionsKind::Patch).unwrap_err();
    let fields: Vec<_> = refusal.details.causes.iter().map(|cause| cause.field.as_str()).collect();
    assert_eq!(fields, ["force", "fieldManager", "dryRun", "fieldValidation"]);
    assert_eq!((refusal.reason.code(), refusal.details.kind.as_str()), (422, "PatchOptions"));
    let refusal = WriteOptions::parse(&query("dryRun=All&dryRun=Some"), OptionsKind::Create).unwrap_err();
    assert_eq!(
        refusal.message,
        "CreateOptions.meta.k8s.io \"\" is invalid: dryRun: Unsupported value: [\"All\",\"Some\"]: supported values: \"All\""
    );
}

#[test]
fn delete_options_are_read_from_body_or_query() {
    let parse = |body: Option<Value>, text: &str| DeleteOptions::parse(body.as_ref(), &query(text));
    let options =
        parse(Some(json!({"preconditions": {"uid": "u"}, "dryRun": ["All"]})), "propagationPolicy=Bad").unwrap();
    assert_eq!((options.uid.as_deref(), options.dry_run, options.propagation), (Some("u"), true, None));
    let options = parse(None, "propagationPolicy=Foreground&dryRun=All").unwrap();
    assert_eq!((options.propagation, options.dry_run), (Some(Propagation::Foreground), true));
    assert_eq!(parse(None, "orphanDependents=true").unwrap().propagation, Some(Propagation::Orphan));
    assert_eq!(parse(None, "orphanDependents=0").unwrap().propagation, Some(Propagation::Background));
    let orphan_dependents_false = |body: Value| parse(Some(body), "").unwrap().orphan_dependents_false;
    assert!(
        orphan_dependents_false(json!({"orphanDependents": false}))
            && parse(None, "orphanDependents=0").unwrap().orphan_dependents_false
    );
    assert!(
        !orphan_dependents_false(json!({"orphanDependents": true}))
            && !orphan_dependents_false(json!({"propagationPolicy": "Background"}))
    );
    assert!(parse(Some(json!({})), "dryRun=All").unwrap().dry_run, "dryRun in the query counts even with a body");
    assert_eq!(parse(None, "gracePeriodSeconds=soon").unwrap_err().reason.code(), 400);
    for (body, code) in [
        (json!([]), 400),
        (json!({"kind": 1}), 400),
        (json!({"kind": "DeleteOptions", "apiVersion": "v2"}), 400),
        (json!({"kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v2"}), 400),
        (json!({"kind": "DeleteOptions", "apiVersion": "a/b/c"}), 400),
        (json!({"gracePeriodSeconds": "0"}), 400),
        (json!({"kind": "Pod"}), 400),
        (json!({"preconditions": 1}), 400),
        (json!({"preconditions": {"uid": 1}}), 400),
        (json!({"dryRun": "All"}), 400),
        (json!({"dryRun": ["None"]}), 422),
        (json!({"propagationPolicy": "Sideways"}), 422),
        (json!({"propagationPolicy": "Background", "orphanDependents": true}), 422),
    ] {
        assert_eq!(parse(Some(body.clone()), "").unwrap_err().reason.code(), code, "{body}");
    }
    for api_version in ["", "v1", "meta.k8s.io/v1", "store.example.com/v1alpha1"] {
        let body = json!({"kind": "DeleteOptions", "apiVersion": api_version, "gracePeriodSeconds": 0, "preconditions": null, "propagationPolicy": ""});
        assert_eq!(parse(Some(body), "").unwrap(), DeleteOptions::default(), "{api_version}");
    }
    let refusal = parse(Some(json!({"propagationPolicy": "Orphan", "orphanDependents": true})), "").unwrap_err();
    assert_eq!(refusal.details.kind, "DeleteOptions");
    assert_eq!(
        refusal.message,
        "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Invalid value: \"Orphan\": orphanDependents and \
         deletionPropagation cannot be both set"
    );
}

#[test]
fn list_options_check_resource_version_combinations() {
    for (text, expected) in [
        ("", 0),
        ("resourceVersion=0", 0),
        ("resourceVersion=5&resourceVersionMatch=Exact", 0),
        ("resourceVersion=5&resourceVersionMatch=NotOlderThan&limit=3", 0),
        ("continue=x", 0),
        ("continue=x&resourceVersion=0", 0),
        ("continue=x&resourceVersion=5", 400),
        ("labelSelector=a%3D%3D%3Db", 400),
        ("fieldSelector=spec.size%3D1", 400),
        ("resourceVersion=x", 400),
        ("resourceVersion=-1", 400),
        ("resourceVersion=%2B1", 400),
        ("limit=abc", 400),
        ("limit=-1", 0),
        ("limit=-99999999999999999999", 400),
        ("limit=--1", 400),
        ("limit=99999999999999999999", 400),
        ("timeoutSeconds=1.5", 400),
        ("resourceVersionMatch=Exact", 422),
        ("resourceVersionMatch=NotOlderThan", 422),
        ("resourceVersion=0&resourceVersionMatch=Exact", 422),
        ("resourceVersion=5&resourceVersionMatch=About", 422),
        ("resourceVersion=5&resourceVersionMatch=Exact&continue=x", 422),
        ("sendInitialEvents=true", 422),
        ("watch=1&sendInitialEvents=true", 422),
        ("watch=1&resourceVersionMatch=NotOlderThan", 422),
        ("watch=1&sendInitialEvents=true&resourceVersionMatch=Exact", 422),
        ("watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan", 0),
        ("watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&continue=x", 422),
        ("watch=1&sendInitialEvents=false&resourceVersionMatch=NotOlderThan&resourceVersion=0", 0),
    ] {
        let code =
            ListOptions::parse(&query(text), &fixture::shelf()).map_or_else(|refusal| refusal.reason.code(), |_| 0);
        assert_eq!(code, expected, "{text}");
    }
}

/// Order as in Kubernetes: selector syntax, combinations of parameters, unknown fields.
#[test]
fn list_option_errors_have_the_order_of_kubernetes() {
    let refusal = ListOptions::parse(&query("continue=x&resourceVersion=x"), &fixture::shelf()).unwrap_err();
    assert_eq!(refusal.message, "specifying resource version is not allowed when using continue");
    for (text, expected) in [
        ("resourceVersionMatch=Exact&fieldSelector=spec.size%3D1", 422),
        ("resourceVersionMatch=Exact&fieldSelector=nonsense", 400),
        ("resourceVersionMatch=About&resourceVersion=x", 422),
        ("resourceVersionMatch=Exact&labelSelector=a%3D%3D%3Db", 400),
    ] {
        let refusal = ListOptions::parse(&query(text), &fixture::shelf()).unwrap_err();
        assert_eq!(refusal.reason.code(), expected, "{text}");
    }
}

#[test]
fn list_options_are_parsed() {
    let text =
        "resourceVersion=00&limit=0&continue=&watch=false&timeoutSeconds=7&allowWatchBookmarks=1&labelSelector=a";
    let options = ListOptions::parse(&query(text), &fixture::shelf()).unwrap();
    assert_eq!((options.resource_version, options.limit, options.continue_token), (ResourceVersion::Any, None, None));
    assert_eq!((options.watch, options.timeout_seconds, options.allow_bookmarks), (false, Some(7), true));
    assert_eq!((options.labels.is_everything(), options.fields.is_everything()), (false, true));
    let options = ListOptions::parse(&query("resourceVersion=12&limit=3"), &fixture::shelf()).unwrap();
    assert_eq!((options.resource_version, options.limit), (ResourceVersion::At(12), Some(3)));
}

#[test]
fn list_option_errors_name_option_and_reason() {
    let refusal = ListOptions::parse(&query("resourceVersionMatch=About"), &fixture::shelf()).unwrap_err();
    let causes: Vec<_> = refusal.details.causes.iter().map(|cause| cause.reason.as_str()).collect();
    assert_eq!(causes, ["FieldValueForbidden", "FieldValueNotSupported"], "both errors are reported");
    let refusal = ListOptions::parse(&query("resourceVersionMatch=Exact&resourceVersion=0"), &fixture::shelf());
    expect_test::expect![[r#"ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch "exact" is forbidden for resourceVersion "0""#]]
    .assert_eq(&refusal.unwrap_err().message);
}

proptest! {
    #[test]
    fn arbitrary_queries_do_not_panic(text in "[a-z=&%+0-9A-Zµ.]{0,40}", timeout in "[0-9.hmsuµn]{0,12}") {
        if let Ok(query) = Query::parse(&text) {
            let _ = ListOptions::parse(&query, &fixture::shelf());
        }
        let _ = parse_timeout(&Query(vec![("timeout".to_owned(), timeout)]));
    }
}

#[test]
fn timeouts_are_go_durations() {
    for (text, expected) in [
        ("", Some(None)),
        ("timeout=34s", Some(Some(34_000))),
        ("timeout=1m1.5s", Some(Some(61_500))),
        ("timeout=0", Some(Some(0))),
    ] {
        assert_eq!(parse_timeout(&query(text)).ok(), expected.map(|ms| ms.map(Duration::from_millis)), "{text}");
    }
    for malformed in ["timeout=5", "timeout=s", "timeout=1x", "timeout=-1s", "timeout=1e400s", "timeout=.s"] {
        assert!(parse_timeout(&query(malformed)).is_err(), "{malformed}");
    }
}

#[test]
fn query_parameters_are_bounded() {
    let parse = |count: usize| Query::parse(&vec!["a=1"; count].join("&"));
    assert!(parse(QUERY_PARAMETERS_MAX).is_ok());
    let refusal = parse(QUERY_PARAMETERS_MAX + 1).unwrap_err();
    assert_eq!((refusal.reason.code(), refusal.message.contains("limit of 1000 parameters")), (400, true), "{refusal}");
}
