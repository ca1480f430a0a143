//! IPPool on the wire. The comments are what `kubectl explain` prints.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    condition::Condition,
    limits::CONDITIONS_MAX,
    types::{IpFamily, NameRef, unless_empty},
};

/// An IPPool is a block of IP addresses from which claims and child pools take theirs. Within one pool nothing is ever
/// handed out twice.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct IpPool {
    /// What the pool shall be.
    #[serde(default)]
    pub spec: PoolSpec,
    /// How the pool stands. Set by the service.
    #[serde(default)]
    pub status: Option<PoolStatus>,
}

/// The desired state of an IPPool.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct PoolSpec {
    /// The block, such as 10.0.0.0/8 or 2001:db8::/32. Required for a root pool. A child pool may name the very block of
    /// its parent that it shall be. Immutable.
    #[serde(deserialize_with = "unless_empty", skip_serializing_if = "Option::is_none")]
    pub cidr: Option<String>,
    /// The address family. A root pool's follows from its cidr and must agree with it; a child pool inherits its
    /// parent's, and must not give one. Immutable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_family: Option<IpFamily>,
    /// The pool to carve this one from. Left out: a root pool. Immutable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_pool_ref: Option<NameRef>,
    /// The length of the block to carve from the parent. Required for a child pool without a cidr; a root pool must not
    /// give one. Immutable.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "int32"))]
    pub prefix_length: Option<i64>,
    /// What the pool hands out, and how it chooses. May be changed at any time; what was handed out before stays.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allocation: Option<AllocationPolicy>,
    /// Who may claim from the pool; consumer if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub visibility: Option<Visibility>,
    /// What a newer version might add.
    #[cfg(feature = "newer")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
}

/// What a pool hands out, and how it chooses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct AllocationPolicy {
    /// The shortest prefix length (the largest block) that a claim or a child pool may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "int32"))]
    pub min_prefix_length: Option<i64>,
    /// The longest prefix length (the smallest block) that a claim or a child pool may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "int32"))]
    pub max_prefix_length: Option<i64>,
    /// The prefix length of claims that give none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "int32"))]
    pub default_prefix_length: Option<i64>,
    /// How a free block is chosen; FirstFit if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strategy: Option<PoolStrategy>,
}

/// How a free block is chosen. All strategies are deterministic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PoolStrategy {
    /// The lowest free address.
    #[default]
    FirstFit,
    /// From the smallest free region that is large enough; the lowest on a tie.
    BestFit,
    /// A claim by selector takes from the matching pool with the greatest free share; inside a pool as FirstFit.
    LeastUtilized,
    /// What a newer version might add.
    #[cfg(feature = "newer")]
    Scattered,
}

/// Who may claim from a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Visibility {
    /// The platform itself.
    Platform,
    /// The project that owns the pool.
    Consumer,
    /// Other projects too, if they are authorised to use it.
    Shared,
}

/// The observed state of an IPPool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PoolStatus {
    /// Where the pool stands: Ready, Exhausted when nothing is free, or Pending when it is out of service.
    pub phase: PoolPhase,
    /// The block of the pool, in canonical form.
    #[serde(default, rename = "allocatedCIDR", skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "cidr"))]
    pub allocated_cidr: Option<String>,
    /// The address family of the pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_family: Option<IpFamily>,
    /// How many addresses the pool has, and how many are left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<Capacity>,
    /// How full the pool is, in percent, rounded down: 100 only when nothing is free.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100), extend("format" = "int32"))]
    pub utilization_percent: Option<i64>,
    /// The prefix length of the largest free block. Absent when nothing is free.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "int32"))]
    pub largest_free_prefix: Option<i64>,
    /// The generation of the spec that this status reflects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The pool's state, aspect by aspect. Allocated and Ready are set by the service; other types are free for use.
    #[serde(default)]
    #[schemars(
        with = "Vec<Condition>",
        extend("maxItems" = CONDITIONS_MAX, "x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"])
    )]
    pub conditions: Vec<Value>,
}

/// Where a pool stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PoolPhase {
    /// It is out of service: it is being deleted, or, in the answer to a dry run, its parent is not there.
    Pending,
    /// It has free addresses.
    Ready,
    /// Nothing of it is free. The reason of the condition Ready says whether child pools have all of it (FullyCarved).
    Exhausted,
    /// It cannot be used.
    Error,
}

/// Numbers of addresses. The integers stop at 9007199254740991, the greatest that clients with doubles write back
/// unchanged; large IPv6 pools exceed it. The strings under exact do not stop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Capacity {
    /// All addresses of the pool.
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub total: i64,
    /// The addresses that claims, retained allocations and child pools hold.
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub allocated: i64,
    /// The addresses that are free.
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub available: i64,
    /// The same as exact decimal numbers.
    pub exact: ExactCapacity,
}

/// Numbers of addresses as decimal strings, exact for pools of every size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExactCapacity {
    /// All addresses of the pool.
    pub total: String,
    /// The addresses that claims, retained allocations and child pools hold.
    pub allocated: String,
    /// The addresses that are free.
    pub available: String,
}
