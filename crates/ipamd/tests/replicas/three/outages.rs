//! Frozen and restarted replicas, and lists and watches across replicas.

use std::collections::BTreeSet;

use futures::future::join_all;
use kube::api::{DeleteParams, ListParams, PostParams};
use testkit::{Servers as _, allocated_cidr, claim, claims, pool, postgres::Cluster};
use tokio::{sync::watch, task::JoinHandle};

use super::support::{CLAIMS, ServerFixture, TIMEOUT, Watch, assert_disjoint, body, names, revision, text};

/// The number of clients of a replica that will be frozen.
const WRITERS: usize = 8;
/// The maximum number of attempts to freeze a replica while it holds the head of the log.
const FREEZES_MAX: usize = 500;

async fn three() -> ServerFixture {
    let front = ServerFixture::open().await;
    front.pool(pool("root").cidr("10.0.0.0/16")).await;
    front
}

async fn burst(front: &ServerFixture, name: &str, count: usize) {
    let names: Vec<String> = (0..count).map(|index| format!("{name}-{index}")).collect();
    join_all(names.iter().map(|name| front.claim(claim(name).pool("root").length(28)))).await;
}

/// Clients of one replica, each of which creates one claim after the other.
struct Writers {
    over: watch::Sender<bool>,
    tasks: Vec<JoinHandle<Vec<String>>>,
}

impl Writers {
    fn begin(front: &ServerFixture, replica: usize) -> Self {
        let over = watch::Sender::new(false);
        let task = |index: usize| {
            let (claims, over) = (claims(&front.server.server(replica).client(), "default"), over.subscribe());
            tokio::spawn(async move {
                let mut acknowledged = Vec::new();
                for round in 0.. {
                    let name = format!("of-{replica}-{index}-{round}");
                    let made =
                        claims.create(&PostParams::default(), &claim(&name).pool("root").length(28).into()).await;
                    acknowledged.extend(made.is_ok().then_some(name));
                    if *over.borrow() {
                        break;
                    }
                }
                acknowledged
            })
        };
        Self { tasks: (0..WRITERS).map(task).collect(), over }
    }

    /// Stops the clients. Returns the names of the acknowledged claims.
    async fn end(self) -> Vec<String> {
        self.over.send_replace(true);
        join_all(self.tasks).await.into_iter().flat_map(Result::unwrap).collect()
    }
}

/// Freezes a replica that has clients while it holds the head of the log.
async fn freeze_with_the_head(front: &ServerFixture, replica: usize) {
    let held =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'";
    let name = &front.server.database().name;
    for _ in 0..FREEZES_MAX {
        front.server.pause(replica);
        if Cluster::shared().execute(name, held).trim() != "0" {
            return;
        }
        front.server.resume(replica);
        // Until it has answered a request, it may not have resumed yet.
        assert_eq!(front.server.server(replica).http().get(CLAIMS).await.unwrap().status, 200);
    }
    panic!("the replica never held the head");
}

/// The frozen replica holds the head of the log and keeps its connections. The other replicas take over the head, and the frozen
/// replica recovers after it has resumed.
#[tokio::test]
async fn frozen_replica_does_not_block_others() {
    let front = three().await;
    let mut acknowledged = 0;
    for frozen in 0..3 {
        let writers = Writers::begin(&front, frozen);
        freeze_with_the_head(&front, frozen).await;
        let name = format!("frozen-{frozen}");
        tokio::time::timeout(TIMEOUT, burst(&front, &name, 12)).await.expect("the other replicas serve requests");
        front.server.resume(frozen);
        let names = writers.end().await;
        acknowledged += names.len();
        // Another replica lists every claim that this one acknowledged.
        let other = claims(&front.server.server((frozen + 1) % 3).client(), "default");
        let seen = other.list(&ListParams::default()).await.unwrap().items;
        let seen: BTreeSet<String> = seen.into_iter().filter_map(|claim| claim.metadata.name).collect();
        for name in names {
            assert!(seen.contains(&name), "{name} was acknowledged and is not listed");
        }
    }
    burst(&front, "after", 12).await;
    let all = front.claims.list(&ListParams::default()).await.unwrap().items;
    assert!(acknowledged > 0 && all.len() >= acknowledged);
    let held = assert_disjoint("10.0.0.0/16", all.iter().map(allocated_cidr));
    assert_eq!(front.addresses("root").await.1, i64::try_from(held).unwrap());
}

/// A watch on each replica delivers the writes of all replicas.
#[tokio::test]
async fn watch_on_one_replica_gets_writes_of_another() {
    let front = three().await;
    let from = revision(&body(&front.get(CLAIMS).await, 200));
    let mut watches = Vec::new();
    for replica in 0..3 {
        let http = front.server.server(replica).http();
        let path = format!("{CLAIMS}?watch=true&resourceVersion={from}");
        let stream = http.open(http::Request::get(path).body(bytes::Bytes::new()).unwrap()).await.unwrap();
        watches.push(Watch(stream));
    }
    for writer in 0..3 {
        let writing = claims(&front.server.server(writer).client(), "default");
        let name = format!("of-{writer}");
        let made = claim(&name).pool("root").length(28);
        writing.create(&PostParams::default(), &made.into()).await.unwrap();
        for watch in &mut watches {
            watch.expect("ADDED", &name).await;
        }
        let deleter = claims(&front.server.server((writer + 1) % 3).client(), "default");
        assert!(deleter.delete(&name, &DeleteParams::default()).await.unwrap().is_right());
        for watch in &mut watches {
            watch.expect("DELETED", &name).await;
        }
    }
}

/// A watch on one replica continues a list from another: every later event is delivered exactly once.
#[tokio::test]
async fn watch_on_one_replica_continues_list_of_another() {
    const CLAIMED: usize = 60;
    let front = three().await;
    let writing = front.claims.clone();
    let writer = tokio::spawn(async move {
        for number in 0..CLAIMED {
            let made = claim(&format!("c{number}")).pool("root").length(28);
            writing.create(&PostParams::default(), &made.into()).await.unwrap();
        }
    });
    let mut joined = Vec::new();
    while !writer.is_finished() {
        let turn = joined.len();
        let list = body(&front.server.server(turn % 3).http().get(CLAIMS).await.unwrap(), 200);
        let path = format!("{CLAIMS}?watch=true&resourceVersion={}", revision(&list));
        let request = http::Request::get(path).body(bytes::Bytes::new()).unwrap();
        let stream = front.server.server((turn + 1) % 3).http().open(request).await.unwrap();
        let known: BTreeSet<String> = names(&list).into_iter().map(str::to_owned).collect();
        joined.push((known, Watch(stream)));
    }
    writer.await.unwrap();
    assert!(joined.iter().any(|(known, _)| (1..CLAIMED).contains(&known.len())), "every list was empty or complete");
    for (mut known, mut watch) in joined {
        while known.len() < CLAIMED {
            let event = watch.next().await;
            let name = text(&event, "/object/metadata/name").to_owned();
            assert_eq!(text(&event, "/type"), "ADDED", "{event}");
            assert!(known.insert(name), "the claim was in the list or in an earlier event: {event}");
        }
    }
}

/// A restarted replica has applied the writes of the others before it serves requests.
#[tokio::test]
async fn restarted_replica_serves_missed_writes() {
    let mut front = three().await;
    front.server.kill_one(1);
    burst(&front, "without", 6).await;
    let expected = front.everything().await;
    front.server.restart_one(1).await;
    let seen = claims(&front.server.server(1).client(), "default").list(&ListParams::default()).await.unwrap();
    assert_eq!(serde_json::to_value(seen.items).unwrap(), expected[1]);
    burst(&front, "with", 6).await;
    let all = front.claims.list(&ListParams::default()).await.unwrap().items;
    assert_eq!(assert_disjoint("10.0.0.0/16", all.iter().map(allocated_cidr)), 12 * 16);
}
