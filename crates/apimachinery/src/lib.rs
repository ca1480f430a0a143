//! Semantics of a Kubernetes-style API, without I/O: request parsing, validation, decisions on writes, and response
//! documents. It contains no kind and uses no clock, randomness or socket; time, ids and random bytes are arguments.
//!
//! A service describes its kinds by [`resource::Resource`] and [`kind::Kind`]; [`rest`] computes what a command changes.

pub mod body;
pub mod command;
pub mod decoding;
pub mod discovery;
pub mod field;
pub mod kind;
pub mod limits;
pub mod list;
pub mod list_meta;
pub mod managed_fields;
pub mod meta_schema;
pub mod metadata;
pub mod negotiate;
pub mod object;
pub mod occurrence;
pub mod openapi;
pub mod options;
pub mod patch;
pub mod rbac;
pub mod request;
pub mod resource;
pub mod rest;
pub mod schema;
pub mod schemas;
pub mod selector;
pub mod status_error;
pub mod table;
pub mod time;
pub mod view;
pub mod warning;
pub mod watch;

#[cfg(test)]
mod fixture;
