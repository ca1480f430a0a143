//! Several servers on one database, each with its own data directory, and clients that spread their requests over them.
#![expect(clippy::panic, reason = "a test ends if its servers fail")]

use std::{
    fs,
    path::Path,
    process::{ExitStatus, Output},
    sync::Arc,
};

use ::http::Request;
use kube::client::Body;

use crate::{
    Builder, Http, Server, command,
    postgres::{Cluster, Database},
    round_robin::RoundRobin,
};

/// The directory of the credentials in a data directory.
const CREDENTIALS: &str = "pki";
/// The files that all replicas share: the authority and the administrator's certificate. Each has its own serving certificate.
const SHARED: [&str; 4] = ["ca.crt", "ca.key", "admin.crt", "admin.key"];

/// One or more servers on one store.
#[expect(async_fn_in_trait, reason = "tests call it on known types")]
pub trait Servers {
    /// Returns the number of servers.
    fn count(&self) -> usize;
    /// Kills a server with SIGKILL.
    fn kill_one(&mut self, server: usize);
    /// Starts a server again, with the same data directory and port.
    async fn restart_one(&mut self, server: usize);
    /// Returns an HTTP client for each server.
    fn each_http(&self) -> Vec<Http>;
}

/// The replicas of one service on one database.
pub struct Replicas {
    servers: Vec<Server>,
    database: Database,
    round_robin: Arc<RoundRobin>,
}

impl Replicas {
    /// Starts `count` replicas on a new database, and waits until all are ready.
    pub async fn start(binary: &Path, count: usize) -> Self {
        Self::start_on(binary, count, Cluster::shared().database()).await
    }

    /// Like [`Replicas::start`], on the given database, which is migrated first.
    pub async fn start_on(binary: &Path, count: usize, database: Database) -> Self {
        Self::start_each(binary, count, database, |_, builder| builder).await
    }

    /// Like [`Replicas::start_on`]. `commit_action` configures each replica.
    pub async fn start_each(
        binary: &Path,
        count: usize,
        database: Database,
        commit_action: impl Fn(usize, Builder) -> Builder,
    ) -> Self {
        migrate(binary, &database);
        let builder = |replica| commit_action(replica, Server::builder(binary).database(&database));
        let first = builder(0).start().await;
        let authority = first.data_dir().join(CREDENTIALS);
        let mut servers = vec![first];
        for replica in 1..count {
            servers.push(trusting(builder(replica), &authority).await);
        }
        Self { round_robin: Arc::new(RoundRobin::of(servers.len())), servers, database }
    }

    /// Returns the database.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Returns a server.
    pub fn server(&self, server: usize) -> &Server {
        &self.servers[server]
    }

    /// Returns a client of the administrator that sends each request to the next replica that is up.
    pub fn client(&self) -> kube::Client {
        let clients: Vec<kube::Client> = self.servers.iter().map(Server::client).collect();
        let round_robin = Arc::clone(&self.round_robin);
        let spread = tower::service_fn(move |request: Request<Body>| {
            let client = clients[round_robin.next()].clone();
            async move { client.send(request).await }
        });
        kube::Client::new(spread, "default")
    }

    /// Returns an HTTP client of the administrator that sends each request to the next replica that is up.
    pub fn http(&self) -> Http {
        Http::spread(self.each_http(), Arc::clone(&self.round_robin))
    }

    /// Marks a server as down, waits until its process ends, and returns the exit status.
    pub async fn wait_one(&mut self, server: usize) -> ExitStatus {
        self.round_robin.set(server, false);
        self.servers[server].wait().await
    }

    /// Marks a server as down, and stops its process with SIGSTOP.
    pub fn pause(&self, server: usize) {
        self.round_robin.set(server, false);
        self.servers[server].pause();
    }

    /// Continues the process of a server with SIGCONT, and marks it as up.
    pub fn resume(&self, server: usize) {
        self.servers[server].resume();
        self.round_robin.set(server, true);
    }
}

impl Servers for Server {
    fn count(&self) -> usize {
        1
    }

    fn kill_one(&mut self, _server: usize) {
        self.kill();
    }

    async fn restart_one(&mut self, _server: usize) {
        self.restart().await;
    }

    fn each_http(&self) -> Vec<Http> {
        vec![self.http()]
    }
}

impl Servers for Replicas {
    fn count(&self) -> usize {
        self.servers.len()
    }

    /// Also marks the server as down.
    fn kill_one(&mut self, server: usize) {
        self.round_robin.set(server, false);
        self.servers[server].kill();
    }

    async fn restart_one(&mut self, server: usize) {
        self.servers[server].restart().await;
        self.round_robin.set(server, true);
    }

    fn each_http(&self) -> Vec<Http> {
        self.servers.iter().map(Server::http).collect()
    }
}

/// Runs `ipam store migrate up`.
pub fn migrate(binary: &Path, database: &Database) {
    let done = command(binary).args(["store", "migrate", "up"]).env("POSTGRES_DSN", &database.dsn).output();
    match done {
        Ok(Output { status, .. }) if status.success() => {}
        other => panic!("ipam store migrate up: {other:?}"),
    }
}

/// Starts a server with the authority of another server, which is copied to its data directory before the first start.
async fn trusting(builder: Builder, authority: &Path) -> Server {
    let authority = authority.to_owned();
    builder
        .prepare(move |data_dir| {
            let own = data_dir.join(CREDENTIALS);
            fs::create_dir_all(&own)?;
            SHARED.iter().try_for_each(|name| fs::copy(authority.join(name), own.join(name)).map(drop))
        })
        .start()
        .await
}
