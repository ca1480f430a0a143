//! IPClaim wire types. `kubectl explain` prints the doc comments.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    condition::Condition,
    limits::CONDITIONS_MAX,
    types::{IpFamily, NameRef, PoolRef, PoolSelector, empty_as_none},
};

/// IPClaim requests a block of addresses from a pool. The response to its creation contains the allocated block, which
/// belongs to the claim until the claim is deleted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct IpClaim {
    /// The requested block.
    #[serde(default)]
    pub spec: ClaimSpec,
    /// The allocated block and the state of the claim. Set by the service.
    #[serde(default)]
    pub status: Option<ClaimStatus>,
}

/// The requested block.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ClaimSpec {
    /// The pool from which the block is allocated. Exactly one of poolRef and poolSelector must be set. Immutable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool_ref: Option<PoolRef>,
    /// Selects the pools from which the block is allocated. Matching pools are tried in name order; pools that cannot
    /// serve the claim are skipped. Exactly one of poolRef and poolSelector must be set. Immutable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool_selector: Option<PoolSelector>,
    /// The address family. Must be that of the pool; defaults to it. Required if poolSelector matches pools of both
    /// families. Immutable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_family: Option<IpFamily>,
    /// The prefix length of the block; 32 (IPv4) or 128 (IPv6) is a single address. Defaults to the pool's default
    /// prefix length. Immutable.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "int32"))]
    pub prefix_length: Option<i64>,
    /// Requests an exact address, or an exact block in CIDR notation. An address together with prefixLength is the
    /// block that begins at the address. If unset, the service chooses a free block. Immutable, except that the
    /// allocated block may be set here later and removed again.
    #[serde(deserialize_with = "empty_as_none", skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The effect of deleting the claim on its block: Delete or Retain. Defaults to Delete. Deleting the namespace
    /// also deletes retained allocations and frees their blocks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reclaim_policy: Option<ReclaimPolicy>,
    /// The object for which the block is requested. Informational. Immutable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner_ref: Option<OwnerRef>,
}

/// The effect of deleting a claim on its block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ReclaimPolicy {
    /// The block is freed immediately.
    #[default]
    Delete,
    /// The allocation remains, without a claim, until it or its namespace is deleted.
    Retain,
}

/// The object for which a block is requested.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct OwnerRef {
    /// The API group of the owner. Empty for the core group.
    pub api_group: String,
    /// The kind of the owner.
    pub kind: String,
    /// The namespace of the owner, if its kind is namespaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The name of the owner.
    pub name: String,
}

/// The allocated block and the state of the claim.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClaimStatus {
    /// The phase of the claim.
    pub phase: ClaimPhase,
    /// The allocated block, in CIDR notation.
    #[serde(default, rename = "allocatedCIDR", skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "cidr"))]
    pub allocated_cidr: Option<String>,
    /// The pool that contains the block.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool_ref: Option<NameRef>,
    /// The IPAllocation of the claim, in the same namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound_allocation_ref: Option<NameRef>,
    /// The spec generation for which this status was computed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The conditions of the claim. Allocated and Ready are set by the service; other types may be used by clients.
    #[serde(default)]
    #[schemars(
        with = "Vec<Condition>",
        extend("maxItems" = CONDITIONS_MAX, "x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"])
    )]
    pub conditions: Vec<Value>,
}

/// The phase of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ClaimPhase {
    /// The claim has no block. Only in the response to a dry run whose pool does not exist.
    Pending,
    /// The claim has its block.
    Bound,
    /// The claim is being deleted. It keeps its block until its last finalizer is removed.
    Releasing,
    /// The claim cannot get a block. Not used at present.
    Error,
}
