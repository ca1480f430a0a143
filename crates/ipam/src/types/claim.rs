//! IPClaim on the wire. The comments are what `kubectl explain` prints.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    condition::Condition,
    limits::CONDITIONS_MAX,
    types::{IpFamily, NameRef, PoolRef, PoolSelector, unless_empty},
};

/// An IPClaim asks a pool for a block of addresses. The block stands in the answer to its creation, and belongs to the
/// claim until the claim is deleted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct IpClaim {
    /// What is asked for.
    #[serde(default)]
    pub spec: ClaimSpec,
    /// What was given. Set by the service.
    #[serde(default)]
    pub status: Option<ClaimStatus>,
}

/// What a claim asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ClaimSpec {
    /// The pool to take the block from. Exactly one of poolRef and poolSelector must be given. Immutable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool_ref: Option<PoolRef>,
    /// The pools to take the block from: those that match are tried in the order of their names, and those that cannot
    /// serve are passed over. Exactly one of poolRef and poolSelector must be given. Immutable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool_selector: Option<PoolSelector>,
    /// The address family. If given, it must be the pool's; if left out, it is filled in from the pool. Needed where
    /// poolSelector matches pools of both families. Immutable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_family: Option<IpFamily>,
    /// The length of the block: 32 or 128 for a single address. Left out: the pool's default. Immutable.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "int32"))]
    pub prefix_length: Option<i64>,
    /// This very address, or this very block in CIDR notation; an address beside a prefixLength is the block that begins
    /// there. Left out: the next free block. Immutable, except that the block that the claim has may be written here
    /// later, and removed again.
    #[serde(deserialize_with = "unless_empty", skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// What becomes of the block when the claim is deleted; Delete if left out. Deleting the namespace deletes retained
    /// allocations, too, and frees their blocks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reclaim_policy: Option<ReclaimPolicy>,
    /// For whom the block is, for information. Immutable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner_ref: Option<OwnerRef>,
}

/// What becomes of a block when its claim is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ReclaimPolicy {
    /// It is free at once.
    #[default]
    Delete,
    /// The allocation stays, without a claim, until it is deleted itself or with its namespace.
    Retain,
}

/// For whom a block is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct OwnerRef {
    /// The API group of the owner; empty for the core group.
    pub api_group: String,
    /// The kind of the owner.
    pub kind: String,
    /// The namespace of the owner, if its kind has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The name of the owner.
    pub name: String,
}

/// What a claim was given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClaimStatus {
    /// Where the claim stands.
    pub phase: ClaimPhase,
    /// The block.
    #[serde(default, rename = "allocatedCIDR", skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "cidr"))]
    pub allocated_cidr: Option<String>,
    /// The pool that the block belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool_ref: Option<NameRef>,
    /// The IPAllocation that records the block, in the same namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound_allocation_ref: Option<NameRef>,
    /// The generation of the spec that this status reflects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The claim's state, aspect by aspect. Allocated and Ready are set by the service; other types are free for use.
    #[serde(default)]
    #[schemars(
        with = "Vec<Condition>",
        extend("maxItems" = CONDITIONS_MAX, "x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"])
    )]
    pub conditions: Vec<Value>,
}

/// Where a claim stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ClaimPhase {
    /// It has no block: in the answer to a dry run, when its pool is not there.
    Pending,
    /// It has its block.
    Bound,
    /// It is being deleted, and keeps its block until its last finalizer is gone.
    Releasing,
    /// It cannot have a block.
    Error,
}
