//! What a server that stands alone has to bring itself, because no cluster around it does: namespaces, a garbage
//! collector, answers to those who ask what they may do, and empty lists of what clients look for everywhere.
//!
//! It is switched on in one place, [`crate::server::Server::alone`]. Behind an aggregation layer all of this is
//! somebody else's, and nothing here exists.

mod agenda;
mod collector;
mod empty;
mod follower;
pub(crate) mod namespace;
mod purge;
pub(crate) mod review;

pub(crate) use collector::is_tied;

use std::sync::Arc;

use apimachinery::{
    command::{Action, Command, Scope},
    draft::Reader,
    kind::{Kind, Registry, World},
    options::FieldValidation,
    refusal::{Reason, Refusal},
    schema::Decoded,
};
use serde_json::json;
use tokio_util::task::AbortOnDropHandle;

use crate::api::{self, Api};

/// What is around a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surroundings {
    /// A cluster, to which namespaces and garbage collection belong.
    Cluster,
    /// Nothing.
    Nothing,
}

/// The kinds of a service, and those that it needs to stand alone.
pub(crate) fn registry<W: World>(service: Registry<W>) -> Registry<W> {
    let namespaces: Box<dyn Kind<W>> = Box::new(namespace::Namespaces::new());
    let empty = empty::resources().into_iter().map(|resource| Box::new(empty::Empty(resource)) as Box<dyn Kind<W>>);
    service.with([namespaces]).with(empty).with_questions(review::resources())
}

/// Makes the namespaces that are always there.
pub(crate) async fn begin<W: World>(api: &Api<W>) -> Result<(), Refusal> {
    let kind = api.registry.get(namespace::PLURAL).expect("a server that stands alone has namespaces");
    for name in namespace::IMMORTAL {
        let value = json!({"metadata": {"name": name}});
        let (resource, schema) = (kind.resource(), &api.schemas[namespace::PLURAL]);
        let reader = Reader { resource, schema, name, validation: FieldValidation::Strict };
        let draft = reader.body(Decoded { value, duplicates: Vec::new() })?;
        let command = Command {
            key: namespace::key(&Scope::platform(), name),
            action: Action::Create(Box::new(draft)),
            manager: "ipam".to_owned(),
            dry_run: false,
            now: api::now(),
            seed: api::seed()?,
        };
        match api.queue.submit(command).await {
            Err(refusal) if refusal.reason != Reason::AlreadyExists => return Err(refusal),
            _ => {}
        }
    }
    Ok(())
}

/// The work behind the scenes. It ends when the handles are dropped.
pub(crate) fn work<W: World>(api: &Arc<Api<W>>) -> [AbortOnDropHandle<()>; 2] {
    let (for_purge, for_collector) = (Arc::clone(api), Arc::clone(api));
    [
        AbortOnDropHandle::new(tokio::spawn(purge::run(for_purge))),
        AbortOnDropHandle::new(tokio::spawn(collector::run(for_collector))),
    ]
}
