//! The reference model: every pool is a vector of addresses that are allocated or free, and every look-up is a linear
//! search.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

/// The result of a request: the block, if there is one, or the HTTP status code.
pub(super) type Outcome = Result<String, u16>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Block {
    pub(super) six: bool,
    pub(super) first: u128,
    pub(super) length: u8,
}

impl Block {
    pub(super) fn cidr(self) -> String {
        match u32::try_from(self.first) {
            Ok(bits) if !self.six => format!("{}/{}", Ipv4Addr::from_bits(bits), self.length),
            _ => format!("{}/{}", Ipv6Addr::from_bits(self.first), self.length),
        }
    }

    fn size(self) -> u128 {
        1 << (bits(self.six) - self.length)
    }

    fn last(self) -> u128 {
        self.first + self.size() - 1
    }

    fn contains(self, other: Self) -> bool {
        self.six == other.six && self.first <= other.first && other.last() <= self.last()
    }
}

fn bits(six: bool) -> u8 {
    if six { 128 } else { 32 }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    FirstFit,
    BestFit,
    LeastUtilized,
}

#[derive(Clone, Debug)]
struct Pool {
    block: Block,
    parent: Option<String>,
    strategy: Choice,
    max: Option<u8>,
    tier: u8,
    taken: Vec<bool>,
    holders: usize,
}

#[derive(Clone, Debug)]
struct Claim {
    retain: bool,
}

#[derive(Clone, Debug)]
struct Allocation {
    pool: String,
    block: Block,
    held: bool,
}

/// The request of a claim or a child pool.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    pub(super) length: Option<u8>,
    pub(super) exact: Option<Block>,
}

#[derive(Clone, Debug)]
pub(super) enum Source {
    Pool(String),
    Tier(u8),
}

#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    pools: BTreeMap<String, Pool>,
    claims: BTreeMap<String, Claim>,
    /// By the name of the claim for which they were created.
    allocations: BTreeMap<String, Allocation>,
}

impl Model {
    pub(super) fn create_root(&mut self, name: &str, block: Block, policy: (Choice, Option<u8>), tier: u8) -> Outcome {
        if self.pools.contains_key(name) {
            return Err(409);
        }
        let clash = |pool: &Pool| pool.parent.is_none() && (pool.block.contains(block) || block.contains(pool.block));
        if self.pools.values().any(clash) {
            return Err(422);
        }
        self.add_pool(name, block, None, policy, tier);
        Ok(block.cidr())
    }

    pub(super) fn create_child(
        &mut self,
        name: &str,
        parent: &str,
        request: Request,
        policy: (Choice, Option<u8>),
        tier: u8,
    ) -> Outcome {
        if self.pools.contains_key(name) {
            return Err(409);
        }
        let from = self.pools.get(parent).ok_or(400_u16)?;
        if policy.1.is_some_and(|max| max > bits(from.block.six)) {
            return Err(422);
        }
        let block = from.serve(request, from.block.length + 1)?;
        self.take(parent, block);
        self.add_pool(name, block, Some(parent.to_owned()), policy, tier);
        Ok(block.cidr())
    }

    fn add_pool(
        &mut self,
        name: &str,
        block: Block,
        parent: Option<String>,
        (strategy, max): (Choice, Option<u8>),
        tier: u8,
    ) {
        let taken = vec![false; usize::try_from(block.size()).expect("a small pool")];
        self.pools.insert(name.to_owned(), Pool { block, parent, strategy, max, tier, taken, holders: 0 });
    }

    pub(super) fn update_policy(&mut self, name: &str, strategy: Choice, max: Option<u8>) -> Outcome {
        let pool = self.pools.get_mut(name).ok_or(404_u16)?;
        if max.is_some_and(|max| max > bits(pool.block.six)) {
            return Err(422);
        }
        (pool.strategy, pool.max) = (strategy, max);
        Ok(pool.block.cidr())
    }

    pub(super) fn delete_pool(&mut self, name: &str) -> Outcome {
        let pool = self.pools.get(name).ok_or(404_u16)?;
        if pool.holders > 0 {
            return Err(409);
        }
        let pool = self.pools.remove(name).expect("it was just there");
        if let Some(parent) = pool.parent {
            self.release(&parent, pool.block);
        }
        Ok(String::new())
    }

    pub(super) fn create_claim(&mut self, name: &str, source: &Source, request: Request, retain: bool) -> Outcome {
        if self.claims.contains_key(name) {
            return Err(409);
        }
        if self.allocations.contains_key(name) {
            return Err(422);
        }
        let (pool, block) = match source {
            Source::Pool(pool) => {
                let from = self.pools.get(pool).ok_or(400_u16)?;
                (pool.clone(), from.serve(request, from.block.length)?)
            }
            Source::Tier(tier) => self.select(*tier, request)?,
        };
        self.take(&pool, block);
        self.claims.insert(name.to_owned(), Claim { retain });
        self.allocations.insert(name.to_owned(), Allocation { pool, block, held: true });
        Ok(block.cidr())
    }

    fn select(&self, tier: u8, request: Request) -> Result<(String, Block), u16> {
        let matching: Vec<_> = self.pools.iter().filter(|(_, pool)| pool.tier == tier).collect();
        let of_family = |six: bool| matching.iter().any(|(_, pool)| pool.block.six == six);
        if request.exact.is_none()
            && request.length.is_none_or(|length| length <= 32)
            && of_family(false)
            && of_family(true)
        {
            return Err(422);
        }
        let answers: Vec<_> =
            matching.iter().map(|(name, pool)| (*name, *pool, pool.serve(request, pool.block.length))).collect();
        let mut able = answers.iter().filter_map(|(name, pool, answer)| Some((*name, *pool, answer.ok()?)));
        let Some((name, pool, block)) = able.next() else {
            let codes: Vec<u16> = answers.iter().filter_map(|(_, _, answer)| answer.err()).collect();
            return Err(*[507, 422].iter().find(|code| codes.contains(code)).unwrap_or(&400));
        };
        if pool.strategy != Choice::LeastUtilized {
            return Ok((name.clone(), block));
        }
        let mut best = (name, pool, block);
        for other in able.filter(|(_, pool, _)| pool.strategy == Choice::LeastUtilized) {
            if other.1.free() * best.1.block.size() > best.1.free() * other.1.block.size() {
                best = other;
            }
        }
        Ok((best.0.clone(), best.2))
    }

    pub(super) fn delete_claim(&mut self, name: &str) -> Outcome {
        let claim = self.claims.remove(name).ok_or(404_u16)?;
        if claim.retain {
            self.allocations.get_mut(name).expect("a claim has its allocation").held = false;
        } else {
            self.forget(name);
        }
        Ok(String::new())
    }

    pub(super) fn delete_allocation(&mut self, name: &str) -> Outcome {
        let allocation = self.allocations.get(name).ok_or(404_u16)?;
        if allocation.held {
            return Err(422);
        }
        self.forget(name);
        Ok(String::new())
    }

    fn forget(&mut self, name: &str) {
        let allocation = self.allocations.remove(name).expect("it was just there");
        self.release(&allocation.pool, allocation.block);
    }

    fn take(&mut self, pool: &str, block: Block) {
        self.mark(pool, block, true);
        self.pools.get_mut(pool).expect("a pool that serves").holders += 1;
    }

    fn release(&mut self, pool: &str, block: Block) {
        self.mark(pool, block, false);
        self.pools.get_mut(pool).expect("a pool with holders stays").holders -= 1;
    }

    fn mark(&mut self, pool: &str, block: Block, taken: bool) {
        let pool = self.pools.get_mut(pool).expect("a pool with holders stays");
        for address in block.first..=block.last() {
            let idx = usize::try_from(address - pool.block.first).expect("a small pool");
            assert_ne!(pool.taken[idx], taken, "the model contradicts itself");
            pool.taken[idx] = taken;
        }
    }

    /// Returns the name, the number of free addresses and the length of the largest free block of each pool.
    pub(super) fn capacities(&self) -> Vec<(String, u128, Option<u8>)> {
        let largest =
            |pool: &Pool| (pool.block.length..=bits(pool.block.six)).find(|length| pool.first_free(*length).is_some());
        self.pools.iter().map(|(name, pool)| (name.clone(), pool.free(), largest(pool))).collect()
    }
}

impl Pool {
    fn serve(&self, request: Request, shortest: u8) -> Result<Block, u16> {
        let longest = self.max.unwrap_or(bits(self.block.six));
        let length = request.exact.map(|block| block.length).or(request.length).ok_or(422_u16)?;
        if !(shortest..=longest).contains(&length) {
            return Err(422);
        }
        match request.exact {
            Some(block) if !self.block.contains(block) => Err(422),
            Some(block) => {
                if self.is_free(block) {
                    Ok(block)
                } else {
                    Err(422)
                }
            }
            None => self.next(length).ok_or(507),
        }
    }

    fn next(&self, length: u8) -> Option<Block> {
        match self.strategy {
            Choice::BestFit => self
                .aligned(length)
                .filter(|block| self.is_free(*block))
                .min_by_key(|block| (self.region(*block), block.first)),
            _ => self.first_free(length),
        }
    }

    fn first_free(&self, length: u8) -> Option<Block> {
        self.aligned(length).find(|block| self.is_free(*block))
    }

    /// Returns the size of the largest free aligned block that contains this one.
    fn region(&self, block: Block) -> u128 {
        let mut length = block.length;
        while length > self.block.length {
            let size = 1 << (bits(block.six) - length + 1);
            let around = Block { first: block.first / size * size, length: length - 1, ..block };
            if !self.is_free(around) {
                break;
            }
            length -= 1;
        }
        1 << (bits(block.six) - length)
    }

    fn aligned(&self, length: u8) -> impl Iterator<Item = Block> {
        let size = 1_u128 << (bits(self.block.six) - length);
        let Block { six, first, .. } = self.block;
        (0..self.block.size() / size).map(move |n| Block { six, first: first + n * size, length })
    }

    fn is_free(&self, block: Block) -> bool {
        (block.first..=block.last())
            .all(|address| !self.taken[usize::try_from(address - self.block.first).expect("a small pool")])
    }

    fn free(&self) -> u128 {
        self.taken.iter().filter(|taken| !**taken).count() as u128
    }
}
