//! Clients in a closed loop: each has a connection of its own and sends the next claim when the last is answered.

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

/// Where claims are made.
pub const CLAIMS: &str = "/apis/ipam.miloapis.com/v1alpha1/namespaces/default/ipclaims";

/// Servers on one store, and the pools from which is claimed.
pub struct Target {
    /// The servers; clients are spread over them.
    pub replicas: Vec<Process>,
    /// The pools, by turns.
    pub pools: Vec<String>,
    made: AtomicU64,
}

impl Target {
    /// The pool of this name on these servers, which hold no claim yet.
    pub fn new(replicas: Vec<Process>, pool: &str) -> Self {
        Self::with(replicas, vec![pool.to_owned()], 0)
    }

    /// Pools on servers of which `made` claims were made before.
    pub fn with(replicas: Vec<Process>, pools: Vec<String>, made: u64) -> Self {
        Self { replicas, pools, made: AtomicU64::new(made) }
    }

    /// How many claims were made.
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

/// A measurement to make.
pub struct Load {
    /// The servers.
    pub target: Arc<Target>,
    /// How many clients at once.
    pub clients: usize,
    /// For how long at most.
    pub time: Duration,
    /// How many claims at most.
    pub most: u64,
}

/// What was measured.
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
    /// Joins two measurements of the same thing.
    pub fn add(&mut self, other: &Self) {
        self.latencies_us.add(&other.latencies_us).expect("both have the same bounds");
        self.elapsed += other.elapsed;
    }

    /// Adds one answer.
    pub fn record(&mut self, latency: Duration) {
        self.latencies_us.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
    }

    /// The same, of clients that ran beside each other for this long.
    #[must_use]
    pub fn over(self, elapsed: Duration) -> Self {
        Self { elapsed, ..self }
    }

    /// Answers per second.
    pub fn per_second(&self) -> f64 {
        self.latencies_us.len() as f64 / self.elapsed.as_secs_f64()
    }

    /// A quantile of the latency in milliseconds.
    pub fn quantile_ms(&self, quantile: f64) -> f64 {
        self.latencies_us.value_at_quantile(quantile) as f64 / 1000.0
    }
}

impl Load {
    /// Makes it.
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

/// What one client does and sees.
async fn one(target: Arc<Target>, mut client: Client, until: Instant, left: Arc<AtomicU64>) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::default();
    let one_less = |n: u64| n.checked_sub(1);
    while Instant::now() < until && left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok() {
        let body = target.next_claim();
        let sent = Instant::now();
        let code = client.post(CLAIMS, body).await?;
        anyhow::ensure!(code == 201, "a claim was refused with {code}");
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

/// A connection.
pub struct Client {
    sender: SendRequest<Full<Bytes>>,
}

impl Client {
    /// Connects with the admin's certificate.
    pub async fn connect(process: &Process) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", process.port())).await?;
        stream.set_nodelay(true)?;
        let stream = process.connector().connect(process::server_name(), stream).await.context("TLS")?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { sender })
    }

    /// Posts a JSON body; the code of the answer, which is read to its end.
    pub async fn post(&mut self, path: &str, body: String) -> anyhow::Result<u16> {
        self.send(Request::post(path), body).await
    }

    /// The code of the answer to a GET.
    pub async fn get(&mut self, path: &str) -> anyhow::Result<u16> {
        self.send(Request::get(path), String::new()).await
    }

    /// The body of the answer to a GET.
    pub async fn text(&mut self, path: &str) -> anyhow::Result<String> {
        let body = self.open(path).await?.collect().await?.to_bytes();
        Ok(String::from_utf8(body.to_vec())?)
    }

    /// The body of the answer to a GET, which is still to be read.
    pub async fn open(&mut self, path: &str) -> anyhow::Result<Incoming> {
        self.open_as(path, "application/json").await
    }

    /// The same in another form.
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
