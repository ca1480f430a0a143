//! The standalone mode: its kinds, its parts of the server, and its background tasks.

use std::sync::Arc;

use apimachinery::{
    kind::{Kind, Registry, State},
    request::ResourceTarget,
};
use apiserver::{
    admission::Admission,
    context::ApiContext,
    deployment_mode::{DeploymentMode, PolicySource, VirtualResource},
    event_queue::EventQueue,
    limits::Limits,
    restore::RestoreError,
    server::Server,
    supervisor::Supervisor,
};
use async_trait::async_trait;
use store::Store;

use super::{
    admission::StandaloneAdmission, config_map, defaults, events, garbage_collector, lease, limits, namespace,
    namespace_controller, rbac, rbac_authorizer::RbacAuthorizer, self_subject_review, stub_kinds,
};

/// The options of standalone mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standalone {
    /// Event objects in one namespace; see [`limits::EVENTS_PER_NAMESPACE_MAX`].
    pub events_per_namespace: usize,
}

impl Default for Standalone {
    fn default() -> Self {
        Self { events_per_namespace: limits::EVENTS_PER_NAMESPACE_MAX }
    }
}

impl Standalone {
    /// A server in standalone mode; see [`Server::new`].
    pub fn server<W: State>(
        self,
        store: Arc<dyn Store>,
        service: Registry<W>,
        limits: Limits,
        build: &str,
    ) -> Server<W> {
        let mode = StandaloneMode { options: self, policies: RbacAuthorizer::default() };
        Server::new(Arc::new(mode), store, registry(service), limits, build)
    }
}

struct StandaloneMode {
    options: Standalone,
    policies: RbacAuthorizer,
}

#[async_trait]
impl<W: State> DeploymentMode<W> for StandaloneMode {
    fn admission(&self) -> Arc<dyn Admission<W>> {
        Arc::new(StandaloneAdmission)
    }

    fn policies(&self) -> Option<&dyn PolicySource<W>> {
        Some(&self.policies)
    }

    fn event_queue(&self) -> Option<Arc<EventQueue>> {
        Some(Arc::default())
    }

    fn virtual_resource(&self, target: &ResourceTarget) -> Option<VirtualResource> {
        self_subject_review::handler(target)
    }

    async fn start(&self, api: &Arc<ApiContext<W>>, tasks: &Supervisor) -> Result<(), RestoreError> {
        defaults::ensure(api).await.map_err(|trouble| RestoreError::Namespaces(trouble.to_string()))?;
        spawn_controllers(api, self.options.events_per_namespace, tasks);
        Ok(())
    }
}

/// The kinds of a service and those of standalone mode.
fn registry<W: State>(service: Registry<W>) -> Registry<W> {
    let kept: [Box<dyn Kind<W>>; 4] = [
        Box::new(namespace::Namespaces::new()),
        Box::new(config_map::ConfigMaps::new()),
        events::stored(),
        Box::new(lease::Leases::new()),
    ];
    let empty = stub_kinds::resources()
        .into_iter()
        .map(|resource| Box::new(stub_kinds::StubKind(resource)) as Box<dyn Kind<W>>);
    let service = service.with(kept).with(rbac::kinds()).with(empty);
    service.with_views([events::shown()]).with_virtual_resources(self_subject_review::resources())
}

/// Starts the background tasks.
fn spawn_controllers<W: State>(api: &Arc<ApiContext<W>>, events_max: usize, tasks: &Supervisor) {
    let (for_namespaces, for_collector) = (Arc::clone(api), Arc::clone(api));
    tasks.spawn_restarting("namespace controller", move || namespace_controller::run(Arc::clone(&for_namespaces)));
    tasks.spawn_restarting("garbage collector", move || garbage_collector::run(Arc::clone(&for_collector)));
    let (for_retention, for_observer, for_recorder) = (Arc::clone(api), Arc::clone(api), Arc::clone(api));
    let retain = move || events::retention::run(Arc::clone(&for_retention), events_max);
    tasks.spawn_restarting("retention of events", retain);
    tasks.spawn_restarting("observer", move || events::observer::run(Arc::clone(&for_observer)));
    tasks.spawn_restarting("event recorder", move || events::recorder::run(Arc::clone(&for_recorder)));
}
