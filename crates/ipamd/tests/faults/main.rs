//! Faults that three replicas must survive. In each test, 64 clients use a few pools while a fault affects a replica, the database
//! or the connection between them. Afterwards, the answers to all clients must be true, the pool statuses must match the
//! allocations, the watches on all replicas must have the same events, and no read may have missed an existing object.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends at the first surprise, in its helpers too")]

use std::time::{Duration, Instant};

use history::Run;
use kube::api::PostParams;
use support::{BINARY, ServerFixture};
use testkit::{
    Builder, Replicas, Servers as _, claim,
    postgres::{Cluster, Database, Pooler},
    proxy::{Fault, Proxy},
};

/// Starts the servers of the tests.
mod environment {
    use testkit::Replicas;

    /// The servers of a test.
    pub type Servers = Replicas;

    pub async fn start() -> Servers {
        Replicas::start(super::support::BINARY.as_ref(), super::REPLICAS).await
    }
}

#[expect(dead_code, reason = "the tests that are not repeated here use the rest")]
#[path = "../it/support.rs"]
mod support;

#[path = "../it/history.rs"]
mod history;

mod divergence;
mod hangs;
mod pooler;

const REPLICAS: usize = 3;
const CLIENTS: u64 = 64;
/// The number of repetitions of a momentary fault.
const TIMES: usize = 3;
/// Twice the time for which the database lets a replica that holds the head of the log be idle.
const FROZEN: Duration = Duration::from_secs(6);
/// A server whose database hangs answers a request within this time: the sum of the timeouts of its steps.
const HANG_NOTICED: Duration = Duration::from_secs(40);
/// The maximum time until enough faults have happened.
const FAULTS_MAX: Duration = Duration::from_mins(2);
/// The delay of each piece of data, in each direction.
const DELAY: Duration = Duration::from_millis(200);
/// The maximum size of a database file when the disk is full, in bytes. The table of the log reaches it after some hundred claims.
const FULL: u64 = 2 << 20;

/// Three replicas and the proxy to their database.
struct Site {
    front: ServerFixture,
    cluster: Cluster,
    line: Proxy,
}

impl Site {
    async fn open(cluster: Cluster) -> Self {
        Self::open_each(cluster, |_, builder| builder).await
    }

    async fn open_each(cluster: Cluster, way: impl Fn(usize, Builder) -> Builder) -> Self {
        let line = Proxy::to(cluster.port()).await.unwrap();
        let database = through(line.port(), &cluster.database());
        let servers = Replicas::start_each(BINARY.as_ref(), REPLICAS, database, way).await;
        Self { front: ServerFixture::to(servers), cluster, line }
    }

    /// Starts replicas that connect to a pooler. The proxy is between the pooler and the database.
    async fn through_a_pooler() -> (Self, Pooler) {
        let cluster = Cluster::start().unwrap();
        let line = Proxy::to(cluster.port()).await.unwrap();
        let pooler = Pooler::start_through(&line).unwrap();
        let database = cluster.database();
        let database = Database { dsn: pooler.dsn(&database), ..database };
        let servers = Replicas::start_on(BINARY.as_ref(), REPLICAS, database).await;
        (Self { front: ServerFixture::to(servers), cluster, line }, pooler)
    }

    async fn usual() -> Self {
        Self::open(Cluster::start().unwrap()).await
    }

    /// Lets clients work until this number of commits has failed.
    async fn work_through_faults(&self, run: &mut Run, faults: u32) {
        let begun = Instant::now();
        while self.line.faults() < faults {
            assert!(begun.elapsed() < FAULTS_MAX, "only {} commits have failed", self.line.faults());
            run.let_work().await;
        }
    }

    /// True if a replica has logged the error of a database whose disk is full.
    fn was_full(&self) -> bool {
        (0..REPLICAS).any(|replica| self.front.server.server(replica).log().contains("could not extend file"))
    }

    async fn work(&self) -> Run {
        let mut run = Run::begin(&self.front, CLIENTS).await;
        run.let_work().await;
        run
    }
}

/// Returns the same database with a DSN that uses another port.
fn through(port: u16, database: &Database) -> Database {
    let dsn = format!("host=127.0.0.1 port={port} user=ipam dbname={}", database.name);
    Database { dsn, port, ..database.clone() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claims_hold_when_replicas_are_killed() {
    let mut site = Site::usual().await;
    let mut run = site.work().await;
    for victim in 0..REPLICAS {
        site.front.server.kill_one(victim);
        run.let_work().await;
        site.front.server.restart_one(victim).await;
        run.let_work().await;
    }
    run.end(&site.front, &format!("{REPLICAS} replicas killed")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claims_hold_when_database_is_killed() {
    let site = Site::usual().await;
    let mut run = site.work().await;
    for _ in 0..TIMES {
        site.cluster.crash().await.unwrap();
        run.let_work().await;
        site.cluster.run().unwrap();
        run.let_work().await;
    }
    run.end(&site.front, &format!("{TIMES} crashes of the database")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claims_hold_when_connections_break_in_commit() {
    let site = Site::usual().await;
    let mut run = site.work().await;
    site.line.fail_commits(5, Fault::Cut);
    for _ in 0..TIMES {
        run.let_work().await;
    }
    site.line.fail_commits(0, Fault::Cut);
    for _ in 0..TIMES {
        site.line.disconnect_all();
        run.let_work().await;
        site.line.restore();
        run.let_work().await;
    }
    let cuts = site.line.faults();
    assert!(cuts > 4, "only {cuts} commits were cut");
    run.end(&site.front, &format!("{cuts} commits cut, the line down {TIMES} times")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claims_hold_on_a_slow_connection() {
    let site = Site::usual().await;
    let mut run = site.work().await;
    site.line.delay(DELAY);
    for _ in 0..TIMES {
        run.let_work().await;
    }
    site.line.delay(Duration::ZERO);
    run.let_work().await;
    run.end(&site.front, "every message 200 ms late").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claims_hold_when_a_replica_is_frozen_and_resumed() {
    let site = Site::usual().await;
    let mut run = site.work().await;
    let began = Instant::now();
    site.front.server.pause(0);
    while began.elapsed() < FROZEN {
        run.let_work().await;
    }
    site.front.server.resume(0);
    for _ in 0..TIMES {
        run.let_work().await;
    }
    run.end(&site.front, "a replica frozen for 6 s").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claims_hold_when_a_clock_is_an_hour_ahead() {
    let clock = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(clock.path(), "+0").unwrap();
    let way = |replica, builder: Builder| match replica {
        0 => builder
            .environment("LD_PRELOAD", testkit::other_clock())
            .environment("FAKETIME_TIMESTAMP_FILE", clock.path())
            .environment("FAKETIME_NO_CACHE", "1")
            .environment("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        _ => builder,
    };
    let site = Site::open_each(Cluster::start().unwrap(), way).await;
    let mut run = site.work().await;
    let times = async |name: &str| {
        let claims = testkit::claims(&site.front.server.server(0).client(), "default");
        let made = claims.create(&PostParams::default(), &claim(name).pool("six").length(128).into()).await.unwrap();
        made.metadata.creation_timestamp.unwrap().0
    };
    let before = times("zy-before").await;
    std::fs::write(clock.path(), "+3600").unwrap();
    let ahead = times("zy-ahead").await.duration_since(before);
    assert!(ahead.as_secs() >= 3_600, "the clock did not jump: {ahead}");
    for _ in 0..TIMES {
        run.let_work().await;
    }
    for name in ["zy-before", "zy-ahead"] {
        site.front.delete_claim(name).await;
    }
    run.end(&site.front, "a clock an hour ahead").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claims_hold_when_database_disk_is_full() {
    let site = Site::open(Cluster::in_small_files().unwrap()).await;
    let mut run = site.work().await;
    for _ in 0..TIMES {
        site.cluster.limit_files(Some(FULL)).unwrap();
        let begun = Instant::now();
        while !site.was_full() {
            assert!(begun.elapsed() < FAULTS_MAX, "the disk was never full");
            run.let_work().await;
        }
        run.let_work().await;
        site.cluster.limit_files(None).unwrap();
        run.let_work().await;
    }
    run.end(&site.front, &format!("a full disk {TIMES} times")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claims_hold_when_standby_is_promoted() {
    let site = Site::usual().await;
    let standby = site.cluster.standby().await.unwrap();
    let mut run = site.work().await;
    site.cluster.crash().await.unwrap();
    run.let_work().await;
    standby.promote().unwrap();
    site.line.retarget(standby.port());
    site.line.disconnect_all();
    site.line.restore();
    for _ in 0..TIMES {
        run.let_work().await;
    }
    run.end(&site.front, "a synchronous standby took over").await;
}
