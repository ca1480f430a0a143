//! Tables as `kubectl get` prints them: columns, and the smaller forms of an object.

use serde_json::{Value, json};
use testkit::{claim, pool};

use crate::support::{ALLOCATIONS, CLAIMS, POOLS, ServerFixture, body, failure, revision, text};

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
const METADATA_LIST: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";

async fn populated() -> ServerFixture {
    let front = ServerFixture::open().await;
    front.pool(pool("root").cidr("10.0.0.0/16").label("tier", "edge").spec("visibility", "shared")).await;
    front.pool(pool("child").parent("root").length(20).strategy("BestFit")).await;
    front.claim(claim("a").pool("child").length(24)).await;
    front
}

async fn table(front: &ServerFixture, path: &str) -> Value {
    let answer = front.get_as(path, TABLE).await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let table = body(&answer, 200);
    assert_eq!((text(&table, "/kind"), text(&table, "/apiVersion")), ("Table", "meta.k8s.io/v1"));
    table
}

/// The names of the default columns, and of those that only `-o wide` prints.
fn columns(table: &Value) -> (Vec<&str>, Vec<&str>) {
    let columns = table["columnDefinitions"].as_array().unwrap();
    let (daily, wide): (Vec<_>, Vec<_>) = columns.iter().partition(|column| column["priority"] == 0);
    let names = |columns: Vec<&'_ Value>| {
        columns.into_iter().map(|column| column["name"].as_str().unwrap().to_owned().leak() as &str).collect()
    };
    (names(daily), names(wide))
}

/// Returns one cell of a row, by the name of its column.
fn cell<'a>(table: &'a Value, row: usize, column: &str) -> &'a Value {
    let columns = table["columnDefinitions"].as_array().unwrap();
    let index = columns
        .iter()
        .position(|definition| definition["name"] == column)
        .unwrap_or_else(|| panic!("no column {column}"));
    assert_eq!(table["rows"][row]["cells"].as_array().unwrap().len(), columns.len(), "cells and columns align");
    &table["rows"][row]["cells"][index]
}

#[tokio::test]
async fn pool_table_has_documented_columns() {
    let front = populated().await;
    let table = table(&front, POOLS).await;
    let (daily, wide) = columns(&table);
    assert_eq!(daily, ["Name", "CIDR", "Phase", "Family", "Largest Free", "Util%", "Age"]);
    assert_eq!(wide, ["Parent", "Visibility", "Strategy", "Available"]);
    assert_eq!(cell(&table, 0, "Name"), "child");
    assert_eq!(cell(&table, 0, "CIDR"), "10.0.0.0/20");
    assert_eq!((cell(&table, 0, "Phase"), cell(&table, 0, "Family")), (&json!("Ready"), &json!("IPv4")));
    assert_eq!((cell(&table, 0, "Largest Free"), cell(&table, 0, "Util%")), (&json!("/21"), &json!(6)));
    assert_eq!((cell(&table, 0, "Parent"), cell(&table, 0, "Strategy")), (&json!("root"), &json!("BestFit")));
    assert_eq!(cell(&table, 1, "Visibility"), "shared");
    assert!(cell(&table, 0, "Age").as_str().unwrap().ends_with('s'), "{}", cell(&table, 0, "Age"));
    assert!(cell(&table, 0, "Available").to_string().contains("3840"), "{}", cell(&table, 0, "Available"));
}

#[tokio::test]
async fn claim_and_allocation_tables_have_documented_columns() {
    let front = populated().await;
    let claims = table(&front, CLAIMS).await;
    let (daily, wide) = columns(&claims);
    assert_eq!(daily, ["Name", "Phase", "CIDR", "Pool", "Family", "Length", "Age"]);
    assert_eq!(wide, ["Allocation", "Reclaim"]);
    for (column, value) in [
        ("Name", json!("a")),
        ("Phase", json!("Bound")),
        ("CIDR", json!("10.0.0.0/24")),
        ("Pool", json!("child")),
        ("Length", json!(24)),
        ("Allocation", json!("alloc-9efb36117d50566e")),
        ("Reclaim", json!("Delete")),
    ] {
        assert_eq!(cell(&claims, 0, column), &value, "{column}");
    }
    let allocations = table(&front, ALLOCATIONS).await;
    assert_eq!(columns(&allocations), (vec!["Name", "CIDR", "Pool", "Claim", "Phase", "Age"], vec![]));
    for (column, value) in [
        ("Name", "alloc-9efb36117d50566e"),
        ("CIDR", "10.0.0.0/24"),
        ("Pool", "child"),
        ("Claim", "a"),
        ("Phase", "Ready"),
    ] {
        assert_eq!(cell(&allocations, 0, column), value, "{column}");
    }
}

#[tokio::test]
async fn retained_allocation_row_names_former_claim() {
    let front = populated().await;
    front.claim(claim("kept").pool("root").length(24).retain()).await;
    front.delete_claim("a").await;
    front.delete_claim("kept").await;
    let allocations = table(&front, ALLOCATIONS).await;
    assert_eq!((cell(&allocations, 0, "Claim"), cell(&allocations, 0, "Phase")), (&json!("kept"), &json!("Retained")));
}

#[tokio::test]
async fn table_rows_honor_include_object() {
    let front = populated().await;
    let plain = table(&front, CLAIMS).await;
    let list = body(&front.get(CLAIMS).await, 200);
    assert_eq!(revision(&plain), revision(&list));
    let metadata = &plain["rows"][0]["object"];
    assert_eq!((text(metadata, "/kind"), text(metadata, "/apiVersion")), ("PartialObjectMetadata", "meta.k8s.io/v1"));
    assert_eq!((&metadata["metadata"], metadata.get("spec")), (&list["items"][0]["metadata"], None));
    assert_eq!(table(&front, &format!("{CLAIMS}?includeObject=Metadata")).await["rows"], plain["rows"]);
    let none = table(&front, &format!("{CLAIMS}?includeObject=None")).await;
    assert_eq!(none["rows"][0].get("object").unwrap_or(&Value::Null), &Value::Null);
    let whole = table(&front, &format!("{CLAIMS}?includeObject=Object")).await;
    assert_eq!(whole["rows"][0]["object"], list["items"][0]);
    assert_eq!(failure(&front.get_as(&format!("{CLAIMS}?includeObject=Some"), TABLE).await).code, 400);
}

#[tokio::test]
async fn single_objects_and_empty_lists_can_be_tables() {
    let front = populated().await;
    let one = table(&front, &format!("{POOLS}/root")).await;
    assert_eq!((one["rows"].as_array().unwrap().len(), cell(&one, 0, "Name")), (1, &json!("root")));
    let none = table(&front, &format!("{POOLS}?labelSelector=tier%3Dnone")).await;
    assert_eq!((&none["rows"], columns(&none).0.len()), (&json!([]), 7));
    let page = table(&front, &format!("{POOLS}?limit=1")).await;
    assert_eq!((page["rows"].as_array().unwrap().len(), &page["metadata"]["remainingItemCount"]), (1, &json!(1)));
    assert!(!text(&page, "/metadata/continue").is_empty());
    let beta = front.get_as(POOLS, "application/json;as=Table;v=v1beta1;g=meta.k8s.io").await;
    assert_eq!(text(&body(&beta, 200), "/apiVersion"), "meta.k8s.io/v1beta1");
    let missing = front.get_as(&format!("{POOLS}/missing"), TABLE).await;
    assert_eq!(failure(&missing).code, 404, "an error stays a Status");
}

#[tokio::test]
async fn exhausted_pool_row_has_no_largest_free() {
    let front = ServerFixture::open().await;
    front.pool(pool("tiny").cidr("192.0.2.0/32")).await;
    front.claim(claim("a").pool("tiny").length(32)).await;
    let table = table(&front, POOLS).await;
    assert_eq!((cell(&table, 0, "Phase"), cell(&table, 0, "Util%")), (&json!("Exhausted"), &json!(100)));
    let largest = cell(&table, 0, "Largest Free");
    assert!(largest.is_null() || ["", "<none>", "-"].contains(&largest.as_str().unwrap()), "{largest}");
}

#[tokio::test]
async fn partial_object_metadata_is_served() {
    let front = populated().await;
    let path = format!("{POOLS}/root");
    let whole = body(&front.get(&path).await, 200);
    let one = body(&front.get_as(&path, METADATA).await, 200);
    assert_eq!((text(&one, "/kind"), text(&one, "/apiVersion")), ("PartialObjectMetadata", "meta.k8s.io/v1"));
    assert_eq!((&one["metadata"], one.get("spec"), one.get("status")), (&whole["metadata"], None, None));
    let list = body(&front.get_as(&format!("{POOLS}?limit=1"), METADATA_LIST).await, 200);
    assert_eq!(text(&list, "/kind"), "PartialObjectMetadataList");
    assert_eq!(text(&list, "/items/0/kind"), "PartialObjectMetadata");
    assert_eq!(list["metadata"]["remainingItemCount"], 1);
    assert_eq!(failure(&front.get_as(POOLS, METADATA).await).code, 406);
    assert_eq!(failure(&front.get_as(&path, METADATA_LIST).await).code, 406);
    let go = format!(
        "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,{METADATA},application/json"
    );
    assert_eq!(body(&front.get_as(&path, &go).await, 200), one);
    let protobuf_first = front.get_as(&path, "application/vnd.kubernetes.protobuf,application/json").await;
    assert_eq!(body(&protobuf_first, 200), whole);
}
