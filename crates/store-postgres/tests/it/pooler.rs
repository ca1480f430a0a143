//! A pooler in transaction mode, where each transaction may use another server connection.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use store::{Key, Revision, Store};
use store_postgres::{Options, PostgresStore};
use testkit::postgres::{Cluster, Pooler};
use tokio::{task::JoinSet, time::timeout};

use crate::{commit, create, open_at};

/// The pooler of this test binary.
pub fn pooler() -> &'static Pooler {
    static POOLER: OnceLock<Pooler> = OnceLock::new();
    POOLER.get_or_init(|| Pooler::start(Cluster::shared()).unwrap())
}

async fn open() -> (Arc<dyn Store>, ()) {
    let dsn = pooler().dsn(&Cluster::shared().database());
    (Arc::new(open_at(Options::new(dsn)).await), ())
}

store::contract_tests! { open =>
    commits: a_new_store_is_empty, a_commit_is_whole, a_refused_commit_leaves_nothing,
        preconditions_are_checked, one_key_several_times_in_one_commit, a_dropped_transaction_changes_nothing,
        a_transaction_reads_what_is_there, a_read_sees_what_is_there, an_empty_commit_writes_nothing,
        values_come_back_as_they_were, a_deletion_of_nothing_is_in_the_log;
    concurrency: committers_make_one_log, readers_see_whole_commits, a_cancelled_commit_is_whole_or_absent;
    bulk_load: a_snapshot_stays_as_it_was, a_filled_log_is_what_was_read, a_filling_that_is_given_up_leaves_nothing,
        only_an_empty_log_is_filled, a_filling_is_guarded, a_jump_goes_ahead, a_jump_forgets;
}

/// More replicas than the pooler has connections.
#[tokio::test(flavor = "multi_thread")]
async fn replicas_take_turns() {
    let dsn = pooler().dsn(&Cluster::shared().database());
    let onlooker = open_at(Options::new(&dsn)).await;
    let mut replicas = JoinSet::new();
    for replica in 0..8 {
        let store = PostgresStore::open(&Options::new(&dsn)).await.unwrap();
        replicas.spawn(async move {
            for round in 0..10 {
                commit(&store, vec![create(&format!("{replica}-{round}"), "")]).await.unwrap();
            }
        });
    }
    replicas.join_all().await;
    assert_eq!(onlooker.head().await.unwrap().revision, Revision(80));
    assert!(onlooker.get(&Key::new("7-9").unwrap()).await.unwrap().is_some());
}

#[tokio::test]
async fn hints_are_listened_for_past_the_pooler() {
    let database = Cluster::shared().database();
    let mut options = Options::new(pooler().dsn(&database));
    options.listen_dsn = Some(database.dsn.replace("user=ipam", "user=listener"));
    let admin = store_postgres::connect(&database.dsn).unwrap().get().await.unwrap();
    admin.batch_execute("CREATE ROLE listener LOGIN").await.unwrap();
    let _store = open_at(options).await;
    let listeners = "SELECT count(*) FROM pg_stat_activity
        WHERE usename = 'listener' AND query = 'LISTEN ipam_log' AND state = 'idle'";
    let listens = async { while admin.query_typed(listeners, &[]).await.unwrap()[0].get::<_, i64>(0) == 0 {} };
    timeout(Duration::from_secs(30), listens).await.expect("no connection listens at the database itself");
}
