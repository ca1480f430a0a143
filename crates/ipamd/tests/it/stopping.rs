//! Termination of the server: during startup, after a second signal, and when shutdown fails.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use testkit::{
    Http, Server, claim, command, migrate, pool,
    postgres::{Cluster, Database},
};
use tokio::time::timeout;
use tokio_postgres::NoTls;

use crate::support::{BINARY, CLAIMS, ServerFixture, TIMEOUT};

const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// A server process that may never become ready.
struct Starting {
    process: Child,
    folder: TempDir,
}

impl Starting {
    fn begin(database: &Database) -> Self {
        let folder = TempDir::with_prefix("ipam-test-").unwrap();
        let mut serve: Command = command(BINARY.as_ref());
        serve.args(["serve", "--secure-port", "0", "--data-dir"]).arg(folder.path().join("data"));
        serve.env("POSTGRES_DSN", &database.dsn);
        let log = File::create(folder.path().join("log")).unwrap();
        let process = serve.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        Self { process, folder }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("data/admin.kubeconfig")
    }

    /// Waits until the server answers requests.
    async fn answers(&mut self) -> Http {
        let kubeconfig = self.kubeconfig();
        self.until("an answer", async || {
            let http = Http::admin(&kubeconfig).ok()?;
            http.get("/livez").await.is_ok().then_some(http)
        })
        .await
    }

    async fn until<T>(&mut self, what: &str, look: impl AsyncFn() -> Option<T>) -> T {
        let found = async {
            loop {
                if let Some(found) = look().await {
                    return found;
                }
                assert_eq!(self.process.try_wait().unwrap(), None, "{}", self.log());
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        };
        timeout(TIMEOUT, found).await.unwrap_or_else(|_| panic!("not in time: {what}"))
    }

    fn terminate(&self) {
        kill_process(Pid::from_child(&self.process), Signal::TERM).unwrap();
    }

    async fn ended(&mut self) -> ExitStatus {
        let ended = async {
            loop {
                if let Some(status) = self.process.try_wait().unwrap() {
                    return status;
                }
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        };
        timeout(TIMEOUT, ended).await.expect("it ends")
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        // An error means that the process has already ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A direct connection to the database, for changes that no server makes.
async fn connect(database: &Database) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(&database.dsn, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

fn migrated() -> Database {
    let database = Cluster::shared().database();
    migrate(BINARY.as_ref(), &database);
    database
}

fn with_delay(delay: &str) -> testkit::Builder {
    Server::builder(Path::new(BINARY)).argument("--shutdown-delay").argument(delay)
}

async fn until_not_ready(front: &ServerFixture) {
    let unready = async {
        while front.get("/readyz").await.status == 200 {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    };
    timeout(TIMEOUT, unready).await.expect("it stays ready after SIGTERM");
}

#[tokio::test]
async fn sigterm_stops_a_starting_server() {
    let database = migrated();
    let holder = connect(&database).await;
    holder.batch_execute("BEGIN; SELECT FROM commit_lock FOR UPDATE").await.unwrap();
    let mut server = Starting::begin(&database);
    let http = server.answers().await;
    let ready = http.get("/readyz").await.unwrap().text();
    assert!(ready.contains("[-]restore failed"), "{ready}");
    server.terminate();
    let status = server.ended().await;
    assert_eq!(status.code(), Some(0), "{}", server.log());
    assert!(server.log().contains("stopped before the server was ready"), "{}", server.log());
}

#[tokio::test]
async fn second_signal_stops_the_server_at_once() {
    let mut front = ServerFixture::to(with_delay("1h").start().await);
    front.server.ask_to_end();
    until_not_ready(&front).await;
    front.server.ask_to_end();
    assert_eq!(front.server.wait().await.code(), Some(1), "{}", front.server.log());
    assert!(front.server.log().contains("a second signal"), "{}", front.server.log());
}

#[tokio::test]
async fn fatal_commit_error_during_shutdown_delay_stops_server() {
    let database = migrated();
    let mut front = ServerFixture::to(with_delay("1h").database(&database).start().await);
    front.pool(pool("root").cidr("10.0.0.0/16")).await;
    front.server.ask_to_end();
    until_not_ready(&front).await;
    assert_eq!(front.block(claim("a").pool("root").length(24)).await, "10.0.0.0/24", "it still serves");
    // As after a failover that lost commits.
    let lossy = connect(&database).await;
    lossy.batch_execute("DELETE FROM log WHERE revision > (SELECT max(revision) FROM log) - 3").await.unwrap();
    let refused = front.post(CLAIMS, claim("b").pool("root").length(24)).await;
    assert_eq!(refused.status, 500, "{}", refused.text());
    assert_eq!(front.server.wait().await.code(), Some(1), "{}", front.server.log());
    assert!(front.server.log().contains("lost commits"), "{}", front.server.log());
}
