//! API resource of IPAllocation: names, verbs, printer columns, field selectors.

use std::sync::LazyLock;

use apimachinery::{
    object::Object,
    resource::{Cell, Column, NamePolicy, Resource, Subresource, Verb},
};
use serde_json::Value;

use super::{IpAllocation, KIND, PLURAL, RETAINED_CLAIM};
use crate::{GROUP, VERSION, schema, schema::column};

pub(super) static RESOURCE: LazyLock<Resource> = LazyLock::new(|| Resource {
    group: GROUP,
    version: VERSION,
    kind: KIND,
    plural: PLURAL,
    singular: "ipallocation",
    short_names: &["ipalloc"],
    categories: &["ipam"],
    namespaced: true,
    verbs: &[Verb::Delete, Verb::DeleteCollection, Verb::Get, Verb::List, Verb::Patch, Verb::Watch],
    subresources: &[Subresource::Status],
    selectable_fields: &["spec.ipFamily", "spec.poolRef.name", "status.allocatedCIDR", "status.phase"],
    computed_fields: &[],
    columns: COLUMNS,
    names: NamePolicy::Subdomain,
    schema: schema::of::<IpAllocation>(),
});

const COLUMNS: &[Column] = &[
    Column {
        name: "Name",
        column_type: "string",
        format: "name",
        description: "Name of the allocation",
        priority: 0,
        cell: Cell::Name,
    },
    column("CIDR", "The block", 0, Cell::Pointer("/status/allocatedCIDR")),
    column("Pool", "The pool that contains the block", 0, Cell::Pointer("/spec/poolRef/name")),
    column("Claim", "The claim that holds the block, or held it before it was deleted", 0, Cell::Computed(claim)),
    column("Phase", "The phase of the allocation", 0, Cell::Pointer("/status/phase")),
    Column::AGE,
];

fn claim(allocation: &Object) -> Value {
    match allocation.text("/spec/claimRef/name") {
        "" => allocation.metadata.annotations.get(RETAINED_CLAIM).cloned().map_or(Value::Null, Value::from),
        claim => claim.into(),
    }
}
