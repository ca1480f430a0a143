//! Tests of the whole server over its API. Every test starts the real binary on a free port with its own store and
//! connects to it over TLS, as users do.
//!
//! The tests follow the documented behavior, not the implementation: no server code is linked in.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends at the first surprise, in its helpers too")]

mod environment;
mod store_commands;
mod support;

mod claim_lifecycle;
mod doubles;
mod dry_run_and_protection;
mod dry_run_of_sets;
mod overlap_prevention;
mod pinned;
mod pool_capacity;
mod pool_events;
mod pool_hierarchy;
mod refusals;
mod restored;
mod terminating_pools;

mod access;
mod answer_bytes;
mod applies;
mod certificates;
mod client_proxy;
mod compatibility;
mod connections;
mod deletes;
mod discovery;
mod disks;
mod errors;
mod export_import;
mod kube_rs;
mod large_objects;
mod lifecycle;
mod lists;
mod log_output;
mod memory;
mod namespaces;
mod openapi;
mod outages;
mod owners;
mod patches;
mod postgres;
mod replay;
mod stopping;
mod tables;
mod watches;
mod websockets;

mod history;
mod malformed_requests;
mod worst_bodies;
