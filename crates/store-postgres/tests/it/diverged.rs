//! A log that differs from the one that was read: after a failover that lost commits, or if another database answers.

use std::time::Duration;

use store::{Error, Revision, Store};
use store_postgres::{Options, PostgresStore};
use testkit::postgres::{Cluster, Database};
use tokio::time::{sleep, timeout};

use crate::{commit, create, open_in};

/// A database and a copy of it that does not replicate.
struct Site {
    database: Database,
    copy: String,
}

impl Site {
    /// Copies the database in its current state, like a lagging standby.
    fn copy(database: Database) -> Self {
        let copy = format!("{}_copy", database.name);
        disconnect(&database.name);
        Cluster::shared().execute("postgres", &format!("CREATE DATABASE {copy} TEMPLATE {}", database.name));
        Self { database, copy }
    }

    /// Replaces the database with the copy.
    fn fail_over(&self) {
        let (name, copy) = (&self.database.name, &self.copy);
        disconnect(name);
        Cluster::shared().execute("postgres", &format!("ALTER DATABASE {name} RENAME TO {name}_lost"));
        Cluster::shared().execute("postgres", &format!("ALTER DATABASE {copy} RENAME TO {name}"));
    }

    async fn open(&self) -> PostgresStore {
        PostgresStore::open(&Options::new(&self.database.dsn)).await.unwrap()
    }
}

/// Ends all sessions of a database, and rejects new ones until they have ended.
fn disconnect(name: &str) {
    let cluster = Cluster::shared();
    cluster.execute("postgres", &format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false"));
    let end = format!("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '{name}'");
    cluster.execute("postgres", &end);
    cluster.execute("postgres", &format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true"));
}

/// Returns the result of a call, repeated until the database is available.
async fn answer<T>(call: impl AsyncFn() -> Result<T, Error>) -> Result<T, Error> {
    let again = async {
        loop {
            match call().await {
                Err(Error::Unavailable(_)) => sleep(Duration::from_millis(5)).await,
                answer => return answer,
            }
        }
    };
    timeout(Duration::from_secs(30), again).await.expect("the database came back")
}

async fn assert_diverged(store: &PostgresStore, known: Revision, words: &str) {
    for (call, outcome) in [
        ("tail", answer(async || store.tail(known, 10).await).await.map(drop)),
        ("head", answer(async || store.head().await).await.map(drop)),
        ("begin", answer(async || store.begin().await).await.map(drop)),
        ("snapshot", answer(async || store.snapshot().await).await.map(drop)),
    ] {
        assert!(matches!(&outcome, Err(Error::Diverged(why)) if why.contains(words)), "{call}: {outcome:?}");
    }
}

#[tokio::test]
async fn log_that_lost_commits_is_diverged() {
    let database = Cluster::shared().database();
    let writer = open_in(&database).await;
    for name in ["a", "b", "c"] {
        commit(&writer, vec![create(name, "1")]).await.unwrap();
    }
    let site = Site::copy(database);
    let (reader, unaware) = (site.open().await, site.open().await);
    answer(async || commit(&writer, vec![create("lost", "1"), create("lost-2", "1")]).await).await.unwrap();
    // The reader has read a part of the commit, and knows its end.
    assert_eq!(reader.tail(Revision(3), 1).await.unwrap().len(), 1);
    site.fail_over();
    for store in [&writer, &reader] {
        assert_diverged(store, Revision(4), "it ends at 3 now, and this process has seen it end at 5").await;
    }
    // A store that has not seen the lost commits continues, and so does a newly opened one.
    answer(async || commit(&unaware, vec![create("new", "1")]).await).await.unwrap();
    let restarted = site.open().await;
    commit(&restarted, vec![create("new-2", "1"), create("new-3", "1")]).await.unwrap();
    assert_eq!(unaware.tail(Revision(3), 10).await.unwrap().len(), 3);
    for store in [&writer, &reader] {
        assert_diverged(store, Revision(4), "what this process has seen at 5 is not in it").await;
    }
}

/// The horizon stores what is needed to recognize the log when its last row has been compacted.
#[tokio::test]
async fn log_is_not_diverged_after_compaction() {
    let store = open_in(&Cluster::shared().database()).await;
    commit(&store, vec![create("a", "1"), create("b", "1")]).await.unwrap();
    let deletion = store::Write { expected: Some(Revision(1)), value: None, ..create("a", "") };
    commit(&store, vec![deletion]).await.unwrap();
    let head = store.head().await.unwrap().revision;
    store.compact(head).await.unwrap();
    assert_eq!(store.head().await.unwrap().compacted, head);
    assert_eq!(store.tail(head, 10).await.unwrap(), []);
    commit(&store, vec![create("c", "1")]).await.unwrap();
    store.compact(Revision(u64::MAX)).await.unwrap();
    assert_eq!(store.begin().await.unwrap().head(), head.next());
}

/// The store that advances the revisions continues; other stores fail.
#[tokio::test]
async fn advanced_revisions_are_diverged_for_other_stores() {
    let database = Cluster::shared().database();
    let (mover, other) = (open_in(&database).await, open_in(&database).await);
    commit(&mover, vec![create("a", "1")]).await.unwrap();
    mover.advance_revision(1_000).await.unwrap();
    assert_diverged(&other, Revision(1), "ipam store bump-revision").await;
    commit(&mover, vec![create("b", "1")]).await.unwrap();
    assert_eq!(mover.head().await.unwrap().revision, Revision(1_002));
}
