//! IPAllocation on the wire. The comments are what `kubectl explain` prints.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    condition::Condition,
    limits::CONDITIONS_MAX,
    types::{IpFamily, NameRef},
};

/// An IPAllocation records that a block of a pool is held. It is created and deleted by the service together with its
/// IPClaim; labels and annotations may be changed. One that its claim's policy Retain kept is deleted by itself, or with its
/// namespace, and its block is free then.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct IpAllocation {
    /// Who holds what. Immutable.
    #[serde(default)]
    pub spec: AllocationSpec,
    /// The block, and whether a claim holds it. Set by the service.
    #[serde(default)]
    pub status: Option<AllocationStatus>,
}

/// Who holds what.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AllocationSpec {
    /// The address family of the block.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_family: Option<IpFamily>,
    /// The pool that the block belongs to.
    pub pool_ref: NameRef,
    /// The claim that holds the block, in the same namespace. Absent once a claim with the policy Retain is gone; the
    /// annotation ipam.miloapis.com/retained-claim then has its name, and the allocation has its labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claim_ref: Option<NameRef>,
    /// What the block is for: Claim.
    pub purpose: String,
}

/// The block, and whether a claim holds it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AllocationStatus {
    /// Whether a claim holds the block.
    pub phase: AllocationPhase,
    /// The block.
    #[serde(rename = "allocatedCIDR")]
    #[schemars(extend("format" = "cidr"))]
    pub allocated_cidr: String,
    /// The allocation's state, aspect by aspect. Allocated and Ready are set by the service; other types are free for
    /// use.
    #[serde(default)]
    #[schemars(
        with = "Vec<Condition>",
        extend("maxItems" = CONDITIONS_MAX, "x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"])
    )]
    pub conditions: Vec<Value>,
}

/// Whether a claim holds the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AllocationPhase {
    /// A claim holds it.
    Ready,
    /// The claim is gone and the block is kept, until the allocation is deleted.
    Retained,
}
