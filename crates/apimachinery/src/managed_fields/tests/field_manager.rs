//! Entries, times, last-applied annotation and status subresource (`managedfields/internal/*_test.go`).

use expect_test::expect;

use super::*;
use crate::{
    fixture,
    resource::Subresource,
    status_error::{StatusError, StatusReason},
};

fn bench() -> Bench {
    Bench::new(&schema())
}

/// Sets the entries of the stored object.
fn with_entries(bench: &mut Bench, entries: Value) {
    bench.live.as_mut().unwrap()["metadata"]["managedFields"] = entries;
}

fn times(bench: &Bench) -> Vec<String> {
    let text = |entry: &Value, name: &str| entry[name].as_str().unwrap_or_default().to_owned();
    let time = |entry: &Value| {
        format!(
            "{} {}",
            text(entry, "manager"),
            text(entry, "time").trim_start_matches("2030-01-01T00:00:").trim_end_matches('Z')
        )
    };
    bench.entries().iter().map(time).collect()
}

#[test]
fn entries_have_the_kubernetes_json_form() {
    let mut bench = bench();
    bench.run("apply kubectl: {n: 1, set: [a]}");
    bench.update_status("controller", json!({"phase": "x"}));
    let expected = json!([
        {
            "manager": "kubectl", "operation": "Apply", "apiVersion": VERSION, "time": "2030-01-01T00:00:01Z",
            "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:n": {}, "f:set": {"v:\"a\"": {}}}},
        },
        {
            "manager": "controller", "operation": "Update", "apiVersion": VERSION, "time": "2030-01-01T00:00:02Z",
            "subresource": "status",
            "fieldsType": "FieldsV1", "fieldsV1": {"f:status": {".": {}, "f:phase": {}}},
        },
    ]);
    assert_eq!(Value::from(bench.entries()), expected);
}

#[test]
fn create_records_owner_except_for_system_fields() {
    let mut bench = bench();
    let mut object = thing(json!({"n": 1}));
    object["metadata"] = json!({
        "name": "o", "namespace": "ns", "uid": "u", "generation": 1, "resourceVersion": "5",
        "creationTimestamp": "2030-01-01T00:00:00Z", "labels": {"a": "x"}, "finalizers": ["f"],
    });
    object["status"] = json!({"phase": "x"});
    bench.update("m", object);
    expect![[r#"
        Update m: .spec .metadata.finalizers .metadata.labels .metadata.finalizers[="f"] .metadata.labels.a .n
    "#]]
    .assert_eq(&bench.owners());
}

#[test]
fn unnamed_manager_is_unknown() {
    let mut bench = bench();
    bench.update("", thing(json!({"n": 1})));
    assert_eq!(bench.owners(), "Update unknown: .spec .n\n");
}

#[test]
fn update_entries_are_per_version_and_apply_entries_are_not() {
    let entry = |operation: &str, version: &str| {
        json!({"manager": "m", "operation": operation, "apiVersion": version, "time": "2030-01-01T00:00:01Z",
               "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {}}})
    };
    let updates = [entry("Update", "test.io/v1"), entry("Update", "test.io/v2")];
    assert_eq!(ManagedFields::decode(&updates).unwrap().encode(), updates);
    let applies = [entry("Apply", "test.io/v1"), entry("Apply", "test.io/v2")];
    assert_eq!(ManagedFields::decode(&applies).unwrap().encode(), applies[1..]);
}

#[test]
fn sort_encoded_managers() {
    let entry = |manager: &str, operation: &str, time: Option<u32>, subresource: &str| {
        let mut entry = json!({"manager": manager, "operation": operation, "apiVersion": VERSION, "fieldsType": "FieldsV1",
                               "fieldsV1": {"f:spec": {}}});
        if let Some(time) = time {
            entry["time"] = format!("2030-01-01T00:00:{time:02}Z").into();
        }
        if !subresource.is_empty() {
            entry["subresource"] = subresource.into();
        }
        entry
    };
    let sorted = [
        entry("d", "Apply", None, ""),
        entry("b", "Apply", Some(1), ""),
        entry("a", "Apply", Some(2), ""),
        entry("c", "Update", None, ""),
        entry("a", "Update", Some(3), ""),
        entry("a", "Update", Some(3), "status"),
        entry("b", "Update", Some(3), ""),
        entry("a", "Update", Some(4), "scale"),
    ];
    let shuffled: Vec<Value> = [5, 2, 7, 0, 4, 1, 6, 3].iter().map(|at: &usize| sorted[*at].clone()).collect();
    assert_eq!(ManagedFields::decode(&shuffled).unwrap().encode(), sorted);
}

#[test]
fn malformed_entries_are_rejected() {
    let entry = |change: &dyn Fn(&mut Value)| {
        let mut entry =
            json!({"manager": "m", "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {}});
        change(&mut entry);
        ManagedFields::decode(&[entry]).err().map(|error| error.to_string()).unwrap_or_default()
    };
    assert_eq!(entry(&|_| {}), "");
    assert_eq!(entry(&|entry| entry["operation"] = "apply".into()), "operation must be `Apply` or `Update`");
    assert_eq!(entry(&|entry| entry["apiVersion"] = "".into()), "apiVersion must not be empty");
    assert_eq!(entry(&|entry| entry["fieldsType"] = "".into()), "missing fieldsType in managed fields entry 0");
    assert_eq!(
        entry(&|entry| entry["fieldsType"] = "V2".into()),
        "invalid fieldsType \"V2\" in managed fields entry 0"
    );
    assert_eq!(entry(&|entry| entry["time"] = "noon".into()), "invalid time \"noon\" in managed fields entry 0");
    let missing_colon = "error decoding set: parsing key as path element: missing colon: spec";
    assert_eq!(entry(&|entry| entry["fieldsV1"] = json!({"spec": {}})), missing_colon);
    assert_eq!(entry(&|entry| *entry = json!("x")), "operation must be `Apply` or `Update`");
}

#[test]
fn client_can_replace_or_reset_entries() {
    let ours = json!({"manager": "mine", "operation": "Update", "apiVersion": VERSION, "fieldsType": "FieldsV1",
                      "fieldsV1": {"f:spec": {"f:t": {}}}});
    let put = |entries: Value, spec: &str| {
        let mut bench = bench();
        bench.run("apply a: {n: 1, t: x}");
        let mut new = thing(yaml(spec));
        new["metadata"]["managedFields"] = entries;
        bench.update("u", new);
        bench.owners()
    };
    let kept = "Apply a: .n .t\n";
    for keeps in [Value::Null, json!("x"), json!([1]), json!([{"manager": "x"}]), json!([{}, {}]), json!({})] {
        assert_eq!(put(keeps.clone(), "{n: 1, t: x}"), kept, "{keeps}");
    }
    for resets in [json!([]), json!([{}])] {
        assert_eq!(put(resets.clone(), "{n: 1, t: x}"), "", "{resets}");
        assert_eq!(put(resets, "{n: 2, t: x}"), "", "an update of an object without entries adds none");
    }
    assert_eq!(put(json!([ours]), "{n: 1, t: x}"), "Update mine: .t\n");
    assert_eq!(put(json!([ours]), "{n: 2, t: q}"), "Update u: .n .t\n");
}

#[test]
fn client_entries_are_ignored_through_a_subresource() {
    let mut bench = bench();
    bench.run("apply a: {n: 1}");
    let mut new = bench.live.clone().unwrap();
    new["metadata"]["managedFields"] = json!([]);
    new["status"] = json!({"phase": "x"});
    let now = bench.now();
    let entries = bench.status.update(bench.live.as_ref(), &new, "c", now);
    bench.store(new, entries);
    assert_eq!(bench.owners(), "Apply a: .n\nUpdate c/status: .status .status.phase\n");
}

#[test]
fn times_change_with_fields_only() {
    let mut bench = bench();
    bench.run("apply a: {n: 1}\nupdate u: {n: 1, t: x}");
    assert_eq!(times(&bench), ["a 01", "u 02"]);
    // No change by either.
    bench.run("apply a: {n: 1}\nupdate w: {n: 1, t: x}");
    assert_eq!(times(&bench), ["a 01", "u 02"]);
    // A manager that loses fields keeps its time; one that gains or changes fields gets a new time.
    bench.run("update w: {n: 1, t: q, b: true}\nupdate u: {n: 1, t: q, b: true, f: 1}");
    assert_eq!(times(&bench), ["a 01", "w 05", "u 06"]);
    bench.run("apply a: {n: 2}");
    assert_eq!(times(&bench), ["a 07", "w 05", "u 06"]);
    // Becoming an owner of existing values, or giving them up, sets no time, because the object does not change.
    bench.run("apply c: {n: 2}");
    assert_eq!(times(&bench), ["c ", "a 07", "w 05", "u 06"]);
    bench.run("apply c: {n: 2, t: q}\napply c: {n: 2}");
    assert_eq!(times(&bench), ["c ", "a 07", "w 05", "u 06"]);
    bench.run("force c: {n: 3}\napply c: {n: 3, t: q}");
    assert_eq!(times(&bench), ["c 11", "w 05", "u 06"]);
}

#[test]
fn apply_without_changes_keeps_object_and_entries() {
    let mut bench = bench();
    bench.run("apply a: {n: 1, list: [{name: a}]}\nupdate u: {n: 1, list: [{name: a, value: 1}], t: x}");
    let before = bench.live.clone();
    bench.run("apply a: {n: 1, list: [{name: a}]}\nforce a: {n: 1, list: [{name: a}]}\nupdate u: {n: 1, list: [{name: a, value: 1}], t: x}");
    assert_eq!(bench.live, before);
}

#[test]
fn entries_are_compared_without_times() {
    let mut bench = bench();
    bench.run("apply a: {n: 1}\napply b: {n: 1}");
    let before = bench.entries();
    let mut after = before.clone();
    after[0]["time"] = "2031-01-01T00:00:00Z".into();
    after.reverse();
    assert!(equal_ignoring_timestamps(&before, &after));
    assert!(!equal_ignoring_timestamps(&before, &after[1..]));
    after[0]["fieldsV1"] = json!({});
    assert!(!equal_ignoring_timestamps(&before, &after));
}

#[test]
fn first_apply_adds_owner_of_earlier_fields() {
    let mut bench = bench();
    bench.update("m", thing(json!({"n": 1, "t": "x"})));
    bench.live.as_mut().unwrap()["status"] = json!({"phase": "x"});
    with_entries(&mut bench, json!([]));
    bench.run("update m: {n: 2, t: x}");
    assert_eq!(bench.owners(), "", "the object had no owners, so the update adds none");
    expect![[r#"
        Apply failed with 1 conflict: conflict with "before-first-apply" using store.example.com/v1: .spec.n
        {"n":3,"t":"x"}
        Apply a: .n
        Update before-first-apply: .spec .t
    "#]]
    .assert_eq(&bench.run("apply a: {n: 3}\napply a: {n: 2}\nforce a: {n: 3}"));
}

#[test]
fn update_managers_are_capped() {
    let mut bench = bench();
    bench.run("apply a: {n: 1}");
    let spec = |count: usize| {
        let map: serde_json::Map<_, _> = (0..count).map(|n| (format!("k{n:02}"), json!("x"))).collect();
        thing(json!({"n": 1, "map": map}))
    };
    for count in 1..=10 {
        bench.update(&format!("u{count:02}"), spec(count));
    }
    assert_eq!(bench.entries().len(), 11, "ten updaters and an applier");
    bench.update("u11", spec(11));
    let managers = |bench: &Bench| times(bench).join(", ");
    assert_eq!(
        managers(&bench),
        "a 01, ancient-changes 03, u03 04, u04 05, u05 06, u06 07, u07 08, u08 09, u09 10, u10 11, u11 12"
    );
    bench.update("u12", spec(12));
    assert_eq!(
        managers(&bench),
        "a 01, ancient-changes 04, u04 05, u05 06, u06 07, u07 08, u08 09, u09 10, u10 11, u11 12, u12 13"
    );
    assert_eq!(bench.owners().lines().nth(1), Some("Update ancient-changes: .map .map.k00 .map.k01 .map.k02"));
    // An existing `ancient-changes` entry that is not the oldest keeps its fields.
    let mut entries = bench.entries();
    for entry in entries.iter_mut().filter(|entry| entry["manager"] == "ancient-changes") {
        entry["time"] = "2030-01-01T00:00:06Z".into();
    }
    with_entries(&mut bench, entries.into());
    bench.update("u13", spec(13));
    assert_eq!(bench.entries().len(), 11);
    let all = bench
        .entries()
        .iter()
        .fold(FieldSet::new(), |all, entry| all.union(&FieldSet::from_fields_v1(&entry["fieldsV1"]).unwrap()));
    assert_eq!(all.children(&PathElement::field("spec")).children(&PathElement::field("map")).len(), 13);
}

#[test]
fn conflict_errors_have_the_form_of_kubernetes() {
    let mut bench = bench();
    bench.run("apply a: {n: 1}\nupdate u: {n: 1, t: x}");
    bench.update_status("c", json!({"phase": "x"}));
    let refuse = |error: ApplyError| {
        let refusal = StatusError::from(error);
        let causes =
            refusal.details.causes.iter().map(|cause| format!("{} {}: {}", cause.reason, cause.field, cause.message));
        (refusal.reason, refusal.message, causes.collect::<Vec<_>>())
    };
    let error = bench.apply("b", &thing(json!({"n": 2})), OnConflict::Fail).unwrap_err();
    let cause = "FieldManagerConflict .spec.n: conflict with \"a\"".to_owned();
    let message = "Apply failed with 1 conflict: conflict with \"a\": .spec.n".to_owned();
    assert_eq!(refuse(error), (StatusReason::Conflict, message, vec![cause.clone()]));
    let error = bench.apply("b", &thing(json!({"n": 2, "t": "y"})), OnConflict::Fail).unwrap_err();
    let message = "Apply failed with 2 conflicts: conflicts with \"a\":\n- .spec.n\n\
                   conflicts with \"u\" using store.example.com/v1:\n- .spec.t";
    let other = "FieldManagerConflict .spec.t: conflict with \"u\" using store.example.com/v1".to_owned();
    assert_eq!(refuse(error), (StatusReason::Conflict, message.to_owned(), vec![cause, other]));
    let error = bench.apply_status("b", json!({"phase": "y"})).unwrap_err();
    let message = "Apply failed with 1 conflict: conflict with \"c\" with subresource \"status\" using store.example.com/v1: \
                   .status.phase";
    assert_eq!(refuse(error).1, message);
}

#[test]
fn invalid_applies_are_rejected() {
    let mut bench = bench();
    bench.run("apply a: {n: 1}");
    let before = bench.live.clone();
    let mut refuse = |change: &dyn Fn(&mut Value)| {
        let mut config = thing(json!({"n": 1}));
        change(&mut config);
        let refusal = StatusError::from(bench.apply("a", &config, OnConflict::Force).unwrap_err());
        assert_eq!(bench.live, before);
        format!("{} {}", refusal.reason.code(), refusal.message)
    };
    let other = "400 invalid object type: store.example.com/v2, Kind=Thing";
    assert_eq!(refuse(&|config| config["apiVersion"] = "store.example.com/v2".into()), other);
    assert_eq!(
        refuse(&|config| config["kind"] = "Other".into()),
        "400 invalid object type: store.example.com/v1, Kind=Other"
    );
    assert_eq!(refuse(&|config| *config = json!([])), "400 invalid object type: , Kind=");
    let given = "400 metadata.managedFields must be nil";
    assert_eq!(refuse(&|config| config["metadata"]["managedFields"] = json!([])), given);
    let unknown = "400 failed to create typed patch object (/o; store.example.com/v1, Kind=Thing): .spec.foo: field not declared in schema";
    assert_eq!(refuse(&|config| config["spec"]["foo"] = 1.into()), unknown);
    with_entries(&mut bench, json!([{"manager": "a"}]));
    let error = bench.apply("a", &thing(json!({})), OnConflict::Fail).unwrap_err();
    assert_eq!(
        StatusError::from(error).message,
        "failed to decode managed fields: operation must be `Apply` or `Update`"
    );
    with_entries(&mut bench, json!([]));
    bench.live.as_mut().unwrap()["spec"]["list"] = json!([{}]);
    let error = bench.apply("a", &thing(json!({})), OnConflict::Fail).unwrap_err();
    assert_eq!(StatusError::from(error).reason, StatusReason::InternalError);
}

#[test]
fn update_that_does_not_match_schema_keeps_entries() {
    let mut bench = bench();
    bench.run("apply a: {n: 1}");
    let before = bench.entries();
    bench.update("u", thing(json!({"list": [{}]})));
    assert_eq!(bench.entries(), before);
}

#[test]
fn apply_to_status_has_separate_entries() {
    let mut bench = bench();
    bench.run("apply a: {n: 1}");
    bench.apply_status("s", json!({"phase": "x", "conditions": [{"type": "Ready", "status": "y"}]})).unwrap();
    bench.apply_status("t", json!({"conditions": [{"type": "Other", "status": "n"}]})).unwrap();
    bench.apply_status("s", json!({"conditions": [{"type": "Ready", "status": "n"}]})).unwrap();
    expect![[r#"
        Apply a: .n
        Apply t/status: .status.conditions[type="Other"] .status.conditions[type="Other"].status .status.conditions[type="Other"].type
        Apply s/status: .status.conditions[type="Ready"] .status.conditions[type="Ready"].status .status.conditions[type="Ready"].type
    "#]].assert_eq(&bench.owners());
    expect![[r#"{"conditions":[{"status":"n","type":"Ready"},{"status":"n","type":"Other"}]}"#]]
        .assert_eq(&bench.live.as_ref().unwrap()["status"].to_string());
    // The same manager has a separate entry for the main resource.
    expect![[r#"
        {"n":1}
        Apply s: .n
        Apply a: .n
        Apply t/status: .status.conditions[type="Other"] .status.conditions[type="Other"].status .status.conditions[type="Other"].type
        Apply s/status: .status.conditions[type="Ready"] .status.conditions[type="Ready"].status .status.conditions[type="Ready"].type
    "#]].assert_eq(&bench.run("apply s: {n: 1}"));
}

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// An object created by client-side apply of kubectl.
fn made_by_kubectl(last_applied: &Value, spec: Value) -> Bench {
    let mut bench = bench();
    let mut object = thing(spec);
    object["metadata"]["annotations"] = json!({LAST_APPLIED: last_applied.to_string()});
    bench.update("kubectl-client-side-apply", object);
    bench
}

#[test]
fn kubectl_takes_over_fields_of_its_last_client_side_apply() {
    let last = thing(json!({"n": 1, "t": "x"}));
    let take = |manager: &str, spec: Value, config: Value| {
        let mut bench = made_by_kubectl(&last, spec);
        let result = bench.apply(manager, &thing(config), OnConflict::Fail).map_err(|error| error.to_string());
        result.map(|()| bench.owners().lines().next().unwrap().to_owned())
    };
    let conflict = "conflict with \"kubectl-client-side-apply\" using store.example.com/v1";
    let mine = json!({"n": 1, "t": "x", "b": true});
    assert_eq!(take("kubectl", mine.clone(), json!({"n": 2, "t": "y"})), Ok("Apply kubectl: .n .t".to_owned()));
    assert_eq!(
        take("helm", mine.clone(), json!({"n": 2})),
        Err(format!("Apply failed with 1 conflict: {conflict}: .spec.n"))
    );
    // Fields that were not in the last apply, or changed since, are still in conflict.
    let others = take("kubectl", mine, json!({"n": 2, "b": false}));
    assert_eq!(others, Err(format!("Apply failed with 1 conflict: {conflict}: .spec.b")));
    let changed = take("kubectl", json!({"n": 5, "t": "x"}), json!({"n": 2, "t": "y"}));
    assert_eq!(changed, Err(format!("Apply failed with 1 conflict: {conflict}: .spec.n")));
}

#[test]
fn unusable_last_applied_annotation_ignores_no_conflicts() {
    let mut other_version = thing(json!({"n": 1}));
    other_version["apiVersion"] = "store.example.com/v0".into();
    for last in [json!("x"), json!({}), other_version, thing(json!({"foo": 1})), thing(json!({"set": ["a", "a"]}))] {
        let mut bench = made_by_kubectl(&last, json!({"n": 1}));
        assert!(bench.apply("kubectl", &thing(json!({"n": 2})), OnConflict::Fail).is_err(), "{last}");
    }
}

#[test]
fn kubectl_apply_updates_last_applied_annotation() {
    let last = thing(json!({"n": 1}));
    let annotation = |bench: &Bench| bench.live.as_ref().unwrap()["metadata"]["annotations"][LAST_APPLIED].clone();
    let mut bench = made_by_kubectl(&last, json!({"n": 1}));
    let mut config = thing(json!({"n": 2, "t": "<x>"}));
    config["metadata"]["annotations"] = json!({"a": "b", LAST_APPLIED: "old"});
    bench.apply("helm", &thing(json!({"b": true})), OnConflict::Force).unwrap();
    assert_eq!(annotation(&bench), last.to_string());
    bench.apply("kubectl", &config, OnConflict::Force).unwrap();
    let expected = r#"{"apiVersion":"store.example.com/v1","kind":"Thing","metadata":{"annotations":{"a":"b"},"name":"o"},"spec":{"n":2,"t":"\u003cx\u003e"}}"#;
    assert_eq!(annotation(&bench), format!("{expected}\n"));
    // The annotation is removed if it exceeds the limit.
    bench.apply("kubectl", &thing(json!({"n": 2, "t": "x".repeat(256 * 1024)})), OnConflict::Force).unwrap();
    assert_eq!(annotation(&bench), Value::Null);
    bench.apply("kubectl", &thing(json!({"n": 2})), OnConflict::Force).unwrap();
    assert_eq!(annotation(&bench), Value::Null, "a missing annotation is not added");
}

#[test]
fn endpoints_of_a_resource_own_spec_or_status() {
    let resource = fixture::shelf();
    let schema = crate::schema::Schema::for_resource(&resource);
    let (object, status) = (schema.field_manager(None), schema.field_manager(Some(Subresource::Status)));
    let now = "2030-01-01T00:00:00Z".parse().unwrap();
    let shelf = json!({
        "apiVersion": resource.api_version(), "kind": "Shelf",
        "metadata": {"name": "s", "labels": {"a": "b"}, "ownerReferences": [{"uid": "u", "kind": "K"}]},
        "spec": {"colour": "red"}, "status": {"books": 1},
    });
    let fields =
        |entries: &[Value]| entries.iter().map(|entry| entry["fieldsV1"].to_string()).collect::<Vec<_>>().join(" ");
    expect![[r#"{"f:metadata":{"f:labels":{".":{},"f:a":{}},"f:ownerReferences":{".":{},"k:{\"uid\":\"u\"}":{}}},"f:spec":{".":{},"f:colour":{}}}"#]].assert_eq(&fields(&object.update(None, &shelf, "m", now)));
    expect![[r#"{"f:status":{".":{},"f:books":{}}}"#]].assert_eq(&fields(&status.update(None, &shelf, "m", now)));
    let applied = status.apply(None, &shelf, "m", OnConflict::Fail, now).unwrap();
    expect![[r#"{"f:status":{"f:books":{}}}"#]].assert_eq(&fields(&applied.managed_fields));
}

#[test]
fn apply_is_a_pure_function() {
    let mut bench = bench();
    bench.run("apply a: {n: 1}");
    let now = "2030-01-01T00:00:09Z".parse().unwrap();
    let run = || bench.object.apply(bench.live.as_ref(), &thing(json!({"n": 2})), "a", OnConflict::Fail, now);
    assert_eq!(run(), run());
}
