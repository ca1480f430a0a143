//! Selection of a pool, and of a block in it, for claims and child pools.
//!
//! This module only searches; it does not allocate. A pool that cannot serve a request returns a [`NoFit`], so that a
//! selector can skip it and finally report the most helpful reason.

use std::{cmp::Ordering, ops::RangeInclusive};

use address::{Family, Prefix, Strategy};
use apimachinery::{
    field::{FieldError, FieldErrorType},
    status_error::{Cause, StatusError, StatusReason},
};

use crate::{
    GROUP, names, spec,
    state::{self, Pool},
    types::pool::PoolStrategy,
};

/// A request for a block of a pool.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    /// The kind of the requesting object.
    pub(crate) requester: Requester,
    /// The required address family.
    pub(crate) family: Option<Family>,
    /// The required prefix length. A claim may leave it to the pool's default.
    pub(crate) length: Option<u8>,
    /// The exact block that is requested.
    pub(crate) block: Option<Prefix>,
}

/// The kind of object that requests a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Requester {
    /// A claim.
    Claim,
    /// A child pool. It must be smaller than its parent.
    ChildPool,
}

impl Requester {
    /// Returns the spec field that names an exact block.
    pub(crate) fn block_field(self) -> &'static str {
        match self {
            Self::Claim => "address",
            Self::ChildPool => "cidr",
        }
    }

    /// Returns the spec field that names the pool.
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
    /// True if pools of both families could serve the request. Lengths above 32 exist in IPv6 only.
    pub(crate) fn leaves_family_open(self) -> bool {
        self.family.is_none() && self.block.is_none() && self.length.is_none_or(|length| length <= Family::V4.bits())
    }
}

/// The reason why no pool serves a request.
pub(crate) enum SelectionError {
    /// The named pool does not exist, or no pool matches. A dry run succeeds nevertheless, because the pool may be part
    /// of the same set of manifests.
    PoolAbsent(StatusError),
    /// Any other error.
    Rejected(StatusError),
}

impl From<StatusError> for SelectionError {
    fn from(refusal: StatusError) -> Self {
        Self::Rejected(refusal)
    }
}

/// The reason why one pool cannot serve a request.
#[derive(Clone, Debug)]
pub(crate) enum NoFit {
    /// The pool has the other address family; other errors may be included.
    WrongFamily(Vec<FieldError>),
    /// The pool cannot serve this request even when it is empty.
    Incompatible(Vec<FieldError>),
    /// The requested block is not free.
    NotFree(Prefix),
    /// No block of this length is free.
    Exhausted(u8),
    /// The pool was written by a newer version of the server and has fields or values that this version does not know.
    WrittenByNewerVersion,
}

impl NoFit {
    /// Ranks how close the pool came to serving the request; higher is closer.
    fn rank(&self) -> u8 {
        match self {
            Self::WrongFamily(_) => 0,
            Self::Incompatible(_) => 1,
            Self::NotFree(_) => 2,
            Self::Exhausted(_) => 3,
            Self::WrittenByNewerVersion => 4,
        }
    }

    /// Returns the API error for `request` of the object `name`. `others` is the number of other pools with the same
    /// reason.
    pub(crate) fn to_error(&self, request: Request, name: &str, pool: &Pool, others: usize) -> StatusError {
        let plural = request.requester.plural();
        match self {
            Self::WrongFamily(errors) | Self::Incompatible(errors) => {
                StatusError::invalid(GROUP, request.requester.kind(), name, errors)
            }
            Self::NotFree(block) => not_free_error(request.requester, name, pool, *block),
            Self::Exhausted(length) => {
                exhausted_error(pool, *length, others).with_details(GROUP, plural, name).regarding(&pool.object)
            }
            Self::WrittenByNewerVersion => newer_version_error(pool).with_details(GROUP, plural, name),
        }
    }
}

fn newer_version_error(pool: &Pool) -> StatusError {
    let message = format!(
        "IPPool \"{}\" was written by a newer version of this server, and this one does not know all of its fields or \
         values, so it allocates nothing from the pool; repeat the request, another replica may serve it, or upgrade this one",
        pool.name()
    );
    StatusError::new(StatusReason::ServiceUnavailable, message).retry_after(1)
}

fn not_free_error(requester: Requester, name: &str, pool: &Pool, block: Prefix) -> StatusError {
    let field = requester.block_field();
    let detail = format!(
        "is not entirely free in IPPool \"{}\"; ask for another block, or give spec.prefixLength in place of spec.{field} \
         to get the next free one",
        pool.name()
    );
    let error = FieldError {
        error_type: FieldErrorType::Other("AddressTaken"),
        ..FieldError::invalid(spec::path(field), block.to_string(), &detail)
    };
    StatusError::invalid(GROUP, requester.kind(), name, &[error]).occupied(state::occupied(pool, block))
}

fn exhausted_error(pool: &Pool, length: u8, others: usize) -> StatusError {
    let largest = pool.free.largest_free();
    let left = match largest {
        Some(largest) => format!("its largest free block is a /{largest}"),
        None => "no address of it is free".to_owned(),
    };
    let too = match others {
        0 => String::new(),
        1 => "; so is 1 other pool that matches spec.poolSelector".to_owned(),
        n => format!("; so are {n} other pools that match spec.poolSelector"),
    };
    let message = format!("IPPool \"{}\" is exhausted: no free block of length /{length}, {left}{too}", pool.name());
    let error = FieldError {
        path: spec::path("prefixLength"),
        error_type: FieldErrorType::Other("PoolExhausted"),
        message: message.clone(),
    };
    let mut refusal = StatusError::new(StatusReason::InsufficientStorage, message).with_cause(&error);
    let facts = [("LargestFree", largest.map(|length| length.to_string())), ("Pool", Some(pool.name().to_owned()))];
    let facts = facts.into_iter().filter_map(|(reason, fact)| Some((reason.to_owned(), fact?)));
    refusal.details.causes.extend(facts.map(|(reason, message)| Cause { reason, message, field: String::new() }));
    refusal
}

/// Returns the block that the pool would allocate.
pub(crate) fn find_block(pool: &Pool, request: Request) -> Result<Prefix, NoFit> {
    if !pool.understood {
        return Err(NoFit::WrittenByNewerVersion);
    }
    let length = check(pool, request)?;
    match request.block {
        Some(block) if pool.free.is_free(block) => Ok(block),
        Some(block) => Err(NoFit::NotFree(block)),
        None => pool.free.find_free(length, allocation_strategy(pool)).ok_or(NoFit::Exhausted(length)),
    }
}

/// Returns the allocation strategy inside one pool.
fn allocation_strategy(pool: &Pool) -> Strategy {
    match pool.policy.strategy {
        PoolStrategy::BestFit => Strategy::BestFit,
        PoolStrategy::FirstFit | PoolStrategy::LeastUtilized => Strategy::FirstFit,
        #[cfg(feature = "newer")]
        PoolStrategy::Scattered => Strategy::FirstFit,
    }
}

/// Returns the requested length, or all errors that do not depend on the pool's free space.
fn check(pool: &Pool, request: Request) -> Result<u8, NoFit> {
    let mut errors = Vec::new();
    let family_differs = check_family(pool, request, &mut errors);
    let length = request.block.map(Prefix::length).or(request.length).or(pool.policy.own_length());
    // The length of a block of the other family cannot be compared with this pool's bounds.
    if request.block.is_none() || !family_differs {
        check_length(pool, request, length, &mut errors);
    }
    if let Some(block) = request.block
        && !family_differs
        && !pool.block().contains(block)
    {
        let detail = format!("must be inside IPPool \"{}\", which is {}", pool.name(), pool.block());
        let path = spec::path(request.requester.block_field());
        errors.push(FieldError::invalid(path, block.to_string(), &detail));
    }
    match length {
        Some(length) if errors.is_empty() => Ok(length),
        _ if family_differs => Err(NoFit::WrongFamily(errors)),
        _ => Err(NoFit::Incompatible(errors)),
    }
}

fn check_family(pool: &Pool, request: Request, errors: &mut Vec<FieldError>) -> bool {
    let of_pool = pool.block().family();
    let detail = |family| {
        format!("address family {family} does not match IPPool \"{}\", which has {of_pool} addresses", pool.name())
    };
    if let Some(family) = request.family.filter(|family| *family != of_pool) {
        errors.push(FieldError::invalid(spec::path("ipFamily"), family.to_string(), &detail(family)));
    }
    if let Some(block) = request.block.filter(|block| block.family() != of_pool) {
        let path = spec::path(request.requester.block_field());
        errors.push(FieldError::invalid(path, block.to_string(), &detail(block.family())));
    }
    !errors.is_empty()
}

/// Checks the length against the pool's bounds. If only a CIDR was given, the error is reported on the CIDR's field.
fn check_length(pool: &Pool, request: Request, length: Option<u8>, errors: &mut Vec<FieldError>) {
    let detail = match (bounds(pool, request.requester), length) {
        (Ok(bounds), Some(length)) if bounds.contains(&length) => return,
        (Ok(bounds), Some(length)) => out_of_bounds_detail(pool, request, length, &bounds),
        (Ok(_), None) => format!("IPPool \"{}\" has no allocation.defaultPrefixLength", pool.name()),
        (Err(nothing), _) => nothing,
    };
    let path = spec::path("prefixLength");
    errors.push(match (request.block, length) {
        (Some(block), _) if request.length.is_none() => {
            FieldError::invalid(spec::path(request.requester.block_field()), block.to_string(), &detail)
        }
        (_, Some(length)) => FieldError::invalid(path, length, &detail),
        (_, None) => FieldError::required(path, &detail),
    });
}

/// Returns the lengths that the pool allocates. The error says why there are none and how to fix that.
fn bounds(pool: &Pool, requester: Requester) -> Result<RangeInclusive<u8>, String> {
    let (own, bits) = (pool.block().length(), pool.block().family().bits());
    let (longer, taken, other) = match requester {
        Requester::Claim => (own, "claimed", "pool"),
        Requester::ChildPool => (own.saturating_add(1), "carved", "parent"),
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

fn out_of_bounds_detail(pool: &Pool, request: Request, length: u8, bounds: &RangeInclusive<u8>) -> String {
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

/// The best rejection: the pool that came closest to serving, its reason, and the number of other pools with the same
/// reason.
pub(crate) type BestRejection<'w> = (&'w Pool, NoFit, usize);

/// Selects a pool and a block. `pools` must be in name order.
///
/// The first pool with room is used if its strategy is FirstFit or BestFit. If it is LeastUtilized, the LeastUtilized
/// pool with the highest free ratio is used instead; later pools with other strategies are ignored. The error is `None`
/// if `pools` is empty.
pub(crate) fn select_pool<'w>(
    pools: impl Iterator<Item = &'w Pool>,
    request: Request,
) -> Result<(&'w Pool, Prefix), Option<BestRejection<'w>>> {
    let mut best: Option<(&Pool, Prefix)> = None;
    let mut best_rejection: Option<BestRejection<'w>> = None;
    for pool in pools {
        let least_utilized = pool.policy.strategy == PoolStrategy::LeastUtilized;
        if best.is_some() && !least_utilized {
            continue;
        }
        match (find_block(pool, request), best) {
            (Ok(block), None) if least_utilized => best = Some((pool, block)),
            (Ok(block), None) => return Ok((pool, block)),
            (Ok(block), Some((emptiest, _))) => {
                if pool.free.cmp_free_ratio(&emptiest.free) == Ordering::Greater {
                    best = Some((pool, block));
                }
            }
            (Err(no_fit), _) => keep_best(&mut best_rejection, pool, no_fit),
        }
    }
    best.ok_or(best_rejection)
}

fn keep_best<'w>(best_rejection: &mut Option<BestRejection<'w>>, pool: &'w Pool, no_fit: NoFit) {
    match best_rejection {
        Some((_, best, others)) if no_fit.rank() == best.rank() => *others += 1,
        Some((_, best, _)) if no_fit.rank() < best.rank() => {}
        _ => *best_rejection = Some((pool, no_fit, 0)),
    }
}

/// Returns the warning of a dry run: nothing was allocated, and the pool's free space as it would be afterwards.
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

/// Returns the warning of a dry run whose pool does not exist.
pub(crate) fn pool_absent_warning(refusal: &StatusError) -> String {
    format!("dry run: {}, and no block was computed; the request itself is refused until that changes", refusal.message)
}

/// Returns the error for a claim without a family whose selector matches pools of both families.
pub(crate) fn ambiguous_family_error(name: &str, four: &Pool, six: &Pool) -> StatusError {
    let detail = format!(
        "spec.poolSelector matches IPPool \"{}\", which has IPv4 addresses, and IPPool \"{}\", which has IPv6 addresses: \
         say which",
        four.name(),
        six.name()
    );
    let error = FieldError::required(spec::path("ipFamily"), &detail);
    StatusError::invalid(GROUP, Requester::Claim.kind(), name, &[error])
}

/// Returns the error for a pool that does not exist.
pub(crate) fn pool_not_found_error(field: &str, name: &str) -> StatusError {
    let message = format!("IPPool \"{name}\" not found");
    let error = FieldError {
        path: spec::path(field).child("name"),
        error_type: FieldErrorType::Other("PoolNotFound"),
        message: message.clone(),
    };
    StatusError::bad_request(message).with_cause(&error)
}

/// Returns the error for a named pool that is being deleted.
pub(crate) fn pool_terminating_error(requester: Requester, name: &str, pool: &Pool) -> StatusError {
    let path = spec::path(requester.pool_field()).child("name");
    let error = FieldError {
        error_type: FieldErrorType::Other("PoolTerminating"),
        ..FieldError::invalid(
            path,
            pool.name(),
            "the pool is being deleted and hands out nothing new; name another pool",
        )
    };
    StatusError::invalid(GROUP, requester.kind(), name, &[error])
}
