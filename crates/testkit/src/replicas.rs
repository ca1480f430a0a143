//! Several servers over one database, each with a data directory of its own, and clients that do not care which one answers.
#![expect(clippy::panic, reason = "a test ends where its servers fail")]

use std::{
    fs,
    path::Path,
    process::{ExitStatus, Output},
    sync::Arc,
};

use ::http::Request;
use kube::client::Body;

use crate::{
    Builder, Http, Server,
    balance::Balance,
    command,
    postgres::{Cluster, Database},
};

/// Where a server keeps its authority and its certificates, in its data directory.
const CREDENTIALS: &str = "pki";
/// What replicas share: the authority, and the administrator's certificate. Their serving certificates are their own.
const SHARED: [&str; 4] = ["ca.crt", "ca.key", "admin.crt", "admin.key"];

/// Servers that share a store: one that has it to itself, or several. What a test may do to each of them.
#[expect(async_fn_in_trait, reason = "tests call it on what they know")]
pub trait Servers {
    /// How many there are.
    fn count(&self) -> usize;
    /// `kill -9`.
    fn kill_one(&mut self, server: usize);
    /// Starts it again where it was.
    async fn restart_one(&mut self, server: usize);
    /// For each of them a client for exact bytes that asks nobody else.
    fn each_http(&self) -> Vec<Http>;
}

/// The replicas of one service.
pub struct Replicas {
    servers: Vec<Server>,
    database: Database,
    balance: Arc<Balance>,
}

impl Replicas {
    /// Starts so many on a new database, and waits until all of them are ready.
    pub async fn start(binary: &Path, count: usize) -> Self {
        Self::start_on(binary, count, Cluster::shared().database()).await
    }

    /// As [`Replicas::start`], on a database of the test's own, which is migrated first.
    pub async fn start_on(binary: &Path, count: usize, database: Database) -> Self {
        Self::start_each(binary, count, database, |_, builder| builder).await
    }

    /// The same, where each replica may be started in its own way.
    pub async fn start_each(
        binary: &Path,
        count: usize,
        database: Database,
        way: impl Fn(usize, Builder) -> Builder,
    ) -> Self {
        migrate(binary, &database);
        let builder = |replica| way(replica, Server::builder(binary).database(&database));
        let first = builder(0).start().await;
        let authority = first.data_dir().join(CREDENTIALS);
        let mut servers = vec![first];
        for replica in 1..count {
            servers.push(trusting(builder(replica), &authority).await);
        }
        Self { balance: Arc::new(Balance::of(servers.len())), servers, database }
    }

    /// The database that they share.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// One of them.
    pub fn server(&self, server: usize) -> &Server {
        &self.servers[server]
    }

    /// The administrator's client, whose requests go to one replica after the other, past those that are down.
    pub fn client(&self) -> kube::Client {
        let clients: Vec<kube::Client> = self.servers.iter().map(Server::client).collect();
        let balance = Arc::clone(&self.balance);
        let spread = tower::service_fn(move |request: Request<Body>| {
            let client = clients[balance.next()].clone();
            async move { client.send(request).await }
        });
        kube::Client::new(spread, "default")
    }

    /// The administrator's client for exact bytes, spread as [`Replicas::client`] is.
    pub fn http(&self) -> Http {
        Http::spread(self.each_http(), Arc::clone(&self.balance))
    }

    /// Waits until one has ended by itself, and says how. The others get its requests.
    pub async fn wait_one(&mut self, server: usize) -> ExitStatus {
        self.balance.set(server, false);
        self.servers[server].wait().await
    }

    /// SIGSTOP. The others get its requests.
    pub fn pause(&self, server: usize) {
        self.balance.set(server, false);
        self.servers[server].pause();
    }

    /// SIGCONT.
    pub fn resume(&self, server: usize) {
        self.servers[server].resume();
        self.balance.set(server, true);
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

    /// From now on nobody asks it.
    fn kill_one(&mut self, server: usize) {
        self.balance.set(server, false);
        self.servers[server].kill();
    }

    async fn restart_one(&mut self, server: usize) {
        self.servers[server].restart().await;
        self.balance.set(server, true);
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

/// Starts a server that has another one's authority, as an operator would hand it on: a copy made before the first start.
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
