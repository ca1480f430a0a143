//! The status of an IPPool, from its free space.

use address::{Count, FreeSpace};
use apimachinery::{object::Object, refusal::Refusal, time::Time};
use serde_json::{Value, json};

use crate::{
    condition::{self, ALLOCATED, ConditionStatus, READY},
    types::pool::{Capacity, ExactCapacity, PoolPhase, PoolStatus},
};

/// Whether a pool hands out addresses, or why not: the phase and the condition Ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It has free addresses.
    Available,
    /// Nothing of it is free, and allocations hold some of it.
    Exhausted,
    /// Nothing of it is free: child pools have all of it.
    FullyCarved,
    /// It is being deleted.
    Terminating,
}

impl Standing {
    const ALL: [Self; 4] = [Self::Available, Self::Exhausted, Self::FullyCarved, Self::Terminating];

    /// Of a pool with this free space, of which child pools have `carved`.
    pub(crate) fn of(object: &Object, free: &FreeSpace, carved: Count) -> Self {
        match free.free() {
            _ if object.is_terminating() => Self::Terminating,
            Count::ZERO if carved == free.total() => Self::FullyCarved,
            Count::ZERO => Self::Exhausted,
            _ => Self::Available,
        }
    }

    /// What a stored status says.
    pub(crate) fn shown(status: &Value) -> Option<Self> {
        let conditions = status["conditions"].as_array()?;
        let ready = conditions.iter().find(|condition| condition["type"] == READY)?;
        Self::ALL.into_iter().find(|standing| ready["reason"] == standing.why().0)
    }

    fn phase(self) -> PoolPhase {
        match self {
            Self::Available => PoolPhase::Ready,
            Self::Exhausted | Self::FullyCarved => PoolPhase::Exhausted,
            Self::Terminating => PoolPhase::Pending,
        }
    }

    /// Reason and message.
    fn why(self) -> (&'static str, &'static str) {
        match self {
            Self::Available => ("AddressesAvailable", "the pool has free addresses"),
            Self::Exhausted => ("PoolExhausted", "no address of the pool is free"),
            Self::FullyCarved => ("FullyCarved", "child pools have every address of the pool"),
            Self::Terminating => ("Terminating", "the pool is being deleted and hands out nothing new"),
        }
    }

    fn set_ready(self, conditions: &mut Vec<Value>, now: Time) {
        let status = if self == Self::Available { ConditionStatus::True } else { ConditionStatus::False };
        condition::set(conditions, READY, status, self.why(), now);
    }
}

/// Says in the status that the deletion of the pool has begun.
pub(crate) fn mark_terminating(object: &mut Object) {
    let Some(since) = object.metadata.deletion_timestamp else { return };
    let mut conditions = condition::in_status(object.field("status"));
    Standing::Terminating.set_ready(&mut conditions, since);
    if let Some(status) = object.fields.get_mut("status").and_then(Value::as_object_mut) {
        status.insert("phase".to_owned(), json!(Standing::Terminating.phase()));
        status.insert("conditions".to_owned(), Value::Array(conditions));
    }
}

impl PoolStatus {
    /// The status of a pool with this free space. Conditions of other types than the service's own are kept.
    pub(crate) fn fresh(
        object: &Object,
        free: &FreeSpace,
        standing: Standing,
        parent: Option<&str>,
        now: Time,
    ) -> Self {
        let block = free.pool();
        let allocated = match parent {
            Some(parent) => format!("{block} is carved from IPPool {parent}"),
            None => format!("{block} is a root pool"),
        };
        let mut conditions = condition::in_status(object.field("status"));
        condition::set(&mut conditions, ALLOCATED, ConditionStatus::True, ("AllocationSucceeded", &allocated), now);
        standing.set_ready(&mut conditions, now);
        Self {
            phase: standing.phase(),
            allocated_cidr: Some(block.to_string()),
            ip_family: Some(block.family().into()),
            capacity: Some(Capacity::of(free)),
            utilization_percent: Some(free.utilization_percent().into()),
            largest_free_prefix: free.largest_free().map(i64::from),
            observed_generation: object.metadata.generation,
            conditions,
        }
    }

    /// The status in the answer to the dry run of a child pool whose parent is not there.
    pub(crate) fn pending(object: &Object, why: &Refusal, now: Time) -> Self {
        Self {
            phase: PoolPhase::Pending,
            allocated_cidr: None,
            ip_family: None,
            capacity: None,
            utilization_percent: None,
            largest_free_prefix: None,
            observed_generation: object.metadata.generation,
            conditions: condition::pending(why, now),
        }
    }

    /// As JSON.
    pub(crate) fn to_value(&self) -> Value {
        serde_json::to_value(self).expect("a status has only strings for keys")
    }
}

impl Capacity {
    fn of(free: &FreeSpace) -> Self {
        let (total, allocated, available) = (free.total(), free.allocated(), free.free());
        Self {
            total: total.to_safe_integer(),
            allocated: allocated.to_safe_integer(),
            available: available.to_safe_integer(),
            exact: ExactCapacity {
                total: total.to_string(),
                allocated: allocated.to_string(),
                available: available.to_string(),
            },
        }
    }
}
