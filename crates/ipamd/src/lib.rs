//! The modules of the `ipam` program: configuration, credentials, logging, start, shutdown and the `ipam store` commands. Requests
//! are handled in the crates `apiserver` and `ipam`.

pub mod admin;
pub mod config;
pub mod credentials;
pub mod database;
pub mod descriptors;
pub mod export_import;
pub mod files;
pub mod kubeconfig;
pub mod limits;
pub mod logging;
pub mod reload;
pub mod serve;
pub mod signals;
pub mod store_commands;
pub mod users;
pub mod watched;
