//! Hints of what others commit.

use std::time::{Duration, Instant};

use store::{Revision, Store as _};
use store_postgres::connect;
use testkit::postgres::Cluster;

use crate::{commit, create, open_in};

/// The time after which a store lets somebody look who was told nothing.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Whoever cannot follow a hint, because the database is gone, must not be told it again and again.
#[tokio::test]
async fn a_hint_is_told_once() {
    let database = Cluster::shared().database();
    let store = open_in(&database).await;
    let onlooker = connect(&database.dsn).unwrap().get().await.unwrap();
    let listening = "SELECT count(*) FROM pg_stat_activity WHERE query = 'LISTEN ipam_log' AND state = 'idle'
        AND datname = current_database()";
    while onlooker.query_typed(listening, &[]).await.unwrap()[0].get::<_, i64>(0) == 0 {}
    commit(&store, vec![create("a", "1")]).await.unwrap();
    let begun = Instant::now();
    for _ in 0..6 {
        store.changed(Revision(0)).await;
    }
    assert!(begun.elapsed() >= LOOK_AGAIN * 5, "one hint, and five looks without one");
}
