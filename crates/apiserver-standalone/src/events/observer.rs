//! Follows the objects of kinds with [`EventRules`], and queues the events that their changes cause.
//!
//! Each replica follows all changes and reports those that it has committed itself, so that each is reported once. The
//! initial state of an object is derived from the object and from its existing events; the start of the server causes
//! no event.

use std::{
    collections::{BTreeMap, HashMap},
    convert::Infallible,
    sync::Arc,
};

use apimachinery::{
    command::Scope,
    kind::{Kind, State},
    object::Object,
    occurrence::{EventRules, EventState, Occurrence},
};
use apiserver::{clock, context::ApiContext, event_queue::EventQueue, outage::Outage, watch_cache::Event};
use store::{Record, Revision};

use super::{PREFIX, recorder};
use crate::log_follower::{LogFollower, each_object, run_with_restart};

/// Runs until dropped.
pub async fn run<W: State>(api: Arc<ApiContext<W>>) {
    let Some(event_queue) = &api.event_queue else { return std::future::pending().await };
    let outage = Outage::new("the states of objects cannot be read");
    let work = async || {
        let (observer, log_follower) = Observer::read(&api, event_queue).await?;
        outage.over();
        observer.follow(log_follower).await
    };
    run_with_restart(&outage, work).await;
}

struct Observer<'a, W> {
    api: &'a ApiContext<W>,
    event_queue: &'a EventQueue,
    /// By resource.
    rules: BTreeMap<&'static str, &'a dyn EventRules>,
    /// The states of objects, by key; a missing one is the default.
    states: HashMap<String, EventState>,
}

impl<'a, W: State> Observer<'a, W> {
    async fn read(
        api: &'a ApiContext<W>,
        event_queue: &'a EventQueue,
    ) -> Result<(Self, LogFollower<'a, W>), store::Error> {
        let event_rules = |kind: &'a dyn Kind<W>| Some((kind.resource().plural, kind.event_rules()?));
        let rules: BTreeMap<_, _> = api.registry.iter().filter_map(event_rules).collect();
        let mut observer = Self { api, event_queue, rules, states: HashMap::new() };
        let at = api.store.head().await?.revision;
        let told = observer.read_events(at).await?;
        for (resource, event_rules) in observer.rules.clone() {
            let states = &mut observer.states;
            let begin = |record: &Record, object: &Object| {
                let last = told.get(&object.metadata.uid).map(|(_, reason)| reason.as_str());
                remember(states, record.key.as_str(), event_rules.initial_state(object, last));
            };
            each_object(api, &format!("{resource}/"), Some(at), begin).await?;
        }
        Ok((observer, LogFollower::after(api, at.0)))
    }

    /// The reason and the revision of the last event that the server itself has recorded for each object, by uid.
    async fn read_events(&self, at: Revision) -> Result<HashMap<String, (u64, String)>, store::Error> {
        let mut told: HashMap<String, (u64, String)> = HashMap::new();
        if self.rules.is_empty() {
            return Ok(told);
        }
        let note = |record: &Record, event: &Object| {
            if let Some((uid, reason)) = recorder::recorded(event) {
                let last = told.entry(uid.to_owned()).or_default();
                if record.revision.0 > last.0 {
                    *last = (record.revision.0, reason.to_owned());
                }
            }
        };
        each_object(self.api, PREFIX, Some(at), note).await?;
        Ok(told)
    }

    /// Follows the log until it cannot be read.
    async fn follow(mut self, mut log_follower: LogFollower<'a, W>) -> Result<Infallible, store::Error> {
        // Most servers have one kind with event rules, whose prefix can filter the log.
        let only = self.rules.keys().next().filter(|_| self.rules.len() == 1);
        let prefix = only.map(|resource| format!("{resource}/")).unwrap_or_default();
        if self.rules.is_empty() {
            return std::future::pending().await;
        }
        loop {
            log_follower.catch_up(&prefix, |event| self.observe(event)).await?;
            log_follower.wait_until(std::future::pending()).await;
        }
    }

    fn observe(&mut self, event: &Event) {
        let mut parts = event.key.split('/');
        let (resource, scope) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let Some(event_rules) = self.rules.get(resource) else { return };
        let object = match event.current() {
            Ok(Some(object)) => object,
            Ok(None) => {
                self.states.remove(&event.key);
                return;
            }
            Err(unreadable) => return tracing::error!(error = %unreadable, "an object cannot be read for events"),
        };
        let before = self.states.get(&event.key).copied().unwrap_or_default();
        let (state, content) = event_rules.on_change(object, before);
        remember(&mut self.states, &event.key, state);
        let is_ours = event.is_local() || !self.api.store.is_shared();
        if let Some(content) = content.filter(|_| is_ours) {
            let (regarding, scope) = (Arc::clone(object), Scope::from_storage_key(scope));
            self.event_queue.record(Occurrence { regarding, scope, content }, clock::now());
        }
    }
}

fn remember(states: &mut HashMap<String, EventState>, key: &str, state: EventState) {
    if state == EventState::default() {
        states.remove(key);
    } else if let Some(known) = states.get_mut(key) {
        *known = state;
    } else {
        states.insert(key.to_owned(), state);
    }
}
