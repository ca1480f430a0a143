//! The allocator state, on which decisions are based: every pool with its free space, and the pools whose stored status
//! is out of date.
//!
//! Allocations are not stored as objects: each one is a hole in a pool's free space and a count. A [`AllocatorState`] depends
//! only on the existing objects and their spans, not on the order of the writes. A write is therefore undone by
//! applying its reverse, and a restart rebuilds the same state.

#[cfg(test)]
mod debug_dump;
mod held;
mod policy;
mod pool;
mod space;
mod status;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use address::{Count, Family, Prefix};
use apimachinery::{
    command::{ObjectKey, Scope, Write},
    kind::{self, Gauge, Span},
    object::Object,
    time::Time,
};

#[cfg(feature = "newer")]
pub(crate) use self::held::span_of_hold;
use self::space::{Space, block_between, blocks_of};
pub(crate) use self::{
    held::HeldBlock,
    policy::Policy,
    pool::Pool,
    space::{occupied, space_of_pool, space_of_roots, span},
    status::{Availability, mark_terminating},
};
use crate::names::{ALLOCATIONS, POOLS};

/// All pools of all tenants.
#[derive(Debug, Default)]
pub struct AllocatorState {
    tenants: BTreeMap<Box<str>, Tenant>,
    /// The pools whose stored status does not match their free space. Their `status_dirty` is true.
    stale_statuses: BTreeSet<(Scope, String)>,
}

/// The pools of one tenant.
#[derive(Debug, Default)]
struct Tenant {
    /// Sorted by name, because a selector tries pools in that order.
    pools: BTreeMap<String, Pool>,
    /// The root pools by family and first address. Root pools never overlap, so a new one can only overlap its
    /// neighbor.
    roots: BTreeMap<(Family, u128), Root>,
}

#[derive(Debug)]
struct Root {
    block: Prefix,
    name: String,
}

impl AllocatorState {
    /// Returns the pool of this name.
    pub(crate) fn pool(&self, scope: &Scope, name: &str) -> Option<&Pool> {
        self.tenants.get(scope.as_str())?.pools.get(name)
    }

    /// Returns the pools of a scope in name order.
    pub(crate) fn pools(&self, scope: &Scope) -> impl Iterator<Item = &Pool> {
        self.tenants.get(scope.as_str()).into_iter().flat_map(|tenant| tenant.pools.values())
    }

    /// True if a scope has pools of both families. Child pools have the family of their root pool.
    pub(crate) fn has_both_families(&self, scope: &Scope) -> bool {
        let Some(tenant) = self.tenants.get(scope.as_str()) else { return false };
        let ends = [tenant.roots.first_key_value(), tenant.roots.last_key_value()];
        let [first, last] = ends.map(|root| root.map(|((family, _), _)| *family));
        first != last
    }

    /// Returns the block and the name of the root pool that overlaps `block`.
    pub(crate) fn root_overlapping(&self, scope: &Scope, block: Prefix) -> Option<(Prefix, &str)> {
        let roots = &self.tenants.get(scope.as_str())?.roots;
        let (_, nearest) = roots.range(..=(block.family(), block.last())).next_back()?;
        nearest.block.overlaps(block).then_some((nearest.block, nearest.name.as_str()))
    }

    fn apply_pool(&mut self, write: &Write) -> Result<(), String> {
        let (scope, name) = (&write.key.scope, write.key.name.as_str());
        match (&write.old, &write.new) {
            (None, Some(new)) => {
                let block = self.insert(scope, name, new.clone())?;
                match self.parent_of(scope, name) {
                    Some(parent) => self.change(scope, &parent, |pool| pool.take_child(block)),
                    None => Ok(()),
                }
            }
            (Some(_), None) => {
                let parent = self.parent_of(scope, name);
                let block = self.remove(scope, name)?;
                match parent {
                    Some(parent) => self.change(scope, &parent, |pool| pool.release_child(block)),
                    None => Ok(()),
                }
            }
            (Some(_), Some(new)) => self.change(scope, name, |pool| {
                pool.replace(new.clone());
                Ok(())
            }),
            (None, None) => Ok(()),
        }
    }

    fn apply_allocation(&mut self, write: &Write) -> Result<(), String> {
        let old = write.old.as_deref().and_then(HeldBlock::of);
        let new = write.new.as_deref().and_then(HeldBlock::of);
        if old == new {
            return Ok(());
        }
        if let Some(HeldBlock { pool, block }) = old {
            self.change(&write.key.scope, pool, |pool| pool.release_allocation(block))?;
        }
        if let Some(HeldBlock { pool, block }) = new {
            self.change(&write.key.scope, pool, |pool| pool.take_allocation(block))?;
        }
        Ok(())
    }

    #[cfg(feature = "newer")]
    fn apply_hold(&mut self, write: &Write) -> Result<(), String> {
        let held = |object: &Option<Arc<Object>>| span_of_hold(&write.key, object.as_deref()?);
        if let Some(span) = held(&write.old) {
            let (pool, blocks) = self.blocks_in_pool(&span)?;
            self.change(&write.key.scope, &pool, |pool| {
                blocks.into_iter().try_for_each(|block| pool.release_unknown(block))
            })?;
        }
        match held(&write.new) {
            Some(span) => kind::State::load_span(self, &span),
            None => Ok(()),
        }
    }

    #[cfg(feature = "newer")]
    fn blocks_in_pool(&self, span: &Span) -> Result<(String, Vec<Prefix>), String> {
        let Some(Space::Pool { scope, name }) = Space::parse(&span.space) else { return Err("no pool".to_owned()) };
        let pool = self.tenants.get(scope).and_then(|tenant| tenant.pools.get(name)).ok_or_else(|| missing(name))?;
        Ok((name.to_owned(), blocks_of(pool.block().family(), span.first, span.last)))
    }

    /// Adds a pool without allocations and returns its block. Does not update the parent.
    fn insert(&mut self, scope: &Scope, name: &str, object: Arc<Object>) -> Result<Prefix, String> {
        let pool = Pool::new(scope.clone(), object)?;
        let block = pool.free.pool();
        let tenant = self.tenants.entry(scope.as_str().into()).or_default();
        if pool.parent.is_none() {
            let root = Root { block, name: name.to_owned() };
            tenant.roots.insert((block.family(), block.first()), root);
        }
        if tenant.pools.insert(name.to_owned(), pool).is_some() {
            return Err(format!("IPPool \"{name}\" exists already"));
        }
        self.change(scope, name, |_| Ok(()))?;
        Ok(block)
    }

    /// Removes a pool and returns its block. Does not update the parent.
    fn remove(&mut self, scope: &Scope, name: &str) -> Result<Prefix, String> {
        let missing = || missing(name);
        let tenant = self.tenants.get_mut(scope.as_str()).ok_or_else(missing)?;
        let pool = tenant.pools.remove(name).ok_or_else(missing)?;
        let block = pool.free.pool();
        if pool.parent.is_none() {
            tenant.roots.remove(&(block.family(), block.first()));
        }
        if tenant.pools.is_empty() {
            self.tenants.remove(scope.as_str());
        }
        if pool.status_dirty {
            self.stale_statuses.remove(&(scope.clone(), name.to_owned()));
        }
        Ok(block)
    }

    /// Changes a pool and updates its `status_dirty`.
    fn change(
        &mut self,
        scope: &Scope,
        name: &str,
        change: impl FnOnce(&mut Pool) -> Result<(), String>,
    ) -> Result<(), String> {
        let tenant = self.tenants.get_mut(scope.as_str());
        let pool = tenant.and_then(|tenant| tenant.pools.get_mut(name)).ok_or_else(|| missing(name))?;
        change(pool)?;
        let stale = pool.is_status_stale();
        if stale != pool.status_dirty {
            pool.status_dirty = stale;
            let key = (scope.clone(), name.to_owned());
            if stale {
                self.stale_statuses.insert(key);
            } else {
                self.stale_statuses.remove(&key);
            }
        }
        Ok(())
    }

    fn parent_of(&self, scope: &Scope, name: &str) -> Option<String> {
        self.pool(scope, name)?.parent.clone()
    }

    fn all_pools(&self) -> impl Iterator<Item = &Pool> {
        self.tenants.values().flat_map(|tenant| tenant.pools.values())
    }
}

fn missing(name: &str) -> String {
    format!("there is no IPPool \"{name}\"")
}

impl kind::State for AllocatorState {
    fn apply(&mut self, write: &Write) {
        let applied = match write.key.resource {
            POOLS => self.apply_pool(write),
            ALLOCATIONS => self.apply_allocation(write),
            #[cfg(feature = "newer")]
            crate::names::HOLDS => self.apply_hold(write),
            _ => Ok(()),
        };
        applied.expect("a committed write was decided on this state, and the store rejects overlaps");
    }

    fn observed_resources() -> &'static [&'static str] {
        &[
            POOLS,
            ALLOCATIONS,
            #[cfg(feature = "newer")]
            crate::names::HOLDS,
        ]
    }

    fn pending_status_updates(&self, now: Time) -> Vec<Write> {
        let stale = self.stale_statuses.iter().filter_map(|(scope, name)| self.pool(scope, name));
        stale
            .map(|pool| Write {
                key: pool.key(),
                old: Some(pool.object.clone()),
                new: Some(Arc::new(pool.with_computed_status(now))),
            })
            .collect()
    }

    fn load_object(&mut self, key: ObjectKey, object: Object) -> Result<(), String> {
        if key.resource != POOLS {
            return Err(format!("{} are not part of the allocator state", key.resource));
        }
        self.insert(&key.scope, &key.name, Arc::new(object)).map(|_| ())
    }

    fn load_span(&mut self, span: &Span) -> Result<(), String> {
        let Some(Space::Pool { scope, name }) = Space::parse(&span.space) else {
            // Root pools are restored from their objects; their spans only serve the store's overlap check. Spaces of
            // kinds that this version does not know are ignored.
            return Ok(());
        };
        let pool = self.tenants.get(scope).and_then(|tenant| tenant.pools.get(name)).ok_or_else(|| missing(name))?;
        let (scope, family, all) = (pool.scope.clone(), pool.block().family(), pool.block());
        let take = match span.holder.split('/').next() {
            Some(ALLOCATIONS) => Pool::take_allocation,
            Some(POOLS) => Pool::take_child,
            // A kind of a newer version. Its spans need not be aligned blocks.
            _ => {
                let inside = blocks_of(family, span.first, span.last).into_iter().filter(|block| all.contains(*block));
                return self
                    .change(&scope, name, |pool| inside.into_iter().try_for_each(|block| pool.take_unknown(block)));
            }
        };
        let block = block_between(family, span.first, span.last)
            .ok_or_else(|| format!("{} holds {} to {}, which is not a block", span.holder, span.first, span.last))?;
        self.change(&scope, name, |pool| take(pool, block))
    }

    fn cached_resources(&self) -> &'static [&'static str] {
        &[POOLS]
    }

    fn gauges(&self) -> Vec<Gauge> {
        let labels = |pool: &Pool| vec![("scope", pool.scope.as_str().to_owned()), ("pool", pool.name().to_owned())];
        let mut addresses = Vec::new();
        let mut ratios = Vec::new();
        for pool in self.all_pools() {
            let free = &pool.free;
            let states = [
                ("allocated", free.allocated()),
                ("carved", pool.carved),
                ("free", free.free()),
                ("total", free.total()),
            ];
            for (state, count) in states {
                let mut labels = labels(pool);
                labels.push(("state", state.to_owned()));
                addresses.push((labels, approximate(count)));
            }
            ratios.push((labels(pool), approximate(free.allocated()) / approximate(free.total())));
        }
        let pools = vec![(Vec::new(), approximate(Count::new(ratios.len() as u128)))];
        vec![
            Gauge {
                name: "ipam_pool_addresses",
                help: "Addresses of a pool, by state. Carved are those allocated to child pools.",
                samples: addresses,
            },
            Gauge {
                name: "ipam_pool_utilization_ratio",
                help: "Share of a pool's addresses that is allocated, 0 to 1.",
                samples: ratios,
            },
            Gauge { name: "ipam_pools", help: "Number of pools.", samples: pools },
        ]
    }
}

/// Converts a count to a float for metrics, with 53 bits of precision.
fn approximate(count: Count) -> f64 {
    count.to_string().parse().expect("a decimal number reads as a float")
}
