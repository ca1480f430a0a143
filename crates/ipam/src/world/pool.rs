//! A pool as decisions see it: its policy, its free space, and whether its stored status is out of date.
//!
//! A pool that a newer version of the program has written may have fields and values that this one does not know. Its space
//! is tracked all the same; it hands out nothing new here, and a status write changes the figures alone.

use std::sync::Arc;

use address::{Count, FreeSpace, Prefix};
use apimachinery::{
    command::{ObjectKey, Scope},
    object::Object,
    time::Time,
};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Policy, Standing};
use crate::{
    names::POOLS,
    spec,
    types::pool::{PoolSpec, PoolStatus},
};

/// The fields of a status that follow from the free space alone.
const FIGURES: [&str; 3] = ["capacity", "largestFreePrefix", "utilizationPercent"];

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
    /// How many addresses those pools have.
    pub(crate) carved: Count,
    /// How many spans of it are held by kinds that this version does not know.
    pub(crate) unknown_holders: u64,
    /// Whether this version knows every field and value of its spec and status.
    pub(crate) understood: bool,
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
    /// `None` when its reason is not one of this version's.
    standing: Option<Standing>,
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
            carved: Count::ZERO,
            unknown_holders: 0,
            understood: true,
            shown: None,
            stale: false,
            object: object.clone(),
        };
        pool.replace(object);
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
        ObjectKey { resource: POOLS, scope: self.scope.clone(), namespace: String::new(), name: self.name().to_owned() }
    }

    /// Takes over a new version of the object. Which block it is and what was taken of it stay.
    pub(super) fn replace(&mut self, object: Arc<Object>) {
        let spec = spec::read::<PoolSpec>(&object).ok();
        let parent = object.text("/spec/parentPoolRef/name");
        self.parent = (!parent.is_empty()).then(|| parent.to_owned());
        self.understood = spec.is_some() && PoolStatus::deserialize(object.field("status")).is_ok();
        self.policy = spec.map(|spec| Policy::of(spec.allocation.as_ref())).unwrap_or_default();
        self.shown = Shown::of(&object);
        self.object = object;
    }

    /// An allocation takes this block.
    pub(super) fn take_allocation(&mut self, block: Prefix) -> Result<(), String> {
        self.allocations += 1;
        self.take(block)
    }

    /// A child pool is carved out of it.
    pub(super) fn take_child(&mut self, block: Prefix) -> Result<(), String> {
        self.children += 1;
        self.carved = self.carved.checked_add(block.size()).ok_or("child pools have more than there is")?;
        self.take(block)
    }

    /// Something of a kind that this version does not know holds this block.
    pub(super) fn take_unknown(&mut self, block: Prefix) -> Result<(), String> {
        self.unknown_holders += 1;
        self.take(block)
    }

    /// What such an object held is free again.
    #[cfg(feature = "newer")]
    pub(super) fn release_unknown(&mut self, block: Prefix) -> Result<(), String> {
        self.unknown_holders = self.unknown_holders.checked_sub(1).ok_or("a span went that never came")?;
        self.release(block)
    }

    /// An allocation gives this block back.
    pub(super) fn release_allocation(&mut self, block: Prefix) -> Result<(), String> {
        self.allocations = self.allocations.checked_sub(1).ok_or("an allocation went that never came")?;
        self.release(block)
    }

    /// A child pool goes back.
    pub(super) fn release_child(&mut self, block: Prefix) -> Result<(), String> {
        self.children = self.children.checked_sub(1).ok_or("a child pool went that never came")?;
        self.carved = self.carved.checked_sub(block.size()).ok_or("a child pool went that had never come")?;
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
        let (generation, standing) = match &self.shown {
            Some(shown) if !self.understood => (shown.generation, shown.standing),
            _ => (self.object.metadata.generation, Some(self.standing())),
        };
        let (allocated, largest_free) = (self.free.allocated(), self.free.largest_free());
        self.shown.as_ref() != Some(&Shown { allocated, largest_free, generation, standing })
    }

    fn standing(&self) -> Standing {
        Standing::of(&self.object, &self.free, self.carved)
    }

    /// The object with the status that is due. Fields of the status that this version does not know stay as they are, and
    /// of a pool that it does not fully understand everything but the figures does.
    pub(super) fn with_fresh_status(&self, now: Time) -> Object {
        let mut object = (*self.object).clone();
        let fresh = PoolStatus::fresh(&object, &self.free, self.standing(), self.parent.as_deref(), now).to_value();
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

/// Puts the fields of `new` in the place of those of the same name, inside objects too; others stay.
fn overlay(old: &mut Map<String, Value>, new: Map<String, Value>) {
    for (name, value) in new {
        match (old.get_mut(&name), value) {
            (Some(Value::Object(old)), Value::Object(new)) => overlay(old, new),
            (_, value) => drop(old.insert(name, value)),
        }
    }
}

impl Shown {
    /// Reads the figures alone: whatever else a newer version may have put into the status.
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
        Some(Self { allocated, largest_free, generation, standing: Standing::shown(status) })
    }
}
