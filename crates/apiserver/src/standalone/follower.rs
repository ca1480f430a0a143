//! What the tasks behind the scenes share: they follow the log, and change objects as anybody else does.

use std::{convert::Infallible, time::Duration};

use apimachinery::{
    access::Rights,
    command::{Action, Command, Mutation, ObjectKey},
    draft::Draft,
    kind::{Subresource, World},
    object::Object,
    options::{DeleteOptions, FieldValidation},
    patch::Patch,
    refusal::{Reason, Refusal},
};
use serde_json::Value;
use store::{Key, Record, Revision};
use tokio::sync::watch::Receiver;

use super::agenda::Agenda;
use crate::{
    api::{self, Api},
    committer::{self, Committed},
    hub::Event,
    limits,
    outage::Outage,
};

/// How long a controller leaves the log alone before it reads on: events that come together are then read together.
const QUIET_TIME: Duration = Duration::from_millis(10);

/// A place in the log.
pub struct Follower<'a, W> {
    api: &'a Api<W>,
    cursor: u64,
    head: Receiver<u64>,
}

impl<'a, W: World> Follower<'a, W> {
    /// Behind this revision.
    pub fn behind(api: &'a Api<W>, cursor: u64) -> Self {
        Self { api, cursor, head: api.hub.subscribe() }
    }

    /// Shows every event up to the end of the log whose key starts with `prefix`.
    pub async fn catch_up(&mut self, prefix: &str, mut observe: impl FnMut(&Event)) -> Result<(), store::Error> {
        self.head.mark_unchanged();
        while self.cursor < self.api.hub.head() {
            let (events, upto) = self.api.behind(self.cursor, prefix).await?;
            self.cursor = upto;
            for event in &events {
                observe(event);
            }
        }
        Ok(())
    }

    /// Waits until there is something to do: what is on the agenda, or what happened since the last [`Self::catch_up`].
    pub async fn rest(&mut self, agenda: &Agenda) {
        if agenda.is_idle() {
            self.rest_until(agenda.wait()).await;
        }
    }

    /// Waits until something happened since the last [`Self::catch_up`], or until `due`.
    pub async fn rest_until(&mut self, due: impl Future<Output = ()>) {
        tokio::select! {
            _ = self.head.changed() => tokio::time::sleep(QUIET_TIME).await,
            () = due => {}
        }
    }
}

/// Reads every record whose key begins with `prefix` as of one revision, the newest if none is given, and returns that revision.
pub async fn each_record<W: World>(
    api: &Api<W>,
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

/// The same with the objects. One that cannot be parsed is logged and left out.
pub async fn each_object<W: World>(
    api: &Api<W>,
    prefix: &str,
    at: Option<Revision>,
    mut look: impl FnMut(&Record, &Object),
) -> Result<Revision, store::Error> {
    let parsed = |record: &Record| {
        match committer::parse(&record.key, &record.value) {
            Ok(object) => look(record, &object),
            Err(unreadable) => tracing::error!(error = %unreadable, "an object is passed over"),
        }
        Ok(())
    };
    each_record(api, prefix, at, parsed).await
}

/// Begins a work again whenever a read of the store ended it.
pub async fn again_and_again<F>(outage: &Outage, work: impl Fn() -> F)
where
    F: Future<Output = Result<Infallible, store::Error>>,
{
    loop {
        let Err(error) = work().await;
        outage.failed(&error);
        tokio::time::sleep(limits::BACKGROUND_RETRY_MIN).await;
    }
}

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The store could not be read. Nothing follows from that.
    #[error("the store could not be read: {0}")]
    Read(#[from] store::Error),
    /// What was to be done was refused.
    #[error("{}", .0.message)]
    Refused(Refusal),
}

/// Creates an object; that it is there already is no trouble.
pub async fn create<W: World>(api: &Api<W>, key: ObjectKey, draft: Draft, manager: &str) -> Result<(), Trouble> {
    submit(api, key, Action::Create(Box::new(draft)), manager, Reason::AlreadyExists).await.map(drop)
}

/// Deletes an object; that it is gone already is no trouble.
pub async fn delete<W: World>(api: &Api<W>, key: ObjectKey, options: DeleteOptions) -> Result<(), Trouble> {
    submit(api, key, Action::Delete(options), "", Reason::NotFound).await.map(drop)
}

/// Changes an object by a merge patch, if it is still there; whether it is.
pub async fn patch<W: World>(
    api: &Api<W>,
    key: ObjectKey,
    change: &Value,
    subresource: Option<Subresource>,
    manager: &str,
) -> Result<bool, Trouble> {
    let patch =
        Patch::parse("application/merge-patch+json", change.to_string().as_bytes()).map_err(Trouble::Refused)?;
    let action = Action::Update { change: Mutation::Patch(patch, FieldValidation::Ignore), subresource };
    submit(api, key, action, manager, Reason::NotFound).await
}

/// Submits a command. A refusal for the reason `done` says that there is nothing left to do: `false`.
async fn submit<W: World>(
    api: &Api<W>,
    key: ObjectKey,
    action: Action,
    manager: &str,
    done: Reason,
) -> Result<bool, Trouble> {
    let seed = (api.draw)().map_err(Trouble::Refused)?;
    let (manager, rights) = (manager.to_owned(), Rights::Everything);
    let now = api::now();
    let command = Command { key, view: None, action, manager, dry_run: false, now, seed, rights, body_bytes: 0 };
    match api.queue.submit(command).await {
        Ok(Committed { .. }) => Ok(true),
        Err(refusal) if refusal.reason == done => Ok(false),
        Err(refusal) => Err(Trouble::Refused(refusal)),
    }
}
