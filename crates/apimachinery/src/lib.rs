//! Semantics of a Kubernetes-style API, without I/O: request parsing, validation, decisions on writes, and response
//! documents. It contains no kind and uses no clock, randomness or socket; time, ids and random bytes are arguments.
//!
//! A service describes its kinds by [`kind::Resource`] and [`kind::Kind`]; [`verbs`] computes what a command changes.

pub mod access;
pub mod command;
pub mod discovery;
pub mod draft;
pub mod field;
pub mod kind;
pub mod limits;
pub mod list;
pub mod managed;
pub mod metadata;
pub mod negotiate;
pub mod object;
pub mod occurrence;
pub mod openapi;
pub mod options;
pub mod patch;
pub mod refusal;
pub mod request;
pub mod schema;
pub mod selector;
pub mod table;
pub mod time;
pub mod verbs;
pub mod view;
pub mod warning;
pub mod watch;

#[cfg(test)]
mod fixture;
