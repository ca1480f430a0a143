//! Migrations, and the errors for databases that are not up to date.

use store_postgres::{OpenError, Options, PostgresStore, Status, connect, migrate, status};
use testkit::postgres::Cluster;

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_migrations_run_each_step_once() {
    let database = Cluster::shared().database();
    let replicas: Vec<_> = (0..8).map(|_| connect(&database.dsn).unwrap()).collect();
    let known = status(&replicas[0]).await.unwrap().known;
    let tasks: Vec<_> = replicas.into_iter().map(|pool| tokio::spawn(async move { migrate(&pool).await })).collect();
    let mut from_nothing = 0;
    for task in tasks {
        let before = task.await.unwrap().unwrap();
        assert!(before.known == known && (before.version == 0 || before.version == known), "{before:?}");
        from_nothing += usize::from(before.version == 0);
    }
    assert!(from_nothing >= 1);
    let pool = connect(&database.dsn).unwrap();
    assert_eq!(status(&pool).await.unwrap(), Status { version: known, known });
    assert_eq!(migrate(&pool).await.unwrap(), Status { version: known, known }, "again, nothing happens");
    PostgresStore::open(&Options::new(&database.dsn)).await.unwrap();
}

#[tokio::test]
async fn database_with_other_schema_version_is_not_opened() {
    let database = Cluster::shared().database();
    let empty = PostgresStore::open(&Options::new(&database.dsn)).await.err().unwrap();
    assert!(matches!(empty, OpenError::Older { found: 0, .. }) && empty.to_string().contains("ipam store migrate up"));
    let pool = connect(&database.dsn).unwrap();
    migrate(&pool).await.unwrap();
    let client = pool.get().await.unwrap();
    client.batch_execute("INSERT INTO schema_migration (version) VALUES (99)").await.unwrap();
    let newer = PostgresStore::open(&Options::new(&database.dsn)).await.err().unwrap();
    assert!(matches!(newer, OpenError::Newer { found: 99, .. }), "{newer}");
}

#[tokio::test]
async fn invalid_dsn_and_unreachable_server_are_errors() {
    let nonsense = PostgresStore::open(&Options::new("postgres//nowhere")).await.err().unwrap();
    assert!(matches!(nonsense, OpenError::Dsn(_)), "{nonsense}");
    let unreachable = PostgresStore::open(&Options::new("host=127.0.0.1 port=1 user=x dbname=x")).await.err().unwrap();
    assert!(matches!(unreachable, OpenError::Connect(_)), "{unreachable}");
}

/// The earlier schemas had a table `migration`.
#[tokio::test]
async fn database_with_an_earlier_schema_is_refused() {
    let database = Cluster::shared().database();
    let pool = connect(&database.dsn).unwrap();
    let client = pool.get().await.unwrap();
    client.batch_execute("CREATE TABLE migration (version integer); INSERT INTO migration VALUES (1)").await.unwrap();
    for refused in [PostgresStore::open(&Options::new(&database.dsn)).await.map(drop), migrate(&pool).await.map(drop)] {
        let error = refused.unwrap_err();
        assert!(matches!(error, OpenError::Earlier) && error.to_string().contains("ipam store export"), "{error}");
    }
}
