//! IPClaim: a request for a block, answered in the response that creates it.
//!
//! Claim, allocation record and free space change in one decision. The allocation's name follows from the claim's, so
//! that one read under the head's lock tells whether it is there.

mod check;
mod resource;
mod types;

use std::sync::Arc;

use address::Prefix;
use apimachinery::{
    command::{ObjectKey, Write},
    field::{Fault, FaultType, Path},
    kind::{Context, Decided, Kind, Prepared, RequestContext, Resource, Subresource},
    object::Object,
    refusal::{Reason, Refusal},
    time::Time,
};
use serde_json::{Value, json};

pub use self::types::{ClaimPhase, ClaimSpec, ClaimStatus, IpClaim, OwnerRef, ReclaimPolicy};
use self::{
    check::{Source, check},
    resource::RESOURCE,
};
use crate::{
    GROUP, allocation,
    choose::{self, Purpose, Request},
    condition::{self, ALLOCATED, ConditionStatus, READY},
    spec,
    types::{NameRef, PoolRef},
    world::{Pool, World},
};

/// The plural resource.
pub const PLURAL: &str = "ipclaims";
/// The kind.
pub const KIND: &str = "IPClaim";

/// The pool and the block for a claim.
fn find<'w>(
    world: &'w World,
    key: &ObjectKey,
    source: &Source,
    request: Request,
) -> Result<(&'w Pool, Prefix), Refusal> {
    match source {
        Source::Named(pool) => {
            let pool = named(world, key, pool)?;
            let found = choose::fit(pool, request);
            Ok((pool, found.map_err(|misfit| misfit.refuse(request, &key.name, pool, 0))?))
        }
        Source::Matching(labels, project) => {
            let scope = project.is_none().then(|| world.pools(&key.scope));
            let matching = scope
                .into_iter()
                .flatten()
                .filter(|pool| !pool.object.is_terminating() && labels.matches(&pool.object.metadata.labels));
            choose::among(matching, request).map_err(|nearest| match nearest {
                Some((pool, misfit, others)) => misfit.refuse(request, &key.name, pool, others),
                None => no_match(),
            })
        }
    }
}

/// The pool that a claim names.
///
/// This, and the scope that a selector looks into, is where a `projectRef` will lead to another project's pools once
/// there are tenants. Until then nobody is permitted any.
fn named<'w>(world: &'w World, key: &ObjectKey, pool: &PoolRef) -> Result<&'w Pool, Refusal> {
    if let Some(project) = &pool.project_ref {
        let message = format!(
            "{PLURAL}.{GROUP} \"{}\" is forbidden: no permission to use IPPool \"{}\" of project \"{}\"",
            key.name, pool.name, project.name
        );
        return Err(Refusal::new(Reason::Forbidden, message).about(GROUP, PLURAL, &key.name));
    }
    let found = world.pool(&key.scope, &pool.name).ok_or_else(|| choose::pool_not_found("poolRef", &pool.name))?;
    if found.object.is_terminating() {
        return Err(choose::pool_terminating(Purpose::Claim, &key.name, found));
    }
    Ok(found)
}

fn no_match() -> Refusal {
    let message = "no IPPool matches spec.poolSelector";
    let fault = Fault {
        path: spec::path("poolSelector"),
        fault_type: FaultType::Other("NoPoolMatch"),
        message: message.to_owned(),
    };
    Refusal::bad_request(message).because(&fault)
}

/// An allocation of the name that this claim's would have is still there: its block must not be lost track of. As a rule it
/// was retained from an earlier claim of this name; the name alone, which is a hash, does not prove it.
fn still_retained(key: &ObjectKey, allocation: &ObjectKey, object: &Object) -> Refusal {
    let detail = format!(
        "IPAllocation \"{}\", whose name this claim's allocation would have, still keeps {}; delete that allocation, or \
         give the claim another name",
        allocation.name,
        object.text("/status/allocatedCIDR")
    );
    let fault = Fault {
        fault_type: FaultType::Other("AllocationRetained"),
        ..Fault::invalid(Path::new("metadata").child("name"), key.name.as_str(), &detail)
    };
    Refusal::invalid(GROUP, KIND, &key.name, &[fault])
}

/// The claim says that it has a block, and nothing records it: whatever led there, freeing a block now would be a guess.
fn lost(key: &ObjectKey, allocation: &ObjectKey) -> Refusal {
    let message = format!("IPClaim \"{}\" is bound, but no IPAllocation \"{}\" is its own", key.name, allocation.name);
    Refusal::new(Reason::InternalError, message).about(GROUP, PLURAL, &key.name)
}

/// The status of a claim that has its block.
fn bound(object: &Object, pool: &str, allocation: &str, block: Prefix, now: Time) -> Value {
    let mut conditions = Vec::with_capacity(2);
    let message = format!("{block} of IPPool {pool}");
    condition::set(&mut conditions, ALLOCATED, ConditionStatus::True, ("AllocationSucceeded", &message), now);
    condition::set(&mut conditions, READY, ConditionStatus::True, ("Bound", "the block can be used"), now);
    let status = ClaimStatus {
        phase: ClaimPhase::Bound,
        allocated_cidr: block.to_string(),
        pool_ref: NameRef::new(pool),
        bound_allocation_ref: NameRef::new(allocation),
        observed_generation: object.metadata.generation,
        conditions: Vec::new(),
    };
    condition::status_with(conditions, &status)
}

/// Writes into the spec what it leaves out.
fn set_defaults(object: &mut Object) {
    if let Some(spec) = spec::edit(object) {
        spec.entry("reclaimPolicy").or_insert_with(|| "Delete".into());
    }
}

/// Gives a valid claim its block: the claim with its status, and its allocation.
fn allocate(
    world: &World,
    key: &ObjectKey,
    mut object: Object,
    source: &Source,
    request: Request,
    ctx: &Context<'_>,
) -> Result<Decided, Refusal> {
    let allocation_key = allocation::key_for(key);
    if let Some(earlier) = ctx.related.objects.get(&allocation_key) {
        return Err(still_retained(key, &allocation_key, earlier));
    }
    let (pool, block) = find(world, key, source, request)?;
    let status = bound(&object, pool.name(), &allocation_key.name, block, ctx.now);
    object.set_field("status", status);
    let allocation = allocation::for_claim(&allocation_key, &object, pool.name(), block, ctx);
    let warnings = if ctx.dry_run { vec![choose::dry_run_warning(pool, block)] } else { Vec::new() };
    let companion = Write { key: allocation_key, old: None, new: Some(Arc::new(allocation)) };
    Ok(Decided { object, companions: vec![companion], warnings })
}

/// The kind IPClaim.
pub(crate) struct Claims {
    resource: Resource,
}

impl Claims {
    /// The kind, with its schema.
    pub(crate) fn new() -> Self {
        Self { resource: RESOURCE.clone() }
    }
}

impl Kind<World> for Claims {
    fn resource(&self) -> &Resource {
        &self.resource
    }

    fn reads(&self, key: &ObjectKey) -> Vec<ObjectKey> {
        vec![allocation::key_for(key)]
    }

    fn prepare_create(
        &self,
        key: &ObjectKey,
        mut object: Object,
        _: &RequestContext<'_>,
    ) -> Result<Prepared<World>, Refusal> {
        let claim = spec::read(&object)?;
        let (source, request) = check(claim).map_err(|faults| Refusal::invalid(GROUP, KIND, &key.name, &faults))?;
        set_defaults(&mut object);
        Ok(Prepared::undecided(object, move |world, key, object, ctx| {
            allocate(world, key, object, &source, request, ctx)
        }))
    }

    fn prepare_update(
        &self,
        key: &ObjectKey,
        old: &Object,
        mut new: Object,
        subresource: Option<Subresource>,
        _: &RequestContext<'_>,
    ) -> Result<Prepared<World>, Refusal> {
        let faults = if subresource == Some(Subresource::Status) {
            condition::check_status_write(old.field("status"), new.field("status"))
        } else {
            set_defaults(&mut new);
            spec::observe_change(old, &mut new);
            spec::immutable_faults(old, &new, &["reclaimPolicy"])
        };
        if faults.is_empty() {
            Ok(Prepared::complete(new))
        } else {
            Err(Refusal::invalid(GROUP, KIND, &key.name, &faults))
        }
    }

    fn may_delete(&self, _: &World, _: &ObjectKey, _: &Object, _: &Context<'_>) -> Result<(), Refusal> {
        Ok(())
    }

    fn mark_terminating(&self, object: &mut Object) {
        let generation = object.metadata.generation;
        spec::observe(object, generation);
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

    fn delete(&self, _: &World, key: &ObjectKey, object: &Object, ctx: &Context<'_>) -> Result<Vec<Write>, Refusal> {
        if object.text("/status/boundAllocationRef/name").is_empty() {
            return Ok(Vec::new());
        }
        let allocation_key = allocation::key_for(key);
        let found = ctx.related.objects.get(&allocation_key);
        let Some(old) = found.filter(|found| found.text("/spec/claimRef/name") == key.name) else {
            return Err(lost(key, &allocation_key));
        };
        let new = (object.text("/spec/reclaimPolicy") == "Retain")
            .then(|| Arc::new(allocation::retained(old, object, ctx.now)));
        Ok(vec![Write { key: allocation_key, old: Some(old.clone()), new }])
    }
}
