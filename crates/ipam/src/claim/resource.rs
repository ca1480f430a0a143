//! API resource of IPClaim: names, verbs, printer columns, field selectors.

use std::sync::LazyLock;

use address::Prefix;
use apimachinery::{
    object::Object,
    resource::{Cell, Column, NamePolicy, Resource, Subresource, Verb},
};
use serde_json::Value;

use super::{IpClaim, KIND, PLURAL};
use crate::{GROUP, VERSION, schema, schema::column, spec};

pub(super) static RESOURCE: LazyLock<Resource> = LazyLock::new(|| Resource {
    group: GROUP,
    version: VERSION,
    kind: KIND,
    plural: PLURAL,
    singular: "ipclaim",
    short_names: &["ipclaim"],
    categories: &["ipam"],
    namespaced: true,
    verbs: Verb::ALL,
    subresources: &[Subresource::Status],
    selectable_fields: &[
        "spec.ipFamily",
        "spec.poolRef.name",
        "status.poolRef.name",
        "status.phase",
        "status.allocatedCIDR",
    ],
    computed_fields: &[],
    columns: COLUMNS,
    names: NamePolicy::Subdomain,
    schema: schema::of::<IpClaim>(),
});

const COLUMNS: &[Column] = &[
    Column {
        name: "Name",
        column_type: "string",
        format: "name",
        description: "Name of the claim",
        priority: 0,
        cell: Cell::Name,
    },
    column("Phase", "The phase of the claim", 0, Cell::Pointer("/status/phase")),
    column("CIDR", "The block", 0, Cell::Pointer("/status/allocatedCIDR")),
    column("Pool", "The pool that contains the block", 0, Cell::Pointer("/status/poolRef/name")),
    column("Family", "Address family", 0, Cell::Computed(family)),
    Column {
        name: "Length",
        column_type: "integer",
        format: "",
        description: "Prefix length",
        priority: 0,
        cell: Cell::Computed(length),
    },
    Column::AGE,
    column("Allocation", "The IPAllocation of the claim", 1, Cell::Pointer("/status/boundAllocationRef/name")),
    column("Reclaim", "The effect of deleting the claim on its block", 1, Cell::Pointer("/spec/reclaimPolicy")),
];

/// Read from the block, because the spec may omit family and length.
fn family(object: &Object) -> Value {
    block(object).map_or(Value::Null, |block| block.family().to_string().into())
}

fn length(object: &Object) -> Value {
    block(object).map_or(Value::Null, |block| block.length().into())
}

fn block(object: &Object) -> Option<Prefix> {
    spec::stored_block(object.text("/status/allocatedCIDR"))
}
