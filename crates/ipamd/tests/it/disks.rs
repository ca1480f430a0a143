//! Disk failures under a running server: power loss, a failed sync, a full disk.
//!
//! Afterwards every acknowledged write must be present and complete, and every write reported as not written absent.

mod load;
mod power;
mod space;
mod syncs;

use std::path::Path;

use testkit::{Disk, Part, Server, pool};

use super::support::{self, BINARY, ServerFixture};

/// The pool of every claim in these tests.
const POOL: &str = "root";
const POOL_CIDR: &str = "10.0.0.0/8";

/// Starts a server on this disk and waits until it is ready.
async fn start(disk: &Disk) -> ServerFixture {
    ServerFixture::to(Server::builder(BINARY.as_ref()).disk(disk).start().await)
}

/// Creates directory `data` and starts a server in it, with the pool.
async fn start_with_pool(data: &Path) -> (Disk, ServerFixture) {
    std::fs::create_dir(data).unwrap();
    let disk = Disk::under(data);
    let front = start(&disk).await;
    front.pool(pool(POOL).cidr(POOL_CIDR)).await;
    (disk, front)
}

/// Starts a server on a copy of the disk after a power loss that dropped every unsynced write.
async fn start_after_power_loss(disk: &Disk, to: &Path) -> (Disk, ServerFixture) {
    disk.after_power_loss(to, || false);
    let disk = Disk::under(to);
    let front = start(&disk).await;
    (disk, front)
}
