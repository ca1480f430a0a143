//! The garbage collector: deletes objects whose owners no longer exist, and finishes deletions that wait for
//! dependents.
//!
//! It follows the log and keeps a graph of owners and dependents in memory ([`graph`]), of those objects only that have
//! owner references. It acts on what it reads from the store at that time, never on a failed read, and every write
//! names the version that it is based on. Its rules are those of kube-controller-manager.

mod graph;

use std::{collections::HashSet, convert::Infallible, sync::Arc};

use apimachinery::{
    command::ObjectKey,
    kind::State,
    metadata::{FINALIZER_FOREGROUND, FINALIZER_ORPHAN, awaits_finalizer, is_gc_relevant, may_be_gc_relevant},
    object::{Object, OwnerReference},
    options::{DeleteOptions, Propagation},
};
use apiserver::{context::ApiContext, keys, outage::Outage, stored_object, watch_cache::Event};
use futures::future::join_all;
use serde_json::{Value, json};
use store::{Record, Revision};
use tokio::time::Instant;

use self::graph::Graph;
use super::{
    log_follower::{LogFollower, ReconcileError, delete, each_record, patch, run_with_restart},
    owners::OwnerLocation,
    work_queue::WorkQueue,
};
use crate::limits;

/// The field manager of its writes.
const MANAGER: &str = "garbage-collector";

/// Runs until dropped.
pub async fn run<W: State>(api: Arc<ApiContext<W>>) {
    let outage = Outage::new("the garbage collector cannot read objects");
    let work = async || {
        let (collector, log_follower) = GarbageCollector::read(&api).await?;
        outage.over();
        collector.follow(log_follower).await
    };
    run_with_restart(&outage, work).await;
}

struct GarbageCollector<'a, W> {
    api: &'a ApiContext<W>,
    /// The resources whose objects are created and deleted only with their owners.
    owner_managed_resources: HashSet<&'static str>,
    graph: Graph,
    work_queue: WorkQueue,
}

impl<'a, W: State> GarbageCollector<'a, W> {
    /// Reads all objects with owners once; the log provides later changes.
    async fn read(api: &'a ApiContext<W>) -> Result<(Self, LogFollower<'a, W>), store::Error> {
        let resources = |follow: bool| {
            api.registry
                .iter()
                .filter(move |kind| kind.is_managed_by_owner() == follow)
                .map(|kind| kind.resource().plural)
        };
        let owner_managed_resources = resources(true).collect();
        let mut collector =
            Self { api, owner_managed_resources, graph: Graph::default(), work_queue: WorkQueue::default() };
        let revision = api.store.head().await?.revision;
        for resource in resources(false) {
            collector.read_kind(resource, revision).await?;
        }
        Ok((collector, LogFollower::after(api, revision.0)))
    }

    async fn read_kind(&mut self, resource: &str, at: Revision) -> Result<(), store::Error> {
        let put = |record: &Record| {
            if may_be_gc_relevant(&record.value) {
                match stored_object::parse(&record.key, &record.value) {
                    Ok(object) if is_gc_relevant(&object) => {
                        self.work_queue.add(record.key.as_str());
                        self.graph.put(record.key.as_str(), &object);
                    }
                    Ok(_) => {}
                    Err(unreadable) => tracing::error!(error = %unreadable, "the owners of an object are unknown"),
                }
            }
            Ok(())
        };
        each_record(self.api, &format!("{resource}/"), Some(at), put).await.map(drop)
    }

    /// Follows the log until it cannot be read.
    async fn follow(mut self, mut log_follower: LogFollower<'a, W>) -> Result<Infallible, store::Error> {
        loop {
            log_follower.catch_up("", |event| self.observe(event)).await?;
            let due = self.work_queue.take(Instant::now(), limits::BACKGROUND_WRITES_MAX);
            let attended = join_all(due.into_iter().map(async |key| (self.reconcile(&key).await, key))).await;
            for (result, key) in attended {
                self.record_result(key, result);
            }
            log_follower.wait_for_work(&self.work_queue).await;
        }
    }

    fn record_result(&mut self, key: String, result: Result<Vec<String>, ReconcileError>) {
        match result {
            Ok(next) => {
                self.work_queue.done(&key);
                self.work_queue.extend(next);
            }
            Err(trouble) => {
                tracing::warn!(object = key, error = %trouble, "an object could not be processed by the garbage collector; retrying");
                self.work_queue.failed(key, Instant::now());
            }
        }
    }

    /// Applies a change to the graph, and queues the objects that it affects.
    fn observe(&mut self, event: &Event) {
        let resource = event.key.split('/').next().unwrap_or_default();
        if event.exists() {
            if !event.is_gc_relevant() || self.owner_managed_resources.contains(resource) {
                return;
            }
            let object = match event.current() {
                Ok(Some(object)) => object,
                Ok(None) => return,
                Err(unreadable) => return tracing::error!(error = %unreadable, "the owners of an object are unknown"),
            };
            let freed =
                if is_gc_relevant(object) { self.graph.put(&event.key, object) } else { self.graph.remove(&event.key) };
            self.work_queue.extend(freed);
            if is_gc_relevant(object) {
                self.work_queue.add(event.key.as_str());
            }
        } else {
            let freed = self.graph.remove(&event.key);
            let uid = match event.previous() {
                Ok(old) => old.map_or("", |old| old.metadata.uid.as_str()),
                Err(unreadable) => {
                    tracing::error!(error = %unreadable, "the dependents of an object are unknown");
                    ""
                }
            };
            let orphaned = self.graph.dependents(uid).map(str::to_owned).collect::<Vec<_>>();
            self.work_queue.extend(freed.into_iter().chain(orphaned));
        }
    }

    /// Processes one object, and returns the keys to process next.
    async fn reconcile(&self, text: &str) -> Result<Vec<String>, ReconcileError> {
        let Some(key) = keys::object_key(&self.api.registry, text) else { return Ok(Vec::new()) };
        let Some(object) = self.get(&key).await? else { return Ok(Vec::new()) };
        if awaits_finalizer(&object, FINALIZER_ORPHAN) {
            return self.orphan(key, &object).await.map(|()| Vec::new());
        }
        if awaits_finalizer(&object, FINALIZER_FOREGROUND) {
            return self.delete_dependents(key, &object).await;
        }
        if object.is_terminating() || object.metadata.owner_references.is_empty() {
            return Ok(Vec::new());
        }
        self.process_dependent(key, &object).await.map(|()| Vec::new())
    }

    /// Completes a foreground deletion when no dependent blocks it any more; before that, returns the dependents.
    async fn delete_dependents(&self, key: ObjectKey, object: &Object) -> Result<Vec<String>, ReconcileError> {
        let uid = &object.metadata.uid;
        if self.graph.is_blocked(uid) {
            return Ok(self.graph.dependents(uid).map(str::to_owned).collect());
        }
        self.release(key, object, FINALIZER_FOREGROUND).await?;
        Ok(Vec::new())
    }

    /// Completes a deletion that orphans dependents, after removing the owner reference from each of them.
    async fn orphan(&self, key: ObjectKey, object: &Object) -> Result<(), ReconcileError> {
        let uid = &object.metadata.uid;
        let dependents: Vec<&str> = self.graph.dependents(uid).collect();
        for few in dependents.chunks(limits::BACKGROUND_WRITES_MAX) {
            for result in join_all(few.iter().map(|dependent| self.remove_owner_reference(dependent, uid))).await {
                result?;
            }
        }
        self.release(key, object, FINALIZER_ORPHAN).await
    }

    async fn remove_owner_reference(&self, dependent: &str, uid: &str) -> Result<(), ReconcileError> {
        let Some(key) = keys::object_key(&self.api.registry, dependent) else { return Ok(()) };
        let Some(object) = self.get(&key).await? else { return Ok(()) };
        let kept = |owner: &&OwnerReference| owner.uid != uid;
        let owners: Vec<_> = object.metadata.owner_references.iter().filter(kept).cloned().collect();
        if owners.len() == object.metadata.owner_references.len() {
            return Ok(());
        }
        self.set_owners(key, &object, &owners).await
    }

    /// Removes one of the garbage collector's finalizers.
    async fn release(&self, key: ObjectKey, object: &Object, finalizer: &str) -> Result<(), ReconcileError> {
        let kept: Vec<_> = object.metadata.finalizers.iter().filter(|name| *name != finalizer).collect();
        self.change(key, object, "finalizers", json!(kept)).await
    }

    async fn set_owners(
        &self,
        key: ObjectKey,
        object: &Object,
        owners: &[OwnerReference],
    ) -> Result<(), ReconcileError> {
        self.change(key, object, "ownerReferences", json!(owners)).await
    }

    /// Sets a metadata field, with this version of the object as precondition.
    async fn change(&self, key: ObjectKey, object: &Object, field: &str, value: Value) -> Result<(), ReconcileError> {
        let meta = &object.metadata;
        let change = json!({"metadata": {"uid": meta.uid, "resourceVersion": meta.resource_version, field: value}});
        patch(self.api, key, &change, None, MANAGER).await.map(drop)
    }

    /// Deletes an object if none of its owners exists; if some do, removes the references to the others.
    async fn process_dependent(&self, key: ObjectKey, object: &Object) -> Result<(), ReconcileError> {
        let owners = &object.metadata.owner_references;
        let mut states = Vec::with_capacity(owners.len());
        for owner in owners {
            states.push(self.state_of(owner, &key).await?);
        }
        if states.contains(&OwnerState::Present) {
            let there = owners.iter().zip(&states).filter(|(_, state)| **state == OwnerState::Present);
            let there: Vec<_> = there.map(|(owner, _)| owner.clone()).collect();
            return if there.len() == owners.len() { Ok(()) } else { self.set_owners(key, object, &there).await };
        }
        let uid = &object.metadata.uid;
        let has_dependents = self.graph.dependents(uid).next().is_some();
        let propagation = if states.contains(&OwnerState::WaitingForDependents) && has_dependents {
            if self.graph.dependents(uid).any(|dependent| self.graph.is_waiting(dependent)) {
                // They may form a cycle: the object stops blocking the deletion of its owners.
                self.clear_block_owner_deletion(key.clone(), object).await?;
                return Ok(());
            }
            Propagation::Foreground
        } else {
            propagation_policy(object)
        };
        let options = DeleteOptions {
            uid: Some(uid.clone()),
            resource_version: Some(object.metadata.resource_version.clone()),
            propagation: Some(propagation),
            ..DeleteOptions::default()
        };
        tracing::info!(object = key.storage_key(), uid, "deleting an object whose owners no longer exist");
        delete(self.api, key, options).await
    }

    async fn clear_block_owner_deletion(&self, key: ObjectKey, object: &Object) -> Result<(), ReconcileError> {
        let mut owners = object.metadata.owner_references.clone();
        for owner in &mut owners {
            owner.block_owner_deletion = owner.block_owner_deletion.map(|_| false);
        }
        if owners == object.metadata.owner_references {
            return Ok(());
        }
        self.set_owners(key, object, &owners).await
    }

    /// The state of an owner in the store. An owner that cannot be in this store is assumed to exist.
    async fn state_of(&self, owner: &OwnerReference, dependent: &ObjectKey) -> Result<OwnerState, ReconcileError> {
        let OwnerLocation::At(key) = OwnerLocation::of(owner, dependent, &self.api.registry) else {
            return Ok(OwnerState::Present);
        };
        Ok(match self.get(&key).await? {
            Some(found) if found.metadata.uid != owner.uid => OwnerState::Absent,
            Some(found) if awaits_finalizer(&found, FINALIZER_FOREGROUND) => OwnerState::WaitingForDependents,
            Some(_) => OwnerState::Present,
            None => OwnerState::Absent,
        })
    }

    async fn get(&self, key: &ObjectKey) -> Result<Option<Arc<Object>>, ReconcileError> {
        // A key that the store cannot hold denotes no object.
        let Some(key) = keys::store_key(key) else { return Ok(None) };
        let record = self.api.store.get(&key).await?;
        Ok(record.map(|record| stored_object::parse(&record.key, &record.value)).transpose()?)
    }
}

/// The state of an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OwnerState {
    Present,
    /// It is being deleted and waits for its dependents.
    WaitingForDependents,
    Absent,
}

/// The propagation policy that an object's finalizers ask for.
fn propagation_policy(object: &Object) -> Propagation {
    let has = |finalizer: &str| object.metadata.finalizers.iter().any(|name| name == finalizer);
    if has(FINALIZER_ORPHAN) {
        Propagation::Orphan
    } else if has(FINALIZER_FOREGROUND) {
        Propagation::Foreground
    } else {
        Propagation::Background
    }
}
