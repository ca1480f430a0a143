//! Test support: starts, stops and kills servers, databases and proxies, and provides clients for them. Not part of a release.
//!
//! A server is the real binary in a separate process, so that a test can do what an operator or a failure does. This crate uses
//! only the interface of the server: the kubeconfig that it writes, and its API over TLS.
//!
//! ```no_run
//! # async fn test() -> Result<(), kube::Error> {
//! use kube::api::PostParams;
//! use testkit::{Server, allocated_cidr, claim, claims, pool, pools};
//!
//! let server = Server::start("target/debug/ipam".as_ref()).await;
//! let client = server.client();
//! pools(&client).create(&PostParams::default(), &pool("root").cidr("10.0.0.0/8").into()).await?;
//! let bound = claims(&client, "default").create(&PostParams::default(), &claim("a").pool("root").length(24).into()).await?;
//! assert_eq!(allocated_cidr(&bound), "10.0.0.0/24");
//! # Ok(())
//! # }
//! ```

pub mod postgres;
pub mod proxy;

mod clock;
mod disk;
mod http;
mod kinds;
mod process;
mod replicas;
mod round_robin;
mod server;

pub use clock::other_clock;
pub use disk::{Disk, Part};
pub use http::{Answer, Http, StreamingResponse};
pub use kinds::{Claim, GROUP, Pool, VERSION, allocated_cidr, allocations, at, claim, claims, pool, pools, refusal};
pub use process::command;
pub use replicas::{Replicas, Servers, migrate};
pub use server::{Builder, Server};

/// Installs aws-lc-rs as the TLS provider of this process. May be called several times.
pub fn install_crypto() {
    // The only error is that a provider is installed already; all code of this repository installs the same one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
