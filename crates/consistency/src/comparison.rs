//! The second step: compares each claim and span with the inventory.

use std::fmt;

use crate::{
    block::{self, Block},
    findings::{Check, Findings},
    inventory::{Inventory, read},
    names::{self, Name},
    objects::{self, Named},
    pools,
};

/// The phases in which a claim has a block.
const HOLDING: [&str; 2] = ["Bound", "Releasing"];

/// A complete inventory, with which claims and spans are compared.
pub struct Comparison {
    inventory: Inventory,
    /// The indexes of the allocations in `taken`, sorted by namespace and name.
    by_name: Vec<u32>,
    /// The number of blocks that were read to find those of the spans.
    #[cfg(test)]
    pub(crate) looked_at: usize,
}

/// The values in the status of a claim.
struct Said<'c> {
    label: &'c str,
    block: Option<Block>,
    pool: &'c str,
}

impl Inventory {
    /// Runs the checks that need only the inventory. Claims and spans are compared afterwards.
    pub fn complete(mut self) -> Comparison {
        if !self.has_namespaces {
            let reason = "there are no Namespaces here; they belong to the cluster around the service";
            self.findings.skip(Check::Namespaces, reason);
        }
        pools::check_roots(&self.pools, &mut self.findings);
        self.taken.sort_unstable_by_key(|taken| (taken.place(), taken.length));
        let mut findings = std::mem::replace(&mut self.findings, Findings::new(self.of_store));
        for (number, pool) in self.pools.all() {
            let taken = pools::of_pool(&self.taken, number);
            self.check_taken(pool, taken, &mut findings);
            if let Some(block) = pool.block {
                pools::check_status(pool, block, taken, &mut findings);
            }
        }
        self.findings = findings;
        Comparison::new(self)
    }
}

impl Comparison {
    pub(crate) fn new(inventory: Inventory) -> Self {
        let taken = &inventory.taken;
        let places = (0..).zip(taken).filter(|(_, one)| one.holder.as_allocation().is_some());
        let mut by_name: Vec<u32> = places.map(|(place, _)| place).collect();
        by_name.sort_unstable_by_key(|place| taken[*place as usize].holder.as_allocation());
        Self {
            inventory,
            by_name,
            #[cfg(test)]
            looked_at: 0,
        }
    }

    /// Compares an IPClaim of a scope, given as JSON.
    pub fn claim(&mut self, scope: &str, json: &[u8]) {
        let findings = &mut self.inventory.findings;
        findings.counts.claims += 1;
        let Some(object) = read::<objects::Claim<'_>>(json, "ipclaim", Check::Claims, findings) else { return };
        let objects::Metadata { name, namespace } = &object.metadata;
        let label = format!("ipclaim {}", names::path(scope, namespace, name));
        let number = self.inventory.namespaces.number(scope, namespace);
        self.inventory.namespaces.get_mut(number).claims += 1;
        let status = object.status.unwrap_or_default();
        if !status.phase.as_deref().is_some_and(|phase| HOLDING.contains(&phase)) {
            return;
        }
        let Some(bound) = Named::text(status.bound_allocation_ref) else {
            return self.fault(Check::Claims, label, "is bound, and status.boundAllocationRef names no allocation");
        };
        let due = names::of_claim(namespace, name);
        if self.inventory.texts.find(&bound) != Some(Name::Hash(due)) {
            let message = format!("is bound to ipallocation {bound}; its own is called {}", names::allocation(due));
            self.fault(Check::Names, &label, message);
        }
        let pool = Named::text(status.pool_ref).unwrap_or_default();
        let block = status.allocated_cidr.as_deref().and_then(Block::parse);
        let found = self.inventory.texts.find(&bound).and_then(|name| self.place_of(number, name));
        match found {
            Some(place) => self.compare(place, &Said { label: &label, block, pool: &pool }),
            None => self.fault(Check::Claims, label, format!("is bound to ipallocation {bound}, which holds no block")),
        }
    }

    fn compare(&mut self, place: usize, said: &Said<'_>) {
        let taken = &mut self.inventory.taken[place];
        taken.seen.is_confirmed = true;
        let taken = *taken;
        let (held, holder) = (taken.block(), self.inventory.holder(&taken));
        let pool = &self.inventory.pools.get(taken.pool).name;
        let mut differences = Vec::new();
        if said.block != Some(held) {
            let block = said.block.map_or_else(|| "no block".to_owned(), |block| block.to_string());
            differences.push(format!("has {block}, and its {holder} holds {held}"));
        }
        if said.pool != &**pool {
            differences.push(format!("has its block of pool {:?}, and its {holder} of pool {:?}", said.pool, pool));
        }
        if !taken.seen.is_claimed {
            differences.push(format!("is bound to {holder}, which names no claim"));
        }
        for difference in differences {
            self.fault(Check::Claims, said.label, difference);
        }
    }

    /// Returns the index of the allocation with this name.
    fn place_of(&self, namespace: u32, name: Name) -> Option<usize> {
        let taken = &self.inventory.taken;
        let key = |place: &u32| taken[*place as usize].holder.as_allocation();
        let found = self.by_name.binary_search_by_key(&Some((namespace, name)), key);
        found.ok().map(|index| self.by_name[index] as usize)
    }

    /// Compares a span of the store.
    pub fn span(&mut self, space: &str, first: u128, last: u128, holder: &str) {
        let is_known = match space.splitn(3, '/').collect::<Vec<_>>()[..] {
            ["pool", scope, name] => self.span_of_pool((scope, name), (first, last), holder),
            ["root", scope, family] => self.span_of_root((scope, family), (first, last), holder),
            _ => false,
        };
        if !is_known {
            let (first, last) = (block::address(false, first), block::address(false, last));
            let message = format!("the store has {first} to {last} in {space}, and the object does not hold that");
            self.fault(Check::Spans, holder, message);
        }
    }

    fn span_of_pool(&mut self, (scope, name): (&str, &str), (first, last): (u128, u128), holder: &str) -> bool {
        let Some(pool) = self.inventory.pools.find(scope, name) else { return false };
        let starting =
            [false, true].into_iter().flat_map(|is_v6| pools::range_at(&self.inventory.taken, pool, is_v6, first));
        #[cfg(test)]
        {
            self.looked_at += starting.clone().count();
        }
        let mut starting = starting;
        let found = starting.find(|place| {
            let taken = &self.inventory.taken[*place];
            taken.block().last() == last && !taken.seen.is_guarded && self.inventory.key(taken) == holder
        });
        if let Some(place) = found {
            self.inventory.taken[place].seen.is_guarded = true;
        }
        found.is_some()
    }

    fn span_of_root(&mut self, (scope, family): (&str, &str), (first, last): (u128, u128), holder: &str) -> bool {
        let Some(name) = holder.strip_prefix(&format!("ippools/{scope}//")) else { return false };
        let Some(number) = self.inventory.pools.find(scope, name) else { return false };
        let pool = self.inventory.pools.get_mut(number);
        let fits = |block: Block| block.first == first && block.last() == last && block.family() == family;
        let is_known = pool.exists && pool.parent.is_none() && pool.block.is_some_and(fits);
        pool.is_guarded |= is_known;
        is_known
    }

    /// Finishes the checks. All claims and, for a store, all spans must have been compared.
    pub fn finish(mut self) -> Findings {
        let mut findings = std::mem::replace(&mut self.inventory.findings, Findings::new(false));
        let inventory = &self.inventory;
        for taken in &inventory.taken {
            if taken.seen.is_claimed && !taken.seen.is_confirmed {
                let message = format!("holds {} for a claim that does not exist or is not bound to it", taken.block());
                findings.add(Check::Allocations, inventory.holder(taken), message);
            }
            if inventory.of_store && !taken.seen.is_guarded {
                let pool = inventory.pools.get(taken.pool).label();
                let message = format!("holds {} of pool {pool}, and the store has no span for it", taken.block());
                findings.add(Check::Spans, inventory.holder(taken), message);
            }
        }
        let unguarded = inventory
            .pools
            .all()
            .filter(|(_, pool)| inventory.of_store && pool.exists && pool.parent.is_none() && !pool.is_guarded);
        for (_, pool) in unguarded {
            if let Some(block) = pool.block {
                let message = format!("is the root pool {block}, and the store has no span for it");
                findings.add(Check::Spans, pool.label(), message);
            }
        }
        let in_use = inventory.namespaces.all().iter().filter(|namespace| namespace.claims + namespace.allocations > 0);
        for namespace in in_use {
            findings.counts.namespaces += 1;
            if !namespace.exists && findings.of(Check::Namespaces).skipped.is_none() {
                let label = format!("namespace {}", names::path(&namespace.scope, "", &namespace.name));
                let (claims, allocations) = (namespace.claims, namespace.allocations);
                let message = format!("does not exist, and {claims} claims and {allocations} allocations are in it");
                findings.add(Check::Namespaces, label, message);
            }
        }
        findings
    }

    fn fault(&mut self, check: Check, object: impl fmt::Display, message: impl fmt::Display) {
        self.inventory.findings.add(check, object, message);
    }
}
