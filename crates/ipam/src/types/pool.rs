//! IPPool wire types. `kubectl explain` prints the doc comments.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    condition::Condition,
    limits::CONDITIONS_MAX,
    types::{IpFamily, NameRef, empty_as_none},
};

/// IPPool is a block of IP addresses from which claims and child pools are allocated. Allocations of one pool never
/// overlap.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct IpPool {
    /// The desired state of the pool.
    #[serde(default)]
    pub spec: PoolSpec,
    /// The observed state of the pool. Set by the service.
    #[serde(default)]
    pub status: Option<PoolStatus>,
}

/// The desired state of an IPPool.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct PoolSpec {
    /// The block in CIDR notation, such as 10.0.0.0/8 or 2001:db8::/32. Required for a root pool. A child pool may set
    /// it to request an exact block of its parent. Immutable.
    #[serde(deserialize_with = "empty_as_none", skip_serializing_if = "Option::is_none")]
    pub cidr: Option<String>,
    /// The address family. Derived from cidr for a root pool, and must agree with it. Must not be set for a child pool,
    /// which has the family of its parent. Immutable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_family: Option<IpFamily>,
    /// The parent pool from which this pool is carved. Unset for a root pool. Immutable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_pool_ref: Option<NameRef>,
    /// The prefix length of the block to carve from the parent. Required for a child pool without cidr; must not be set
    /// for a root pool. Immutable.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "int32"))]
    pub prefix_length: Option<i64>,
    /// The bounds and the strategy of allocations. May be changed at any time; existing allocations are not affected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allocation: Option<AllocationPolicy>,
    /// The users who may claim from the pool. Defaults to consumer. Informational: the service does not enforce it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub visibility: Option<Visibility>,
    /// A field that only a newer version of the server knows.
    #[cfg(feature = "newer")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
}

/// The bounds and the strategy of allocations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct AllocationPolicy {
    /// The shortest prefix length (the largest block) that a claim or a child pool may request.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "int32"))]
    pub min_prefix_length: Option<i64>,
    /// The longest prefix length (the smallest block) that a claim or a child pool may request.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "int32"))]
    pub max_prefix_length: Option<i64>,
    /// The prefix length of claims that do not set one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "int32"))]
    pub default_prefix_length: Option<i64>,
    /// The rule that selects a free block. Defaults to FirstFit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strategy: Option<PoolStrategy>,
}

/// The rule that selects a free block. All strategies are deterministic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PoolStrategy {
    /// The free block with the lowest address.
    #[default]
    FirstFit,
    /// A block of the smallest free region that is large enough; on a tie, of the lowest one.
    BestFit,
    /// For a claim with poolSelector, the matching pool with the highest share of free addresses. Inside a pool like
    /// FirstFit.
    LeastUtilized,
    /// A value that only a newer version of the server knows.
    #[cfg(feature = "newer")]
    Scattered,
}

/// The users who may claim from a pool. The service does not enforce it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Visibility {
    /// Only the platform.
    Platform,
    /// The project that owns the pool.
    Consumer,
    /// Other projects as well, if they are authorized to use the pool.
    Shared,
}

/// The observed state of an IPPool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PoolStatus {
    /// The phase of the pool: Ready, Exhausted (no address is free) or Pending (not in service).
    pub phase: PoolPhase,
    /// The block of the pool, in canonical CIDR notation.
    #[serde(default, rename = "allocatedCIDR", skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "cidr"))]
    pub allocated_cidr: Option<String>,
    /// The address family of the pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_family: Option<IpFamily>,
    /// The numbers of total, allocated and free addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<Capacity>,
    /// The allocated share in percent, rounded down. 100 only if no address is free.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100), extend("format" = "int32"))]
    pub utilization_percent: Option<i64>,
    /// The prefix length of the largest free block. Absent if no address is free.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "int32"))]
    pub largest_free_prefix: Option<i64>,
    /// The spec generation for which this status was computed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The conditions of the pool. Allocated and Ready are set by the service; other types may be used by clients.
    #[serde(default)]
    #[schemars(
        with = "Vec<Condition>",
        extend("maxItems" = CONDITIONS_MAX, "x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"])
    )]
    pub conditions: Vec<Value>,
}

/// The phase of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PoolPhase {
    /// The pool is not in service: it is being deleted, or (in the response to a dry run) its parent does not exist.
    Pending,
    /// The pool has free addresses.
    Ready,
    /// No address is free. The condition Ready has the reason FullyCarved if child pools have all addresses.
    Exhausted,
    /// The pool cannot be used. Not used at present.
    Error,
}

/// Numbers of addresses. The integers are capped at 9007199254740991 (2^53-1), the largest integer that clients with
/// double-precision numbers preserve. IPv6 pools can be larger; exact has the exact numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Capacity {
    /// All addresses of the pool.
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub total: i64,
    /// The addresses held by claims, retained allocations and child pools.
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub allocated: i64,
    /// The free addresses.
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub available: i64,
    /// The exact numbers, as decimal strings.
    pub exact: ExactCapacity,
}

/// Exact numbers of addresses, as decimal strings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExactCapacity {
    /// All addresses of the pool.
    pub total: String,
    /// The addresses held by claims, retained allocations and child pools.
    pub allocated: String,
    /// The free addresses.
    pub available: String,
}
