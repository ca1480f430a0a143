//! A failed sync ends the server, and the next server has every acknowledged write.

use futures::future::join_all;
use http::Method;
use kube::api::DeleteParams;
use serde_json::json;
use testkit::{allocated_cidr, claim};

use super::{
    BINARY, POOL, Part, Server, ServerFixture,
    load::{Books, Known, Load, audit},
    start, start_after_power_loss, start_with_pool,
};
use crate::support::TIMEOUT;

/// Enough claims that their spans occupy several pages.
const SPREAD: usize = 200;

/// The size of a ConfigMap that takes some 200 pages of the store.
const LARGE_BYTES: usize = 800_000;

/// The maximum number of ConfigMaps to write; a checkpoint starts earlier, after 16,000 pages.
const LARGE_MAX: usize = 400;

/// Frames whose sync failed may be in the page cache but not on the disk, so the next server must not rely on them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_wal_fsync_stops_the_server() {
    let directory = tempfile::tempdir().unwrap();
    let (disk, mut front) = start_with_pool(&directory.path().join("data")).await;
    let load = Load::begin(&front, "before");
    load.answered(40).await;
    disk.fail_sync(Part::Log);
    let mut books = ended_by_its_disk(&mut front, load).await;
    assert!(!disk.still_fails(Part::Log), "the sync has failed");
    let mut front = start(&disk).await;
    audit(&front, &books).await;
    let load = Load::begin(&front, "after");
    load.answered(40).await;
    front.server.kill();
    books.extend(load.end().await);
    let (_disk, front) = start_after_power_loss(&disk, &directory.path().join("later")).await;
    audit(&front, &books).await;
}

/// The next server recovers a log that is only in the page cache, and the power fails after each of its syncs.
///
/// The failed commit has changed a page that no other commit in the log changes. If the data file had that page but the
/// log had lost the commit, the block of the claim would be free although the claim exists.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn power_loss_during_recovery_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (disk, mut front) = start_with_pool(&directory.path().join("data")).await;
    let mut books = Books::new();
    books.extend(join_all((0..SPREAD).map(|number| make(&front, format!("early-{number}")))).await);
    assert_eq!(front.server.terminate().await.code(), Some(0));
    let mut front = start(&disk).await;
    books.extend([make(&front, "late".to_owned()).await]);
    disk.fail_sync(Part::Log);
    let (victim, _) = books.iter().find(|(_, known)| **known == Known::Live("10.0.0.0/24".to_owned())).unwrap();
    let victim = victim.clone();
    front.claims.delete(&victim, &DeleteParams::default()).await.unwrap_err();
    books.insert(victim, Known::Unknown);
    front.server.wait().await;
    for syncs in 1.. {
        let copy = disk.copy_that_ends(&directory.path().join(format!("copy-{syncs}")), syncs);
        let started = Server::builder(BINARY.as_ref()).disk(&copy).try_start().await;
        let is_recovered = started.is_ok();
        drop(started);
        let (_disk, front) = start_after_power_loss(&copy, &directory.path().join(format!("later-{syncs}"))).await;
        let later = make(&front, "later".to_owned()).await;
        audit(&front, &books.clone().into_iter().chain([later]).collect()).await;
        if is_recovered {
            println!("{syncs} syncs");
            assert!(syncs > 3, "a recovery has at least so many syncs");
            break;
        }
    }
}

async fn make(front: &ServerFixture, name: String) -> (String, Known) {
    let made = front.claim(claim(&name).pool(POOL).length(24)).await;
    (name, Known::Live(allocated_cidr(&made).to_owned()))
}

/// `SQLite` treats the frames as checkpointed, and the kernel treats the pages as clean.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_data_file_fsync_stops_the_server() {
    let directory = tempfile::tempdir().unwrap();
    let (disk, mut front) = start_with_pool(&directory.path().join("data")).await;
    let load = Load::begin(&front, "before");
    disk.fail_sync(Part::Data);
    grow(&front, || !disk.still_fails(Part::Data)).await;
    let books = ended_by_its_disk(&mut front, load).await;
    let (_disk, front) = start_after_power_loss(&disk, &directory.path().join("later")).await;
    audit(&front, &books).await;
    let mut front = start(&disk).await;
    audit(&front, &books).await;
    front.server.kill();
    let (_disk, front) = start_after_power_loss(&disk, &directory.path().join("much-later")).await;
    audit(&front, &books).await;
}

/// Waits until the server ends with an error that names the cause; returns the states that the clients recorded.
async fn ended_by_its_disk(front: &mut ServerFixture, load: Load) -> Books {
    let status = front.server.wait().await;
    assert_eq!(status.code(), Some(1), "{status}");
    let log = front.server.log();
    assert!(log.contains("the store has failed permanently") && log.contains("sync"), "{log}");
    load.end().await
}

/// Writes large objects until `done` returns true or the server ends.
async fn grow(front: &ServerFixture, done: impl Fn() -> bool) {
    let text = "x".repeat(LARGE_BYTES);
    let path = "/api/v1/namespaces/default/configmaps";
    for number in 0..LARGE_MAX {
        let object = json!({ "metadata": { "name": format!("large-{number}") }, "data": { "text": text } });
        let sent = tokio::time::timeout(TIMEOUT, front.http.send_json(Method::POST, path, &object)).await.unwrap();
        if done() || sent.is_err() {
            return;
        }
    }
    panic!("no checkpoint after {LARGE_MAX} objects");
}
