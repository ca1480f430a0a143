//! What all verbs share: where a request points, waiting for a revision, and how an object is shown.

use std::sync::{Arc, PoisonError, RwLock};

use apimachinery::{
    command::{ObjectKey, Scope, Seed},
    kind::{Gauge, Kind, Registry, Resource, Subresource, Verb, World, key_prefix, qualified},
    list::{self, ListMeta},
    negotiate::{Representation, to_yaml},
    object::Object,
    refusal::{Reason, Refusal},
    request::ResourceTarget,
    schema::{Schema, Schemas},
    table,
    time::Time,
    view::View,
};
use bytes::Bytes;
use http::Response;
use store::{Key, Store};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    body::Body,
    budget::Budget,
    committer::Queue,
    event_queue::EventQueue,
    hub::{Behind, Event, Hub},
    limits,
    metrics::Metrics,
    respond,
    standalone::namespace,
    tails::Tails,
    turns::Turns,
};

/// A served API: everything that a handler needs.
pub struct Api<W> {
    /// Where everything is kept.
    pub store: Arc<dyn Store>,
    /// The kinds.
    pub registry: Arc<Registry<W>>,
    /// Their schemas.
    pub schemas: Arc<Schemas>,
    /// Recent events.
    pub hub: Arc<Hub>,
    /// The way to the committer.
    pub queue: Queue<W>,
    /// The queue of the server's own events; `None`: it writes none.
    pub event_queue: Option<Arc<EventQueue>>,
    /// What operators measure.
    pub metrics: Arc<Metrics>,
    /// What decisions know; here only for its gauges.
    pub world: Arc<RwLock<W>>,
    /// Places for reading requests.
    pub readers: Arc<Semaphore>,
    /// Places for writing requests.
    pub writers: Arc<Semaphore>,
    /// Bytes for their bodies.
    pub bodies: Budget,
    /// Places for watches.
    pub watchers: Arc<Semaphore>,
    /// Older events.
    pub tails: Tails,
    /// The order in which watches are told what happened.
    pub turns: Turns,
    /// Where its randomness comes from.
    pub draw: Draw,
}

/// Draws random bytes; a refusal if there are none.
pub type Draw = Arc<dyn Fn() -> Result<Seed, Refusal> + Send + Sync>;

/// Where a request points.
pub struct Place<'a, W> {
    /// The kind.
    pub kind: &'a dyn Kind<W>,
    /// What is static about it.
    pub resource: &'a Resource,
    /// What its objects may look like.
    pub schema: &'a Schema,
    /// Whose names.
    pub scope: Scope,
    /// The namespace, if the path names one.
    pub namespace: Option<String>,
    /// The name, if the request is about one object. For a watch its path or its selector names it.
    pub name: Option<String>,
    /// The part of the object.
    pub subresource: Option<Subresource>,
    /// What to do there.
    pub verb: Verb,
}

impl<W> Place<'_, W> {
    /// The address of the object `name`.
    pub fn key(&self, name: &str) -> ObjectKey {
        ObjectKey {
            resource: self.resource.plural,
            scope: self.scope.clone(),
            namespace: self.namespace.clone().unwrap_or_default(),
            name: name.to_owned(),
        }
    }

    /// The prefix of all keys that a collection request may see.
    pub fn prefix(&self) -> String {
        let namespace = if self.resource.namespaced { self.namespace.as_deref() } else { Some("") };
        key_prefix(self.resource.plural, &self.scope, namespace)
    }

    /// How objects look here, if that is not as they are stored.
    pub fn view(&self) -> Option<&'static View> {
        self.kind.view()
    }

    /// An object, and its plain JSON, as it looks here.
    pub fn shown(&self, object: Arc<Object>, bytes: Bytes) -> (Arc<Object>, Bytes) {
        let Some(view) = self.view() else { return (object, bytes) };
        let shown = view.show(Object::clone(&object));
        let bytes = shown.to_bytes().into();
        (Arc::new(shown), bytes)
    }

    /// 404 for this object.
    pub fn not_found(&self, name: &str) -> Refusal {
        Refusal::not_found(self.resource.group, self.resource.plural, name)
    }
}

impl<W: World> Api<W> {
    /// Where `target` points; `None` if there is no such path.
    pub fn place(&self, target: &ResourceTarget) -> Result<Option<Place<'_, W>>, Refusal> {
        let Some(kind) = self.registry.find_served(&target.group, &target.resource) else { return Ok(None) };
        let resource = kind.resource();
        // The path of a namespace says its name twice: it is also where other objects are.
        let namespace = target.namespace.clone().filter(|_| !is_namespace(target));
        if target.version != resource.version || (namespace.is_some() && !resource.namespaced) {
            return Ok(None);
        }
        let subresource = subresource(resource, target)?;
        let collection = matches!(target.verb, Verb::List | Verb::Watch | Verb::DeleteCollection | Verb::Create);
        let needs_namespace = resource.namespaced && !matches!(target.verb, Verb::List | Verb::Watch);
        if needs_namespace && target.namespace.is_none() {
            return if collection { Err(not_allowed(target)) } else { Ok(None) };
        }
        let offered = match subresource {
            None => resource.verbs.contains(&target.verb),
            Some(part) => part.verbs().contains(&target.verb),
        };
        // Objects are created in collections, under the name in the body, and changed under their own.
        let misplaced = match target.verb {
            Verb::Create => target.name.is_some(),
            Verb::Update | Verb::Patch => target.name.is_none(),
            _ => false,
        };
        if !offered || misplaced {
            return Err(not_allowed(target));
        }
        Ok(Some(Place {
            kind,
            resource,
            schema: self.schemas.get(resource),
            scope: Scope::platform(),
            namespace,
            name: target.name.clone().filter(|_| !collection || target.verb == Verb::Watch),
            subresource,
            verb: target.verb,
        }))
    }

    /// One of the places for requests under way, or 429.
    pub fn admit(places: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Refusal> {
        Arc::clone(places).try_acquire_owned().map_err(|_| {
            Refusal::new(Reason::TooManyRequests, "Too many requests, please try again later.").retry_after(1)
        })
    }

    /// The service's gauges as of now.
    pub fn gauges(&self) -> Vec<Gauge> {
        let mut gauges = self.world.read().unwrap_or_else(PoisonError::into_inner).gauges();
        gauges.extend(self.event_queue.as_ref().map(|event_queue| Gauge {
            name: "ipam_events_dropped",
            help: "Occurrences for the server's own events that were dropped because there were too many at once.",
            samples: vec![(Vec::new(), event_queue.dropped() as f64)],
        }));
        gauges
    }

    /// Some of the events behind `cursor` whose key starts with `prefix`, and the revision up to which these are all: recent
    /// ones from the hub, older ones from the store.
    pub async fn behind(&self, cursor: u64, prefix: &str) -> Result<(Vec<Arc<Event>>, u64), store::Error> {
        let recent = self.hub.behind(cursor, prefix, limits::TAIL_EVENTS_MAX, limits::WATCH_BYTES_MAX);
        if let Behind::Events(events, upto) = recent {
            return Ok((events, upto));
        }
        let mut events = self.tails.behind(cursor).await?;
        let upto = events.last().map_or(cursor, |event| event.revision);
        events.retain(|event| event.key.starts_with(prefix));
        Ok((events, upto))
    }

    /// Waits a little until this server has seen `revision`; 504 if it does not come.
    pub async fn wait_for(&self, revision: u64) -> Result<(), Refusal> {
        let mut head = self.hub.subscribe();
        if *head.borrow() < revision {
            self.queue.nudge();
        }
        let reached = head.wait_for(|head| *head >= revision);
        match tokio::time::timeout(limits::FUTURE_REVISION_WAIT, reached).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(list::too_large(revision, self.hub.head())),
        }
    }
}

/// The part of the object that is meant. One that is not there is, as with custom resources, an object that is not there.
fn subresource(resource: &Resource, target: &ResourceTarget) -> Result<Option<Subresource>, Refusal> {
    let Some(part) = target.subresource.as_deref() else { return Ok(None) };
    let known = resource.subresources.iter().find(|known| known.as_str() == part).copied();
    let name = target.name.as_deref().unwrap_or_default();
    known.map(Some).ok_or_else(|| Refusal::not_found(resource.group, resource.plural, name))
}

fn is_namespace(target: &ResourceTarget) -> bool {
    target.group.is_empty() && target.resource == namespace::PLURAL
}

fn not_allowed(target: &ResourceTarget) -> Refusal {
    let verb = target.verb.as_str();
    let what = qualified(&target.resource, &target.group);
    let message = format!("{verb} is not supported on resources of kind \"{what}\"");
    Refusal::new(Reason::MethodNotAllowed, message).about(&target.group, &target.resource, "")
}

/// An answer that shows one object. `bytes` is its plain JSON.
pub fn show(
    representation: Representation,
    resource: &Resource,
    object: &Object,
    bytes: Bytes,
    code: u16,
) -> Result<Response<Body>, Refusal> {
    let content_type = representation.content_type();
    let value = match representation {
        Representation::Json => return Ok(respond::body(code, content_type, bytes)),
        Representation::Yaml => return Ok(respond::body(code, content_type, to_yaml(&object.to_value())?)),
        Representation::Table { v1beta1, include } => {
            let revision = object.metadata.resource_version.parse().unwrap_or_default();
            let meta = ListMeta { resource_version: revision, ..ListMeta::default() };
            table::table(resource, &[object], &meta, include, v1beta1, now(), true)
        }
        Representation::Partial { v1beta1 } => table::partial(object, v1beta1),
    };
    Ok(respond::body(code, content_type, value.to_string()))
}

/// What a request is told that ran into a fault of ours.
pub fn panicked() -> Refusal {
    Refusal::new(Reason::InternalError, "This request caused the server to panic; its log says why")
}

/// The stored bytes as an object; they were written by this server.
pub fn parse(bytes: &[u8]) -> Result<Object, Refusal> {
    Object::from_bytes(bytes).map_err(|error| {
        tracing::error!(error = %error, "the store holds something that is not an object");
        Refusal::new(Reason::InternalError, "the stored object cannot be read")
    })
}

/// The stored bytes of an object as a view shows it.
pub fn show_bytes(view: &View, bytes: &[u8]) -> Result<Bytes, Refusal> {
    parse(bytes).map(|object| view.show(object).to_bytes().into())
}

/// A read of the store failed. Never a 404 or an empty list: others would act on those.
pub fn read_failed(error: &store::Error) -> Refusal {
    tracing::error!(error = %error, "a read of the store failed");
    match error {
        store::Error::Unavailable(_) | store::Error::Full(_) => {
            Refusal::new(Reason::ServiceUnavailable, "the store is unavailable, please try again later").retry_after(1)
        }
        _ => Refusal::new(Reason::InternalError, "the store could not be read (the server's log says why)"),
    }
}

/// The address of an object by the text of its key.
pub fn object_key<W>(registry: &Registry<W>, text: &str) -> Option<ObjectKey> {
    let [resource, scope, namespace, name] = text.splitn(4, '/').collect::<Vec<_>>()[..] else { return None };
    let resource = registry.get(resource)?.resource().plural;
    Some(ObjectKey { resource, scope: Scope::from_key(scope), namespace: namespace.to_owned(), name: name.to_owned() })
}

/// The key in the store, or `None` if the text could never be one.
pub fn store_key(key: &ObjectKey) -> Option<Key> {
    Key::new(key.to_text()).ok()
}

/// The clock of the HTTP edge: the only place where time enters.
#[expect(clippy::disallowed_methods, reason = "the edge is where time comes from")]
pub fn now() -> Time {
    Time::new(jiff::Timestamp::now())
}

/// The randomness of the HTTP edge.
pub fn seed() -> Result<Seed, Refusal> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| {
        tracing::error!(error = %error, "the system gives no randomness");
        Refusal::new(Reason::InternalError, "no randomness for ids; nothing was written")
    })?;
    Ok(Seed(bytes))
}
