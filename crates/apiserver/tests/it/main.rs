//! The HTTP layer and the committer, with kinds and a store for these tests only.
//!
//! [`sample_kinds`] is a small service that uses all traits, [`fault_injecting_store`] a store that fails on demand, [`test_server`] a whole
//! server with TLS and a client that shows responses as received.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends at the first surprise, in its helpers too")]

mod commands;
mod fault_injecting_store;
mod sample_kinds;
mod test_server;

mod access;
mod commits;
mod connections;
mod cross_origin;
mod deleting;
mod discovery_openapi;
mod events;
mod garbage_collection;
mod graceful_shutdown;
mod large;
mod leases;
mod list;
mod readiness;
mod replicas;
mod requests;
mod simulation;
mod standalone;
mod streaming;
mod supervision;
mod watch;
mod websockets;
