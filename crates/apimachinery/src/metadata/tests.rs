//! Tests of metadata validation.

use expect_test::expect;
use serde_json::json;

use super::*;
use crate::fixture;

fn errors(meta: serde_json::Value) -> Vec<String> {
    let meta = serde_json::from_value(meta).unwrap();
    validate_create(&meta, &fixture::shelf()).iter().map(ToString::to_string).collect()
}

fn paths(meta: serde_json::Value) -> Vec<String> {
    errors(meta).iter().map(|error| error.split(": ").next().unwrap().to_owned()).collect()
}

#[test]
fn names_must_be_dns_subdomains() {
    assert_eq!(errors(json!({})), ["metadata.name: Required value: name or generateName is required"]);
    for good in ["a", "a.b-c", "0"] {
        assert!(errors(json!({"name": good})).is_empty(), "{good}");
    }
    for bad in ["A", "-a", "a-", "a..b", "..", ".", "a/b", "a%b", "a b", "ä", &"a".repeat(254)] {
        assert_eq!(paths(json!({"name": bad})), ["metadata.name"], "{bad}");
    }
    let namespaced = errors(json!({"name": "a", "namespace": "b"}));
    assert_eq!(namespaced, ["metadata.namespace: Forbidden: not allowed on this type"]);
}

#[test]
fn all_metadata_errors_are_reported() {
    let meta = json!({
        "name": "a",
        "labels": {"-": "x", "b": "-", "example.com/ok": "v"},
        "annotations": {"/": "x"},
        "finalizers": ["-", "short", "example.com/long", "orphan", "foregroundDeletion"],
        "ownerReferences": [
            {"apiVersion": "v1", "kind": "K", "name": "n", "uid": "", "controller": true},
            {"apiVersion": "v1", "kind": "K", "name": "n", "uid": "u", "controller": true},
        ],
    });
    let expected = [
        "metadata.labels",
        "metadata.labels",
        "metadata.annotations",
        "metadata.ownerReferences[0].uid",
        "metadata.ownerReferences",
        "metadata.finalizers",
        "metadata.finalizers",
    ];
    assert_eq!(paths(meta), expected);
    let meta = json!({"name": "a", "annotations": {"a": "x".repeat(ANNOTATIONS_BYTES_MAX)}});
    assert_eq!(paths(meta), ["metadata.annotations"]);
}

#[test]
fn terminating_object_rejects_new_finalizers() {
    let old: ObjectMeta = serde_json::from_value(json!({
        "name": "a", "finalizers": ["e.x/a", "e.x/b"], "deletionTimestamp": "2026-01-01T00:00:00Z",
    }))
    .unwrap();
    let with = |finalizers: &[&str]| {
        let finalizers = finalizers.iter().map(|f| (*f).to_owned()).collect();
        validate_update(&old, &ObjectMeta { finalizers, ..old.clone() }).len()
    };
    assert_eq!((with(&["e.x/a"]), with(&["e.x/a", "e.x/c"])), (0, 1));
}

#[test]
fn generated_names_are_truncated_to_fit() {
    assert_eq!(generate_name("claim-", [0, 1, 2, 26, 27]), "claim-bcd9b");
    assert_eq!(generate_name(&"ä".repeat(40), [0; 5]), format!("{}bbbbb", "ä".repeat(29)));
}

#[test]
fn generate_name_may_end_with_dash() {
    for good in ["claim-", "a", "a.b-"] {
        assert!(errors(json!({"name": "a", "generateName": good})).is_empty(), "{good}");
    }
    for bad in ["A-", "-", "a--/", "a."] {
        assert_eq!(paths(json!({"name": "a", "generateName": bad})), ["metadata.generateName"], "{bad}");
    }
}

#[test]
fn label_names_are_limited_to_63_characters() {
    let resource = Resource { names: NamePolicy::Label, ..fixture::book() };
    let paths = |name: &str, namespace: &str| -> Vec<String> {
        let meta = ObjectMeta { name: name.to_owned(), namespace: namespace.to_owned(), ..ObjectMeta::default() };
        validate_create(&meta, &resource).iter().map(|error| error.path.to_string()).collect()
    };
    assert!(paths(&"a".repeat(63), "n").is_empty());
    assert_eq!(paths(&"a".repeat(64), "n"), ["metadata.name"]);
    assert_eq!(paths("a.b", ""), ["metadata.name", "metadata.namespace"]);
    assert_eq!(paths("a", "n.s"), ["metadata.namespace"]);
}

#[test]
fn name_namespace_and_uid_are_immutable() {
    let old: ObjectMeta = serde_json::from_value(json!({"name": "a", "namespace": "n", "uid": "u"})).unwrap();
    let new: ObjectMeta = serde_json::from_value(json!({"name": "b", "namespace": "m", "uid": "v"})).unwrap();
    let errors: Vec<_> = validate_update(&old, &new).iter().map(ToString::to_string).collect();
    assert_eq!(
        errors,
        [
            "metadata.name: Invalid value: \"b\": field is immutable",
            "metadata.namespace: Invalid value: \"m\": field is immutable",
            "metadata.uid: Invalid value: \"v\": field is immutable",
        ]
    );
}

#[test]
fn update_cannot_set_deletion_timestamp_or_grace_period() {
    let meta = |meta: Value| serde_json::from_value::<ObjectMeta>(meta).unwrap();
    let new = meta(
        json!({"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 3, "labels": {"-": ""}}),
    );
    let errors: Vec<_> =
        validate_update(&ObjectMeta::default(), &new).iter().map(|error| error.path.to_string()).collect();
    assert_eq!(errors, ["metadata.labels", "metadata.deletionTimestamp", "metadata.deletionGracePeriodSeconds"]);
}

#[test]
fn new_unqualified_finalizers_cause_warnings() {
    let warnings = |old: &[&str], new: &[&str]| {
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        finalizer_warnings(&names(old), &names(new))
    };
    assert!(warnings(&["hold"], &["hold", "e.x/a", "orphan", "foregroundDeletion", "kubernetes"]).is_empty());
    expect_test::expect![[r#"
        [
            "metadata.finalizers: \"e.x\": prefer a domain-qualified finalizer name including a path (/) to avoid accidental conflicts with other finalizer writers",
            "metadata.finalizers: \"hold\": prefer a domain-qualified finalizer name to avoid accidental conflicts with other finalizer writers",
        ]
    "#]]
    .assert_debug_eq(&warnings(&[], &["hold", "e.x", "hold"]));
}

#[test]
fn duplicate_owner_references_are_dropped() {
    let owner = json!({"apiVersion": "v1", "kind": "K", "name": "n", "uid": "u"});
    let other = json!({"apiVersion": "v1", "kind": "K", "name": "n", "uid": "w"});
    let mut meta: ObjectMeta = serde_json::from_value(json!({"ownerReferences": [owner, other, owner]})).unwrap();
    assert_eq!(dedup_owner_references(&mut meta), ["u"]);
    assert_eq!((meta.owner_references.len(), dedup_owner_references(&mut meta)), (2, Vec::new()));
}

/// The messages must equal those of Kubernetes, because users search the web for them.
#[test]
fn validation_messages_equal_those_of_kubernetes() {
    let long = "a".repeat(254);
    let check = |result: Result<(), String>, expected: expect_test::Expect| {
        expected.assert_eq(&result.err().unwrap_or_else(|| "fine".to_owned()));
    };
    check(
        is_dns_subdomain("A"),
        expect![[
            r"a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
        ]],
    );
    check(is_dns_subdomain(&long), expect!["must be no more than 253 characters"]);
    check(
        is_dns_label("a.b"),
        expect![
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
        ],
    );
    check(
        is_qualified_name("a/b/c"),
        expect![
            "a qualified name must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        ],
    );
    check(is_qualified_name("/a"), expect!["prefix part must be non-empty"]);
    check(is_qualified_name("a/"), expect!["name part must be non-empty"]);
    check(
        is_qualified_name("-"),
        expect![
            "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
        ],
    );
    check(is_qualified_name(&long), expect!["name part must be no more than 63 characters"]);
    check(
        is_label_value("-"),
        expect![
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
        ],
    );
    check(is_label_value(""), expect!["fine"]);
    check(is_qualified_name("example.com/My_Name.x"), expect!["fine"]);
}

#[test]
fn legacy_metadata_of_kubernetes_is_accepted() {
    let owner = |uid: &str, controller: bool| json!({"apiVersion": "v1", "kind": "K", "name": "n", "uid": uid, "controller": controller});
    let meta = json!({
        "name": "a",
        "annotations": {"Example.com/Key": "", "key": "any \u{0} thing"},
        "finalizers": ["unqualified"],
        "ownerReferences": [owner("u", false), owner("v", true), owner("w", false)],
    });
    assert_eq!(errors(meta), Vec::<String>::new());
}

#[test]
fn path_segment_names_allow_any_text_that_fits_in_a_path() {
    let resource = Resource { names: NamePolicy::PathSegment, ..fixture::shelf() };
    let errors = |name: &str| -> Vec<String> {
        let meta = ObjectMeta { name: name.to_owned(), ..ObjectMeta::default() };
        validate_create(&meta, &resource).iter().map(ToString::to_string).collect()
    };
    for good in ["system:masters", "Über uns", "a..b", "...", "-", &"a".repeat(253)] {
        assert_eq!(errors(good), Vec::<String>::new(), "{good}");
    }
    for (bad, why) in [
        (".", "may not be '.'"),
        ("..", "may not be '..'"),
        ("a/b", "may not contain '/'"),
        ("a%", "may not contain '%'"),
        (&"a".repeat(254), "must be no more than 253 bytes"),
    ] {
        assert_eq!(errors(bad), [format!("metadata.name: Invalid value: {bad:?}: {why}")]);
    }
}

#[test]
fn late_finalizers_are_reported_once_and_sorted() {
    let going = json!({"name": "a", "deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["x/kept"]});
    let old: ObjectMeta = serde_json::from_value(going).unwrap();
    let late = ["x/kept", "x/late", "x/early", "x/late"].map(str::to_owned).to_vec();
    let errors = validate_update(&old, &ObjectMeta { finalizers: late, ..old.clone() });
    let [error] = errors.as_slice() else { panic!("{errors:?}") };
    assert!(error.to_string().ends_with(r#"found new finalizers []string{"x/early", "x/late"}"#), "{error}");
}

#[test]
fn many_controllers_cause_one_short_error() {
    let owner =
        |n: usize| json!({"apiVersion": "v1", "kind": "K", "name": "n", "uid": n.to_string(), "controller": true});
    let owners: Vec<_> = (0..1000).map(owner).collect();
    let errors = errors(json!({"name": "a", "ownerReferences": owners}));
    assert_eq!(errors.len(), 1);
    assert!(errors[0].len() < 2000 && errors[0].contains("references for K/n and K/n"), "{}", errors[0]);
}

#[test]
fn owners_and_finalizers_are_processed_in_linear_time() {
    const COUNT: usize = 100_000;
    let owner = |n: usize| OwnerReference { uid: n.to_string(), ..OwnerReference::default() };
    let owners = (0..COUNT).chain([7, 3, 7]).map(owner).collect();
    let mut meta = ObjectMeta { owner_references: owners, ..ObjectMeta::default() };
    assert_eq!(dedup_owner_references(&mut meta), ["7", "3", "7"]);
    assert_eq!(meta.owner_references.len(), COUNT);
    let names = |from: usize| -> Vec<String> { (from..from + COUNT).map(|n| n.to_string()).collect() };
    assert_eq!(added_finalizers(&names(0), &names(10)).len(), 10);
}

#[test]
fn field_manager_names_are_bounded() {
    let error = |name: &str| field_manager_error(name, Path::new("fieldManager"));
    assert_eq!(error(&"m".repeat(128)), None);
    let too_long = error(&"m".repeat(129)).unwrap().to_string();
    assert_eq!(too_long, "fieldManager: Too long: may not be more than 128 bytes");
    assert_eq!(field_manager_from_user_agent(&format!("{}/1.0", "é".repeat(100))), "é".repeat(64));
}
