//! The HTTP layer of a Kubernetes-style API server, generic over kinds and stores. It contains nothing specific to IP
//! addresses.
//!
//! A connection ([`serve`], [`tls`]) passes requests through [`stages`] (authentication: [`authentication`],
//! [`impersonation`]; protection against other sites: [`cross_origin`]) to the module of their verb ([`get`], [`lists`],
//! [`watches`], [`writes`]); [`mod@encoding`] encodes the response. Every write goes through the [`committer`], whose
//! commits reach watches through the [`watch_cache`]; an API error for a taken range names its holders ([`holders`]).
//! [`server`] assembles the parts, [`supervisor`] runs the tasks. Namespaces, roles and garbage collection are provided by
//! the cluster, or else by another crate through [`deployment_mode`].

pub mod admission;
pub mod authentication;
pub mod body;
pub mod budget;
pub mod clock;
pub mod collections;
pub mod committer;
pub mod compaction;
pub mod context;
pub mod cross_origin;
pub mod deployment_mode;
pub mod documents;
pub mod encoding;
pub mod entropy;
pub mod errors;
pub mod event_queue;
pub mod get;
pub mod health;
pub mod holders;
pub mod impersonation;
pub mod keys;
pub mod limits;
pub mod lists;
pub mod log_reader;
pub mod metrics;
pub mod outage;
pub mod prober;
pub mod request_scope;
pub mod respond;
pub mod restore;
pub mod serve;
pub mod server;
pub mod stages;
pub mod stored_object;
pub mod supervisor;
pub mod tls;
pub mod watch_cache;
pub mod watch_scheduler;
pub mod watches;
pub mod websocket;
pub mod write_path;
pub mod writes;
