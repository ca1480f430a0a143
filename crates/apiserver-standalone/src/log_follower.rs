//! Functions shared by the background tasks: following the log, and writing objects through the committer.

use std::{convert::Infallible, time::Duration};

use apimachinery::{
    command::{Action, Command, ObjectKey, UpdateOperation},
    decoding::DecodedObject,
    kind::State,
    object::Object,
    options::{DeleteOptions, FieldValidation},
    patch::Patch,
    rbac::Permissions,
    resource::Subresource,
    status_error::{StatusError, StatusReason},
};
use apiserver::{
    clock, committer::Committed, context::ApiContext, limits, outage::Outage, stored_object, watch_cache::Event,
};
use serde_json::Value;
use store::{Key, Record, Revision};
use tokio::sync::watch::Receiver;

use super::work_queue::WorkQueue;

/// Delay after a new event before the log is read, so that events in quick succession are read together.
const CONTROLLER_DEBOUNCE: Duration = Duration::from_millis(10);

/// A cursor in the log.
pub struct LogFollower<'a, W> {
    api: &'a ApiContext<W>,
    cursor: u64,
    head: Receiver<u64>,
}

impl<'a, W: State> LogFollower<'a, W> {
    /// Starts after the revision `cursor`.
    pub fn after(api: &'a ApiContext<W>, cursor: u64) -> Self {
        Self { api, cursor, head: api.watch_cache.subscribe() }
    }

    /// Calls `observe` for every event up to the end of the log whose key starts with `prefix`.
    pub async fn catch_up(&mut self, prefix: &str, mut observe: impl FnMut(&Event)) -> Result<(), store::Error> {
        self.head.mark_unchanged();
        while self.cursor < self.api.watch_cache.head() {
            let (events, upto) = self.api.events_after(self.cursor, prefix).await?;
            self.cursor = upto;
            for event in &events {
                observe(event);
            }
        }
        Ok(())
    }

    /// Waits until a key in the queue is due, or until an event has been published since the last [`Self::catch_up`].
    pub async fn wait_for_work(&mut self, work_queue: &WorkQueue) {
        if work_queue.is_idle() {
            self.wait_until(work_queue.wait()).await;
        }
    }

    /// Waits until an event has been published since the last [`Self::catch_up`], or until `due` completes.
    pub async fn wait_until(&mut self, due: impl Future<Output = ()>) {
        tokio::select! {
            _ = self.head.changed() => tokio::time::sleep(CONTROLLER_DEBOUNCE).await,
            () = due => {}
        }
    }
}

/// Reads every record whose key starts with `prefix` at one revision, by default the newest, and returns that revision.
pub async fn each_record<W: State>(
    api: &ApiContext<W>,
    prefix: &str,
    mut at: Option<Revision>,
    mut look: impl FnMut(&Record) -> Result<(), store::Error>,
) -> Result<Revision, store::Error> {
    let mut after: Option<Key> = None;
    loop {
        let page = api.store.list(prefix, after.as_ref(), at, limits::PAGE_RECORDS_MAX).await?;
        page.records.iter().try_for_each(&mut look)?;
        (at, after) = (Some(page.revision), page.records.into_iter().next_back().map(|record| record.key));
        if !page.more {
            return Ok(page.revision);
        }
    }
}

/// Reads every object whose key starts with `prefix`, as [`each_record`] does. One that cannot be parsed is logged and
/// skipped.
pub async fn each_object<W: State>(
    api: &ApiContext<W>,
    prefix: &str,
    at: Option<Revision>,
    mut look: impl FnMut(&Record, &Object),
) -> Result<Revision, store::Error> {
    let parsed = |record: &Record| {
        match stored_object::parse(&record.key, &record.value) {
            Ok(object) => look(record, &object),
            Err(unreadable) => tracing::error!(error = %unreadable, "an object could not be read and is skipped"),
        }
        Ok(())
    };
    each_record(api, prefix, at, parsed).await
}

/// Restarts `work` whenever it fails to read the store.
pub async fn run_with_restart<F>(outage: &Outage, work: impl Fn() -> F)
where
    F: Future<Output = Result<Infallible, store::Error>>,
{
    loop {
        let Err(error) = work().await;
        outage.failed(&error);
        tokio::time::sleep(limits::BACKGROUND_RETRY_MIN).await;
    }
}

/// Why an action of a background task failed.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// The store could not be read. No action is taken on that.
    #[error("the store could not be read: {0}")]
    Read(#[from] store::Error),
    /// The write was rejected.
    #[error("{}", .0.message)]
    Refused(StatusError),
}

/// Creates an object; no error if it exists.
pub async fn create<W: State>(
    api: &ApiContext<W>,
    key: ObjectKey,
    decoded: DecodedObject,
    manager: &str,
) -> Result<(), ReconcileError> {
    submit(api, key, Action::Create(Box::new(decoded)), manager, StatusReason::AlreadyExists).await.map(drop)
}

/// Deletes an object; no error if it no longer exists.
pub async fn delete<W: State>(
    api: &ApiContext<W>,
    key: ObjectKey,
    options: DeleteOptions,
) -> Result<(), ReconcileError> {
    submit(api, key, Action::Delete(options), "", StatusReason::NotFound).await.map(drop)
}

/// Changes an object by a merge patch. False if it no longer exists.
pub async fn patch<W: State>(
    api: &ApiContext<W>,
    key: ObjectKey,
    change: &Value,
    subresource: Option<Subresource>,
    manager: &str,
) -> Result<bool, ReconcileError> {
    let patch =
        Patch::parse("application/merge-patch+json", change.to_string().as_bytes()).map_err(ReconcileError::Refused)?;
    let action = Action::Update { change: UpdateOperation::Patch(patch, FieldValidation::Ignore), subresource };
    submit(api, key, action, manager, StatusReason::NotFound).await
}

/// Submits a command. Returns false if it is rejected with the reason `done`, which means that there is nothing to do.
async fn submit<W: State>(
    api: &ApiContext<W>,
    key: ObjectKey,
    action: Action,
    manager: &str,
    done: StatusReason,
) -> Result<bool, ReconcileError> {
    let entropy = (api.random_source)().map_err(ReconcileError::Refused)?;
    let (manager, permissions) = (manager.to_owned(), Permissions::Unrestricted);
    let now = clock::now();
    let command =
        Command { key, view: None, action, manager, dry_run: false, now, entropy, permissions, body_bytes: 0 };
    match api.queue.submit(command).await {
        Ok(Committed { .. }) => Ok(true),
        Err(refusal) if refusal.reason == done => Ok(false),
        Err(refusal) => Err(ReconcileError::Refused(refusal)),
    }
}
