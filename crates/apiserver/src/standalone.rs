//! The parts that a server in standalone mode provides in place of a cluster: namespaces, a garbage collector, RBAC and
//! self-subject reviews, ConfigMaps (Helm stores releases in them), Leases and Events for controllers, and empty lists
//! of kinds that clients expect everywhere.
//!
//! [`crate::server::Server::alone`] enables it. In an aggregated API server the cluster provides all of this, and
//! nothing here is served.

mod agenda;
mod collector;
mod config_map;
mod empty;
pub(crate) mod events;
pub(crate) mod follower;
mod lease;
pub(crate) mod namespace;
pub(crate) mod owners;
mod purge;
pub(crate) mod rbac;
pub(crate) mod review;

pub(crate) use collector::{is_tied, may_be_tied};

use std::{collections::BTreeSet, sync::Arc};

use apimachinery::{
    body::Decoded,
    command::{ObjectKey, Scope},
    decoding::ObjectDecoder,
    kind::{Kind, Registry, State, key_prefix},
    options::FieldValidation,
};
use serde_json::{Value, json};
use store::Key;

use self::follower::Trouble;
use crate::{api::Api, event_queue::observer, limits::Limits, supervisor::Supervisor};

/// The deployment mode of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surroundings {
    /// In a cluster, which provides namespaces and garbage collection.
    Cluster,
    /// Standalone.
    Nothing,
}

/// The kinds of a service and those of standalone mode.
pub(crate) fn registry<W: State>(service: Registry<W>) -> Registry<W> {
    let kept: [Box<dyn Kind<W>>; 4] = [
        Box::new(namespace::Namespaces::new()),
        Box::new(config_map::ConfigMaps::new()),
        events::stored(),
        Box::new(lease::Leases::new()),
    ];
    let empty = empty::resources().into_iter().map(|resource| Box::new(empty::Empty(resource)) as Box<dyn Kind<W>>);
    let service = service.with(kept).with(rbac::kinds()).with(empty);
    service.with_views([events::shown()]).with_virtual_resources(review::resources())
}

/// Creates the default namespaces, the namespaces of existing objects that were stored before namespaces were served,
/// and the default roles.
pub(crate) async fn begin<W: State>(api: &Api<W>) -> Result<(), Trouble> {
    let mut names = BTreeSet::from(namespace::IMMORTAL.map(str::to_owned));
    for kind in api.registry.iter().filter(|kind| kind.resource().namespaced) {
        names.extend(in_use(api, kind.resource().plural).await?);
    }
    for name in names {
        make(api, namespace::PLURAL, json!({"metadata": {"name": name}})).await?;
    }
    for (resource, object) in rbac::defaults(&api.registry) {
        make(api, resource, object).await?;
    }
    Ok(())
}

/// The namespaces that contain objects of a resource: one read for each.
async fn in_use<W: State>(api: &Api<W>, resource: &str) -> Result<Vec<String>, store::Error> {
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
async fn make<W: State>(api: &Api<W>, plural: &str, value: Value) -> Result<(), Trouble> {
    let resource = api.registry.get(plural).expect("a standalone server has it").resource();
    let name = value["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let decoder =
        ObjectDecoder { resource, schema: api.schemas.get(resource), name: &name, validation: FieldValidation::Strict };
    let decoded = decoder.decode_body(Decoded { value, duplicates: Vec::new() }).map_err(Trouble::Refused)?;
    let key = ObjectKey { resource: resource.plural, scope: Scope::platform(), namespace: String::new(), name };
    follower::create(api, key, decoded, "ipam").await
}

/// Starts the background tasks.
pub(crate) fn work<W: State>(api: &Arc<Api<W>>, limits: Limits, tasks: &Supervisor) {
    let (for_purge, for_collector) = (Arc::clone(api), Arc::clone(api));
    tasks.restarted("namespace controller", move || purge::run(Arc::clone(&for_purge)));
    tasks.restarted("garbage collector", move || collector::run(Arc::clone(&for_collector)));
    let (for_retention, for_observer, for_recorder) = (Arc::clone(api), Arc::clone(api), Arc::clone(api));
    tasks.restarted("retention of events", move || events::retention::run(Arc::clone(&for_retention), limits));
    tasks.restarted("observer", move || observer::run(Arc::clone(&for_observer)));
    tasks.restarted("event recorder", move || events::recorder::run(Arc::clone(&for_recorder)));
}
