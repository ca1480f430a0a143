//! Disks that fail under a running server: the power goes, a sync fails, the disk is full.
//!
//! What was acknowledged is there afterwards, whole, and what was refused as not written is not.

mod load;
mod power;
mod space;
mod syncs;

use std::path::Path;

use testkit::{Disk, Part, Server, pool};

use super::support::{self, BINARY, Front};

/// The pool of every claim here.
const POOL: &str = "root";
const POOL_CIDR: &str = "10.0.0.0/8";

/// A server on this disk, which is ready.
async fn start(disk: &Disk) -> Front {
    Front::to(Server::builder(BINARY.as_ref()).disk(disk).start().await)
}

/// A server on an empty disk in a new directory `data`, with the pool.
async fn start_with_pool(data: &Path) -> (Disk, Front) {
    std::fs::create_dir(data).unwrap();
    let disk = Disk::under(data);
    let front = start(&disk).await;
    front.pool(pool(POOL).cidr(POOL_CIDR)).await;
    (disk, front)
}

/// A server on what is left of this disk after the power failed, if nothing reached it that was not synced.
async fn start_after_power_loss(disk: &Disk, to: &Path) -> (Disk, Front) {
    disk.after_power_loss(to, || false);
    let disk = Disk::under(to);
    let front = start(&disk).await;
    (disk, front)
}
