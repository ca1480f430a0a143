//! Computation of the IPPool status from the free space.

use address::{Count, FreeSpace};
use apimachinery::{object::Object, status_error::StatusError, time::Time};
use serde_json::{Value, json};

use crate::{
    condition::{self, ALLOCATED, ConditionStatus, READY},
    types::pool::{Capacity, ExactCapacity, PoolPhase, PoolStatus},
};

/// The availability of a pool, shown as the phase and the condition Ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Availability {
    /// The pool has free addresses.
    Available,
    /// No address is free, and allocations hold at least one.
    Exhausted,
    /// No address is free, and child pools hold all of them.
    FullyCarved,
    /// The pool is being deleted.
    Terminating,
}

impl Availability {
    const ALL: [Self; 4] = [Self::Available, Self::Exhausted, Self::FullyCarved, Self::Terminating];

    /// Computes the availability from the free space and the number of addresses held by child pools (`carved`).
    pub(crate) fn of(object: &Object, free: &FreeSpace, carved: Count) -> Self {
        match free.free() {
            _ if object.is_terminating() => Self::Terminating,
            Count::ZERO if carved == free.total() => Self::FullyCarved,
            Count::ZERO => Self::Exhausted,
            _ => Self::Available,
        }
    }

    /// Reads the availability from a stored status.
    pub(crate) fn from_status(status: &Value) -> Option<Self> {
        let conditions = status["conditions"].as_array()?;
        let ready = conditions.iter().find(|condition| condition["type"] == READY)?;
        Self::ALL.into_iter().find(|availability| ready["reason"] == availability.reason_and_message().0)
    }

    fn phase(self) -> PoolPhase {
        match self {
            Self::Available => PoolPhase::Ready,
            Self::Exhausted | Self::FullyCarved => PoolPhase::Exhausted,
            Self::Terminating => PoolPhase::Pending,
        }
    }

    /// Returns the reason and the message of the condition Ready.
    fn reason_and_message(self) -> (&'static str, &'static str) {
        match self {
            Self::Available => ("AddressesAvailable", "the pool has free addresses"),
            Self::Exhausted => ("PoolExhausted", "no address of the pool is free"),
            Self::FullyCarved => ("FullyCarved", "child pools have every address of the pool"),
            Self::Terminating => ("Terminating", "the pool is being deleted and hands out nothing new"),
        }
    }

    fn set_ready(self, conditions: &mut Vec<Value>, now: Time) {
        let status = if self == Self::Available { ConditionStatus::True } else { ConditionStatus::False };
        condition::set(conditions, READY, status, self.reason_and_message(), now);
    }
}

/// Updates the status when the deletion of the pool begins.
pub(crate) fn mark_terminating(object: &mut Object) {
    let Some(since) = object.metadata.deletion_timestamp else { return };
    let mut conditions = condition::in_status(object.field("status"));
    Availability::Terminating.set_ready(&mut conditions, since);
    if let Some(status) = object.fields.get_mut("status").and_then(Value::as_object_mut) {
        status.insert("phase".to_owned(), json!(Availability::Terminating.phase()));
        status.insert("conditions".to_owned(), Value::Array(conditions));
    }
}

impl PoolStatus {
    /// Computes the status from the free space. Conditions of types that the service does not own are kept.
    pub(crate) fn compute(
        object: &Object,
        free: &FreeSpace,
        availability: Availability,
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
        availability.set_ready(&mut conditions, now);
        Self {
            phase: availability.phase(),
            allocated_cidr: Some(block.to_string()),
            ip_family: Some(block.family().into()),
            capacity: Some(Capacity::of(free)),
            utilization_percent: Some(free.utilization_percent().into()),
            largest_free_prefix: free.largest_free().map(i64::from),
            observed_generation: object.metadata.generation,
            conditions,
        }
    }

    /// Returns the status of a child pool in a dry run whose parent does not exist.
    pub(crate) fn pending(object: &Object, why: &StatusError, now: Time) -> Self {
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

    /// Serializes the status to JSON.
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
