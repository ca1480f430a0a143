//! The HTTP layer and the committer, with kinds and a store for these tests only.
//!
//! [`library`] is a small service that uses all traits, [`faulty`] a store that fails on demand, [`front`] a whole
//! server with TLS and a client that shows responses as received.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends at the first surprise, in its helpers too")]

mod commands;
mod faulty;
mod front;
mod library;

mod access;
mod collecting;
mod commits;
mod connections;
mod cross_origin;
mod deleting;
mod documents;
mod draining;
mod events;
mod large;
mod leases;
mod listing;
mod readiness;
mod replicas;
mod requests;
mod simulation;
mod standing_alone;
mod streaming;
mod supervision;
mod watching;
mod websockets;
