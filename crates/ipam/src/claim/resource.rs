//! What clients are told of IPClaims: names, verbs, columns, selectors.

use std::sync::LazyLock;

use address::Prefix;
use apimachinery::{
    kind::{Cell, Column, Names, Resource, Subresource, Verb},
    object::Object,
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
    names: Names::Subdomain,
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
    column("Phase", "Where the claim stands", 0, Cell::Pointer("/status/phase")),
    column("CIDR", "The block", 0, Cell::Pointer("/status/allocatedCIDR")),
    column("Pool", "The pool that the block belongs to", 0, Cell::Pointer("/status/poolRef/name")),
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
    column("Allocation", "The record of the block", 1, Cell::Pointer("/status/boundAllocationRef/name")),
    column("Reclaim", "What becomes of the block", 1, Cell::Pointer("/spec/reclaimPolicy")),
];

/// The spec may leave family and length to the pool; the block knows them.
fn family(object: &Object) -> Value {
    block(object).map_or(Value::Null, |block| block.family().to_string().into())
}

fn length(object: &Object) -> Value {
    block(object).map_or(Value::Null, |block| block.length().into())
}

fn block(object: &Object) -> Option<Prefix> {
    spec::stored_block(object.text("/status/allocatedCIDR"))
}
