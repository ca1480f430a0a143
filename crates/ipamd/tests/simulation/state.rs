//! The state of pools, claims and allocations after a write, and its invariants.

use std::collections::BTreeMap;

use serde_json::Value;
use store::Entry;

use super::block::Block;

/// All objects, by name.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub pools: BTreeMap<String, Pool>,
    pub claims: BTreeMap<String, Claim>,
    pub allocations: BTreeMap<String, Allocation>,
}

#[derive(Clone, Debug)]
pub struct Pool {
    pub block: Block,
    pub parent: String,
    pub labels: Value,
    /// The numbers of addresses in its status: total, allocated, available.
    capacity: [String; 3],
}

#[derive(Clone, Debug)]
pub struct Claim {
    allocation: String,
    pool: String,
    block: Block,
}

#[derive(Clone, Debug)]
pub struct Allocation {
    /// Empty if the allocation was retained when its claim was deleted.
    pub claim: String,
    pool: String,
    block: Block,
}

impl State {
    /// Applies one write. Returns an error if a block overlaps another block of its pool, even within a commit.
    pub fn advance(&mut self, entry: &Entry) -> Result<(), String> {
        let object: Option<Value> = entry.value.as_deref().map(|bytes| serde_json::from_slice(bytes).unwrap());
        let key = entry.key.as_str();
        let name = key.rsplit('/').next().unwrap_or_default().to_owned();
        let pool = match (key.split('/').next(), object) {
            (Some("ippools"), Some(object)) => {
                let pool = Pool::read(&object)?;
                let parent = pool.parent.clone();
                self.pools.insert(name, pool);
                parent
            }
            (Some("ipclaims"), Some(object)) => {
                self.claims.insert(name, Claim::read(&object)?);
                return Ok(());
            }
            (Some("ipallocations"), Some(object)) => {
                let allocation = Allocation::read(&object)?;
                let pool = allocation.pool.clone();
                self.allocations.insert(name, allocation);
                pool
            }
            (resource, None) => {
                match resource {
                    Some("ippools") => drop(self.pools.remove(&name)),
                    Some("ipclaims") => drop(self.claims.remove(&name)),
                    Some("ipallocations") => drop(self.allocations.remove(&name)),
                    _ => {}
                }
                return Ok(());
            }
            // Not a pool, claim or allocation.
            (_, Some(_)) => return Ok(()),
        };
        self.no_overlap(&pool)
    }

    /// Returns the blocks of all allocations and child pools of a pool.
    pub fn held(&self, pool: &str) -> Vec<Block> {
        let allocated = self.allocations.values().filter(|allocation| allocation.pool == pool);
        let carved = self.pools.values().filter(|child| child.parent == pool && !pool.is_empty());
        allocated.map(|allocation| allocation.block).chain(carved.map(|child| child.block)).collect()
    }

    fn no_overlap(&self, name: &str) -> Result<(), String> {
        // Root pools have no parent, and must not overlap either.
        let held = if name.is_empty() {
            self.pools.values().filter(|pool| pool.parent.is_empty()).map(|pool| pool.block).collect()
        } else {
            let pool = self.pools.get(name).ok_or_else(|| format!("there is no pool {name:?}"))?;
            let held = self.held(name);
            if let Some(outside) = held.iter().find(|held| !pool.block.contains(held)) {
                return Err(format!("{outside:?} is not in {pool:?}"));
            }
            held
        };
        for (place, one) in held.iter().enumerate() {
            if let Some(other) = held[..place].iter().find(|other| other.overlaps(one)) {
                return Err(format!("{one:?} of {name:?} overlaps {other:?}"));
            }
        }
        Ok(())
    }

    /// Checks the end of a commit. Returns an error unless each pool status matches the blocks of the pool, and claims and
    /// allocations refer to each other.
    pub fn settled(&self) -> Result<(), String> {
        for (name, pool) in &self.pools {
            let (total, allocated) = (pool.block.size(), self.held(name).iter().map(Block::size).sum::<u128>());
            let due = [total, allocated, total - allocated].map(|count| count.to_string());
            if pool.capacity != due {
                return Err(format!("the capacity of {name} is {:?}, its blocks add up to {due:?}", pool.capacity));
            }
        }
        for (name, claim) in &self.claims {
            let allocation = self.allocations.get(&claim.allocation);
            let is_its_own = allocation.is_some_and(|Allocation { claim: of, pool, block }| {
                (of, pool, block) == (name, &claim.pool, &claim.block)
            });
            if !is_its_own {
                return Err(format!("{name} is {claim:?}, its allocation is {allocation:?}"));
            }
        }
        for (name, allocation) in self.allocations.iter().filter(|(_, allocation)| !allocation.claim.is_empty()) {
            if self.claims.get(&allocation.claim).is_none_or(|claim| claim.allocation != *name) {
                return Err(format!("{name} is {allocation:?}, and its claim does not refer to it"));
            }
        }
        Ok(())
    }
}

impl Pool {
    fn read(object: &Value) -> Result<Self, String> {
        let exact = &object["status"]["capacity"]["exact"];
        Ok(Self {
            block: block(object)?,
            parent: text(&object["spec"]["parentPoolRef"]["name"]),
            labels: object["metadata"]["labels"].clone(),
            capacity: ["total", "allocated", "available"].map(|count| text(&exact[count])),
        })
    }
}

impl Claim {
    fn read(object: &Value) -> Result<Self, String> {
        let status = &object["status"];
        Ok(Self {
            allocation: text(&status["boundAllocationRef"]["name"]),
            pool: text(&status["poolRef"]["name"]),
            block: block(object)?,
        })
    }
}

impl Allocation {
    fn read(object: &Value) -> Result<Self, String> {
        let spec = &object["spec"];
        Ok(Self { claim: text(&spec["claimRef"]["name"]), pool: text(&spec["poolRef"]["name"]), block: block(object)? })
    }
}

fn block(object: &Value) -> Result<Block, String> {
    Block::parse(&text(&object["status"]["allocatedCIDR"]))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
