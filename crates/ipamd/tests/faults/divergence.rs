//! Promotion of a standby that lags: the last commits are lost, and other commits get their revisions. A replica that has read
//! the lost commits must exit.

use bytes::Bytes;
use http::Request;
use kube::api::{ListParams, PostParams};
use testkit::{Replicas, Servers as _, allocated_cidr, claim, claims, pool, postgres::Cluster, proxy::Proxy};

use super::{
    REPLICAS,
    support::{BINARY, CLAIMS, ServerFixture, TIMEOUT, Watch, assert_disjoint, body, revision, text},
    through,
};

/// Creates claims on one replica.
async fn make(front: &ServerFixture, replica: usize, names: impl IntoIterator<Item = String>) {
    let claims = claims(&front.server.server(replica).client(), "default");
    for name in names {
        let wanted = claim(&name).pool("root").length(28).into();
        claims.create(&PostParams::default(), &wanted).await.unwrap();
    }
}

async fn watch(front: &ServerFixture, replica: usize, from: u64) -> Watch {
    let path = format!("{CLAIMS}?watch=true&resourceVersion={from}");
    let http = front.server.server(replica).http();
    Watch(http.open(Request::get(path).body(Bytes::new()).unwrap()).await.unwrap())
}

/// Asserts that the replica has exited with an error and has logged `words`.
async fn assert_ended(front: &mut ServerFixture, replica: usize, words: &str) {
    let status = front.server.wait_one(replica).await;
    assert!(!status.success(), "{status}");
    let log = front.server.server(replica).log();
    assert!(log.contains(words) && log.contains("lost commits"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_that_read_lost_commits_stop() {
    let cluster = Cluster::start().unwrap();
    let database = cluster.database();
    let mut lines = Vec::new();
    for _ in 0..REPLICAS {
        lines.push(Proxy::to(cluster.port()).await.unwrap());
    }
    let ports: Vec<u16> = lines.iter().map(Proxy::port).collect();
    let servers = Replicas::start_each(BINARY.as_ref(), REPLICAS, database.clone(), |replica, builder| {
        builder.database(&through(ports[replica], &database))
    });
    let mut front = ServerFixture::to(servers.await);
    front.pool(pool("root").cidr("10.0.0.0/16")).await;
    make(&front, 0, (0..4).map(|n| format!("kept-{n}"))).await;
    let standby = cluster.follower().await.unwrap();
    standby.crash().await.unwrap();
    let from = revision(&body(&front.get(CLAIMS).await, 200));
    let mut watches = Vec::new();
    for replica in 0..REPLICAS {
        watches.push(watch(&front, replica, from).await);
    }
    make(&front, 0, (0..3).map(|n| format!("lost-{n}"))).await;
    for watch in &mut watches {
        for n in 0..3 {
            watch.expect("ADDED", &format!("lost-{n}")).await;
        }
    }
    cluster.crash().await.unwrap();
    standby.run().unwrap();
    standby.promote().unwrap();
    // Two replicas find a log that ends before the last commit that they have read.
    for (replica, line) in lines.iter().enumerate().take(2) {
        line.retarget(standby.port());
        assert_ended(&mut front, replica, "and this process has seen it end at").await;
        front.server.restart_one(replica).await;
    }
    make(&front, 0, (0..8).map(|n| format!("new-{n}"))).await;
    // The third replica connects when the log is longer and has other commits at the lost revisions.
    lines[2].retarget(standby.port());
    assert_ended(&mut front, 2, "is not in it").await;
    let Watch(stream) = &mut watches[2];
    while let Ok(Some(line)) = stream.line(TIMEOUT).await {
        let event: serde_json::Value = serde_json::from_slice(&line).unwrap();
        assert_ne!(text(&event, "/type"), "ADDED", "an event of another log: {event}");
    }
    front.server.restart_one(2).await;
    for replica in 0..REPLICAS {
        let claims = claims(&front.server.server(replica).client(), "default");
        let found = claims.list(&ListParams::default()).await.unwrap().items;
        let mut names: Vec<String> = found.iter().filter_map(|claim| claim.metadata.name.clone()).collect();
        names.sort();
        let kept = (0..4).map(|n| format!("kept-{n}")).chain((0..8).map(|n| format!("new-{n}")));
        assert_eq!(names, kept.collect::<Vec<_>>());
        assert_eq!(assert_disjoint("10.0.0.0/16", found.iter().map(allocated_cidr)), 12 * 16);
    }
}
