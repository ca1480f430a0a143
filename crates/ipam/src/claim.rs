//! IPClaim: a request for a block. The response to its creation contains the allocated block.
//!
//! Claim, allocation and free space change in one decision. The allocation's name is derived from the claim's name, so
//! one read under the head lock shows whether the allocation exists.

mod change;
mod check;
mod find;
mod resource;

use std::sync::Arc;

use address::Prefix;
use apimachinery::{
    command::{ObjectKey, Write},
    field::{FieldError, FieldErrorType, Path},
    kind::{Context, Kind, MutationResult, PreparedObject, RequestContext},
    object::Object,
    occurrence::{EventContent, EventType},
    resource::{Resource, Subresource},
    status_error::{StatusError, StatusReason},
    time::Time,
};
use serde_json::{Value, json};

use self::{
    change::check_change,
    check::{PoolSource, check},
    find::find,
    resource::RESOURCE,
};
pub use crate::names::{CLAIM as KIND, CLAIMS as PLURAL};
pub use crate::types::claim::{ClaimPhase, ClaimSpec, ClaimStatus, IpClaim, OwnerRef, ReclaimPolicy};
use crate::{
    GROUP, allocation,
    condition::{self, ALLOCATED, ConditionStatus, READY},
    pool_selection::{self, Request, Requester, SelectionError},
    restored::Restored,
    spec,
    state::AllocatorState,
    types::NameRef,
};

/// Returns the error for a claim whose allocation name is already taken. Overwriting that allocation would lose its
/// block. It was normally retained from an earlier claim of this name, but as the name is a hash, that is not certain.
fn name_still_retained_error(key: &ObjectKey, allocation: &ObjectKey, object: &Object) -> StatusError {
    let detail = format!(
        "IPAllocation \"{}\", whose name this claim's allocation would have, still keeps {}; delete that allocation, or \
         give the claim another name",
        allocation.name,
        object.text("/status/allocatedCIDR")
    );
    let error = FieldError {
        error_type: FieldErrorType::Other("AllocationRetained"),
        ..FieldError::invalid(Path::new("metadata").child("name"), key.name.as_str(), &detail)
    };
    StatusError::invalid(GROUP, KIND, &key.name, &[error])
}

/// Returns the error for a bound claim without its allocation. This is an inconsistency; releasing a block
/// would be a guess.
fn missing_allocation_error(key: &ObjectKey, allocation: &ObjectKey) -> StatusError {
    let message = format!("IPClaim \"{}\" is bound, but has no IPAllocation \"{}\"", key.name, allocation.name);
    StatusError::new(StatusReason::InternalError, message).with_details(GROUP, PLURAL, &key.name)
}

/// Returns the status of a claim with its block.
fn bound_status(object: &Object, pool: &str, allocation: &str, block: Prefix, now: Time) -> Value {
    let mut conditions = Vec::with_capacity(2);
    let message = format!("{block} of IPPool {pool}");
    condition::set(&mut conditions, ALLOCATED, ConditionStatus::True, ("AllocationSucceeded", &message), now);
    condition::set(&mut conditions, READY, ConditionStatus::True, ("Bound", "the block can be used"), now);
    let status = ClaimStatus {
        phase: ClaimPhase::Bound,
        allocated_cidr: Some(block.to_string()),
        pool_ref: Some(NameRef::new(pool)),
        bound_allocation_ref: Some(NameRef::new(allocation)),
        observed_generation: object.metadata.generation,
        conditions: Vec::new(),
    };
    condition::status_with(conditions, &status)
}

/// Returns the dry-run result of a claim whose pool does not exist.
fn pending(mut object: Object, why: &StatusError, now: Time) -> MutationResult {
    let status = ClaimStatus {
        phase: ClaimPhase::Pending,
        allocated_cidr: None,
        pool_ref: None,
        bound_allocation_ref: None,
        observed_generation: object.metadata.generation,
        conditions: Vec::new(),
    };
    object.set_field("status", condition::status_with(condition::pending(why, now), &status));
    MutationResult { object, warnings: vec![pool_selection::pool_absent_warning(why)], ..MutationResult::default() }
}

/// Writes default values into the spec.
fn set_defaults(object: &mut Object) {
    if let Some(spec) = spec::edit(object) {
        spec.entry("reclaimPolicy").or_insert_with(|| "Delete".into());
    }
}

/// Sets `spec.ipFamily` from the block if it is absent.
fn set_family(object: &mut Object, block: Prefix) {
    if let Some(spec) = spec::edit(object) {
        spec.entry("ipFamily").or_insert_with(|| block.family().to_string().into());
    }
}

/// The decoded request of a valid claim.
struct Requested {
    source: PoolSource,
    request: Request,
    restored: Option<Restored>,
}

/// Allocates a block for a valid claim. Returns the claim with its status, and the write of its allocation.
fn allocate(
    state: &AllocatorState,
    key: &ObjectKey,
    mut object: Object,
    requested: &Requested,
    ctx: &Context<'_>,
) -> Result<MutationResult, StatusError> {
    let allocation_key = allocation::key_for(key);
    if let Some(earlier) = ctx.related.objects.get(&allocation_key) {
        return Err(name_still_retained_error(key, &allocation_key, earlier));
    }
    let (pool, block) = match find(state, key, &requested.source, requested.request) {
        Ok(found) => found,
        Err(SelectionError::PoolAbsent(why)) if ctx.dry_run => return Ok(pending(object, &why, ctx.now)),
        Err(SelectionError::PoolAbsent(refusal) | SelectionError::Rejected(refusal)) => return Err(refusal),
    };
    let status = bound_status(&object, pool.name(), &allocation_key.name, block, ctx.now);
    object.set_field("status", status);
    set_family(&mut object, block);
    let allocation = allocation::for_claim(&allocation_key, &object, pool.name(), block, ctx);
    let of_dry_run = ctx.dry_run.then(|| pool_selection::dry_run_warning(pool, block));
    let of_restored = requested.restored.as_ref().and_then(|restored| restored.warning(Requester::Claim, block));
    let companion = Write { key: allocation_key, old: None, new: Some(Arc::new(allocation)) };
    let warnings = of_dry_run.into_iter().chain(of_restored).collect();
    Ok(MutationResult { object, secondary_writes: vec![companion], warnings })
}

/// The kind IPClaim.
pub(crate) struct Claims {
    resource: Resource,
}

impl Claims {
    /// Builds the kind with its schema.
    pub(crate) fn new() -> Self {
        Self { resource: RESOURCE.clone() }
    }
}

impl Kind<AllocatorState> for Claims {
    fn resource(&self) -> &Resource {
        &self.resource
    }

    fn read_set(&self, key: &ObjectKey) -> Vec<ObjectKey> {
        vec![allocation::key_for(key)]
    }

    /// The event refers to the exhausted pool, because operators look for it there.
    fn event_for_error(&self, key: &ObjectKey, refusal: &StatusError) -> Option<EventContent> {
        let note = format!("{KIND} {}/{} was refused: {}", key.namespace, key.name, refusal.message);
        Some(EventContent { reason: "ClaimRefused", event_type: EventType::Warning, note })
    }

    fn prepare_create(
        &self,
        key: &ObjectKey,
        mut object: Object,
        ctx: &RequestContext<'_>,
    ) -> Result<PreparedObject<AllocatorState>, StatusError> {
        let claim = spec::read(&object)?;
        let (source, request) = check(claim).map_err(|errors| StatusError::invalid(GROUP, KIND, &key.name, &errors))?;
        set_defaults(&mut object);
        let requested = Requested { source, request, restored: Restored::of(ctx.status) };
        Ok(PreparedObject::with_decision(object, move |state, key, object, ctx| {
            allocate(state, key, object, &requested, ctx)
        }))
    }

    fn prepare_update(
        &self,
        key: &ObjectKey,
        old: &Object,
        mut new: Object,
        subresource: Option<Subresource>,
        _: &RequestContext<'_>,
    ) -> Result<PreparedObject<AllocatorState>, StatusError> {
        let errors = if subresource == Some(Subresource::Status) {
            condition::check_status_write(old, &mut new)
        } else {
            spec::keep_omitted(old, &mut new, &["ipFamily", "ownerRef"]);
            set_defaults(&mut new);
            spec::bump_observed_generation(old, &mut new);
            check_change(old, &new)
        };
        if errors.is_empty() {
            Ok(PreparedObject::without_decision(new))
        } else {
            Err(StatusError::invalid(GROUP, KIND, &key.name, &errors))
        }
    }

    fn mark_terminating(&self, object: &mut Object) {
        let generation = object.metadata.generation;
        spec::set_observed_generation(object, generation);
        let since = object.metadata.deletion_timestamp;
        let mut conditions = condition::in_status(object.field("status"));
        if let Some(since) = since {
            let why = ("Releasing", "the claim is being deleted; its finalizers keep the block");
            condition::set(&mut conditions, READY, ConditionStatus::False, why, since);
        }
        if let Some(status) = object.fields.get_mut("status") {
            status["phase"] = json!(ClaimPhase::Releasing);
            status["conditions"] = Value::Array(conditions);
        }
    }

    fn delete(
        &self,
        _: &AllocatorState,
        key: &ObjectKey,
        object: &Object,
        ctx: &Context<'_>,
    ) -> Result<Vec<Write>, StatusError> {
        if object.text("/status/boundAllocationRef/name").is_empty() {
            return Ok(Vec::new());
        }
        let allocation_key = allocation::key_for(key);
        let found = ctx.related.objects.get(&allocation_key);
        let Some(old) = found.filter(|found| found.text("/spec/claimRef/name") == key.name) else {
            return Err(missing_allocation_error(key, &allocation_key));
        };
        let new = (object.text("/spec/reclaimPolicy") == "Retain")
            .then(|| Arc::new(allocation::retained(old, object, ctx.now)));
        Ok(vec![Write { key: allocation_key, old: Some(old.clone()), new }])
    }
}
