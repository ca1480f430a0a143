//! Deletes the objects in namespaces that are being deleted, and then the namespaces.
//!
//! After the deletion of a namespace is committed, the committer rejects creates in it, so a later list is complete.
//! While objects remain, the conditions of the namespace report them.

mod conditions;

use std::{collections::BTreeSet, convert::Infallible, sync::Arc};

use apimachinery::{
    command::{ObjectKey, Scope},
    kind::{Kind, State, key_prefix},
    object::Object,
    options::{DeleteOptions, Propagation},
    resource::{Resource, Subresource, Verb},
    status_error::StatusReason,
};
use apiserver::{
    clock, context::ApiContext, keys, limits::PAGE_RECORDS_MAX, outage::Outage, stored_object, watch_cache::Event,
};
use futures::future::join_all;
use serde_json::{Value, json};
use store::{Key, Record};
use tokio::time::Instant;

use self::conditions::RemainingContent;
use super::{
    log_follower::{LogFollower, ReconcileError, delete, each_object, patch, run_with_restart},
    namespace,
    work_queue::WorkQueue,
};
use crate::limits;

/// The field manager of the conditions.
const MANAGER: &str = "namespace-controller";

/// Runs until dropped.
pub async fn run<W: State>(api: Arc<ApiContext<W>>) {
    let outage = Outage::new("namespaces that are being deleted cannot be read");
    let work = async || {
        let (controller, log_follower) = NamespaceController::read(&api).await?;
        outage.over();
        controller.follow(log_follower).await
    };
    run_with_restart(&outage, work).await;
}

struct NamespaceController<'a, W> {
    api: &'a ApiContext<W>,
    /// The keys of namespaces that are being deleted.
    terminating: BTreeSet<String>,
    work_queue: WorkQueue,
}

/// The result of an attempt.
enum ContentDeletion {
    /// Nothing to do until another event.
    Done,
    /// Objects remain in the namespace.
    Remaining(RemainingContent),
}

impl<'a, W: State> NamespaceController<'a, W> {
    /// Reads the namespaces whose deletion has not been finished.
    async fn read(api: &'a ApiContext<W>) -> Result<(Self, LogFollower<'a, W>), store::Error> {
        let mut controller = Self { api, terminating: BTreeSet::new(), work_queue: WorkQueue::default() };
        let find = |record: &Record, namespace: &Object| {
            if namespace.is_terminating() {
                controller.begin(record.key.as_str());
            }
        };
        let revision = each_object(api, namespace::PREFIX, None, find).await?;
        Ok((controller, LogFollower::after(api, revision.0)))
    }

    /// Follows the log until it cannot be read.
    async fn follow(mut self, mut log_follower: LogFollower<'a, W>) -> Result<Infallible, store::Error> {
        loop {
            let prefix = if self.terminating.is_empty() { namespace::PREFIX } else { "" };
            log_follower.catch_up(prefix, |event| self.observe(event)).await?;
            let due = self.work_queue.take(Instant::now(), 1);
            for key in due {
                self.reconcile(key).await;
            }
            log_follower.wait_for_work(&self.work_queue).await;
        }
    }

    fn begin(&mut self, key: &str) {
        self.terminating.insert(key.to_owned());
        self.work_queue.add(key);
    }

    fn observe(&mut self, event: &Event) {
        if event.key.starts_with(namespace::PREFIX) {
            match event.current() {
                Ok(Some(namespace)) if namespace.is_terminating() => self.begin(&event.key),
                Ok(Some(_)) => {}
                Ok(None) => drop(self.terminating.remove(&event.key)),
                Err(unreadable) => tracing::error!(error = %unreadable, "a namespace could not be read and is ignored"),
            }
        } else {
            let mut parts = event.key.splitn(4, '/').skip(1);
            if let (Some(scope), Some(namespace)) = (parts.next(), parts.next()) {
                let key = namespace::key(&Scope::from_storage_key(scope), namespace).storage_key();
                if self.terminating.contains(&key) && may_release(event) {
                    self.work_queue.add(key);
                }
            }
        }
    }

    async fn reconcile(&mut self, key: String) {
        let Some(namespace) = keys::object_key(&self.api.registry, &key) else { return };
        match self.finish(&namespace).await {
            Ok(ContentDeletion::Done) => self.work_queue.done(&key),
            Ok(ContentDeletion::Remaining(left)) => {
                let (name, count, why) = (&namespace.name, left.count(), left.refusal());
                tracing::info!(namespace = name, left = count, why, "a namespace that is being deleted is not empty");
                self.work_queue.failed(key, Instant::now());
            }
            Err(error) => {
                tracing::warn!(namespace = namespace.name, error = %error, "a namespace could not be deleted; retrying");
                self.work_queue.failed(key, Instant::now());
            }
        }
    }

    async fn finish(&self, namespace: &ObjectKey) -> Result<ContentDeletion, ReconcileError> {
        let Some(key) = keys::store_key(namespace) else { return Ok(ContentDeletion::Done) };
        let Some(record) = self.api.store.get(&key).await? else { return Ok(ContentDeletion::Done) };
        let object = stored_object::parse(&key, &record.value)?;
        let finalizers = namespace::finalizers(&object);
        if !object.is_terminating() || !finalizers.contains(&namespace::FINALIZER) {
            return Ok(ContentDeletion::Done);
        }
        let mut left = RemainingContent::default();
        self.delete_content(namespace, &mut left).await?;
        self.count(namespace, &mut left).await?;
        let kept: Vec<_> = finalizers.into_iter().filter(|name| *name != namespace::FINALIZER).collect();
        let goes = left.count() == 0 && kept.is_empty() && object.metadata.finalizers.is_empty();
        // The change of the conditions is an event, after which this namespace is processed again.
        let has_reported = !goes && self.report_remaining(namespace, &object, &left).await;
        if left.count() > 0 {
            return Ok(ContentDeletion::Remaining(left));
        }
        if !has_reported {
            self.change(namespace, &object, ("spec", json!({"finalizers": kept})), Subresource::Finalize, "").await?;
            tracing::info!(namespace = namespace.name, "a namespace was deleted with all objects in it");
        }
        Ok(ContentDeletion::Done)
    }

    /// Deletes all objects in a namespace, kind by kind in the order of registration.
    async fn delete_content(&self, namespace: &ObjectKey, left: &mut RemainingContent) -> Result<(), ReconcileError> {
        for kind in self.kinds().filter(|kind| kind.resource().verbs.contains(&Verb::Delete)) {
            let mut refusal = None;
            let mut pages = Pages::of(self.api, kind.resource(), namespace, limits::BACKGROUND_WRITES_MAX);
            while let Some(records) = pages.next().await? {
                let deletions = join_all(records.iter().map(|record| self.delete(kind, record))).await;
                refusal = refusal.or(deletions.into_iter().find_map(Result::err));
            }
            if let Some(refusal) = refusal {
                left.refused(refusal.to_string());
            }
        }
        Ok(())
    }

    /// Counts the objects in a namespace.
    async fn count(&self, namespace: &ObjectKey, left: &mut RemainingContent) -> Result<(), ReconcileError> {
        for kind in self.kinds() {
            let mut pages = Pages::of(self.api, kind.resource(), namespace, PAGE_RECORDS_MAX);
            while let Some(records) = pages.next().await? {
                for record in records {
                    let object = stored_object::parse(&record.key, &record.value)?;
                    left.add(kind.resource(), &object);
                }
            }
        }
        Ok(())
    }

    /// Updates the conditions of a namespace. Returns true if the namespace was changed.
    async fn report_remaining(&self, namespace: &ObjectKey, object: &Object, left: &RemainingContent) -> bool {
        let notes: Vec<_> = self.kinds().filter_map(Kind::namespace_deletion_note).collect();
        let Some(conditions) = conditions::updated(object, left, &notes, clock::now()) else { return false };
        let status = ("status", json!({"conditions": conditions}));
        match self.change(namespace, object, status, Subresource::Status, MANAGER).await {
            Ok(()) => true,
            // Another replica was faster.
            Err(ReconcileError::Refused(refusal)) if refusal.reason == StatusReason::Conflict => true,
            Err(trouble) => {
                let name = &namespace.name;
                tracing::warn!(namespace = name, error = %trouble, "the conditions of a namespace cannot be changed");
                false
            }
        }
    }

    /// Changes a field, with this version of the namespace as precondition.
    async fn change(
        &self,
        namespace: &ObjectKey,
        object: &Object,
        (field, value): (&str, Value),
        part: Subresource,
        manager: &str,
    ) -> Result<(), ReconcileError> {
        let meta = &object.metadata;
        let change = json!({"metadata": {"uid": meta.uid, "resourceVersion": meta.resource_version}, field: value});
        patch(self.api, namespace.clone(), &change, Some(part), manager).await.map(drop)
    }

    /// The namespaced kinds.
    fn kinds(&self) -> impl Iterator<Item = &dyn Kind<W>> {
        self.api.registry.iter().filter(|kind| kind.resource().namespaced)
    }

    async fn delete(&self, kind: &dyn Kind<W>, record: &Record) -> Result<(), ReconcileError> {
        let object = stored_object::parse(&record.key, &record.value)?;
        let Some(key) = keys::object_key(&self.api.registry, record.key.as_str()) else { return Ok(()) };
        // An object that is created and deleted with its owner cannot be deleted separately.
        let goes_with_owner = kind.is_managed_by_owner() && !object.metadata.owner_references.is_empty();
        if object.is_terminating() || goes_with_owner {
            return Ok(());
        }
        let uid = Some(object.metadata.uid.clone());
        let options = DeleteOptions { uid, propagation: Some(Propagation::Background), ..DeleteOptions::default() };
        delete(self.api, key, options).await
    }
}

/// True if an event may complete a namespace's deletion: an object or one of its finalizers was removed.
fn may_release(event: &Event) -> bool {
    let (Ok(old), Ok(new)) = (event.previous(), event.current()) else { return true };
    let finalizers = |object: Option<&Arc<Object>>| object.map(|object| object.metadata.finalizers.clone());
    new.is_none() || finalizers(old) != finalizers(new)
}

/// The objects of a kind in a namespace, page by page.
struct Pages<'a, W> {
    api: &'a ApiContext<W>,
    prefix: String,
    after: Option<Key>,
    more: bool,
    limit: usize,
}

impl<'a, W: State> Pages<'a, W> {
    fn of(api: &'a ApiContext<W>, resource: &Resource, namespace: &ObjectKey, limit: usize) -> Self {
        let prefix = key_prefix(resource.plural, &namespace.scope, Some(&namespace.name));
        Self { api, prefix, after: None, more: true, limit }
    }

    /// The next page; `None` after the last one.
    async fn next(&mut self) -> Result<Option<Vec<Record>>, store::Error> {
        if !self.more {
            return Ok(None);
        }
        let page = self.api.store.list(&self.prefix, self.after.as_ref(), None, self.limit).await?;
        self.more = page.more;
        self.after = page.records.last().map(|record| record.key.clone());
        Ok(Some(page.records))
    }
}
