//! The ipam binary in its parts: configuration, credentials, logging, wiring and signals. What a request means is decided
//! elsewhere; here stands only what a process needs to come up, to be found and to go down.

pub mod admin;
pub mod config;
pub mod credentials;
pub mod database;
pub mod descriptors;
pub mod files;
pub mod kubeconfig;
pub mod limits;
pub mod logging;
pub mod reload;
pub mod serve;
pub mod signals;
pub mod store_commands;
pub mod transfer;
pub mod users;
pub mod watched;
