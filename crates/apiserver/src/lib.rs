//! The HTTP edge of a Kubernetes-style API server, generic over kinds and stores. It knows nothing about addresses.
//!
//! A connection ([`serve`], [`tls`]) carries requests through [`stages`] (who asks: [`identity`], [`impersonation`]; whether
//! they may: [`access`]; whether a page of another site sent it: [`cross_origin`]) to the file of their verb ([`get`], [`lists`],
//! [`watches`], [`writes`]); [`mod@form`] is how the answer leaves. Every write goes through the [`committer`]; what it
//! commits reaches watches through the [`hub`]; what it refuses because it is held names its holder ([`holders`]). [`server`] puts it
//! together, [`supervisor`] runs its tasks; [`standalone`] is what it needs where there is
//! no cluster around it.

pub mod access;
pub mod api;
pub mod body;
pub mod budget;
pub mod collections;
pub mod committer;
pub mod compaction;
pub mod cross_origin;
pub mod documents;
pub mod event_queue;
pub mod form;
pub mod get;
pub mod health;
pub mod holders;
pub mod hub;
pub mod identity;
pub mod impersonation;
pub mod limits;
pub mod lists;
pub mod metrics;
pub mod outage;
pub mod prober;
pub mod respond;
pub mod restore;
pub mod serve;
pub mod server;
pub mod stages;
pub mod standalone;
pub mod supervisor;
pub mod tails;
pub mod tls;
pub mod turns;
pub mod watches;
pub mod websocket;
pub mod write_path;
pub mod writes;
