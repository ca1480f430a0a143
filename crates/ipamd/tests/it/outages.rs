//! A database that hangs or is unreachable: readiness, log lines, and recovery.

use std::time::{Duration, Instant};

use futures::future::join_all;
use testkit::{Server, claim, migrate, pool, postgres::Cluster};
use tokio::time::timeout;

use crate::support::{BINARY, CLAIMS, ServerFixture, TIMEOUT};

const POLL_INTERVAL: Duration = Duration::from_millis(10);
/// The duration of the outage; twelve polls of the log would fail in that time.
const AWAY: Duration = Duration::from_secs(3);

/// The size limit of files, in bytes; the table of the log reaches it after some hundred claims.
const FULL: u64 = 2 << 20;
/// Concurrent claims while the disk fills up.
const CLAIMS_AT_ONCE: usize = 100;

async fn on(cluster: &Cluster) -> ServerFixture {
    let database = cluster.database();
    migrate(BINARY.as_ref(), &database);
    let front = ServerFixture::to(Server::builder(BINARY.as_ref()).database(&database).start().await);
    front.pool(pool("root").cidr("10.0.0.0/16")).await;
    front
}

/// Waits until `/readyz` returns 200 or 500, as `ready` says, and returns how long that took.
async fn until_ready(front: &ServerFixture, ready: bool) -> Duration {
    let (began, status) = (Instant::now(), if ready { 200 } else { 500 });
    let answered = async {
        while front.get("/readyz").await.status != status {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    };
    timeout(2 * TIMEOUT, answered)
        .await
        .unwrap_or_else(|_| panic!("/readyz never answers {status}: {}", front.server.log()));
    began.elapsed()
}

#[tokio::test]
async fn hanging_database_makes_server_unready() {
    let cluster = Cluster::start().unwrap();
    let front = on(&cluster).await;
    cluster.pause().unwrap();
    let noticed = until_ready(&front, false).await;
    let why = front.get("/readyz/store").await.text();
    assert!(why.contains("no answer for "), "{why}");
    let (http, body) = (front.server.http(), serde_json::Value::from(claim("a").pool("root").length(24)));
    let write = tokio::spawn(async move { http.send_json(http::Method::POST, CLAIMS, &body).await });
    let hangs = async { while !front.get("/readyz/commits").await.text().contains("the oldest write") {} };
    timeout(TIMEOUT, hangs).await.expect("/readyz/commits reports the pending write");
    assert_eq!(front.get("/livez").await.status, 200);
    cluster.resume().unwrap();
    let over = until_ready(&front, true).await;
    println!("a database that hangs: unready after {noticed:?}, ready again after {over:?}");
    write.await.unwrap().unwrap();
    front.block(claim("b").pool("root").length(24)).await;
}

#[tokio::test]
async fn full_database_disk_makes_server_unready_until_freed() {
    let cluster = Cluster::in_small_files().unwrap();
    let front = on(&cluster).await;
    cluster.limit_files(Some(FULL)).unwrap();
    let fill = async {
        for round in 0.. {
            let make = |n| front.post(CLAIMS, claim(&format!("c{round}-{n}")).pool("root").length(28));
            if join_all((0..CLAIMS_AT_ONCE).map(make)).await.iter().any(|answer| answer.status == 503) {
                break;
            }
        }
    };
    timeout(2 * TIMEOUT, fill).await.expect("the disk is full");
    until_ready(&front, false).await;
    let why = front.get("/readyz/commits").await.text();
    assert!(why.contains("the last commit failed") && why.contains("could not extend file"), "{why}");
    assert_eq!(front.get("/readyz/store").await.text(), "ok", "reads still work");
    cluster.limit_files(None).unwrap();
    until_ready(&front, true).await;
    front.block(claim("after").pool("root").length(28)).await;
}

#[tokio::test]
async fn database_outage_is_logged_once_at_begin_and_end() {
    let cluster = Cluster::start().unwrap();
    let front = on(&cluster).await;
    let before = front.server.log().len();
    cluster.crash().await.unwrap();
    until_ready(&front, false).await;
    let began = Instant::now();
    while began.elapsed() < AWAY {
        assert_eq!(front.get("/readyz").await.status, 500);
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    let log = front.server.log();
    let ours = |line: &&str| line.contains("\"WARN\"") && line.contains("\"target\":\"apiserver");
    let warnings: Vec<_> = log[before..].lines().filter(ours).collect();
    for what in ["the store does not answer", "the log cannot be followed"] {
        assert_eq!(warnings.iter().filter(|line| line.contains(what)).count(), 1, "{what}: {warnings:#?}");
    }
    // The background tasks may also log a warning, once each.
    assert!(warnings.len() <= 4, "{warnings:#?}");
    cluster.run().unwrap();
    until_ready(&front, true).await;
    front.block(claim("a").pool("root").length(24)).await;
    let over = async { while !front.server.log().contains("resolved: the log cannot be followed") {} };
    timeout(TIMEOUT, over).await.expect("the log reports the end of the outage");
}
