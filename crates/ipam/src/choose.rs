//! Which pool, and which block of it: for claims and for child pools alike.
//!
//! Nothing is taken here. A pool that cannot serve says why ([`Misfit`]), so that a selector can pass over it and still
//! answer the most helpful of all reasons in the end.

use std::{cmp::Ordering, ops::RangeInclusive};

use address::{Family, Prefix, Strategy};
use apimachinery::{
    field::{Fault, FaultType},
    refusal::{Cause, Reason, Refusal},
};

use crate::{
    GROUP, names, spec,
    types::pool::PoolStrategy,
    world::{self, Pool},
};

/// What is asked of a pool.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    /// Who asks.
    pub(crate) purpose: Purpose,
    /// Of this family.
    pub(crate) family: Option<Family>,
    /// Of this length; a claim may leave it to the pool.
    pub(crate) length: Option<u8>,
    /// Exactly this block.
    pub(crate) block: Option<Prefix>,
}

/// What the block is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A claim.
    Claim,
    /// A pool, which must be smaller than its parent.
    ChildPool,
}

impl Purpose {
    /// The field of the spec that names an exact block.
    pub(crate) fn block_field(self) -> &'static str {
        match self {
            Self::Claim => "address",
            Self::ChildPool => "cidr",
        }
    }

    /// The field of the spec that names the pool to take from.
    fn pool_field(self) -> &'static str {
        match self {
            Self::Claim => "poolRef",
            Self::ChildPool => "parentPoolRef",
        }
    }

    fn plural(self) -> &'static str {
        match self {
            Self::Claim => names::CLAIMS,
            Self::ChildPool => names::POOLS,
        }
    }

    fn kind(self) -> &'static str {
        match self {
            Self::Claim => names::CLAIM,
            Self::ChildPool => names::POOL,
        }
    }
}

impl Request {
    /// Whether pools of both families could be meant. IPv6 alone has lengths beyond 32.
    pub(crate) fn leaves_family_open(self) -> bool {
        self.family.is_none() && self.block.is_none() && self.length.is_none_or(|length| length <= Family::V4.bits())
    }
}

/// Why no pool serves a request.
pub(crate) enum Unserved {
    /// The pool that it names, or every pool that could match, is not there. A dry run is answered all the same: what is
    /// not there may be part of the same set of objects.
    Absent(Refusal),
    /// Whatever else is wrong.
    Refused(Refusal),
}

impl From<Refusal> for Unserved {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Why a pool cannot serve.
#[derive(Clone, Debug)]
pub(crate) enum Misfit {
    /// It is of the other family, and perhaps more.
    OtherFamily(Vec<Fault>),
    /// It would not serve this however empty it were.
    Never(Vec<Fault>),
    /// The very block asked for is not free.
    Taken(Prefix),
    /// Nothing of this length is free.
    Exhausted(u8),
    /// It was written by a newer version, and this one does not know all that it says.
    Newer,
}

impl Misfit {
    /// How near the pool came to serving.
    fn nearness(&self) -> u8 {
        match self {
            Self::OtherFamily(_) => 0,
            Self::Never(_) => 1,
            Self::Taken(_) => 2,
            Self::Exhausted(_) => 3,
            Self::Newer => 4,
        }
    }

    /// The refusal of `request`, made by the object called `name`. `others` is how many other pools refuse alike.
    pub(crate) fn refuse(&self, request: Request, name: &str, pool: &Pool, others: usize) -> Refusal {
        let plural = request.purpose.plural();
        match self {
            Self::OtherFamily(faults) | Self::Never(faults) => {
                Refusal::invalid(GROUP, request.purpose.kind(), name, faults)
            }
            Self::Taken(block) => taken(request.purpose, name, pool, *block),
            Self::Exhausted(length) => {
                exhausted(pool, *length, others).about(GROUP, plural, name).regarding(&pool.object)
            }
            Self::Newer => newer(pool).about(GROUP, plural, name),
        }
    }
}

fn newer(pool: &Pool) -> Refusal {
    let message = format!(
        "IPPool \"{}\" was written by a newer version of this server, and this one does not know all of its fields or \
         values: it hands out nothing of it; repeat the request, another replica may serve it, or upgrade this one",
        pool.name()
    );
    Refusal::new(Reason::ServiceUnavailable, message).retry_after(1)
}

fn taken(purpose: Purpose, name: &str, pool: &Pool, block: Prefix) -> Refusal {
    let field = purpose.block_field();
    let detail = format!(
        "is not entirely free in IPPool \"{}\"; ask for another block, or give spec.prefixLength in place of spec.{field} \
         to get the next free one",
        pool.name()
    );
    let fault = Fault {
        fault_type: FaultType::Other("AddressTaken"),
        ..Fault::invalid(spec::path(field), block.to_string(), &detail)
    };
    Refusal::invalid(GROUP, purpose.kind(), name, &[fault]).occupied(world::occupied(pool, block))
}

fn exhausted(pool: &Pool, length: u8, others: usize) -> Refusal {
    let largest = pool.free.largest_free();
    let left = match largest {
        Some(largest) => format!("its largest free block is a /{largest}"),
        None => "nothing of it is free".to_owned(),
    };
    let too = match others {
        0 => String::new(),
        1 => "; so is 1 other pool that matches spec.poolSelector".to_owned(),
        n => format!("; so are {n} other pools that match spec.poolSelector"),
    };
    let message = format!("IPPool \"{}\" is exhausted: no free block of length /{length}, {left}{too}", pool.name());
    let fault = Fault {
        path: spec::path("prefixLength"),
        fault_type: FaultType::Other("PoolExhausted"),
        message: message.clone(),
    };
    let mut refusal = Refusal::new(Reason::InsufficientStorage, message).because(&fault);
    let facts = [("LargestFree", largest.map(|length| length.to_string())), ("Pool", Some(pool.name().to_owned()))];
    let facts = facts.into_iter().filter_map(|(reason, fact)| Some((reason.to_owned(), fact?)));
    refusal.details.causes.extend(facts.map(|(reason, message)| Cause { reason, message, field: String::new() }));
    refusal
}

/// The block that the pool would hand out.
pub(crate) fn fit(pool: &Pool, request: Request) -> Result<Prefix, Misfit> {
    if !pool.understood {
        return Err(Misfit::Newer);
    }
    let length = check(pool, request)?;
    match request.block {
        Some(block) if pool.free.is_free(block) => Ok(block),
        Some(block) => Err(Misfit::Taken(block)),
        None => pool.free.find(length, within(pool)).ok_or(Misfit::Exhausted(length)),
    }
}

/// How a block is chosen inside one pool.
fn within(pool: &Pool) -> Strategy {
    match pool.policy.strategy {
        PoolStrategy::BestFit => Strategy::BestFit,
        PoolStrategy::FirstFit | PoolStrategy::LeastUtilized => Strategy::FirstFit,
        #[cfg(feature = "newer")]
        PoolStrategy::Scattered => Strategy::FirstFit,
    }
}

/// Everything that is wrong with asking this of the pool, whatever it has left; else the length that is meant.
fn check(pool: &Pool, request: Request) -> Result<u8, Misfit> {
    let mut faults = Vec::new();
    let family_differs = check_family(pool, request, &mut faults);
    let length = request.block.map(Prefix::length).or(request.length).or(pool.policy.own_length());
    // The length of a block of the other family says nothing about this pool.
    if request.block.is_none() || !family_differs {
        check_length(pool, request, length, &mut faults);
    }
    if let Some(block) = request.block
        && !family_differs
        && !pool.block().contains(block)
    {
        let detail = format!("must be inside IPPool \"{}\", which is {}", pool.name(), pool.block());
        let path = spec::path(request.purpose.block_field());
        faults.push(Fault::invalid(path, block.to_string(), &detail));
    }
    match length {
        Some(length) if faults.is_empty() => Ok(length),
        _ if family_differs => Err(Misfit::OtherFamily(faults)),
        _ => Err(Misfit::Never(faults)),
    }
}

fn check_family(pool: &Pool, request: Request, faults: &mut Vec<Fault>) -> bool {
    let of_pool = pool.block().family();
    let detail = |family| {
        format!("address family {family} does not match IPPool \"{}\", which has {of_pool} addresses", pool.name())
    };
    if let Some(family) = request.family.filter(|family| *family != of_pool) {
        faults.push(Fault::invalid(spec::path("ipFamily"), family.to_string(), &detail(family)));
    }
    if let Some(block) = request.block.filter(|block| block.family() != of_pool) {
        let path = spec::path(request.purpose.block_field());
        faults.push(Fault::invalid(path, block.to_string(), &detail(block.family())));
    }
    !faults.is_empty()
}

/// The length must be one that the pool hands out. A block that is named by its CIDR alone is at fault itself.
fn check_length(pool: &Pool, request: Request, length: Option<u8>, faults: &mut Vec<Fault>) {
    let detail = match (bounds(pool, request.purpose), length) {
        (Ok(bounds), Some(length)) if bounds.contains(&length) => return,
        (Ok(bounds), Some(length)) => outside(pool, request, length, &bounds),
        (Ok(_), None) => format!("IPPool \"{}\" has no allocation.defaultPrefixLength", pool.name()),
        (Err(nothing), _) => nothing,
    };
    let path = spec::path("prefixLength");
    faults.push(match (request.block, length) {
        (Some(block), _) if request.length.is_none() => {
            Fault::invalid(spec::path(request.purpose.block_field()), block.to_string(), &detail)
        }
        (_, Some(length)) => Fault::invalid(path, length, &detail),
        (_, None) => Fault::required(path, &detail),
    });
}

/// The lengths that a pool hands out. The error says why there are none, and what would work.
fn bounds(pool: &Pool, purpose: Purpose) -> Result<RangeInclusive<u8>, String> {
    let (own, bits) = (pool.block().length(), pool.block().family().bits());
    let (longer, taken, other) = match purpose {
        Purpose::Claim => (own, "claimed", "pool"),
        Purpose::ChildPool => (own.saturating_add(1), "carved", "parent"),
    };
    let shortest = pool.policy.min.map_or(longer, |min| min.max(longer));
    let longest = pool.policy.max.map_or(bits, |max| max.min(bits));
    if shortest <= longest {
        return Ok(shortest..=longest);
    }
    let nothing = format!("nothing can be {taken} from IPPool \"{}\" ({})", pool.name(), pool.block());
    Err(if longer > bits {
        format!("{nothing}: it is a single address; name a larger {other}, or claim the address itself")
    } else {
        format!(
            "{nothing}: its allocation.maxPrefixLength is {longest}; raise that to {longer} or more, or name another {other}"
        )
    })
}

fn outside(pool: &Pool, request: Request, length: u8, bounds: &RangeInclusive<u8>) -> String {
    let (name, block) = (pool.name(), pool.block());
    let fitting = match (bounds.start(), bounds.end()) {
        (shortest, longest) if shortest == longest => format!("only /{longest}"),
        (shortest, longest) => format!("/{shortest} to /{longest}"),
    };
    if request.block.is_none() && request.length.is_none() {
        return format!(
            "prefixLength /{length}, the default of IPPool \"{name}\" ({block}), is outside its bounds: {fitting}; give one of \
             these"
        );
    }
    format!("prefixLength /{length} is outside the bounds of IPPool \"{name}\" ({block}): {fitting}")
}

/// The pool that came nearest to serving, why it could not, and how many others failed alike.
pub(crate) type Nearest<'w> = (&'w Pool, Misfit, usize);

/// Of pools in the order of their names, the one that serves, and the block.
///
/// The first that can serve decides. If its strategy is LeastUtilized, it stands for all pools of that strategy among
/// those given, and the one with the greatest free share serves in its place; pools of other strategies that come later
/// are not looked at. The error is `None` when there was no pool at all.
pub(crate) fn among<'w>(
    pools: impl Iterator<Item = &'w Pool>,
    request: Request,
) -> Result<(&'w Pool, Prefix), Option<Nearest<'w>>> {
    let mut best: Option<(&Pool, Prefix)> = None;
    let mut nearest: Option<Nearest<'w>> = None;
    for pool in pools {
        let least_utilized = pool.policy.strategy == PoolStrategy::LeastUtilized;
        if best.is_some() && !least_utilized {
            continue;
        }
        match (fit(pool, request), best) {
            (Ok(block), None) if least_utilized => best = Some((pool, block)),
            (Ok(block), None) => return Ok((pool, block)),
            (Ok(block), Some((emptiest, _))) => {
                if pool.free.free_share_cmp(&emptiest.free) == Ordering::Greater {
                    best = Some((pool, block));
                }
            }
            (Err(misfit), _) => note(&mut nearest, pool, misfit),
        }
    }
    best.ok_or(nearest)
}

fn note<'w>(nearest: &mut Option<Nearest<'w>>, pool: &'w Pool, misfit: Misfit) {
    match nearest {
        Some((_, best, others)) if misfit.nearness() == best.nearness() => *others += 1,
        Some((_, best, _)) if misfit.nearness() < best.nearness() => {}
        _ => *nearest = Some((pool, misfit, 0)),
    }
}

/// What a dry run adds to its answer: that it took nothing, and how the pool would stand if it had.
pub(crate) fn dry_run_warning(pool: &Pool, block: Prefix) -> String {
    let free = &pool.free;
    let left = free.free().checked_sub(block.size()).expect("the block was just found free");
    let largest = match free.largest_free_without(block) {
        Some(length) => format!("largest free block /{length}"),
        None => "no free block".to_owned(),
    };
    format!(
        "dry run: {block} was not allocated, and a later request may get another block; with it, IPPool \"{}\" would have \
         {left} of {} addresses free, {largest}",
        pool.name(),
        free.total()
    )
}

/// What a dry run adds to its answer when the pool is not there.
pub(crate) fn absent_warning(refusal: &Refusal) -> String {
    format!("dry run: {}, and no block was computed; the request itself is refused until that changes", refusal.message)
}

/// What is answered when pools of both families could serve and the claim does not say which.
pub(crate) fn both_families(name: &str, four: &Pool, six: &Pool) -> Refusal {
    let detail = format!(
        "spec.poolSelector matches IPPool \"{}\", which has IPv4 addresses, and IPPool \"{}\", which has IPv6 addresses: \
         say which",
        four.name(),
        six.name()
    );
    let fault = Fault::required(spec::path("ipFamily"), &detail);
    Refusal::invalid(GROUP, Purpose::Claim.kind(), name, &[fault])
}

/// What is answered when a pool is not there.
pub(crate) fn pool_not_found(field: &str, name: &str) -> Refusal {
    let message = format!("IPPool \"{name}\" not found");
    let fault = Fault {
        path: spec::path(field).child("name"),
        fault_type: FaultType::Other("PoolNotFound"),
        message: message.clone(),
    };
    Refusal::bad_request(message).because(&fault)
}

/// What is answered when the pool that was named is on its way out.
pub(crate) fn pool_terminating(purpose: Purpose, name: &str, pool: &Pool) -> Refusal {
    let path = spec::path(purpose.pool_field()).child("name");
    let fault = Fault {
        fault_type: FaultType::Other("PoolTerminating"),
        ..Fault::invalid(path, pool.name(), "the pool is being deleted and hands out nothing new; name another pool")
    };
    Refusal::invalid(GROUP, purpose.kind(), name, &[fault])
}
