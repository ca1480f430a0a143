//! The parts that a server in standalone mode provides in place of a cluster: namespaces, a garbage collector, RBAC and
//! self-subject reviews, ConfigMaps (Helm stores releases in them), Leases and Events for controllers, and empty lists
//! of kinds that clients expect everywhere.
//!
//! [`crate::server::Server::standalone`] enables it. In an aggregated API server the cluster provides all of this, and
//! nothing here is served.

pub(crate) mod admission;
mod config_map;
pub(crate) mod events;
mod garbage_collector;
mod lease;
pub(crate) mod log_follower;
pub(crate) mod namespace;
mod namespace_controller;
pub(crate) mod owners;
pub(crate) mod rbac;
pub(crate) mod self_subject_review;
mod stub_kinds;
mod work_queue;

use std::{collections::BTreeSet, sync::Arc};

use apimachinery::{
    body::Decoded,
    command::{ObjectKey, Scope},
    decoding::ObjectDecoder,
    kind::{Kind, Registry, State, key_prefix},
    options::FieldValidation,
    request::NAMESPACES,
};
use serde_json::{Value, json};
use store::Key;

use self::log_follower::ReconcileError;
use crate::{context::ApiContext, limits::Limits, supervisor::Supervisor};

/// The deployment mode of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeploymentMode {
    /// In a cluster, which provides namespaces and garbage collection.
    Aggregated,
    /// Standalone.
    Standalone,
}

/// The kinds of a service and those of standalone mode.
pub(crate) fn registry<W: State>(service: Registry<W>) -> Registry<W> {
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

/// Creates the default namespaces, the namespaces of existing objects that were stored before namespaces were served,
/// and the default roles.
pub(crate) async fn ensure_defaults<W: State>(api: &ApiContext<W>) -> Result<(), ReconcileError> {
    let mut names = BTreeSet::from(namespace::PROTECTED.map(str::to_owned));
    for kind in api.registry.iter().filter(|kind| kind.resource().namespaced) {
        names.extend(namespaces_in_use(api, kind.resource().plural).await?);
    }
    for name in names {
        create_if_absent(api, NAMESPACES, json!({"metadata": {"name": name}})).await?;
    }
    for (resource, object) in rbac::defaults(&api.registry) {
        create_if_absent(api, resource, object).await?;
    }
    Ok(())
}

/// The namespaces that contain objects of a resource: one read for each.
async fn namespaces_in_use<W: State>(api: &ApiContext<W>, resource: &str) -> Result<Vec<String>, store::Error> {
    let prefix = key_prefix(resource, &Scope::platform(), None);
    let (mut names, mut after) = (Vec::new(), None);
    loop {
        let page = api.store.list(&prefix, after.as_ref(), None, 1).await?;
        let Some(record) = page.records.first() else { return Ok(names) };
        let name = record.key.as_str()[prefix.len()..].split('/').next().unwrap_or_default().to_owned();
        // `0` follows `/` in ASCII, so this key sorts after all keys of this namespace and before those of the next.
        after = Some(Key::new(format!("{prefix}{name}0")).expect("it is shorter than a key that is there"));
        names.push(name);
    }
}

/// Creates a cluster-scoped object, unless it exists.
async fn create_if_absent<W: State>(api: &ApiContext<W>, plural: &str, value: Value) -> Result<(), ReconcileError> {
    let resource = api.registry.get(plural).expect("a standalone server has it").resource();
    let name = value["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let decoder =
        ObjectDecoder { resource, schema: api.schemas.get(resource), name: &name, validation: FieldValidation::Strict };
    let decoded = decoder.decode_body(Decoded { value, duplicates: Vec::new() }).map_err(ReconcileError::Refused)?;
    let key = ObjectKey { resource: resource.plural, scope: Scope::platform(), namespace: String::new(), name };
    log_follower::create(api, key, decoded, "ipam").await
}

/// Starts the background tasks.
pub(crate) fn spawn_controllers<W: State>(api: &Arc<ApiContext<W>>, limits: Limits, tasks: &Supervisor) {
    let (for_purge, for_collector) = (Arc::clone(api), Arc::clone(api));
    tasks.spawn_restarting("namespace controller", move || namespace_controller::run(Arc::clone(&for_purge)));
    tasks.spawn_restarting("garbage collector", move || garbage_collector::run(Arc::clone(&for_collector)));
    let (for_retention, for_observer, for_recorder) = (Arc::clone(api), Arc::clone(api), Arc::clone(api));
    tasks.spawn_restarting("retention of events", move || events::retention::run(Arc::clone(&for_retention), limits));
    tasks.spawn_restarting("observer", move || events::observer::run(Arc::clone(&for_observer)));
    tasks.spawn_restarting("event recorder", move || events::recorder::run(Arc::clone(&for_recorder)));
}
