//! Assembles a server in stages: at first it answers that it is starting; after it has read its state from the store,
//! it serves requests.

use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, OnceLock, RwLock, atomic::AtomicBool},
    time::Instant,
};

use apimachinery::{
    kind::{Gauge, Registry, State},
    options::parse_timeout,
    patch::is_apply,
    rbac::{Permissions, Policy, UserInfo},
    request::Target,
    resource::{Subresource, Verb},
    schemas::Schemas,
    status_error::{StatusError, StatusReason},
};
use futures::FutureExt;
use http::{HeaderName, HeaderValue, Method, Request, Response};
use http_body::Body as _;
use hyper::body::Incoming;
use store::Store;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::{
    authentication::{TokenAuthenticator, default_rules},
    body::Body,
    budget::Budget,
    collections,
    committer::Committer,
    context::{self, ApiContext},
    cross_origin,
    deployment_mode::{Aggregated, DeploymentMode},
    documents::Documents,
    encoding::ResponseEncoding,
    entropy::{self, RandomSource},
    errors, get,
    health::{self, Health, Probe},
    limits::{self, Limits},
    lists,
    log_reader::LogReader,
    metrics::{Metrics, RequestLabels, ResponseStats},
    request_scope::RequestScope,
    respond,
    restore::{self, RestoreError, Restored},
    serve::{Handler, Peer},
    stages::{Authorized, Authorizer, Received},
    supervisor::Supervisor,
    watch_cache::WatchCache,
    watch_scheduler::WatchScheduler,
    watches, writes,
};

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const AUDIT_ID: HeaderName = HeaderName::from_static("audit-id");

/// The name of the committer's task, which ends after the server was dropped.
pub const COMMITTER: &str = "committer";

/// A server of the kinds of one registry.
pub struct Server<W> {
    store: Arc<dyn Store>,
    registry: Arc<Registry<W>>,
    documents: Documents,
    tokens: Arc<TokenAuthenticator>,
    default_policy: Arc<Policy>,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    limits: Limits,
    mode: Arc<dyn DeploymentMode<W>>,
    random_source: RandomSource,
    api: OnceLock<Arc<ApiContext<W>>>,
    /// Ends all watches.
    stop_watches: CancellationToken,
}

impl<W: State> Server<W> {
    /// A server in a cluster, for instance as an aggregated API server; see [`Server::new`].
    pub fn aggregated(store: Arc<dyn Store>, registry: Registry<W>, limits: Limits, build: &str) -> Self {
        Self::new(Arc::new(Aggregated), store, registry, limits, build)
    }

    /// A server in this deployment mode. It answers probes and documents, and 503 to all other requests until
    /// [`Server::restore`]. `build` is the version of the program.
    pub fn new(
        mode: Arc<dyn DeploymentMode<W>>,
        store: Arc<dyn Store>,
        registry: Registry<W>,
        limits: Limits,
        build: &str,
    ) -> Self {
        Self {
            store,
            documents: Documents::new(&registry, build),
            tokens: Arc::default(),
            default_policy: Arc::new(Policy::new(default_rules())),
            registry: Arc::new(registry),
            health: Arc::default(),
            metrics: Arc::default(),
            limits,
            mode,
            random_source: Arc::new(entropy::system_entropy),
            api: OnceLock::new(),
            stop_watches: CancellationToken::new(),
        }
    }

    /// Replaces the source of random bytes, by default that of the operating system.
    #[must_use]
    pub fn with_random_source(self, random_source: RandomSource) -> Self {
        Self { random_source, ..self }
    }

    /// The bearer tokens of users; empty at first.
    pub fn tokens(&self) -> Arc<TokenAuthenticator> {
        Arc::clone(&self.tokens)
    }

    /// Replaces the metrics.
    #[must_use]
    pub fn with_metrics(self, metrics: Arc<Metrics>) -> Self {
        Self { metrics, ..self }
    }

    /// The metrics.
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
    }

    /// Starts to probe the store; readiness probes are answered from the last result.
    pub fn start_probing(&self, tasks: &Supervisor) {
        let (health, store) = (Arc::clone(&self.health), Arc::clone(&self.store));
        tasks.spawn_restarting("prober", move || {
            let (health, store) = (Arc::clone(&health), Arc::clone(&store));
            async move { health.probe(&store).await }
        });
    }

    /// Reads the state from the store and begins to serve. The task [`COMMITTER`] ends on a fatal error, and after the
    /// server was dropped.
    pub async fn restore(&self, mut state: W, tasks: &Supervisor) -> Result<Restored, RestoreError> {
        restore::init_log(&*self.store).await?;
        let restored = restore::restore(&*self.store, &self.registry, &mut state).await?;
        self.metrics.count_disagreements(restored.disagreements);
        let committer = Committer {
            store: Arc::clone(&self.store),
            registry: Arc::clone(&self.registry),
            schemas: Arc::new(Schemas::for_registry(&self.registry)),
            state: Arc::new(RwLock::new(state)),
            watch_cache: Arc::new(WatchCache::new(restored.revision, self.limits.recent_events)),
            metrics: Arc::clone(&self.metrics),
            writes: Arc::clone(&self.health.writes),
            admission: self.mode.admission(),
            outdated: AtomicBool::new(false),
        };
        let (store, registry, schemas, state, watch_cache, metrics) = (
            Arc::clone(&committer.store),
            Arc::clone(&committer.registry),
            Arc::clone(&committer.schemas),
            Arc::clone(&committer.state),
            Arc::clone(&committer.watch_cache),
            Arc::clone(&committer.metrics),
        );
        let (queue, committing) = committer.start()?;
        tasks.spawn_draining(COMMITTER, committing);
        let readers = Arc::new(Semaphore::new(self.limits.read_requests));
        let writers = Arc::new(Semaphore::new(self.limits.mutating_requests));
        let watchers = Arc::new(Semaphore::new(self.limits.watches));
        let log_reader = LogReader::new(Arc::clone(&store));
        let (watch_scheduler, random_source) = (WatchScheduler::default(), Arc::clone(&self.random_source));
        let scheduling = watch_scheduler.clone();
        tasks.spawn_restarting("watch scheduler", move || scheduling.clone().run());
        let api = Arc::new(ApiContext {
            store,
            registry,
            schemas,
            watch_cache,
            queue,
            event_queue: self.mode.event_queue(),
            metrics,
            state,
            readers,
            writers,
            bodies: Budget::new(self.limits.bodies_bytes),
            watchers,
            log_reader,
            watch_scheduler,
            random_source,
        });
        if self.api.set(Arc::clone(&api)).is_err() {
            return Err(RestoreError::Inconsistent("a server is restored once".to_owned()));
        }
        self.mode.start(&api, tasks).await?;
        self.health.set_restored();
        Ok(restored)
    }

    /// Begins the shutdown: the server is not ready, but continues to serve.
    pub fn begin_stop(&self) {
        self.health.set_stopping();
    }

    /// Ends all open watches, so that their clients reconnect to another replica.
    pub fn end_watches(&self) {
        self.stop_watches.cancel();
    }

    async fn answer(&self, request: Received, labels: &mut RequestLabels) -> Result<Response<Body>, StatusError> {
        request.reject_cross_site()?;
        if let Some(response) = self.probe(&request)? {
            return Ok(response);
        }
        let request = request.authenticate(&self.tokens)?;
        let request = request.authorize(self).await.map_err(|refusal| self.unavailable_while_starting(refusal))?;
        match request.info.target.clone() {
            Target::Path(path) => self.path(&path, &request),
            Target::Resource(target) => {
                labels.verb = match target.verb {
                    Verb::Patch if request.content_type().is_some_and(is_apply) => "APPLY",
                    verb => metrics_verb(verb),
                };
                labels.dry_run = if request.query.get_all("dryRun").any(|value| value == "All") { "All" } else { "" };
                let api = self.api.get().filter(|_| self.health.is_restored()).ok_or_else(starting)?;
                if let Some(answer) = self.mode.virtual_resource(&target) {
                    let _permit = context::acquire_permit(&api.writers)?;
                    let (body, policy) =
                        (request.decode(self.limits.body_bytes, &api.bodies).await?, self.policy().await?);
                    return answer(&body, &policy);
                }
                let Some(place) = RequestScope::resolve(&api.registry, &api.schemas, &target)? else {
                    return Ok(no_such_path());
                };
                labels.target.group = place.resource.group;
                labels.target.version = place.resource.version;
                labels.target.resource = place.resource.plural;
                labels.target.subresource = place.subresource.map_or("", Subresource::as_str);
                labels.target.scope = match (&place.name, &place.namespace) {
                    (Some(_), _) => "resource",
                    (None, Some(_)) => "namespace",
                    (None, None) => "cluster",
                };
                self.dispatch(api, place, request).await
            }
        }
    }

    /// The current policy. Before the state has been read it is the default policy.
    async fn policy(&self) -> Result<Arc<Policy>, StatusError> {
        match (self.api.get(), self.mode.policies()) {
            (Some(api), Some(policies)) => policies.policy(api).await,
            _ => Ok(Arc::clone(&self.default_policy)),
        }
    }

    /// Before the stored rules have been read, returns 503 instead of 403.
    fn unavailable_while_starting(&self, refusal: StatusError) -> StatusError {
        let knows = self.api.get().is_some() || self.mode.policies().is_none();
        if refusal.reason == StatusReason::Forbidden && !knows { starting() } else { refusal }
    }

    /// Limits the time of all requests but watches by the timeout that the client requests, and writes of one object by
    /// [`limits::WRITE_TIMEOUT`].
    async fn dispatch(
        &self,
        api: &Arc<ApiContext<W>>,
        place: RequestScope<'_, W>,
        request: Authorized,
    ) -> Result<Response<Body>, StatusError> {
        if place.verb == Verb::Watch {
            return watches::watch(api, &place, &request, self.stop_watches.clone()).await;
        }
        let asked = parse_timeout(&request.query)?.filter(|time| !time.is_zero());
        let is_of_one_object = matches!(place.verb, Verb::Create | Verb::Update | Verb::Patch | Verb::Delete);
        let own = is_of_one_object.then_some(limits::WRITE_TIMEOUT);
        let performed = self.perform(api, place, request);
        match asked.into_iter().chain(own).min() {
            Some(time) => tokio::time::timeout(time, performed).await.unwrap_or_else(|_| Err(timed_out())),
            None => performed.await,
        }
    }

    async fn perform(
        &self,
        api: &Arc<ApiContext<W>>,
        place: RequestScope<'_, W>,
        request: Authorized,
    ) -> Result<Response<Body>, StatusError> {
        let name = place.name.clone().unwrap_or_default();
        let (body_bytes, bodies) = (self.limits.body_bytes, &api.bodies);
        let reading = matches!(place.verb, Verb::Get | Verb::List);
        let permit = context::acquire_permit(if reading { &api.readers } else { &api.writers })?;
        let response = match place.verb {
            Verb::Get => get::get(api, &place, &name, &request).await,
            Verb::List => lists::list(api, &place, &request).await,
            Verb::Create => writes::create(api, &place, &request.decode(body_bytes, bodies).await?).await,
            Verb::Update => writes::replace(api, &place, &name, &request.decode(body_bytes, bodies).await?).await,
            Verb::Patch => writes::patch(api, &place, &name, &request.decode(body_bytes, bodies).await?).await,
            Verb::Delete => writes::delete(api, &place, &name, &request.decode(body_bytes, bodies).await?).await,
            Verb::DeleteCollection => {
                collections::delete(api, &place, &request.decode(body_bytes, bodies).await?).await
            }
            Verb::Watch => {
                Err(StatusError::new(StatusReason::InternalError, "a watch must be dispatched before other requests"))
            }
        };
        // The request is in progress until the last byte of its response is sent.
        response.map(|response| response.map(|body| body.with_guard(permit)))
    }

    /// Probes need no credential, because kubelets have none. Single checks need one, because they show the reason of a
    /// failure.
    fn probe(&self, request: &Received) -> Result<Option<Response<Body>>, StatusError> {
        let name = request.path().trim_matches('/');
        let Some(probe) = Probe::named(name) else { return Ok(None) };
        let (code, text) = health::answer(name, self.health.checks(probe), &request.query()?);
        Ok(Some(respond::text(code, text)))
    }

    /// The response for one check, such as `/readyz/<check>`; `None` for another path.
    fn check(&self, path: &str) -> Option<Response<Body>> {
        let (name, check) = path.trim_matches('/').split_once('/')?;
        let checks = self.health.checks(Probe::named(name)?);
        let (code, text) = health::answer_one(checks.iter().find(|found| found.name == check)?);
        Some(respond::text(code, text))
    }

    fn path(&self, path: &str, request: &Authorized) -> Result<Response<Body>, StatusError> {
        if path == "/metrics" {
            return Ok(respond::body(200, OPEN_METRICS, self.metrics.render(&self.gauges())));
        }
        if let Some(response) = self.check(path) {
            return Ok(response);
        }
        match self.documents.serve(path, request)? {
            None => Ok(no_such_path()),
            Some(_) if request.info.verb() != "get" => Err(not_allowed()),
            Some(document) => Ok(document),
        }
    }

    /// The gauges that are computed for each scrape.
    fn gauges(&self) -> Vec<Gauge> {
        let mut gauges = self.api.get().map(|api| api.gauges()).unwrap_or_default();
        gauges.push(self.documents.build());
        gauges.extend(health::gauges(&self.health));
        gauges
    }

    /// Records the size and duration of a response; for a streamed one after its last byte. Watches are not recorded.
    fn measure(&self, body: Body, labels: RequestLabels, started: Instant, in_flight: Option<InflightGauge>) -> Body {
        if body.is_events() {
            return body;
        }
        if let Some(bytes) = body.size_hint().exact() {
            self.metrics.observe_response(&labels, ResponseStats { elapsed: started.elapsed(), bytes });
            return body.with_guard(in_flight);
        }
        let metrics = self.metrics();
        let sent = move |bytes| metrics.observe_response(&labels, ResponseStats { elapsed: started.elapsed(), bytes });
        body.with_guard(in_flight).on_end(sent)
    }

    /// The response, or 504 after [`limits::REQUEST_TIMEOUT`].
    async fn answer_with_timeout(
        &self,
        request: Received,
        labels: &mut RequestLabels,
    ) -> Result<Response<Body>, StatusError> {
        let answered = tokio::time::timeout(limits::REQUEST_TIMEOUT, self.answer(request, labels)).await;
        answered.unwrap_or_else(|_| Err(timed_out()))
    }
}

impl<W: State> Authorizer for Server<W> {
    async fn permissions(&self, identity: &Arc<UserInfo>, namespace: &str) -> Result<Permissions, StatusError> {
        if identity.is_superuser() {
            return Ok(Permissions::Unrestricted);
        }
        Ok(Permissions::resolve(identity, namespace, &self.policy().await?))
    }
}

impl<W: State> Handler for Server<W> {
    async fn handle(&self, peer: Arc<Peer>, request: Request<Incoming>) -> Response<Body> {
        let started = Instant::now();
        let head_only = request.method() == Method::HEAD;
        let mutating = !head_only && request.method() != Method::GET;
        let encoding = ResponseEncoding::from_request(&request);
        let request = Received::new(peer, request);
        let audit_id = audit_id(&request);
        let mut under_way = InflightGuard::new(&self.metrics, mutating);
        let answered = AssertUnwindSafe(self.answer_with_timeout(request, &mut under_way.labels)).catch_unwind().await;
        let (mut labels, in_flight) = under_way.answered();
        let mut response = match answered {
            Ok(Ok(response)) => response,
            Ok(Err(refusal)) => respond::error(&refusal),
            Err(_) => respond::error(&errors::panic_error()),
        };
        response = encoding.apply(response).await;
        cross_origin::protect(response.headers_mut());
        if let Some(audit_id) = audit_id {
            response.headers_mut().insert(AUDIT_ID, audit_id);
        }
        labels.code = response.status().as_u16();
        self.metrics.request_finished(&labels);
        let response = response.map(|body| self.measure(body, labels, started, in_flight));
        if head_only { respond::without_body(response) } else { response }
    }
}

/// A request in progress, until it is answered or dropped because its client has disconnected.
struct InflightGuard {
    metrics: Arc<Metrics>,
    labels: RequestLabels,
    /// Taken when the request is answered.
    in_flight: Option<InflightGauge>,
}

impl InflightGuard {
    fn new(metrics: &Arc<Metrics>, mutating: bool) -> Self {
        let in_flight = Some(InflightGauge::new(Arc::clone(metrics), mutating));
        Self { metrics: Arc::clone(metrics), labels: RequestLabels::default(), in_flight }
    }

    /// The labels of the request, and its in-flight count, which is kept until the response is sent.
    fn answered(mut self) -> (RequestLabels, Option<InflightGauge>) {
        (self.labels.clone(), self.in_flight.take())
    }
}

impl Drop for InflightGuard {
    fn drop(&mut self) {
        if self.in_flight.is_some() {
            self.metrics.request_aborted(&self.labels);
        }
    }
}

/// Counts a request in progress until dropped.
struct InflightGauge {
    metrics: Arc<Metrics>,
    mutating: bool,
}

impl InflightGauge {
    fn new(metrics: Arc<Metrics>, mutating: bool) -> Self {
        metrics.inflight(mutating, 1);
        Self { metrics, mutating }
    }
}

impl Drop for InflightGauge {
    fn drop(&mut self) {
        self.metrics.inflight(self.mutating, -1);
    }
}

/// The audit ID that the client sent, or a new one.
fn audit_id(request: &Received) -> Option<HeaderValue> {
    if let Some(given) = request.header(AUDIT_ID).and_then(|id| HeaderValue::from_str(id).ok()) {
        return Some(given);
    }
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).ok()?;
    HeaderValue::from_str(&uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()).ok()
}

fn metrics_verb(verb: Verb) -> &'static str {
    match verb {
        Verb::Create => "POST",
        Verb::Delete => "DELETE",
        Verb::DeleteCollection => "DELETECOLLECTION",
        Verb::Get => "GET",
        Verb::List => "LIST",
        Verb::Patch => "PATCH",
        Verb::Update => "PUT",
        Verb::Watch => "WATCH",
    }
}

fn starting() -> StatusError {
    StatusError::new(StatusReason::ServiceUnavailable, "the server is starting: it is reading its state from the store")
        .retry_after(1)
}

/// The write may still be executed, because dropping the wait does not withdraw a command that has been decided.
fn timed_out() -> StatusError {
    let message = "Timeout: request did not complete within the allotted timeout; a write may still be carried out: read the object before you repeat it";
    StatusError::new(StatusReason::Timeout, message)
}

/// Documents are read-only.
fn not_allowed() -> StatusError {
    StatusError::new(StatusReason::MethodNotAllowed, "the server does not allow this method on the requested resource")
}

fn no_such_path() -> Response<Body> {
    respond::text(404, "404 page not found\n")
}
