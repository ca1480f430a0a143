//! IPAllocation: the record of a held block. Only the service creates one.
//!
//! An allocation is created and deleted in the transaction of its claim, unless the claim's reclaim policy is Retain:
//! then it outlives the claim.

mod resource;

use address::Prefix;
use apimachinery::{
    command::ObjectKey,
    field::{FieldError, Path, truncate},
    kind::{Context, Holder, Kind, PreparedObject, RequestContext, Span},
    limits::{LABELS_MAX, QUOTED_BYTES_MAX},
    metadata::added_finalizers,
    object::{Object, ObjectMeta, OwnerReference},
    resource::{Resource, Subresource},
    status_error::{StatusError, StatusReason},
    time::Time,
};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use self::resource::RESOURCE;
pub use crate::names::{ALLOCATION as KIND, ALLOCATIONS as PLURAL};
pub use crate::types::allocation::{AllocationPhase, AllocationSpec, AllocationStatus, IpAllocation};
use crate::{
    API_VERSION, GROUP,
    condition::{self, ALLOCATED, ConditionStatus, READY},
    names, spec,
    state::{self, AllocatorState, HeldBlock},
    types::NameRef,
};

/// The annotation of a retained allocation that contains the name of its former claim.
pub const RETAINED_CLAIM: &str = "ipam.miloapis.com/retained-claim";

/// Returns the key of the allocation of `claim`. The name is derived from the claim's namespace and name, so clients
/// can compute it.
pub(crate) fn key_for(claim: &ObjectKey) -> ObjectKey {
    let mut hash = Sha256::new();
    for part in [&claim.namespace, "/", &claim.name] {
        hash.update(part.as_bytes());
    }
    let digest = hash.finalize();
    let head = digest.first_chunk().expect("a SHA-256 has 32 bytes");
    ObjectKey {
        resource: PLURAL,
        scope: claim.scope.clone(),
        namespace: claim.namespace.clone(),
        name: format!("alloc-{:016x}", u64::from_be_bytes(*head)),
    }
}

/// Builds the allocation of `block` for a claim that is about to be stored.
pub(crate) fn for_claim(key: &ObjectKey, claim: &Object, pool: &str, block: Prefix, ctx: &Context<'_>) -> Object {
    let mut conditions = Vec::with_capacity(2);
    let message = format!("{block} of IPPool {pool}");
    condition::set(&mut conditions, ALLOCATED, ConditionStatus::True, ("AllocationSucceeded", &message), ctx.now);
    condition::set(&mut conditions, READY, ConditionStatus::True, ("Bound", "a claim holds the block"), ctx.now);
    let spec = AllocationSpec {
        ip_family: Some(block.family().into()),
        pool_ref: NameRef::new(pool),
        claim_ref: Some(NameRef::new(&claim.metadata.name)),
        purpose: "Claim".to_owned(),
    };
    let status =
        AllocationStatus { phase: AllocationPhase::Ready, allocated_cidr: block.to_string(), conditions: Vec::new() };
    let mut fields = Map::new();
    fields.insert("spec".to_owned(), serde_json::to_value(spec).expect("a spec has only strings for keys"));
    fields.insert("status".to_owned(), condition::status_with(conditions, &status));
    Object {
        api_version: API_VERSION.to_owned(),
        kind: KIND.to_owned(),
        metadata: metadata(key, claim, ctx),
        fields,
        ..Object::default()
    }
}

fn metadata(key: &ObjectKey, claim: &Object, ctx: &Context<'_>) -> ObjectMeta {
    ObjectMeta {
        name: key.name.clone(),
        namespace: key.namespace.clone(),
        uid: ctx.entropy.second_uid(),
        creation_timestamp: Some(ctx.now),
        generation: Some(1),
        owner_references: vec![OwnerReference {
            api_version: API_VERSION.to_owned(),
            kind: names::CLAIM.to_owned(),
            name: claim.metadata.name.clone(),
            uid: claim.metadata.uid.clone(),
            controller: Some(true),
            block_owner_deletion: Some(true),
        }],
        ..ObjectMeta::default()
    }
}

/// Returns the allocation after its claim was deleted with the policy Retain. The former claim's name is kept as an
/// annotation, and its labels are copied up to `LABELS_MAX` labels.
pub(crate) fn retained(allocation: &Object, claim: &Object, now: Time) -> Object {
    let mut object = allocation.clone();
    let meta = &mut object.metadata;
    meta.owner_references.retain(|owner| owner.uid != claim.metadata.uid);
    meta.generation = meta.generation.map(|generation| generation.saturating_add(1));
    meta.annotations.insert(RETAINED_CLAIM.to_owned(), claim.metadata.name.clone());
    let room = LABELS_MAX.saturating_sub(meta.labels.len());
    let labels = claim.metadata.labels.iter().take(room);
    meta.labels.extend(labels.map(|(name, value)| (name.clone(), value.clone())));
    if let Some(spec) = spec::edit(&mut object) {
        spec.remove("claimRef");
    }
    let mut conditions = condition::in_status(object.field("status"));
    let why = ("Retained", "the claim was deleted and its block is retained; delete the allocation to free it");
    condition::set(&mut conditions, READY, ConditionStatus::True, why, now);
    if let Some(status) = object.fields.get_mut("status") {
        status["phase"] = json!(AllocationPhase::Retained);
        status["conditions"] = Value::Array(conditions);
    }
    object
}

/// The kind IPAllocation.
pub(crate) struct Allocations {
    resource: Resource,
}

impl Allocations {
    pub(crate) fn new() -> Self {
        Self { resource: RESOURCE.clone() }
    }
}

impl Kind<AllocatorState> for Allocations {
    fn resource(&self) -> &Resource {
        &self.resource
    }

    fn prepare_create(
        &self,
        _: &ObjectKey,
        _: Object,
        _: &RequestContext<'_>,
    ) -> Result<PreparedObject<AllocatorState>, StatusError> {
        let message = "an IPAllocation is created by the service together with its IPClaim; create an IPClaim instead";
        Err(StatusError::new(StatusReason::MethodNotAllowed, message))
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
            let mut errors = spec::immutable_faults(old, &new, &[]);
            errors.extend(metadata_faults(old, &new));
            errors
        };
        if errors.is_empty() {
            Ok(PreparedObject::without_decision(new))
        } else {
            Err(StatusError::invalid(GROUP, KIND, &key.name, &errors))
        }
    }

    /// Allocations are created and deleted with their claims.
    fn is_managed_by_owner(&self) -> bool {
        true
    }

    fn namespace_deletion_note(&self) -> Option<&'static str> {
        Some("retained IPAllocations are deleted as well, and their blocks are freed")
    }

    fn validate_delete(
        &self,
        _: &AllocatorState,
        key: &ObjectKey,
        object: &Object,
        _: &Context<'_>,
    ) -> Result<(), StatusError> {
        if object.field("spec").get("claimRef").is_none() {
            return Ok(());
        }
        let error =
            FieldError::forbidden(spec::path("claimRef"), "managed by its owning IPClaim; delete the claim instead");
        Err(StatusError::invalid(GROUP, KIND, &key.name, &[error]))
    }

    /// Returns the claim, or the allocation itself if it is retained.
    fn holder(&self, key: &ObjectKey, object: &Object) -> Holder {
        let claim = object.text("/spec/claimRef/name");
        if !claim.is_empty() {
            let key = ObjectKey { resource: names::CLAIMS, name: claim.to_owned(), ..key.clone() };
            return Holder { key, note: String::new() };
        }
        let note = match object.metadata.annotations.get(RETAINED_CLAIM) {
            Some(claim) => format!("retained from IPClaim {}", truncate(claim, QUOTED_BYTES_MAX)),
            None => "retained".to_owned(),
        };
        Holder { key: key.clone(), note }
    }

    fn spans(&self, key: &ObjectKey, object: &Object) -> Vec<Span> {
        let held = HeldBlock::of(object);
        held.map(|held| state::span(state::space_of_pool(&key.scope, held.pool), held.block, key)).into_iter().collect()
    }
}

/// Rejects new finalizers and changed owner references. An allocation is deleted in its claim's transaction, so a
/// finalizer of the allocation could not be honored; owner references are written by the service.
fn metadata_faults(old: &Object, new: &Object) -> Vec<FieldError> {
    let path = Path::new("metadata");
    let mut errors = Vec::new();
    let (before, after) = (&old.metadata, &new.metadata);
    if !added_finalizers(&before.finalizers, &after.finalizers).is_empty() {
        let detail = "an IPAllocation is deleted with its IPClaim; put the finalizer on the claim";
        errors.push(FieldError::forbidden(path.child("finalizers"), detail));
    }
    if before.owner_references != after.owner_references {
        errors.push(FieldError::forbidden(path.child("ownerReferences"), "is set by the service"));
    }
    errors
}
