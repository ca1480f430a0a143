//! Empties namespaces that are being deleted, and lets them go when nothing is in them any more.
//!
//! The committer lets nothing new into a namespace from the moment in which its deletion is committed, so that a list
//! from then on shows all that there will ever be.

use std::{collections::BTreeSet, convert::Infallible, sync::Arc};

use apimachinery::{
    command::{ObjectKey, Scope},
    kind::{Kind, Subresource, Verb, World, key_prefix},
    options::{DeleteOptions, Propagation},
};
use futures::future::join_all;
use serde_json::json;
use store::{Key, Record};
use tokio::time::Instant;

use super::{
    agenda::Agenda,
    follower::{Follower, Trouble, again_and_again, delete, patch},
    namespace,
};
use crate::{
    api::{self, Api},
    committer, limits,
    outage::Outage,
};

/// Works until it is dropped.
pub async fn run<W: World>(api: Arc<Api<W>>) {
    let outage = Outage::new("namespaces that are being deleted cannot be read");
    let work = async || {
        let (purge, follower) = Purge::read(&api).await?;
        outage.over();
        purge.follow(follower).await
    };
    again_and_again(&outage, work).await;
}

struct Purge<'a, W> {
    api: &'a Api<W>,
    /// The keys of namespaces that are being deleted.
    terminating: BTreeSet<String>,
    agenda: Agenda,
}

/// What became of an attempt.
enum Emptied {
    /// The namespace may go.
    Entirely,
    /// So many objects are left; what the first of those says that could not be deleted.
    But(usize, Option<Trouble>),
}

impl<'a, W: World> Purge<'a, W> {
    /// Finds what was not finished.
    async fn read(api: &'a Api<W>) -> Result<(Self, Follower<'a, W>), store::Error> {
        let mut purge = Self { api, terminating: BTreeSet::new(), agenda: Agenda::default() };
        let (mut at, mut after) = (None, None);
        loop {
            let page = api.store.list(namespace::PREFIX, after.as_ref(), at, limits::PAGE_RECORDS_MAX).await?;
            for record in &page.records {
                match committer::parse(&record.key, &record.value) {
                    Ok(namespace) if namespace.is_terminating() => purge.begin(record.key.as_str()),
                    Ok(_) => {}
                    Err(unreadable) => tracing::error!(error = %unreadable, "a namespace is passed over"),
                }
            }
            (at, after) = (Some(page.revision), page.records.into_iter().next_back().map(|record| record.key));
            if !page.more {
                return Ok((purge, Follower::behind(api, page.revision.0)));
            }
        }
    }

    /// Follows the log until it cannot be read.
    async fn follow(mut self, mut follower: Follower<'a, W>) -> Result<Infallible, store::Error> {
        loop {
            let prefix = if self.terminating.is_empty() { namespace::PREFIX } else { "" };
            follower.catch_up(prefix, |event| self.observe(event)).await?;
            let due = self.agenda.take(Instant::now(), 1);
            for key in due {
                self.attend(key).await;
            }
            follower.rest(&self.agenda).await;
        }
    }

    fn begin(&mut self, key: &str) {
        self.terminating.insert(key.to_owned());
        self.agenda.add(key);
    }

    fn observe(&mut self, event: &crate::hub::Event) {
        if event.key.starts_with(namespace::PREFIX) {
            match event.current() {
                Ok(Some(namespace)) if namespace.is_terminating() => self.begin(&event.key),
                Ok(Some(_)) => {}
                Ok(None) => drop(self.terminating.remove(&event.key)),
                Err(unreadable) => tracing::error!(error = %unreadable, "a namespace is passed over"),
            }
        } else if !event.exists() {
            // What was waited for may be gone.
            let mut parts = event.key.splitn(4, '/').skip(1);
            if let (Some(scope), Some(namespace)) = (parts.next(), parts.next()) {
                let key = namespace::key(&Scope::from_key(scope), namespace).to_text();
                if self.terminating.contains(&key) {
                    self.agenda.add(key);
                }
            }
        }
    }

    async fn attend(&mut self, key: String) {
        let Some(namespace) = api::object_key(&self.api.registry, &key) else { return };
        match self.finish(&namespace).await {
            Ok(Emptied::Entirely) => self.agenda.done(&key),
            Ok(Emptied::But(left, trouble)) => {
                let why = trouble.map(|trouble| trouble.to_string());
                tracing::info!(namespace = namespace.name, left, why, "a namespace that is being deleted is not empty");
                self.agenda.failed(key, Instant::now());
            }
            Err(error) => {
                tracing::warn!(namespace = namespace.name, error = %error, "a namespace could not be deleted; it is tried again");
                self.agenda.failed(key, Instant::now());
            }
        }
    }

    async fn finish(&self, namespace: &ObjectKey) -> Result<Emptied, Trouble> {
        let Ok(key) = Key::new(namespace.to_text()) else { return Ok(Emptied::Entirely) };
        let Some(record) = self.api.store.get(&key).await? else { return Ok(Emptied::Entirely) };
        let object = committer::parse(&key, &record.value)?;
        let finalizers = namespace::finalizers(&object);
        if !object.is_terminating() || !finalizers.contains(&namespace::FINALIZER) {
            return Ok(Emptied::Entirely);
        }
        let emptied = self.empty(namespace).await?;
        if matches!(emptied, Emptied::Entirely) {
            let kept: Vec<_> = finalizers.into_iter().filter(|name| *name != namespace::FINALIZER).collect();
            let meta = &object.metadata;
            let change = json!({
                "metadata": {"uid": meta.uid, "resourceVersion": meta.resource_version},
                "spec": {"finalizers": kept},
            });
            patch(self.api, namespace.clone(), &change, Some(Subresource::Finalize), "").await?;
            tracing::info!(namespace = namespace.name, "a namespace was deleted with all that was in it");
        }
        Ok(emptied)
    }

    /// Deletes everything in a namespace, kind by kind in the order of their registration, and counts what is left then.
    async fn empty(&self, namespace: &ObjectKey) -> Result<Emptied, Trouble> {
        let kinds = || self.api.registry.iter().map(Kind::resource).filter(|resource| resource.namespaced);
        let mut trouble = None;
        for resource in kinds().filter(|resource| resource.verbs.contains(&Verb::Delete)) {
            let prefix = key_prefix(resource.plural, &namespace.scope, Some(&namespace.name));
            let mut after = None;
            loop {
                let limit = limits::BACKGROUND_WRITES_MAX;
                let page = self.api.store.list(&prefix, after.as_ref(), None, limit).await?;
                let deletions = join_all(page.records.iter().map(|record| self.delete(record))).await;
                for refused in deletions.into_iter().filter_map(Result::err) {
                    trouble.get_or_insert(refused);
                }
                after = page.records.into_iter().next_back().map(|record| record.key);
                if !page.more {
                    break;
                }
            }
        }
        let mut left = 0;
        for resource in kinds() {
            let prefix = key_prefix(resource.plural, &namespace.scope, Some(&namespace.name));
            left += self.api.store.list(&prefix, None, None, limits::PAGE_RECORDS_MAX).await?.records.len();
        }
        Ok(if left == 0 { Emptied::Entirely } else { Emptied::But(left, trouble) })
    }

    async fn delete(&self, record: &Record) -> Result<(), Trouble> {
        let object = committer::parse(&record.key, &record.value)?;
        let Some(key) = api::object_key(&self.api.registry, record.key.as_str()) else { return Ok(()) };
        if object.is_terminating() {
            return Ok(());
        }
        let uid = Some(object.metadata.uid.clone());
        let options = DeleteOptions { uid, propagation: Some(Propagation::Background), ..DeleteOptions::default() };
        delete(self.api, key, options).await
    }
}
