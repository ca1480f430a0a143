//! Tests of tables, ages and partial metadata.

use proptest::prelude::*;

use super::*;
use crate::fixture;

const CREATED: &str = "2026-05-01T12:00:00Z";

fn now() -> Time {
    "2026-05-06T12:00:00Z".parse().unwrap()
}

fn shelf() -> Object {
    fixture::object(json!({
        "apiVersion": "store.example.com/v1alpha1",
        "kind": "Shelf",
        "metadata": {"name": "a", "creationTimestamp": CREATED, "resourceVersion": "7"},
        "spec": {"colour": "red"},
        "status": {"books": 0, "dusted": "2026-05-06T08:48:00Z"},
    }))
}

fn meta() -> ListMeta {
    ListMeta { resource_version: 7, ..ListMeta::default() }
}

fn rows(objects: &[Object], include: IncludeObject) -> Value {
    let table = table(&fixture::shelf(), objects, &meta(), include, false, now(), true);
    table["rows"].clone()
}

#[test]
fn table_has_columns_and_cells() {
    let table = table(&fixture::shelf(), &[shelf()], &meta(), IncludeObject::Metadata, false, now(), true);
    assert_eq!(table["kind"], "Table");
    assert_eq!(table["apiVersion"], "meta.k8s.io/v1");
    assert_eq!(table["metadata"], json!({"resourceVersion": "7"}));
    let columns = table["columnDefinitions"].as_array().unwrap();
    assert_eq!(
        columns[0],
        json!({"name": "Name", "type": "string", "format": "name", "description": "Its name.", "priority": 0})
    );
    let named: Vec<(&str, &Value)> = columns
        .iter()
        .map(|column| column["name"].as_str().unwrap())
        .zip(table["rows"][0]["cells"].as_array().unwrap())
        .collect();
    assert_eq!(
        named,
        [
            ("Name", &json!("a")),
            ("Colour", &json!("red")),
            ("Books", &json!(0)),
            ("Dusted", &json!("3h12m")),
            ("Empty", &json!(true)),
            ("Namespace", &Value::Null),
            ("Age", &json!("5d")),
        ]
    );
    assert_eq!(columns[5]["priority"], 1);
}

#[test]
fn missing_and_mistyped_values_are_null_cells() {
    let bare = fixture::object(json!({"metadata": {"name": "b"}}));
    assert_eq!(
        rows(&[bare], IncludeObject::None)[0]["cells"],
        json!(["b", null, null, null, false, null, "<unknown>"])
    );
    let odd = fixture::object(json!({
        "metadata": {"name": "c", "namespace": "n"},
        "spec": {"colour": {"red": 1}},
        "status": {"books": "many", "dusted": "yesterday"},
    }));
    assert_eq!(
        rows(&[odd], IncludeObject::None)[0]["cells"],
        json!(["c", "{\"red\":1}", null, "<invalid>", false, "n", "<unknown>"])
    );
}

#[test]
fn include_object_controls_the_row_object() {
    let partial = json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {"name": "a", "creationTimestamp": CREATED, "resourceVersion": "7"},
    });
    assert_eq!(rows(&[shelf()], IncludeObject::Metadata)[0]["object"], partial);
    assert_eq!(rows(&[shelf()], IncludeObject::Object)[0]["object"], shelf().to_value());
    assert_eq!(rows(&[shelf()], IncludeObject::None)[0]["object"], Value::Null);
    assert_eq!(rows(&[], IncludeObject::Metadata), json!([]));
}

#[test]
fn later_watch_events_have_no_column_definitions() {
    let later = table(&fixture::shelf(), &[shelf()], &meta(), IncludeObject::Metadata, false, now(), false);
    assert_eq!(later.get("columnDefinitions"), Some(&Value::Null));
    assert_eq!(later["rows"].as_array().unwrap().len(), 1);
}

#[test]
fn v1beta1_tables_are_supported() {
    let old = table(&fixture::shelf(), &[shelf()], &meta(), IncludeObject::Metadata, true, now(), true);
    assert_eq!(old["apiVersion"], "meta.k8s.io/v1beta1");
    assert_eq!(old["rows"][0]["object"]["apiVersion"], "meta.k8s.io/v1beta1");
}

#[test]
fn ages_have_the_format_of_kubectl() {
    const MINUTE: i64 = 60;
    const HOUR: i64 = 3600;
    const DAY: i64 = 24 * HOUR;
    const YEAR: i64 = 365 * DAY;
    let cases = [
        (-2, "<invalid>"),
        (-1, "0s"),
        (0, "0s"),
        (119, "119s"),
        (2 * MINUTE, "2m"),
        (2 * MINUTE + 1, "2m1s"),
        (10 * MINUTE - 1, "9m59s"),
        (10 * MINUTE, "10m"),
        (10 * MINUTE + 59, "10m"),
        (3 * HOUR - 1, "179m"),
        (3 * HOUR, "3h"),
        (3 * HOUR + 12 * MINUTE + 59, "3h12m"),
        (8 * HOUR - 1, "7h59m"),
        (8 * HOUR + 59 * MINUTE, "8h"),
        (48 * HOUR - 1, "47h"),
        (2 * DAY, "2d"),
        (2 * DAY + HOUR, "2d1h"),
        (8 * DAY - 1, "7d23h"),
        (8 * DAY + HOUR, "8d"),
        (2 * YEAR - 1, "729d"),
        (2 * YEAR, "2y"),
        (2 * YEAR + DAY, "2y1d"),
        (8 * YEAR - 1, "7y364d"),
        (8 * YEAR + DAY, "8y"),
        (20 * YEAR + 3 * DAY, "20y"),
    ];
    for (seconds, expected) in cases {
        assert_eq!(human_duration(seconds), expected, "{seconds} s");
    }
}

proptest! {
    #[test]
    fn every_duration_can_be_formatted(seconds: i64) {
        prop_assert!(human_duration(seconds).len() <= 20);
    }
}
