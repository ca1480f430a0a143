//! Code shared by all verbs: resolving the path of a request, waiting for a revision, encoding an object as a response.

use std::sync::{Arc, PoisonError, RwLock};

use apimachinery::{
    command::{ObjectKey, RequestEntropy, Scope},
    kind::{Gauge, Kind, Registry, State, key_prefix},
    list,
    list_meta::ListMeta,
    negotiate::{Representation, to_yaml},
    object::Object,
    request::ResourceTarget,
    resource::{Resource, Subresource, Verb, group_resource},
    schema::Schema,
    schemas::Schemas,
    status_error::{StatusError, StatusReason},
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
    limits,
    log_reader::LogReader,
    metrics::Metrics,
    respond,
    standalone::namespace,
    watch_cache::{Event, EventsAfter, WatchCache},
    watch_scheduler::WatchScheduler,
};

/// The served API: everything that a request handler needs.
pub struct ApiContext<W> {
    /// The store.
    pub store: Arc<dyn Store>,
    /// The kinds.
    pub registry: Arc<Registry<W>>,
    /// The schemas of the kinds.
    pub schemas: Arc<Schemas>,
    /// The watch cache.
    pub watch_cache: Arc<WatchCache>,
    /// The queue of the committer.
    pub queue: Queue<W>,
    /// The queue of the server's own events; `None` if the server writes none.
    pub event_queue: Option<Arc<EventQueue>>,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// The decision state; used here only for its gauges.
    pub world: Arc<RwLock<W>>,
    /// Permits for reading requests.
    pub readers: Arc<Semaphore>,
    /// Permits for writing requests.
    pub writers: Arc<Semaphore>,
    /// The budget of bytes for request bodies.
    pub bodies: Budget,
    /// Permits for watches.
    pub watchers: Arc<Semaphore>,
    /// Reads events that are older than the watch cache.
    pub log_reader: LogReader,
    /// Schedules the watches.
    pub watch_scheduler: WatchScheduler,
    /// The source of random bytes.
    pub random_source: RandomSource,
}

/// Returns random bytes for one request, or an API error if the system has none.
pub type RandomSource = Arc<dyn Fn() -> Result<RequestEntropy, StatusError> + Send + Sync>;

/// The resource, object and verb that a request addresses.
pub struct RequestScope<'a, W> {
    /// The kind.
    pub kind: &'a dyn Kind<W>,
    /// The static description of the kind.
    pub resource: &'a Resource,
    /// The schema of its objects.
    pub schema: &'a Schema,
    /// The scope: the platform or a tenant.
    pub scope: Scope,
    /// The namespace, if the path names one.
    pub namespace: Option<String>,
    /// The name, if the request is about one object. A watch may name it in the path or in a selector.
    pub name: Option<String>,
    /// The subresource, if the path names one.
    pub subresource: Option<Subresource>,
    /// The verb.
    pub verb: Verb,
}

impl<W> RequestScope<'_, W> {
    /// The key of the object `name`.
    pub fn key(&self, name: &str) -> ObjectKey {
        ObjectKey {
            resource: self.resource.plural,
            scope: self.scope.clone(),
            namespace: self.namespace.clone().unwrap_or_default(),
            name: name.to_owned(),
        }
    }

    /// The key prefix of all objects that a collection request may return.
    pub fn prefix(&self) -> String {
        let namespace = if self.resource.namespaced { self.namespace.as_deref() } else { Some("") };
        key_prefix(self.resource.plural, &self.scope, namespace)
    }

    /// The view in which this API version serves its objects; `None` if they are served as stored.
    pub fn view(&self) -> Option<&'static View> {
        self.kind.view()
    }

    /// The object and its plain JSON, converted to the served API version.
    pub fn apply_view(&self, object: Arc<Object>, bytes: Bytes) -> (Arc<Object>, Bytes) {
        let Some(view) = self.view() else { return (object, bytes) };
        let shown = view.to_served(Object::clone(&object));
        let bytes = shown.to_bytes().into();
        (Arc::new(shown), bytes)
    }

    /// 404 for the object `name`.
    pub fn not_found(&self, name: &str) -> StatusError {
        StatusError::not_found(self.resource.group, self.resource.plural, name)
    }
}

impl<W: State> ApiContext<W> {
    /// Resolves `target`; `None` if no such path is served.
    pub fn request_scope(&self, target: &ResourceTarget) -> Result<Option<RequestScope<'_, W>>, StatusError> {
        let Some(kind) = self.registry.find_served(&target.group, &target.resource) else { return Ok(None) };
        let resource = kind.resource();
        // The path of a Namespace contains its name as both namespace and name.
        let namespace = target.namespace.clone().filter(|_| !is_namespace(target));
        if target.version != resource.version || (namespace.is_some() && !resource.namespaced) {
            return Ok(None);
        }
        let subresource = subresource(resource, target)?;
        let collection = matches!(target.verb, Verb::List | Verb::Watch | Verb::DeleteCollection | Verb::Create);
        let needs_namespace = resource.namespaced && !matches!(target.verb, Verb::List | Verb::Watch);
        if needs_namespace && target.namespace.is_none() {
            return if collection { Err(method_not_supported(target)) } else { Ok(None) };
        }
        let offered = match subresource {
            None => resource.verbs.contains(&target.verb),
            Some(part) => part.verbs().contains(&target.verb),
        };
        // Create takes the name from the body; update and patch need it in the path.
        let misplaced = match target.verb {
            Verb::Create => target.name.is_some(),
            Verb::Update | Verb::Patch => target.name.is_none(),
            _ => false,
        };
        if !offered || misplaced {
            return Err(method_not_supported(target));
        }
        Ok(Some(RequestScope {
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

    /// Takes one of the permits for concurrent requests, or returns 429.
    pub fn acquire_permit(places: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, StatusError> {
        Arc::clone(places).try_acquire_owned().map_err(|_| {
            StatusError::new(StatusReason::TooManyRequests, "Too many requests, please try again later.").retry_after(1)
        })
    }

    /// The current values of the gauges.
    pub fn gauges(&self) -> Vec<Gauge> {
        let mut gauges = self.world.read().unwrap_or_else(PoisonError::into_inner).gauges();
        gauges.extend(self.event_queue.as_ref().map(|event_queue| Gauge {
            name: "ipam_events_dropped",
            help: "Occurrences for the server's own events that were dropped because there were too many at once.",
            samples: vec![(Vec::new(), event_queue.dropped() as f64)],
        }));
        gauges
    }

    /// Returns up to [`limits::LOG_PAGE_EVENTS_MAX`] events after `cursor` whose key starts with `prefix`, and the revision
    /// up to which the result is complete. Served from the watch cache, or from the store if `cursor` is older.
    pub async fn events_after(&self, cursor: u64, prefix: &str) -> Result<(Vec<Arc<Event>>, u64), store::Error> {
        let recent =
            self.watch_cache.events_after(cursor, prefix, limits::LOG_PAGE_EVENTS_MAX, limits::WATCH_BYTES_MAX);
        if let EventsAfter::Events(events, upto) = recent {
            return Ok((events, upto));
        }
        let mut events = self.log_reader.events_after(cursor).await?;
        let upto = events.last().map_or(cursor, |event| event.revision);
        events.retain(|event| event.key.starts_with(prefix));
        Ok((events, upto))
    }

    /// Waits until this server has applied `revision`, at most [`limits::FUTURE_REVISION_WAIT`]; 504 after that.
    pub async fn wait_until_fresh(&self, revision: u64) -> Result<(), StatusError> {
        let mut head = self.watch_cache.subscribe();
        if *head.borrow() < revision {
            self.queue.wake();
        }
        let reached = head.wait_for(|head| *head >= revision);
        match tokio::time::timeout(limits::FUTURE_REVISION_WAIT, reached).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(list::too_large(revision, self.watch_cache.head())),
        }
    }
}

/// The subresource that the path names. An unknown one is a 404 for the object, as with custom resources.
fn subresource(resource: &Resource, target: &ResourceTarget) -> Result<Option<Subresource>, StatusError> {
    let Some(part) = target.subresource.as_deref() else { return Ok(None) };
    let known = resource.subresources.iter().find(|known| known.as_str() == part).copied();
    let name = target.name.as_deref().unwrap_or_default();
    known.map(Some).ok_or_else(|| StatusError::not_found(resource.group, resource.plural, name))
}

fn is_namespace(target: &ResourceTarget) -> bool {
    target.group.is_empty() && target.resource == namespace::PLURAL
}

fn method_not_supported(target: &ResourceTarget) -> StatusError {
    let verb = target.verb.as_str();
    let what = group_resource(&target.resource, &target.group);
    let message = format!("{verb} is not supported on resources of kind \"{what}\"");
    StatusError::new(StatusReason::MethodNotAllowed, message).with_details(&target.group, &target.resource, "")
}

/// Encodes one object as a response. `bytes` is its plain JSON.
pub fn object_response(
    representation: Representation,
    resource: &Resource,
    object: &Object,
    bytes: Bytes,
    code: u16,
) -> Result<Response<Body>, StatusError> {
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

/// The API error of a request that caused a panic.
pub fn panic_error() -> StatusError {
    StatusError::new(StatusReason::InternalError, "This request caused the server to panic; its log says why")
}

/// Parses stored bytes into an object; this server has written them.
pub fn parse(bytes: &[u8]) -> Result<Object, StatusError> {
    Object::from_bytes(bytes).map_err(|error| {
        tracing::error!(error = %error, "the store holds something that is not an object");
        StatusError::new(StatusReason::InternalError, "the stored object cannot be read")
    })
}

/// Converts the stored bytes of an object to a view.
pub fn view_bytes(view: &View, bytes: &[u8]) -> Result<Bytes, StatusError> {
    parse(bytes).map(|object| view.to_served(object).to_bytes().into())
}

/// The API error of a failed store read. Never 404 or an empty list, on which clients would act.
pub fn read_failed(error: &store::Error) -> StatusError {
    tracing::error!(error = %error, "a read of the store failed");
    match error {
        store::Error::Unavailable(_) | store::Error::Full(_) => {
            StatusError::new(StatusReason::ServiceUnavailable, "the store is unavailable, please try again later")
                .retry_after(1)
        }
        _ => StatusError::new(StatusReason::InternalError, "the store could not be read (the server's log says why)"),
    }
}

/// The object key that the text of a store key denotes; `None` if its resource is unknown.
pub fn object_key<W>(registry: &Registry<W>, text: &str) -> Option<ObjectKey> {
    let [resource, scope, namespace, name] = text.splitn(4, '/').collect::<Vec<_>>()[..] else { return None };
    let resource = registry.get(resource)?.resource().plural;
    Some(ObjectKey {
        resource,
        scope: Scope::from_storage_key(scope),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    })
}

/// The store key of an object, or `None` if the text is not a valid key.
pub fn store_key(key: &ObjectKey) -> Option<Key> {
    Key::new(key.storage_key()).ok()
}

/// The current time. The only place where the HTTP layer reads the clock.
#[expect(clippy::disallowed_methods, reason = "the HTTP layer is the source of time")]
pub fn now() -> Time {
    Time::new(jiff::Timestamp::now())
}

/// Random bytes from the operating system.
pub fn system_entropy() -> Result<RequestEntropy, StatusError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| {
        tracing::error!(error = %error, "reading random bytes from the system failed");
        StatusError::new(
            StatusReason::InternalError,
            "cannot generate ids; nothing was written (the server's log says why)",
        )
    })?;
    Ok(RequestEntropy(bytes))
}
