//! A pool in the allocator state: its policy, its free space, and the staleness of its stored status.
//!
//! A pool that was written by a newer version of the server may have unknown fields and values. Its free space is still
//! tracked, but nothing is allocated from it, and status writes change only the figures.

use std::sync::Arc;

use address::{Count, FreeSpace, Prefix};
use apimachinery::{
    command::{ObjectKey, Scope},
    object::Object,
    time::Time,
};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Availability, Policy};
use crate::{
    names::POOLS,
    spec,
    types::pool::{PoolSpec, PoolStatus},
};

/// The status fields that depend on the free space only.
const FIGURES: [&str; 3] = ["capacity", "largestFreePrefix", "utilizationPercent"];

/// A pool in the allocator state.
#[derive(Debug)]
pub(crate) struct Pool {
    /// The current version of the object.
    pub(crate) object: Arc<Object>,
    /// The tenant of the pool.
    pub(crate) scope: Scope,
    /// The name of the parent pool; `None` for a root pool.
    pub(crate) parent: Option<String>,
    /// The bounds and the strategy of allocations.
    pub(crate) policy: Policy,
    /// The free space.
    pub(crate) free: FreeSpace,
    /// The number of allocations, including retained ones.
    pub(crate) allocations: u64,
    /// The number of child pools.
    pub(crate) children: u64,
    /// The number of addresses of the child pools.
    pub(crate) carved: Count,
    /// The number of blocks held by objects of kinds that this version does not know.
    pub(crate) unknown_holders: u64,
    /// True if this version knows every field and value of the spec and status.
    pub(crate) understood: bool,
    /// The summary of the stored status; `None` if it cannot be read.
    pub(super) stored_summary: Option<StatusSummary>,
    /// True if the pool is in `AllocatorState::stale_statuses`.
    pub(super) status_dirty: bool,
}

/// The part of a pool's status from which the remaining fields are computed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct StatusSummary {
    allocated: Count,
    largest_free: Option<u8>,
    generation: Option<i64>,
    /// `None` if this version does not know the reason.
    availability: Option<Availability>,
}

impl Pool {
    /// Creates a pool without allocations.
    pub(super) fn new(scope: Scope, object: Arc<Object>) -> Result<Self, String> {
        let name = &object.metadata.name;
        let block = spec::stored_block(object.text("/status/allocatedCIDR"))
            .ok_or_else(|| format!("IPPool \"{name}\" has no status.allocatedCIDR"))?;
        let mut pool = Self {
            scope,
            parent: None,
            policy: Policy::default(),
            free: FreeSpace::new(block),
            allocations: 0,
            children: 0,
            carved: Count::ZERO,
            unknown_holders: 0,
            understood: true,
            stored_summary: None,
            status_dirty: false,
            object: object.clone(),
        };
        pool.replace(object);
        Ok(pool)
    }

    pub(crate) fn name(&self) -> &str {
        &self.object.metadata.name
    }

    /// Returns the pool's block.
    pub(crate) fn block(&self) -> Prefix {
        self.free.pool()
    }

    /// Returns the key of the pool's object.
    pub(super) fn key(&self) -> ObjectKey {
        ObjectKey { resource: POOLS, scope: self.scope.clone(), namespace: String::new(), name: self.name().to_owned() }
    }

    /// Replaces the object. The block and its free space do not change.
    pub(super) fn replace(&mut self, object: Arc<Object>) {
        let spec = spec::read::<PoolSpec>(&object).ok();
        let parent = object.text("/spec/parentPoolRef/name");
        self.parent = (!parent.is_empty()).then(|| parent.to_owned());
        self.understood = spec.is_some() && PoolStatus::deserialize(object.field("status")).is_ok();
        self.policy = spec.map(|spec| Policy::of(spec.allocation.as_ref())).unwrap_or_default();
        self.stored_summary = StatusSummary::of(&object);
        self.object = object;
    }

    /// Marks the block as held by an allocation.
    pub(super) fn take_allocation(&mut self, block: Prefix) -> Result<(), String> {
        self.allocations += 1;
        self.take(block)
    }

    /// Marks the block as held by a child pool.
    pub(super) fn take_child(&mut self, block: Prefix) -> Result<(), String> {
        self.children += 1;
        self.carved = self.carved.checked_add(block.size()).ok_or("child pools have more than 2^128 addresses")?;
        self.take(block)
    }

    /// Marks the block as held by an object of an unknown kind.
    pub(super) fn take_unknown(&mut self, block: Prefix) -> Result<(), String> {
        self.unknown_holders += 1;
        self.take(block)
    }

    /// Frees a block held by an object of an unknown kind.
    #[cfg(feature = "newer")]
    pub(super) fn release_unknown(&mut self, block: Prefix) -> Result<(), String> {
        self.unknown_holders =
            self.unknown_holders.checked_sub(1).ok_or("a holder was removed that was never added")?;
        self.release(block)
    }

    /// Frees a block held by an allocation.
    pub(super) fn release_allocation(&mut self, block: Prefix) -> Result<(), String> {
        self.allocations = self.allocations.checked_sub(1).ok_or("an allocation was removed that was never added")?;
        self.release(block)
    }

    /// Frees the block of a child pool.
    pub(super) fn release_child(&mut self, block: Prefix) -> Result<(), String> {
        self.children = self.children.checked_sub(1).ok_or("a child pool was removed that was never added")?;
        self.carved = self.carved.checked_sub(block.size()).ok_or("child pools released more than they had taken")?;
        self.release(block)
    }

    fn take(&mut self, block: Prefix) -> Result<(), String> {
        self.free.allocate(block).map_err(|error| format!("{block} of IPPool \"{}\": {error}", self.name()))
    }

    fn release(&mut self, block: Prefix) -> Result<(), String> {
        self.free.release(block).map_err(|error| format!("{block} of IPPool \"{}\": {error}", self.name()))
    }

    /// True if the stored status does not match the free space.
    pub(super) fn is_status_stale(&self) -> bool {
        let (generation, availability) = match &self.stored_summary {
            Some(shown) if !self.understood => (shown.generation, shown.availability),
            _ => (self.object.metadata.generation, Some(self.availability())),
        };
        let (allocated, largest_free) = (self.free.allocated(), self.free.largest_free());
        self.stored_summary.as_ref() != Some(&StatusSummary { allocated, largest_free, generation, availability })
    }

    fn availability(&self) -> Availability {
        Availability::of(&self.object, &self.free, self.carved)
    }

    /// Returns the object with an up-to-date status. Unknown status fields are preserved; if the pool is not fully
    /// understood, only the figures change.
    pub(super) fn with_computed_status(&self, now: Time) -> Object {
        let mut object = (*self.object).clone();
        let fresh =
            PoolStatus::compute(&object, &self.free, self.availability(), self.parent.as_deref(), now).to_value();
        let Value::Object(mut fresh) = fresh else { return object };
        if !self.understood {
            fresh.retain(|name, _| FIGURES.contains(&name.as_str()));
        }
        let mut status = match object.fields.remove("status") {
            Some(Value::Object(status)) => status,
            _ => Map::new(),
        };
        status.remove("largestFreePrefix");
        overlay(&mut status, fresh);
        object.set_field("status", Value::Object(status));
        object
    }
}

/// Merges `new` into `old` recursively. Fields that `new` does not have stay.
fn overlay(old: &mut Map<String, Value>, new: Map<String, Value>) {
    for (name, value) in new {
        match (old.get_mut(&name), value) {
            (Some(Value::Object(old)), Value::Object(new)) => overlay(old, new),
            (_, value) => drop(old.insert(name, value)),
        }
    }
}

impl StatusSummary {
    /// Reads only the summary fields; a newer version may have added others to the status.
    fn of(object: &Object) -> Option<Self> {
        let allocated = object.text("/status/capacity/exact/allocated");
        let allocated = match allocated.parse() {
            Ok(count) => Count::new(count),
            Err(_) if allocated == Count::MAX.to_string() => Count::MAX,
            Err(_) => return None,
        };
        let status = object.field("status");
        let largest_free = match status.get("largestFreePrefix") {
            None | Some(Value::Null) => None,
            Some(length) => Some(u8::try_from(length.as_u64()?).ok()?),
        };
        let generation = status.get("observedGeneration").and_then(Value::as_i64);
        Some(Self { allocated, largest_free, generation, availability: Availability::from_status(status) })
    }
}
