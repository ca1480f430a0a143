//! IPPool: a block from which addresses are allocated, either a root pool or carved from a parent pool.

mod check;
mod events;
mod resource;

use address::{FreeSpace, Prefix};
use apimachinery::{
    command::ObjectKey,
    field::{FieldError, FieldErrorType},
    kind::{Context, Kind, MutationResult, PreparedObject, RequestContext, Span},
    object::Object,
    occurrence::EventRules,
    resource::{Resource, Subresource},
    status_error::{StatusError, StatusReason},
    time::Time,
};
use serde_json::json;

use self::{
    check::{PoolOrigin, check_policy, host_bits_warning},
    resource::RESOURCE,
};
pub use crate::names::{POOL as KIND, POOLS as PLURAL};
pub use crate::types::pool::{
    AllocationPolicy, Capacity, ExactCapacity, IpPool, PoolPhase, PoolSpec, PoolStatus, PoolStrategy, Visibility,
};
use crate::{
    GROUP, condition,
    pool_selection::{self, Request, Requester, SelectionError},
    restored::Restored,
    spec,
    state::{self, AllocatorState, Availability, Pool},
};

/// The mutable fields of the spec. Of `cidr` only the spelling may change.
const MUTABLE: &[&str] = &[
    "allocation",
    "cidr",
    "visibility",
    #[cfg(feature = "newer")]
    "site",
];

/// The kind IPPool.
pub(crate) struct Pools {
    resource: Resource,
}

impl Pools {
    /// Builds the kind with its schema.
    pub(crate) fn new() -> Self {
        Self { resource: RESOURCE.clone() }
    }

    fn invalid(name: &str, errors: &[FieldError]) -> StatusError {
        StatusError::invalid(GROUP, KIND, name, errors)
    }

    fn check_root(state: &AllocatorState, key: &ObjectKey, block: Prefix) -> Result<(), StatusError> {
        let Some((other, name)) = state.root_overlapping(&key.scope, block) else {
            return Ok(());
        };
        let carve =
            if other.contains(block) { ", or carve this one from that pool with spec.parentPoolRef" } else { "" };
        let detail = format!(
            "overlaps with IPPool \"{name}\", which is {other}; root pools must not overlap: choose a block outside it{carve}"
        );
        let error = FieldError {
            error_type: FieldErrorType::Other("PoolOverlap"),
            ..FieldError::invalid(spec::path("cidr"), block.to_string(), &detail)
        };
        Err(Self::invalid(&key.name, &[error]))
    }

    /// Returns the parent and the block to carve from it.
    fn find_child_block<'w>(
        state: &'w AllocatorState,
        key: &ObjectKey,
        spec: &PoolSpec,
        parent: &str,
        (length, block): (Option<u8>, Option<Prefix>),
    ) -> Result<(&'w Pool, Prefix), SelectionError> {
        let Some(parent) = state.pool(&key.scope, parent) else {
            return Err(SelectionError::PoolAbsent(pool_selection::pool_not_found_error("parentPoolRef", parent)));
        };
        if parent.object.is_terminating() {
            return Err(pool_selection::pool_terminating_error(Requester::ChildPool, &key.name, parent).into());
        }
        let mut errors = Vec::new();
        check_policy(spec.allocation.as_ref(), Some(parent.block().family()), &mut errors);
        let request = Request { requester: Requester::ChildPool, family: None, length, block };
        match pool_selection::find_block(parent, request) {
            Ok(block) if errors.is_empty() => Ok((parent, block)),
            Err(pool_selection::NoFit::Incompatible(more) | pool_selection::NoFit::WrongFamily(more)) => {
                errors.extend(more);
                Err(Self::invalid(&key.name, &errors).into())
            }
            _ if !errors.is_empty() => Err(Self::invalid(&key.name, &errors).into()),
            Ok(block) => Ok((parent, block)),
            Err(no_fit) => Err(no_fit.to_error(request, &key.name, parent, 0).into()),
        }
    }
}

/// The decoded request of a valid pool.
struct Requested {
    spec: PoolSpec,
    origin: PoolOrigin,
    restored: Option<Restored>,
}

/// Allocates the block of a valid pool: the root block, or a block of the parent. Returns the pool with its status.
fn allocate_pool(
    state: &AllocatorState,
    key: &ObjectKey,
    mut object: Object,
    requested: &Requested,
    ctx: &Context<'_>,
) -> Result<MutationResult, StatusError> {
    let mut warnings = Vec::new();
    let (parent, block) = match &requested.origin {
        PoolOrigin::Root { block, .. } => {
            Pools::check_root(state, key, *block)?;
            (None, *block)
        }
        PoolOrigin::Child { parent, length, block, .. } => {
            let (parent, block) = match Pools::find_child_block(state, key, &requested.spec, parent, (*length, *block))
            {
                Ok(found) => found,
                Err(SelectionError::PoolAbsent(why)) if ctx.dry_run => return Ok(pending(object, &why, ctx.now)),
                Err(SelectionError::PoolAbsent(refusal) | SelectionError::Rejected(refusal)) => return Err(refusal),
            };
            if ctx.dry_run {
                warnings.push(pool_selection::dry_run_warning(parent, block));
            }
            (Some(parent), block)
        }
    };
    warnings.extend(requested.restored.as_ref().and_then(|restored| restored.warning(Requester::ChildPool, block)));
    let (free, parent) = (FreeSpace::new(block), parent.map(Pool::name));
    let status = PoolStatus::compute(&object, &free, Availability::Available, parent, ctx.now);
    object.set_field("status", status.to_value());
    Ok(MutationResult { object, warnings, ..MutationResult::default() })
}

/// Returns the dry-run result of a child pool whose parent does not exist.
fn pending(mut object: Object, why: &StatusError, now: Time) -> MutationResult {
    let status = PoolStatus::pending(&object, why, now);
    object.set_field("status", status.to_value());
    MutationResult { object, warnings: vec![pool_selection::pool_absent_warning(why)], ..MutationResult::default() }
}

/// Checks that a changed `cidr` names the same block. Returns a warning if it has host bits.
fn check_cidr_change(old: &Object, new: &Object, block: Prefix, errors: &mut Vec<FieldError>) -> Option<String> {
    let (before, after) = (old.text("/spec/cidr"), new.text("/spec/cidr"));
    if before == after {
        return None;
    }
    let parsed = address::parse_cidr(after).ok().filter(|parsed| !before.is_empty() && parsed.prefix == block);
    let Some(parsed) = parsed else {
        errors.push(FieldError::forbidden(spec::path("cidr"), "spec.cidr is immutable"));
        return None;
    };
    parsed.host_bits.then(|| host_bits_warning(after, block))
}

impl Kind<AllocatorState> for Pools {
    fn resource(&self) -> &Resource {
        &self.resource
    }

    fn event_rules(&self) -> Option<&dyn EventRules> {
        Some(self)
    }

    fn prepare_create(
        &self,
        key: &ObjectKey,
        mut object: Object,
        ctx: &RequestContext<'_>,
    ) -> Result<PreparedObject<AllocatorState>, StatusError> {
        let pool: PoolSpec = spec::read(&object)?;
        let origin = PoolOrigin::of(&pool).map_err(|errors| Self::invalid(&key.name, &errors))?;
        let root_family = match origin {
            PoolOrigin::Root { block, .. } => Some(block.family()),
            PoolOrigin::Child { .. } => None,
        };
        set_defaults(&mut object, root_family);
        let warnings = origin.warning().into_iter().collect();
        let requested = Requested { spec: pool, origin, restored: Restored::of(ctx.status) };
        let prepared = PreparedObject::with_decision(object, move |state, key, object, ctx| {
            allocate_pool(state, key, object, &requested, ctx)
        });
        Ok(PreparedObject { warnings, ..prepared })
    }

    fn prepare_update(
        &self,
        key: &ObjectKey,
        old: &Object,
        mut new: Object,
        subresource: Option<Subresource>,
        _: &RequestContext<'_>,
    ) -> Result<PreparedObject<AllocatorState>, StatusError> {
        let (mut errors, mut warning) = (Vec::new(), None);
        if subresource == Some(Subresource::Status) {
            errors = condition::check_status_write(old, &mut new);
        } else {
            let block = spec::stored_block(old.text("/status/allocatedCIDR"));
            let block = block.ok_or_else(|| missing_block_error(&key.name))?;
            let family = block.family();
            let is_root = old.text("/spec/parentPoolRef/name").is_empty();
            set_defaults(&mut new, is_root.then_some(family));
            warning = check_cidr_change(old, &new, block, &mut errors);
            errors.extend(spec::immutable_faults(old, &new, MUTABLE));
            let changed: PoolSpec = spec::read(&new)?;
            check_policy(changed.allocation.as_ref(), Some(family), &mut errors);
            spec::bump_observed_generation(old, &mut new);
        }
        if !errors.is_empty() {
            return Err(Self::invalid(&key.name, &errors));
        }
        Ok(PreparedObject { warnings: warning.into_iter().collect(), ..PreparedObject::without_decision(new) })
    }

    fn validate_delete(
        &self,
        state: &AllocatorState,
        key: &ObjectKey,
        _: &Object,
        _: &Context<'_>,
    ) -> Result<(), StatusError> {
        let pool = state.pool(&key.scope, &key.name).ok_or_else(|| unknown_pool_error(&key.name))?;
        let held = pool.allocations + pool.children + pool.unknown_holders;
        if held == 0 {
            return Ok(());
        }
        let why = format!(
            "the pool has {held} active allocation(s); delete their claims, retained allocations and child pools first"
        );
        Err(StatusError::conflict(GROUP, PLURAL, &key.name, &why).occupied(state::occupied(pool, pool.block())))
    }

    fn mark_terminating(&self, object: &mut Object) {
        let generation = object.metadata.generation;
        spec::set_observed_generation(object, generation);
        state::mark_terminating(object);
    }

    fn spans(&self, key: &ObjectKey, object: &Object) -> Vec<Span> {
        let Some(block) = spec::stored_block(object.text("/status/allocatedCIDR")) else {
            return Vec::new();
        };
        let parent = object.text("/spec/parentPoolRef/name");
        let space = if parent.is_empty() {
            state::space_of_roots(&key.scope, block.family())
        } else {
            state::space_of_pool(&key.scope, parent)
        };
        vec![state::span(space, block, key)]
    }
}

/// Writes default values into the spec: the strategy, and the family of a root pool.
fn set_defaults(object: &mut Object, root_family: Option<address::Family>) {
    let Some(spec) = spec::edit(object) else {
        return;
    };
    if let Some(family) = root_family {
        spec.entry("ipFamily").or_insert_with(|| family.to_string().into());
    }
    if let Some(policy) = spec.entry("allocation").or_insert_with(|| json!({})).as_object_mut() {
        policy.entry("strategy").or_insert_with(|| "FirstFit".into());
    }
}

/// Returns the error for a stored pool without `allocatedCIDR`.
fn missing_block_error(name: &str) -> StatusError {
    StatusError::new(StatusReason::InternalError, format!("IPPool \"{name}\" is stored without its block"))
}

/// Returns the error for a stored pool that the allocator state does not contain.
fn unknown_pool_error(name: &str) -> StatusError {
    StatusError::new(
        StatusReason::InternalError,
        format!("IPPool \"{name}\" is stored, but not in the allocator's state"),
    )
}
