//! The parts that a server in standalone mode provides in place of a cluster: namespaces, a garbage collector, RBAC and
//! self-subject reviews, ConfigMaps (Helm stores releases in them), Leases and Events for controllers, and empty lists
//! of kinds that clients expect everywhere.
//!
//! [`Standalone::server`] makes such a server. In an aggregated API server the cluster provides all of this.

mod admission;
mod config_map;
mod defaults;
mod events;
mod garbage_collector;
mod lease;
pub mod limits;
mod log_follower;
mod mode;
mod namespace;
mod namespace_controller;
mod owners;
mod rbac;
mod rbac_authorizer;
mod resources;
mod self_subject_review;
mod stub_kinds;
mod work_queue;

pub use mode::Standalone;
