//! Clients in a closed loop: each has its own connection and sends the next claim after the answer to the last.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context;
use bytes::Bytes;
use hdrhistogram::Histogram;
use http::{Request, header};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client::conn::http1::SendRequest};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, task::JoinSet};

use crate::process::{self, Process};

/// The path of the collection of claims.
pub const CLAIMS: &str = "/apis/ipam.miloapis.com/v1alpha1/namespaces/default/ipclaims";

/// Servers on one store, and the pools of the claims.
pub struct Target {
    /// The servers. Clients are distributed over them.
    pub replicas: Vec<Process>,
    /// The names of the pools, which are used in rotation.
    pub pools: Vec<String>,
    made: AtomicU64,
}

impl Target {
    /// One pool on servers without claims.
    pub fn new(replicas: Vec<Process>, pool: &str) -> Self {
        Self::with(replicas, vec![pool.to_owned()], 0)
    }

    /// Pools on servers on which `made` claims were created before.
    pub fn with(replicas: Vec<Process>, pools: Vec<String>, made: u64) -> Self {
        Self { replicas, pools, made: AtomicU64::new(made) }
    }

    /// The number of claims that were created.
    pub fn claims(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }

    /// The first server.
    pub fn first(&self) -> &Process {
        &self.replicas[0]
    }

    /// The body of the next claim.
    fn next_claim(&self) -> String {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let turn = usize::try_from(number).unwrap_or_default() % self.pools.len();
        claim(number, &self.pools[turn])
    }
}

/// The parameters of a measurement.
pub struct Load {
    /// The servers.
    pub target: Arc<Target>,
    /// The number of concurrent clients.
    pub clients: usize,
    /// The maximum duration.
    pub time: Duration,
    /// The maximum number of claims.
    pub most: u64,
}

/// The result of a measurement.
pub struct Outcome {
    latencies_us: Histogram<u64>,
    elapsed: Duration,
}

impl Default for Outcome {
    fn default() -> Self {
        let latencies_us = Histogram::new_with_bounds(1, 60_000_000, 3).expect("the bounds are in order");
        Self { latencies_us, elapsed: Duration::ZERO }
    }
}

impl Outcome {
    /// Adds a measurement with the same parameters.
    pub fn add(&mut self, other: &Self) {
        self.latencies_us.add(&other.latencies_us).expect("both have the same bounds");
        self.elapsed += other.elapsed;
    }

    /// Adds the latency of one answer.
    pub fn record(&mut self, latency: Duration) {
        self.latencies_us.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
    }

    /// Sets the elapsed time, for clients that ran concurrently.
    #[must_use]
    pub fn over(self, elapsed: Duration) -> Self {
        Self { elapsed, ..self }
    }

    /// The number of answers per second.
    pub fn per_second(&self) -> f64 {
        self.latencies_us.len() as f64 / self.elapsed.as_secs_f64()
    }

    /// A quantile of the latency in milliseconds.
    pub fn quantile_ms(&self, quantile: f64) -> f64 {
        self.latencies_us.value_at_quantile(quantile) as f64 / 1000.0
    }
}

impl Load {
    /// Makes the measurement. Returns an error if an answer is not 201.
    pub async fn run(&self) -> anyhow::Result<Outcome> {
        let mut clients = Vec::new();
        for replica in self.target.replicas.iter().cycle().take(self.clients) {
            clients.push(Client::connect(replica).await?);
        }
        let started = Instant::now();
        let left = Arc::new(AtomicU64::new(self.most));
        let mut runs = JoinSet::new();
        for client in clients {
            runs.spawn(one(Arc::clone(&self.target), client, started + self.time, Arc::clone(&left)));
        }
        let mut total = Outcome::default();
        while let Some(outcome) = runs.join_next().await {
            total.add(&outcome??);
        }
        Ok(total.over(started.elapsed()))
    }
}

/// Runs one client. Returns its latencies.
async fn one(target: Arc<Target>, mut client: Client, until: Instant, left: Arc<AtomicU64>) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::default();
    let one_less = |n: u64| n.checked_sub(1);
    while Instant::now() < until && left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok() {
        let body = target.next_claim();
        let sent = Instant::now();
        let code = client.post(CLAIMS, body).await?;
        anyhow::ensure!(code == 201, "the create of a claim was answered with {code}");
        outcome.record(sent.elapsed());
    }
    Ok(outcome)
}

fn claim(number: u64, pool: &str) -> String {
    format!(
        "{{\"apiVersion\":\"ipam.miloapis.com/v1alpha1\",\"kind\":\"IPClaim\",\"metadata\":{{\"name\":\"claim-{number}\",\
         \"namespace\":\"default\",\"labels\":{{\"app\":\"bench\"}}}},\
         \"spec\":{{\"poolRef\":{{\"name\":\"{pool}\"}},\"prefixLength\":32}}}}"
    )
}

/// A client with one connection.
pub struct Client {
    sender: SendRequest<Full<Bytes>>,
}

impl Client {
    /// Connects with the administrator's certificate.
    pub async fn connect(process: &Process) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", process.port())).await?;
        stream.set_nodelay(true)?;
        let stream = process.connector().connect(process::server_name(), stream).await.context("TLS")?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { sender })
    }

    /// Posts a JSON body and reads the whole answer. Returns its status code.
    pub async fn post(&mut self, path: &str, body: String) -> anyhow::Result<u16> {
        self.send(Request::post(path), body).await
    }

    /// Sends a GET and reads the whole answer. Returns its status code.
    pub async fn get(&mut self, path: &str) -> anyhow::Result<u16> {
        self.send(Request::get(path), String::new()).await
    }

    /// Sends a GET. Returns the body of the answer; an error if its status is not 200.
    pub async fn text(&mut self, path: &str) -> anyhow::Result<String> {
        let body = self.open(path).await?.collect().await?.to_bytes();
        Ok(String::from_utf8(body.to_vec())?)
    }

    /// Sends a GET. Returns the unread body of the answer; an error if its status is not 200.
    pub async fn open(&mut self, path: &str) -> anyhow::Result<Incoming> {
        self.open_as(path, "application/json").await
    }

    /// Like [`Client::open`], with another `Accept` header.
    pub async fn open_as(&mut self, path: &str, accept: &str) -> anyhow::Result<Incoming> {
        let response = self.request_as(Request::get(path), String::new(), accept).await?;
        anyhow::ensure!(response.status() == 200, "{path} was answered with {}", response.status());
        Ok(response.into_body())
    }

    async fn send(&mut self, request: http::request::Builder, body: String) -> anyhow::Result<u16> {
        let response = self.request(request, body).await?;
        let code = response.status().as_u16();
        response.into_body().collect().await?;
        Ok(code)
    }

    async fn request(
        &mut self,
        request: http::request::Builder,
        body: String,
    ) -> anyhow::Result<http::Response<Incoming>> {
        self.request_as(request, body, "application/json").await
    }

    async fn request_as(
        &mut self,
        request: http::request::Builder,
        body: String,
        accept: &str,
    ) -> anyhow::Result<http::Response<Incoming>> {
        let request = request
            .header(header::HOST, "localhost")
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, accept)
            .body(Full::new(Bytes::from(body)))?;
        self.sender.ready().await?;
        Ok(self.sender.send_request(request).await?)
    }
}
