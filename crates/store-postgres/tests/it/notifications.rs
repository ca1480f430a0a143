//! Notifications of other replicas' commits.

use std::time::Duration;

use store::{Revision, Store as _};
use store_postgres::{Options, connect};
use testkit::{
    postgres::Cluster,
    proxy::{Hang, Proxy},
};
use tokio::time::{Instant, pause, resume};

use crate::{commit, create, open_at, open_in};

/// The polling interval of callers that receive no notification.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

const LISTENING: &str = "SELECT count(*) FROM pg_stat_activity WHERE query = 'LISTEN ipam_log' AND state = 'idle'
    AND datname = current_database()";

/// A caller that cannot read the log, because the database is down, must not get the same notification repeatedly.
#[tokio::test]
async fn notification_is_delivered_once() {
    let database = Cluster::shared().database();
    let store = open_in(&database).await;
    let onlooker = connect(&database.dsn).unwrap().get().await.unwrap();
    while onlooker.query_typed(LISTENING, &[]).await.unwrap()[0].get::<_, i64>(0) == 0 {}
    commit(&store, vec![create("a", "1")]).await.unwrap();
    pause();
    let begun = Instant::now();
    for _ in 0..6 {
        store.wait_for_commits(Revision(0)).await;
    }
    assert!(begun.elapsed() >= POLL_INTERVAL * 5, "one notification and five polling intervals");
}

/// A connection that hangs delivers no notifications and reports no error.
#[tokio::test]
async fn listener_reconnects_after_a_hanging_connection() {
    let database = Cluster::shared().database();
    let line = Proxy::to(database.port).await.unwrap();
    let mut options = Options::new(&database.dsn);
    options.listen_dsn = Some(format!("host=127.0.0.1 port={} user=ipam dbname={}", line.port(), database.name));
    let store = open_at(options).await;
    let onlooker = connect(&database.dsn).unwrap().get().await.unwrap();
    while onlooker.query_typed(LISTENING, &[]).await.unwrap()[0].get::<_, i64>(0) == 0 {}
    line.hang(Hang::Both);
    line.restore();
    let before = line.connections();
    // The paused clock advances until the store closes the connection and opens another one.
    pause();
    while line.connections() == before {
        store.wait_for_commits(Revision(0)).await;
    }
    resume();
    while onlooker.query_typed(LISTENING, &[]).await.unwrap()[0].get::<_, i64>(0) == 0 {}
}
