//! The status of an IPPool, from its free space.

use address::{Count, FreeSpace};
use apimachinery::{object::Object, time::Time};
use serde_json::Value;

use super::types::{Capacity, ExactCapacity, PoolPhase, PoolStatus};
use crate::condition::{self, ALLOCATED, ConditionStatus, READY};

impl PoolStatus {
    /// The status of a pool with this free space. Conditions of other types than the service's own are kept.
    pub(crate) fn fresh(object: &Object, free: &FreeSpace, parent: Option<&str>, now: Time) -> Self {
        let is_full = free.free() == Count::ZERO;
        Self {
            phase: if is_full { PoolPhase::Exhausted } else { PoolPhase::Ready },
            allocated_cidr: free.pool().to_string(),
            ip_family: free.pool().family().into(),
            capacity: Capacity::of(free),
            utilization_percent: free.utilization_percent().into(),
            largest_free_prefix: free.largest_free().map(i64::from),
            observed_generation: object.metadata.generation,
            conditions: conditions(object, free, parent, now),
        }
    }

    /// As JSON.
    pub(crate) fn to_value(&self) -> Value {
        serde_json::to_value(self).expect("a status has only strings for keys")
    }
}

fn conditions(object: &Object, free: &FreeSpace, parent: Option<&str>, now: Time) -> Vec<Value> {
    let mut conditions = condition::in_status(object.field("status"));
    let block = free.pool();
    let allocated = match parent {
        Some(parent) => format!("{block} is carved from IPPool {parent}"),
        None => format!("{block} is a root pool"),
    };
    condition::set(&mut conditions, ALLOCATED, ConditionStatus::True, ("AllocationSucceeded", &allocated), now);
    let (status, why) = if free.free() == Count::ZERO {
        (ConditionStatus::False, ("PoolExhausted", "no address of the pool is free"))
    } else {
        (ConditionStatus::True, ("AddressesAvailable", "the pool has free addresses"))
    };
    condition::set(&mut conditions, READY, status, why, now);
    conditions
}

impl Capacity {
    fn of(free: &FreeSpace) -> Self {
        let (total, allocated, available) = (free.total(), free.allocated(), free.free());
        Self {
            total: total.to_i64_saturating(),
            allocated: allocated.to_i64_saturating(),
            available: available.to_i64_saturating(),
            exact: ExactCapacity {
                total: total.to_string(),
                allocated: allocated.to_string(),
                available: available.to_string(),
            },
        }
    }
}
