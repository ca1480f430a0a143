//! A whole server inside a test: start it, stop it, kill it, talk to it. Never shipped.
//!
//! The server is the real binary in a process of its own, so that a test can do to it what an operator and a bad day do.
//! Nothing here knows how the server is made: it is found by the kubeconfig that it writes, and spoken to over TLS.
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

mod balance;
mod clock;
mod disk;
mod http;
mod kinds;
mod process;
mod replicas;
mod server;

pub use clock::other_clock;
pub use disk::{Disk, Part};
pub use http::{Answer, Http, Streamed};
pub use kinds::{Claim, GROUP, Pool, VERSION, allocated_cidr, allocations, at, claim, claims, pool, pools, refusal};
pub use process::command;
pub use replicas::{Replicas, Servers, migrate};
pub use server::{Builder, Server};

/// Makes aws-lc-rs the cryptography of every TLS connection of this process. Any number of calls is fine.
pub fn install_crypto() {
    // The only error says that a provider is there already, and in this tree it can be no other.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
