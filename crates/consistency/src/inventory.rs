//! The first step: collects pools, namespaces and allocations, with which everything else is compared.

use serde::{Deserialize, de::IgnoredAny};

use crate::{
    block::Block,
    findings::{Check, Findings},
    names::{self, Name, Namespaces, Texts},
    objects::{self, Named, Object},
    pools::{self, Holder, Pool, Pools, Taken},
};

/// Pools, namespaces and allocations at one revision, added in any order. Call [`Inventory::complete`] after the last
/// one.
pub struct Inventory {
    pub(crate) pools: Pools,
    pub(crate) namespaces: Namespaces,
    pub(crate) texts: Texts,
    pub(crate) taken: Vec<Taken>,
    pub(crate) findings: Findings,
    pub(crate) of_store: bool,
    pub(crate) has_namespaces: bool,
}

impl Inventory {
    /// Creates an inventory of objects read from the API.
    pub fn of_objects() -> Self {
        Self::new(false)
    }

    /// Creates an inventory of a store, whose spans are compared as well.
    pub fn of_store() -> Self {
        Self::new(true)
    }

    fn new(of_store: bool) -> Self {
        Self {
            pools: Pools::default(),
            namespaces: Namespaces::default(),
            texts: Texts::default(),
            taken: Vec::new(),
            findings: Findings::new(of_store),
            of_store,
            has_namespaces: false,
        }
    }

    /// Adds an IPPool of a scope, given as JSON.
    pub fn pool(&mut self, scope: &str, json: &[u8]) {
        self.findings.counts.pools += 1;
        let Some(object) = read::<objects::Pool<'_>>(json, "ippool", Check::Containment, &mut self.findings) else {
            return;
        };
        let number = self.pools.number(scope, &object.metadata.name);
        let spec = object.spec.unwrap_or_default();
        let status = object.status.unwrap_or_default();
        let parent = Named::text(spec.parent_pool_ref).map(|parent| self.pools.number(scope, &parent));
        let pool = self.pools.get_mut(number);
        pool.exists = true;
        pool.parent = parent;
        let bounds = spec.allocation.unwrap_or_default();
        pool.bounds = (bounds.min_prefix_length, bounds.max_prefix_length);
        pool.capacity = status.capacity;
        pool.largest_free = status.largest_free_prefix;
        pool.block = block_of(status.allocated_cidr.as_deref(), &pool.label(), &mut self.findings);
        if let Some((parent, block)) = parent.zip(pool.block) {
            self.taken.push(Taken::new(parent, block, Holder::Pool(number), false));
        }
    }

    /// Adds a Namespace of a scope, given as JSON.
    pub fn namespace(&mut self, scope: &str, json: &[u8]) {
        let object = read::<objects::Namespace<'_>>(json, "namespace", Check::Namespaces, &mut self.findings);
        if let Some(object) = object {
            let number = self.namespaces.number(scope, &object.metadata.name);
            self.namespaces.get_mut(number).exists = true;
            self.has_namespaces = true;
        }
    }

    /// Adds an IPAllocation of a scope, given as JSON.
    pub fn allocation(&mut self, scope: &str, json: &[u8]) {
        self.findings.counts.allocations += 1;
        let Some(object) =
            read::<objects::Allocation<'_>>(json, "ipallocation", Check::Containment, &mut self.findings)
        else {
            return;
        };
        let objects::Metadata { name, namespace } = &object.metadata;
        let label = format!("ipallocation {}", names::path(scope, namespace, name));
        let number = self.namespaces.number(scope, namespace);
        self.namespaces.get_mut(number).allocations += 1;
        let spec = object.spec.unwrap_or_default();
        let status = object.status.unwrap_or_default();
        let name = self.texts.intern(name);
        let claim = Named::text(spec.claim_ref);
        self.check_claim_of(&label, (namespace, name), claim.as_deref(), status.phase.as_deref());
        let Some(pool) = Named::text(spec.pool_ref) else {
            self.findings.add(Check::Containment, label, "spec.poolRef names no pool");
            return;
        };
        let pool = self.pools.number(scope, &pool);
        if let Some(block) = block_of(status.allocated_cidr.as_deref(), &label, &mut self.findings) {
            self.taken.push(Taken::new(pool, block, Holder::allocation(number, name), claim.is_some()));
        }
    }

    /// Checks the claim reference of an allocation against its name and phase.
    fn check_claim_of(
        &mut self,
        label: &str,
        (namespace, name): (&str, Name),
        claim: Option<&str>,
        phase: Option<&str>,
    ) {
        let is_retained = phase == Some("Retained");
        let Some(claim) = claim else {
            if !is_retained {
                let message = format!("has no spec.claimRef, and its phase is {}", phase.unwrap_or("absent"));
                self.findings.add(Check::Allocations, label, message);
            }
            return;
        };
        if is_retained {
            let message = format!("its phase is Retained, and spec.claimRef names {claim}");
            self.findings.add(Check::Allocations, label, message);
        }
        let due = names::of_claim(namespace, claim);
        if name != Name::Hash(due) {
            let message = format!("the allocation of ipclaim {namespace}/{claim} is called {}", names::allocation(due));
            self.findings.add(Check::Names, label, message);
        }
    }

    /// Checks the blocks taken from one pool, in address order.
    pub(crate) fn check_taken(&self, pool: &Pool, taken: &[Taken], findings: &mut Findings) {
        let mut widest: Option<&Taken> = None;
        for one in taken {
            let block = one.block();
            match pool.block {
                _ if !pool.exists => {
                    let message = format!("holds {block} of pool {}, which does not exist", pool.label());
                    findings.add(Check::Containment, self.holder(one), message);
                }
                Some(range) if !range.contains(block) => {
                    let message = format!("holds {block}, which is outside pool {} ({range})", pool.label());
                    findings.add(Check::Containment, self.holder(one), message);
                }
                _ if !pool.hands_out(one.length) => {
                    let message = format!("holds {block}, which pool {} would not hand out today", pool.label());
                    findings.add(Check::Lengths, self.holder(one), message);
                }
                _ => {}
            }
            let before = widest.filter(|other| other.is_v6 == one.is_v6);
            if let Some(other) = before.filter(|other| block.first <= other.block().last()) {
                let (range, holder) = (other.block(), self.holder(other));
                let message = format!("holds {block} of pool {}, and {holder} holds {range}", pool.label());
                findings.add(Check::Overlap, self.holder(one), message);
            }
            if before.is_none_or(|other| other.block().last() < block.last()) {
                widest = Some(one);
            }
        }
    }

    /// Returns the display name of the holder of a block.
    pub(crate) fn holder(&self, taken: &Taken) -> String {
        match taken.holder {
            Holder::Pool(number) => self.pools.get(number).label(),
            _ => format!("ipallocation {}", self.path(taken)),
        }
    }

    fn path(&self, taken: &Taken) -> String {
        taken.holder.as_allocation().map_or_else(String::new, |(namespace, name)| {
            let namespace = self.namespaces.get(namespace);
            names::path(&namespace.scope, &namespace.name, &self.texts.text(name))
        })
    }

    /// Returns the store key of the holder of a block.
    pub(crate) fn key(&self, taken: &Taken) -> String {
        match (taken.holder, taken.holder.as_allocation()) {
            (_, Some((namespace, name))) => {
                let namespace = self.namespaces.get(namespace);
                format!("ipallocations/{}/{}/{}", namespace.scope, namespace.name, self.texts.text(name))
            }
            (Holder::Pool(number), None) => pools::key(self.pools.get(number)),
            (_, None) => String::new(),
        }
    }
}

/// Decodes an object. A decoding error is a fault.
pub(crate) fn read<'o, T: Deserialize<'o>>(
    json: &'o [u8],
    kind: &str,
    check: Check,
    findings: &mut Findings,
) -> Option<T> {
    match serde_json::from_slice(json) {
        Ok(object) => Some(object),
        Err(error) => {
            let known = serde_json::from_slice::<Object<'_, IgnoredAny, IgnoredAny>>(json).ok();
            let label = known.map(|object| names::path("", &object.metadata.namespace, &object.metadata.name));
            findings.add(
                check,
                format!("{kind} {}", label.as_deref().unwrap_or("(no name)")),
                format!("cannot be read: {error}"),
            );
            None
        }
    }
}

/// Returns the block of an object's status. A missing or invalid block is a fault.
fn block_of(text: Option<&str>, label: &str, findings: &mut Findings) -> Option<Block> {
    let block = text.and_then(Block::parse);
    if block.is_none() {
        let message = match text {
            Some(text) => format!("status.allocatedCIDR {text:?} is no block"),
            None => "has no status.allocatedCIDR".to_owned(),
        };
        findings.add(Check::Containment, label, message);
    }
    block
}
