//! The database itself rejects overlapping spans, also when they are written by other programs.

use testkit::postgres::Cluster;
use tokio_postgres::{Client, NoTls, types::Type};

use crate::open_in;

async fn raw(dsn: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(dsn, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// Creates a database with one span, 16..=31 in space "s".
async fn with_span() -> (String, Client) {
    let database = Cluster::shared().database();
    let _store = open_in(&database).await;
    let client = raw(&database.dsn).await;
    insert(&client, 16, 31).await.unwrap();
    (database.dsn, client)
}

async fn insert(client: &Client, first: u128, last: u128) -> Result<u64, tokio_postgres::Error> {
    let (first, last) = (first.to_be_bytes().to_vec(), last.to_be_bytes().to_vec());
    let sql = "INSERT INTO span VALUES ('s', $1, $2, 'raw')";
    client.execute_typed(sql, &[(&first, Type::BYTEA), (&last, Type::BYTEA)]).await
}

async fn spans(client: &Client) -> Vec<(u128, u128)> {
    let number = |bytes: &[u8]| u128::from_be_bytes(bytes.try_into().unwrap());
    let rows = client.query_typed("SELECT first, last FROM span ORDER BY first", &[]).await.unwrap();
    rows.iter().map(|row| (number(row.get(0)), number(row.get(1)))).collect()
}

#[tokio::test]
async fn overlapping_inserts_and_updates_are_rejected() {
    let (_, client) = with_span().await;
    for (first, last) in [(16, 31), (16, 16), (31, 31), (20, 21), (0, 16), (31, 40), (0, 99), (0, u128::MAX), (99, 98)]
    {
        insert(&client, first, last).await.expect_err(&format!("{first}..={last}"));
    }
    let pair =
        "INSERT INTO span SELECT 's', decode(lpad(first, 32, '0'), 'hex'), decode(lpad(last, 32, '0'), 'hex'), 'raw'
                FROM (VALUES ('50', '60'), ('60', '70')) AS spans (first, last)";
    client.batch_execute(pair).await.expect_err("two rows of one statement");
    let merged =
        "INSERT INTO span VALUES ('s', decode(lpad('10', 32, '0'), 'hex'), decode(lpad('99', 32, '0'), 'hex'), 'raw')
                  ON CONFLICT (space, first) DO UPDATE SET last = EXCLUDED.last";
    client.batch_execute(merged).await.expect_err("an insert that updates");
    client.batch_execute("UPDATE span SET holder = 'other'").await.expect_err("an update");
    assert_eq!(spans(&client).await, [(16, 31)]);
    insert(&client, 0, 15).await.unwrap();
    insert(&client, 32, 32).await.unwrap();
}

/// Neither transaction sees the other's row, and each one alone overlaps nothing.
#[tokio::test]
async fn concurrent_overlapping_transactions_are_serialized() {
    let (dsn, one) = with_span().await;
    // A separate connection, because pg_stat_activity does not change within a transaction.
    let (two, observer) = (raw(&dsn).await, raw(&dsn).await);
    one.batch_execute("BEGIN").await.unwrap();
    insert(&one, 100, 199).await.unwrap();
    two.batch_execute("BEGIN").await.unwrap();
    let (second, ()) = tokio::join!(insert(&two, 150, 250), async {
        let waits =
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
        while observer.query_typed(waits, &[]).await.unwrap()[0].get::<_, i64>(0) == 0 {}
        one.batch_execute("COMMIT").await.unwrap();
    });
    second.expect_err("it waited for the first, and then saw it");
    two.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(spans(&one).await, [(16, 31), (100, 199)]);
}

#[tokio::test]
async fn higher_isolation_levels_are_rejected() {
    let (_, client) = with_span().await;
    for level in ["REPEATABLE READ", "SERIALIZABLE"] {
        client.batch_execute(&format!("BEGIN ISOLATION LEVEL {level}")).await.unwrap();
        insert(&client, 100, 199).await.expect_err(level);
        client.batch_execute("ROLLBACK").await.unwrap();
    }
}

#[tokio::test]
async fn malformed_numbers_are_rejected() {
    let (_, client) = with_span().await;
    for (first, last) in [("'\\x00'", "'\\x01'"), ("NULL", "NULL"), ("''", "''")] {
        let sql = format!("INSERT INTO span VALUES ('s', {first}, {last}, 'raw')");
        client.batch_execute(&sql).await.expect_err(&sql);
    }
}

/// The overlap check uses its own tables, even if the session's `search_path` has tables with the same names first.
#[tokio::test]
async fn search_path_does_not_change_the_checked_tables() {
    let (dsn, client) = with_span().await;
    let (twins, locker) = (raw(&dsn).await, raw(&dsn).await);
    let twin =
        "CREATE SCHEMA twin; CREATE TABLE twin.span (LIKE span); CREATE TABLE twin.commit_lock (LIKE commit_lock);
        SET search_path = twin, public";
    twins.batch_execute(twin).await.unwrap();
    let overlapping = "INSERT INTO public.span VALUES ('s', decode(lpad('14', 32, '0'), 'hex'), decode(lpad('15', 32, '0'), 'hex'), 'raw')";
    twins.batch_execute(overlapping).await.expect_err("16..=31 is held");
    locker.batch_execute("BEGIN; SELECT FROM commit_lock FOR UPDATE").await.unwrap();
    let elsewhere = "SET lock_timeout = 50; INSERT INTO public.span VALUES ('s', decode(lpad('50', 32, '0'), 'hex'), decode(lpad('51', 32, '0'), 'hex'), 'raw')";
    let error = twins.batch_execute(elsewhere).await.expect_err("the head is held");
    assert_eq!(error.code(), Some(&tokio_postgres::error::SqlState::LOCK_NOT_AVAILABLE), "{error}");
    locker.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(spans(&client).await, [(16, 31)]);
}
