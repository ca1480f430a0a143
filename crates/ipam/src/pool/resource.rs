//! API resource of IPPool: names, verbs, printer columns, field selectors.

use std::sync::LazyLock;

use apimachinery::{
    object::Object,
    resource::{Cell, Column, NamePolicy, Resource, Subresource, Verb},
};
use serde_json::Value;

use super::{IpPool, KIND, PLURAL};
use crate::{GROUP, VERSION, schema, schema::column};

pub(super) static RESOURCE: LazyLock<Resource> = LazyLock::new(|| Resource {
    group: GROUP,
    version: VERSION,
    kind: KIND,
    plural: PLURAL,
    singular: "ippool",
    short_names: &["ippool"],
    categories: &["ipam"],
    namespaced: false,
    verbs: Verb::ALL,
    subresources: &[Subresource::Status],
    selectable_fields: &["spec.ipFamily", "spec.parentPoolRef.name", "status.phase"],
    computed_fields: &[],
    columns: COLUMNS,
    names: NamePolicy::Subdomain,
    schema: schema::of::<IpPool>(),
});

const COLUMNS: &[Column] = &[
    Column {
        name: "Name",
        column_type: "string",
        format: "name",
        description: "Name of the pool",
        priority: 0,
        cell: Cell::Name,
    },
    column("CIDR", "The block of the pool", 0, Cell::Pointer("/status/allocatedCIDR")),
    column("Phase", "The phase of the pool", 0, Cell::Computed(phase)),
    column("Family", "Address family", 0, Cell::Pointer("/status/ipFamily")),
    column("Largest Free", "The largest free block", 0, Cell::Computed(largest_free)),
    Column {
        name: "Util%",
        column_type: "integer",
        format: "",
        description: "Utilization of the pool, in percent",
        priority: 0,
        cell: Cell::Pointer("/status/utilizationPercent"),
    },
    Column::AGE,
    column("Parent", "The parent pool", 1, Cell::Pointer("/spec/parentPoolRef/name")),
    column("Visibility", "The users who may claim from the pool", 1, Cell::Pointer("/spec/visibility")),
    column("Strategy", "The rule that selects a free block", 1, Cell::Pointer("/spec/allocation/strategy")),
    column("Available", "Free addresses", 1, Cell::Pointer("/status/capacity/exact/available")),
];

/// A pool that is being deleted is shown as Terminating, as kubectl shows a pod.
fn phase(object: &Object) -> Value {
    if object.is_terminating() { "Terminating".into() } else { object.field("status")["phase"].clone() }
}

fn largest_free(object: &Object) -> Value {
    match object.field("status")["largestFreePrefix"].as_i64() {
        Some(length) => format!("/{length}").into(),
        None => Value::Null,
    }
}
