//! A pool as decisions see it: its policy, its free space, and whether its stored status is behind.

use std::sync::Arc;

use address::{Count, FreeSpace, Prefix};
use apimachinery::{
    command::{ObjectKey, Scope},
    object::Object,
    time::Time,
};
use serde::Deserialize;

use crate::{
    pool::{self, Policy, PoolSpec, PoolStatus},
    spec,
};

/// A pool as decisions see it.
#[derive(Debug)]
pub(crate) struct Pool {
    /// Its current version.
    pub(crate) object: Arc<Object>,
    /// Whose it is.
    pub(crate) scope: Scope,
    /// The pool that it was carved from.
    pub(crate) parent: Option<String>,
    /// What it hands out.
    pub(crate) policy: Policy,
    /// What it has left.
    pub(crate) free: FreeSpace,
    /// How many allocations hold a block of it, retained ones too.
    pub(crate) allocations: u64,
    /// How many pools were carved from it.
    pub(crate) children: u64,
    /// What its stored status says; `None` when that cannot be read.
    pub(super) shown: Option<Shown>,
    /// Whether the world has it among those that are behind.
    pub(super) stale: bool,
}

/// The part of a pool's status from which all the rest follows.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shown {
    allocated: Count,
    largest_free: Option<u8>,
    generation: Option<i64>,
}

impl Pool {
    /// A pool of which nothing is taken yet.
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
            shown: None,
            stale: false,
            object: object.clone(),
        };
        pool.replace(object)?;
        Ok(pool)
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.object.metadata.name
    }

    /// Its block.
    pub(crate) fn block(&self) -> Prefix {
        self.free.pool()
    }

    /// The key of its object.
    pub(super) fn key(&self) -> ObjectKey {
        pool::key(&self.scope, self.name())
    }

    /// Takes over a new version of the object. Which block it is and what was taken of it stay.
    pub(super) fn replace(&mut self, object: Arc<Object>) -> Result<(), String> {
        let spec: PoolSpec = spec::read(&object).map_err(|refusal| refusal.message)?;
        self.parent = spec.parent_pool_ref.map(|parent| parent.name);
        self.policy = Policy::of(spec.allocation.as_ref());
        self.shown = Shown::of(&object);
        self.object = object;
        Ok(())
    }

    /// An allocation takes this block.
    pub(super) fn take_allocation(&mut self, block: Prefix) -> Result<(), String> {
        self.allocations += 1;
        self.take(block)
    }

    /// A child pool is carved out of it.
    pub(super) fn take_child(&mut self, block: Prefix) -> Result<(), String> {
        self.children += 1;
        self.take(block)
    }

    /// An allocation gives this block back.
    pub(super) fn release_allocation(&mut self, block: Prefix) -> Result<(), String> {
        self.allocations = self.allocations.checked_sub(1).ok_or("an allocation went that never came")?;
        self.release(block)
    }

    /// A child pool goes back.
    pub(super) fn release_child(&mut self, block: Prefix) -> Result<(), String> {
        self.children = self.children.checked_sub(1).ok_or("a child pool went that never came")?;
        self.release(block)
    }

    fn take(&mut self, block: Prefix) -> Result<(), String> {
        self.free.take(block).map_err(|error| format!("{block} of IPPool \"{}\": {error}", self.name()))
    }

    fn release(&mut self, block: Prefix) -> Result<(), String> {
        self.free.release(block).map_err(|error| format!("{block} of IPPool \"{}\": {error}", self.name()))
    }

    /// Whether its stored status says something else than its free space.
    pub(super) fn is_behind(&self) -> bool {
        let due = Shown {
            allocated: self.free.allocated(),
            largest_free: self.free.largest_free(),
            generation: self.object.metadata.generation,
        };
        self.shown.as_ref() != Some(&due)
    }

    /// The object with the status that is due.
    pub(super) fn with_fresh_status(&self, now: Time) -> Object {
        let mut object = (*self.object).clone();
        let status = PoolStatus::fresh(&object, &self.free, self.parent.as_deref(), now);
        object.set_field("status", status.to_value());
        object
    }
}

impl Shown {
    fn of(object: &Object) -> Option<Self> {
        let status = PoolStatus::deserialize(object.field("status")).ok()?;
        let allocated = status.capacity.exact.allocated;
        let allocated = match allocated.parse() {
            Ok(count) => Count::new(count),
            Err(_) if allocated == Count::MAX.to_string() => Count::MAX,
            Err(_) => return None,
        };
        let largest_free = status.largest_free_prefix.map(u8::try_from).transpose().ok()?;
        Some(Self { allocated, largest_free, generation: status.observed_generation })
    }
}
