//! IPAllocation wire types. `kubectl explain` prints the doc comments.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    condition::Condition,
    limits::CONDITIONS_MAX,
    types::{IpFamily, NameRef},
};

/// IPAllocation records that a block of a pool is in use. The service creates and deletes it together with its IPClaim;
/// labels and annotations may be changed. If the claim's reclaimPolicy was Retain, the allocation remains after the
/// claim is deleted; deleting the allocation or its namespace frees the block.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct IpAllocation {
    /// The pool, and the claim that holds the block. Immutable.
    #[serde(default)]
    pub spec: AllocationSpec,
    /// The block and its state. Set by the service.
    #[serde(default)]
    pub status: Option<AllocationStatus>,
}

/// The pool, and the claim that holds the block.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AllocationSpec {
    /// The address family of the block.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_family: Option<IpFamily>,
    /// The pool that contains the block.
    pub pool_ref: NameRef,
    /// The claim that holds the block, in the same namespace. Absent after a claim with reclaimPolicy Retain was
    /// deleted; the annotation ipam.miloapis.com/retained-claim then contains the claim's name, and the claim's labels
    /// are copied to the allocation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claim_ref: Option<NameRef>,
    /// The purpose of the block. Always Claim.
    pub purpose: String,
}

/// The block and its state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AllocationStatus {
    /// The phase of the allocation: Ready (a claim holds the block) or Retained (the claim was deleted).
    pub phase: AllocationPhase,
    /// The block, in CIDR notation.
    #[serde(rename = "allocatedCIDR")]
    #[schemars(extend("format" = "cidr"))]
    pub allocated_cidr: String,
    /// The conditions of the allocation. Allocated and Ready are set by the service; other types may be used by
    /// clients.
    #[serde(default)]
    #[schemars(
        with = "Vec<Condition>",
        extend("maxItems" = CONDITIONS_MAX, "x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"])
    )]
    pub conditions: Vec<Value>,
}

/// The phase of an allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AllocationPhase {
    /// A claim holds the block.
    Ready,
    /// The claim was deleted. The block stays in use until the allocation is deleted.
    Retained,
}
