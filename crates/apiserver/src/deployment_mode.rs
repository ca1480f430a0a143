//! The parts of a server that its deployment mode provides.

use std::sync::Arc;

use apimachinery::{kind::State, rbac::Policy, request::ResourceTarget, status_error::StatusError};
use async_trait::async_trait;
use http::Response;

use crate::{
    admission::{Admission, NoAdmission},
    body::Body,
    context::ApiContext,
    event_queue::EventQueue,
    restore::RestoreError,
    stages::Decoded,
    supervisor::Supervisor,
};

/// Answers a request for a resource whose objects are not stored, with the current RBAC policy.
pub type VirtualResource = fn(&Decoded, &Arc<Policy>) -> Result<Response<Body>, StatusError>;

/// The parts that a server has in addition to the kinds of its registry. The defaults are for a server in a cluster:
/// the cluster provides namespaces, roles, garbage collection and events.
#[async_trait]
pub trait DeploymentMode<W: State>: Send + Sync {
    /// The rules for writes.
    fn admission(&self) -> Arc<dyn Admission<W>> {
        Arc::new(NoAdmission)
    }

    /// The source of the RBAC policy; `None` if the default policy is the only one.
    fn policies(&self) -> Option<&dyn PolicySource<W>> {
        None
    }

    /// A new queue of the server's own events; `None` if the server writes none.
    fn event_queue(&self) -> Option<Arc<EventQueue>> {
        None
    }

    /// The handler for `target` if its objects are not stored, such as self subject reviews; otherwise `None`.
    fn virtual_resource(&self, _target: &ResourceTarget) -> Option<VirtualResource> {
        None
    }

    /// Creates default objects and starts background tasks. Called once, after the state has been read and before
    /// requests for resources are served.
    async fn start(&self, _api: &Arc<ApiContext<W>>, _tasks: &Supervisor) -> Result<(), RestoreError> {
        Ok(())
    }
}

/// Reads the RBAC policy from stored objects.
#[async_trait]
pub trait PolicySource<W>: Send + Sync {
    /// The current policy.
    async fn policy(&self, api: &ApiContext<W>) -> Result<Arc<Policy>, StatusError>;
}

/// A server in a cluster, for instance an aggregated API server.
pub struct Aggregated;

impl<W: State> DeploymentMode<W> for Aggregated {}
