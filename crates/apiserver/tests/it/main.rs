//! The HTTP edge and its committer, with kinds and a store that exist for these tests alone.
//!
//! [`library`] is a service as small as one can be and still use all of the traits, [`faulty`] a store that fails when it
//! is told to, [`front`] a whole server behind real TLS with a client that shows exactly what was on the wire.
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
