//! The API surface of the kinds: schemas, printer columns, verbs, field selectors, gauges.

use std::{collections::BTreeSet, fmt::Write as _};

use apimachinery::{
    kind::{Kind, State as _},
    object::Object,
    resource::{Cell, Column},
};
use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::harness::{Server, claim, key, kind_of, pool};
use crate::AllocatorState;

fn kinds() -> [&'static dyn Kind<AllocatorState>; 3] {
    ["ippools", "ipclaims", "ipallocations"].map(|resource| kind_of(&key(resource, "")))
}

#[test]
fn discovery_lists_verbs_names_and_selectors() {
    let describe = |kind: &dyn Kind<AllocatorState>| {
        let resource = kind.resource();
        let verbs: Vec<_> = resource.verbs.iter().map(|verb| verb.as_str()).collect();
        format!(
            "{} {} {} {:?} {:?} namespaced={} {}\n  {}\n",
            resource.api_version(),
            resource.kind,
            resource.plural,
            resource.short_names,
            resource.categories,
            resource.namespaced,
            verbs.join(","),
            resource.selectable_fields.join(",")
        )
    };
    expect![[r#"
        ipam.miloapis.com/v1alpha1 IPPool ippools ["ippool"] ["ipam"] namespaced=false create,delete,deletecollection,get,list,patch,update,watch
          spec.ipFamily,spec.parentPoolRef.name,status.phase
        ipam.miloapis.com/v1alpha1 IPClaim ipclaims ["ipclaim"] ["ipam"] namespaced=true create,delete,deletecollection,get,list,patch,update,watch
          spec.ipFamily,spec.poolRef.name,status.poolRef.name,status.phase,status.allocatedCIDR
        ipam.miloapis.com/v1alpha1 IPAllocation ipallocations ["ipalloc"] ["ipam"] namespaced=true delete,deletecollection,get,list,patch,watch
          spec.ipFamily,spec.poolRef.name,status.allocatedCIDR,status.phase
    "#]].assert_eq(&kinds().map(describe).concat());
}

fn cell(column: &Column, object: &Object) -> Value {
    match column.cell {
        Cell::Name => object.metadata.name.clone().into(),
        Cell::Age | Cell::Since(_) => "age".into(),
        Cell::Pointer(pointer) => object.to_value().pointer(pointer).cloned().unwrap_or_default(),
        Cell::Computed(cell) => cell(object),
    }
}

#[test]
fn table_columns_have_expected_cells() {
    let mut server = Server::with_pool("root", "10.0.0.0/16");
    let spec = json!({"parentPoolRef": {"name": "root"}, "prefixLength": 17, "visibility": "shared",
        "allocation": {"defaultPrefixLength": 19}});
    server.create(pool("child"), spec).unwrap();
    server.create(claim("c"), json!({"poolRef": {"name": "child"}})).unwrap();
    let table = |key| {
        let columns = kind_of(&key).resource().columns;
        let cells = columns.iter().map(|column| {
            let wide = if column.priority > 0 { "*" } else { "" };
            format!("{wide}{}={} ", column.name, cell(column, server.get(&key)))
        });
        cells.collect::<String>()
    };
    expect![[r#"Name="root" CIDR="10.0.0.0/16" Phase="Ready" Family="IPv4" Largest Free="/17" Util%=50 Age="age" *Parent=null *Visibility=null *Strategy="FirstFit" *Available="32768" "#]].assert_eq(&table(pool("root")));
    expect![[r#"Name="child" CIDR="10.0.0.0/17" Phase="Ready" Family="IPv4" Largest Free="/18" Util%=25 Age="age" *Parent="root" *Visibility="shared" *Strategy="FirstFit" *Available="24576" "#]].assert_eq(&table(pool("child")));
    expect![[r#"Name="c" Phase="Bound" CIDR="10.0.0.0/19" Pool="child" Family="IPv4" Length=19 Age="age" *Allocation="alloc-95fe02fe3ce10009" *Reclaim="Delete" "#]].assert_eq(&table(claim("c")));
    expect![[r#"Name="alloc-95fe02fe3ce10009" CIDR="10.0.0.0/19" Pool="child" Claim="c" Phase="Ready" Age="age" "#]]
        .assert_eq(&table(server.allocation_of(&claim("c"))));
}

/// Collects the JSON Schema keywords and formats that a schema uses.
fn words(schema: &Value, found: &mut BTreeSet<String>) {
    for (word, value) in schema.as_object().expect("a schema is an object") {
        found.insert(word.clone());
        match word.as_str() {
            "properties" => value.as_object().unwrap().values().for_each(|schema| words(schema, found)),
            "items" | "additionalProperties" => words(value, found),
            "format" => drop(found.insert(format!("format {}", value.as_str().unwrap()))),
            "enum" => assert!(value.as_array().unwrap().iter().all(Value::is_string), "{value}"),
            _ => {}
        }
    }
    assert!(schema["type"].is_string(), "every schema has one type: {schema}");
    assert!(
        schema["description"].as_str().is_some_and(|text| !text.is_empty()) || schema["type"] == "string",
        "{schema}"
    );
}

#[test]
fn schemas_are_structural() {
    let mut found = BTreeSet::new();
    for kind in kinds() {
        words(&kind.resource().schema, &mut found);
        let status = &kind.resource().schema["properties"]["status"]["properties"];
        assert_eq!(status["conditions"]["x-kubernetes-list-type"], "map");
        assert_eq!(status["conditions"]["x-kubernetes-list-map-keys"], json!(["type"]));
    }
    expect![[r#"
        additionalProperties
        description
        enum
        format
        format cidr
        format date-time
        format int32
        format int64
        items
        maxItems
        maxProperties
        maximum
        minimum
        properties
        required
        type
        x-kubernetes-list-map-keys
        x-kubernetes-list-type"#]]
    .assert_eq(&found.into_iter().collect::<Vec<_>>().join("\n"));
}

fn check(pointer: &str, expect: Expect) {
    let schema = kinds()[0].resource().schema.pointer(pointer).expect("a part of the schema");
    expect.assert_eq(&format!("{schema:#}"));
}

#[test]
fn schema_descriptions_come_from_doc_comments() {
    check(
        "/properties/spec/properties/allocation/properties/strategy",
        expect![[r#"
        {
          "description": "The rule that selects a free block. Defaults to FirstFit.\n - FirstFit: The free block with the lowest address.\n - BestFit: A block of the smallest free region that is large enough; on a tie, of the lowest one.\n - LeastUtilized: For a claim with poolSelector, the matching pool with the highest share of free addresses. Inside a pool like FirstFit.",
          "enum": [
            "FirstFit",
            "BestFit",
            "LeastUtilized"
          ],
          "type": "string"
        }"#]],
    );
    check(
        "/properties/spec/properties/prefixLength",
        expect![[r#"
        {
          "description": "The prefix length of the block to carve from the parent. Required for a child pool without cidr; must not be set for a root pool. Immutable.",
          "format": "int32",
          "type": "integer"
        }"#]],
    );
    check(
        "/properties/status/properties/capacity/properties/total",
        expect![[r#"
            {
              "description": "All addresses of the pool.",
              "format": "int64",
              "maximum": 9007199254740991,
              "minimum": 0,
              "type": "integer"
            }"#]],
    );
}

#[test]
fn gauges_report_pool_addresses() {
    let mut server = Server::with_pool("all", "::/0");
    server.create(pool("p"), json!({"cidr": "10.0.0.0/30"})).unwrap();
    server.create(claim("c"), json!({"poolRef": {"name": "p"}, "prefixLength": 32})).unwrap();
    let mut text = String::new();
    for gauge in server.state.gauges() {
        for (labels, value) in gauge.samples {
            let _ = writeln!(text, "{} {labels:?} {value}", gauge.name);
        }
    }
    expect![[r#"
        ipam_pool_addresses [("scope", "platform"), ("pool", "all"), ("state", "allocated")] 0
        ipam_pool_addresses [("scope", "platform"), ("pool", "all"), ("state", "carved")] 0
        ipam_pool_addresses [("scope", "platform"), ("pool", "all"), ("state", "free")] 340282366920938500000000000000000000000
        ipam_pool_addresses [("scope", "platform"), ("pool", "all"), ("state", "total")] 340282366920938500000000000000000000000
        ipam_pool_addresses [("scope", "platform"), ("pool", "p"), ("state", "allocated")] 1
        ipam_pool_addresses [("scope", "platform"), ("pool", "p"), ("state", "carved")] 0
        ipam_pool_addresses [("scope", "platform"), ("pool", "p"), ("state", "free")] 3
        ipam_pool_addresses [("scope", "platform"), ("pool", "p"), ("state", "total")] 4
        ipam_pool_utilization_ratio [("scope", "platform"), ("pool", "all")] 0
        ipam_pool_utilization_ratio [("scope", "platform"), ("pool", "p")] 0.25
        ipam_pools [] 2
    "#]].assert_eq(&text);
}
