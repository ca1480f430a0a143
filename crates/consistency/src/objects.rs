//! The fields of the API objects that the checks use.

use std::borrow::Cow;

use serde::Deserialize;

/// Any API object.
#[derive(Deserialize)]
pub struct Object<'o, Spec, Status> {
    #[serde(borrow)]
    pub metadata: Metadata<'o>,
    pub spec: Option<Spec>,
    pub status: Option<Status>,
}

#[derive(Deserialize)]
pub struct Metadata<'o> {
    #[serde(borrow)]
    pub name: Cow<'o, str>,
    #[serde(borrow, default)]
    pub namespace: Cow<'o, str>,
}

#[derive(Deserialize)]
pub struct Named {
    pub name: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PoolSpec {
    pub parent_pool_ref: Option<Named>,
    pub allocation: Option<Bounds>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Bounds {
    pub min_prefix_length: Option<i64>,
    pub max_prefix_length: Option<i64>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PoolStatus {
    #[serde(rename = "allocatedCIDR")]
    pub allocated_cidr: Option<String>,
    pub capacity: Option<Capacity>,
    pub largest_free_prefix: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Capacity {
    pub total: Option<i64>,
    pub allocated: Option<i64>,
    pub available: Option<i64>,
    pub exact: Option<ExactCapacity>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ExactCapacity {
    pub total: Option<String>,
    pub allocated: Option<String>,
    pub available: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AllocationSpec {
    pub pool_ref: Option<Named>,
    pub claim_ref: Option<Named>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct AllocationStatus {
    pub phase: Option<String>,
    #[serde(rename = "allocatedCIDR")]
    pub allocated_cidr: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClaimStatus {
    pub phase: Option<String>,
    #[serde(rename = "allocatedCIDR")]
    pub allocated_cidr: Option<String>,
    pub pool_ref: Option<Named>,
    pub bound_allocation_ref: Option<Named>,
}

pub type Pool<'o> = Object<'o, PoolSpec, PoolStatus>;
pub type Allocation<'o> = Object<'o, AllocationSpec, AllocationStatus>;
pub type Claim<'o> = Object<'o, serde::de::IgnoredAny, ClaimStatus>;
pub type Namespace<'o> = Object<'o, serde::de::IgnoredAny, serde::de::IgnoredAny>;

impl Named {
    /// Returns the name; `None` if it is absent or empty.
    pub fn text(named: Option<Self>) -> Option<String> {
        named?.name.filter(|name| !name.is_empty())
    }
}
