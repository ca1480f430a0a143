//! A server with a PostgreSQL store: startup, the database schema, and the secrecy of the password.

use std::process::{Command, Output};

use testkit::{
    Server, claim, command, migrate, pool,
    postgres::{Cluster, Database},
};

use crate::support::{BINARY, ServerFixture};

/// Part of every connection string in these tests. The database accepts every password.
const PASSWORD: &str = "correct-horse";

/// A password that looks like a parameter name.
const WORD: &str = "xylophone";

fn empty() -> Database {
    Cluster::shared().database()
}

fn migrated() -> Database {
    let database = empty();
    migrate(BINARY.as_ref(), &database);
    database
}

fn ipam(words: &[&str]) -> Command {
    let mut ipam = command(BINARY.as_ref());
    ipam.args(words).env("RUST_BACKTRACE", "0");
    ipam
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The error of a server that ends during startup, without a panic.
async fn refused_start(dsn: &str) -> String {
    let builder = Server::builder(BINARY.as_ref()).environment("POSTGRES_DSN", dsn);
    let refused = builder.environment("RUST_BACKTRACE", "0").try_start().await;
    let error = format!("{:#}", refused.err().expect("the server does not start"));
    assert!(error.contains("exit status: ") && !error.contains("panicked"), "{error}");
    error
}

#[tokio::test]
async fn postgres_server_keeps_all_objects_in_the_database() {
    let database = migrated();
    let mut front = ServerFixture::to(Server::builder(BINARY.as_ref()).database(&database).start().await);
    front.pool(pool("root").cidr("10.0.0.0/16")).await;
    front.claim(claim("a").pool("root").length(24)).await;
    let before = front.everything().await;
    assert!(!front.server.data_dir().join("ipam.db").exists(), "there is no second store");
    assert!(front.server.kubeconfig_path().starts_with(front.server.data_dir()), "the credentials are files");
    front.server.kill();
    front.server.restart().await;
    assert_eq!(front.everything().await, before);
    drop(front);
    // As on another machine: only the database is the same.
    let front = ServerFixture::to(Server::builder(BINARY.as_ref()).database(&database).start().await);
    assert_eq!(front.everything().await, before);
    assert_eq!(front.block(claim("b").pool("root").length(24)).await, "10.0.1.0/24");
}

#[tokio::test]
async fn data_directory_is_locked_by_one_server() {
    let database = migrated();
    let first = Server::builder(BINARY.as_ref()).database(&database).start().await;
    let second = Server::builder(BINARY.as_ref()).database(&database).data_dir(first.data_dir()).try_start().await;
    let error = format!("{:#}", second.err().expect("the second does not start"));
    assert!(error.contains("is in use"), "{error}");
}

#[tokio::test]
async fn unused_sqlite_file_is_logged() {
    let mut server = Server::start(BINARY.as_ref()).await;
    server.terminate().await;
    let database = migrated();
    let with = Server::builder(BINARY.as_ref()).database(&database).data_dir(server.data_dir()).start().await;
    let log = with.log();
    assert!(log.contains("ipam.db") && log.contains("is not used"), "{log}");
}

#[tokio::test]
async fn start_fails_on_wrong_schema_version() {
    let database = empty();
    let error = refused_start(&database.dsn).await;
    assert!(error.contains("run `ipam store migrate up`"), "{error}");
    migrate(BINARY.as_ref(), &database);
    Cluster::shared().execute(&database.name, "INSERT INTO schema_migration (version) VALUES (99)");
    let error = refused_start(&database.dsn).await;
    assert!(error.contains("99") && error.contains("newer"), "{error}");
}

#[tokio::test]
async fn migrate_commands_report_schema_version() {
    let database = empty();
    let run = |words: &[&str]| {
        let output = ipam(words).env("POSTGRES_DSN", &database.dsn).output().unwrap();
        (output.status.code(), said(&output))
    };
    let (code, text) = run(&["store", "migrate", "status"]);
    assert!(code == Some(1) && text.contains("schema version: 0") && text.contains("outdated"), "{text}");
    let (code, text) = run(&["store", "migrate", "up"]);
    assert!(code == Some(0) && text.contains("from schema version 0"), "{text}");
    let (code, text) = run(&["store", "migrate", "status"]);
    assert!(code == Some(0) && text.contains("current"), "{text}");

    let front = ServerFixture::to(Server::builder(BINARY.as_ref()).database(&database).start().await);
    front.pool(pool("root").cidr("10.0.0.0/16")).await;
    let (code, text) = run(&["store", "migrate", "up"]);
    assert!(code == Some(0) && text.contains("nothing to do"), "again, while a server runs: {text}");
    assert_eq!(front.block(claim("a").pool("root").length(24)).await, "10.0.0.0/24");

    Cluster::shared().execute(&database.name, "INSERT INTO schema_migration (version) VALUES (99)");
    let (code, text) = run(&["store", "migrate", "status"]);
    assert!(code == Some(1) && text.contains("99") && text.contains("newer ipam"), "{text}");
    let (code, text) = run(&["store", "migrate", "up"]);
    assert!(code == Some(0) && text.contains("nothing to do"), "{text}");
}

#[tokio::test]
async fn password_is_not_in_logs_metrics_or_help() {
    let database = migrated();
    let dsn = format!("{} password={PASSWORD}", database.dsn);
    let builder = Server::builder(BINARY.as_ref()).argument("--log-level").argument("trace");
    let front = ServerFixture::to(builder.environment("POSTGRES_DSN", &dsn).start().await);
    front.pool(pool("root").cidr("10.0.0.0/16")).await;
    assert!(!front.server.log().contains(PASSWORD), "in the log");
    assert!(!front.get("/metrics").await.text().contains(PASSWORD), "in the metrics");

    let words: [&[&str]; 4] = [
        &["serve", "--help"],
        &["store", "migrate", "up", "--help"],
        &["store", "export", "--help"],
        &["store", "bump-revision", "--help"],
    ];
    for words in words {
        let output = ipam(words).env("POSTGRES_DSN", &dsn).env("IPAM_POSTGRES_LISTEN_DSN", &dsn).output().unwrap();
        assert!(said(&output).contains("POSTGRES_DSN") && !said(&output).contains(PASSWORD), "{words:?}");
    }
}

#[tokio::test]
async fn invalid_dsn_error_does_not_contain_password() {
    for dsn in [
        format!("host=127.0.0.1 password=a {PASSWORD}"),
        format!("host=127.0.0.1 password=a {PASSWORD}=b"),
        format!("host=127.0.0.1 port={PASSWORD}"),
        format!("postgres://user:{PASSWORD}@127.0.0.1:port/database"),
        format!("postgres://user:%{PASSWORD}@127.0.0.1/database"),
        format!("postgres://user:{PASSWORD}@127.0.0.1:1/database"),
        format!("'{PASSWORD}"),
        format!("host=127.0.0.1 password=a {WORD}=b"),
    ] {
        let error = refused_start(&dsn).await;
        assert!(!error.contains(PASSWORD), "{error}");
        assert!(!error.contains(WORD), "{error}");
        assert!(error.contains("connection string") || error.contains("PostgreSQL does not answer"), "{error}");
        let output = ipam(&["store", "migrate", "status"]).env("POSTGRES_DSN", &dsn).output().unwrap();
        let refused = matches!(output.status.code(), Some(1 | 8));
        assert!(refused && !said(&output).contains(PASSWORD), "{}", said(&output));
    }
}

#[tokio::test]
async fn invalid_dsn_error_explains_the_problem() {
    for (dsn, words) in [
        ("host=127.0.0.1 sslmode=maybe", "sslmode: it is disable, prefer, require"),
        ("host=127.0.0.1 sslmode=verify-full sslrootcert=/nowhere/ca.crt", "/nowhere/ca.crt"),
        ("127.0.0.1", "neither a postgres:// URL nor key=value pairs"),
    ] {
        let error = refused_start(dsn).await;
        assert!(error.contains(words), "{words:?} is missing: {error}");
    }
}

#[tokio::test]
async fn invalid_listen_dsn_error_does_not_contain_password() {
    let database = migrated();
    let builder = Server::builder(BINARY.as_ref()).database(&database);
    let refused = builder.environment("IPAM_POSTGRES_LISTEN_DSN", format!("password=a {PASSWORD}=b")).try_start().await;
    let error = format!("{:#}", refused.err().expect("the server does not start"));
    assert!(error.contains("IPAM_POSTGRES_LISTEN_DSN") && !error.contains(PASSWORD), "{error}");
}

#[tokio::test]
async fn server_works_with_two_postgres_connections() {
    let database = migrated();
    let builder = Server::builder(BINARY.as_ref()).database(&database).argument("--postgres-connections").argument("2");
    let front = ServerFixture::to(builder.start().await);
    front.pool(pool("root").cidr("10.0.0.0/16")).await;
    let names: Vec<String> = (0..40).map(|index| format!("c{index}")).collect();
    let claims = names.iter().map(|name| front.block(claim(name).pool("root").length(28)));
    assert_eq!(futures::future::join_all(claims).await.len(), 40);
    let open = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let open: u32 = Cluster::shared().execute(&database.name, open).trim().parse().unwrap();
    assert!(open <= 3, "two, and the one that listens: {open}");
}

#[tokio::test]
async fn empty_postgres_dsn_does_not_fall_back_to_sqlite() {
    let directory = tempfile::tempdir().unwrap();
    let data_dir = directory.path().join("data");
    let mut serve = ipam(&["serve", "--secure-port", "0", "--data-dir"]);
    let output = serve.arg(&data_dir).env("POSTGRES_DSN", "").output().unwrap();
    assert!(!output.status.success() && said(&output).contains("the connection string is empty"), "{}", said(&output));
    assert!(!data_dir.exists(), "nothing was created");
}
