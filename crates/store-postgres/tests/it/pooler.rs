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
    commits: new_store_is_empty, commit_is_atomic_with_consecutive_revisions, failed_commit_is_rolled_back,
        wrong_expected_revision_is_rejected, commit_may_write_a_key_several_times, dropped_transaction_releases_head_and_changes_nothing,
        transaction_reads_current_versions_in_key_order_given, read_returns_current_versions_while_head_is_locked, empty_commit_succeeds_without_writes,
        empty_binary_and_large_values_round_trip, deletion_of_missing_key_is_logged;
    concurrency: concurrent_transactions_lose_no_update, concurrent_reads_see_whole_commits, canceled_commit_is_complete_or_absent;
    bulk_load: snapshot_is_unaffected_by_commits_and_compaction, loaded_log_equals_its_source, abandoned_load_leaves_the_log_empty,
        load_of_nonempty_log_is_rejected, load_rejects_overlapping_spans, advance_revision_keeps_objects, advance_revision_discards_history;
}

/// More replicas than the pooler has connections.
#[tokio::test(flavor = "multi_thread")]
async fn more_replicas_than_pooler_connections_all_commit() {
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
async fn listen_dsn_bypasses_the_pooler() {
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
