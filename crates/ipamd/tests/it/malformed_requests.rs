//! Generated invalid HTTP requests. Every response must be a well-formed API error, or a success whose effect is
//! stored; never a server error except 507, and a rejected request must change nothing.

mod expected_state;
mod generator;

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use futures::future::join_all;
use http::{Method, Request};
use http_body_util::BodyExt as _;
use kube::{Client, client::Body};
use rand::{SeedableRng as _, rngs::SmallRng};
use serde_json::Value;
use testkit::pool;

use self::{
    expected_state::ExpectedState,
    generator::{MalformedRequest, Target},
};
use crate::support::{API, ServerFixture, seed, text};

const WORKERS: u64 = 8;
/// Random requests per worker, after those that cover every path of the schemas.
const RANDOM_REQUESTS: usize = 200;
const ANSWER_DEADLINE: Duration = Duration::from_secs(30);

/// A response: its code, and its body unless it is an endless stream.
struct Reply {
    status: u16,
    body: Bytes,
}

impl Reply {
    fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_requests_never_cause_5xx_or_wrong_objects() {
    let seed = seed();
    let front = ServerFixture::open().await;
    let workers = (0..WORKERS).map(|index| {
        let random = SmallRng::seed_from_u64(seed.wrapping_add(index));
        tokio::spawn(Worker::new(front.another_client()).run(index, random))
    });
    let mut all = Worker::new(front.another_client());
    for worker in join_all(workers).await {
        all.join(worker.unwrap());
    }
    println!("junk: {} requests, codes {:?}", all.codes.values().sum::<u32>(), all.codes);
    all.ledger.assert_is_what_is_stored(&front).await;
    assert!(!front.server.log().contains("panicked"), "{}", front.server.log());
    front.pool(pool("after").cidr("192.0.2.0/24")).await;
    assert!(all.complaints.is_empty(), "wrong answers: {:#?}", all.complaints);
}

/// One of several clients. It only writes its own objects, so that its expected state is exact.
struct Worker {
    client: Client,
    codes: BTreeMap<u16, u32>,
    ledger: ExpectedState,
    /// Wrong responses: one example of each kind.
    complaints: BTreeMap<String, String>,
}

impl Worker {
    fn new(client: Client) -> Self {
        Self { client, codes: BTreeMap::new(), ledger: ExpectedState::default(), complaints: BTreeMap::new() }
    }

    async fn run(mut self, index: u64, mut random: SmallRng) -> Self {
        self.send_and_check(&generator::home(index)).await;
        for shot in generator::every_path(index, WORKERS) {
            self.send_and_check(&shot).await;
        }
        for round in 0..RANDOM_REQUESTS {
            let shot = generator::random(&mut random, index, round, &self.ledger);
            self.send_and_check(&shot).await;
        }
        self
    }

    /// Sends one request, checks its response and records its effect in the expected state.
    async fn send_and_check(&mut self, shot: &MalformedRequest) {
        let reply = tokio::time::timeout(ANSWER_DEADLINE, send(&self.client, shot)).await;
        let reply = reply.unwrap_or_else(|_| panic!("no answer: {shot:?}"));
        *self.codes.entry(reply.status).or_default() += 1;
        if let Err(wrong) = check(shot, &reply) {
            let answer = String::from_utf8_lossy(&reply.body);
            let example = format!("{shot:?} is answered with {} {answer}", reply.status);
            self.complaints.insert(format!("{wrong}: {:?}", shot.aim), example);
        }
        self.ledger.record(shot, &reply);
    }

    fn join(&mut self, other: Self) {
        self.ledger.join(other.ledger);
        self.complaints.extend(other.complaints);
        for (code, count) in other.codes {
            *self.codes.entry(code).or_default() += count;
        }
    }
}

async fn send(client: &Client, shot: &MalformedRequest) -> Reply {
    let mut request = Request::builder().method(shot.method.clone()).uri(&shot.uri);
    for (name, value) in &shot.headers {
        request = request.header(*name, &value[..]);
    }
    let request = request.body(Body::from(shot.body.clone())).unwrap_or_else(|error| panic!("{error}: {shot:?}"));
    let answer = client.send(request).await.unwrap_or_else(|error| panic!("{error:?}: {shot:?}"));
    let status = answer.status().as_u16();
    let is_stream = shot.method == Method::GET && status == 200 && shot.uri.contains("watch");
    let body = if is_stream { Bytes::new() } else { answer.into_body().collect().await.unwrap().to_bytes() };
    Reply { status, body }
}

/// Checks that a request succeeded, or failed with a Status that has the right code and names the field, if there is
/// one.
fn check(shot: &MalformedRequest, reply: &Reply) -> Result<(), &'static str> {
    let status = reply.json();
    let is_full = reply.status == 507 && status.as_ref().is_some_and(|body| body["reason"] == "InsufficientStorage");
    if reply.status >= 500 && !is_full {
        return Err("a server error");
    }
    let is_unknown_path = reply.status == 404 && reply.body.trim_ascii() == b"404 page not found";
    if reply.status < 400 || shot.method == Method::HEAD || !shot.uri.starts_with(API) || is_unknown_path {
        return Ok(());
    }
    let status = status.ok_or("no JSON")?;
    let is_status = (text(&status, "/kind"), text(&status, "/status")) == ("Status", "Failure");
    if !is_status || text(&status, "/message").is_empty() || text(&status, "/reason").is_empty() {
        return Err("no Status");
    }
    if status["code"] != reply.status {
        return Err("another code in the Status");
    }
    match &shot.aim {
        Target::Field(path) if [400, 422].contains(&reply.status) && !names_the_field(&status, path) => {
            Err("the field is not named")
        }
        _ => Ok(()),
    }
}

/// True if the message or a cause names the field at this pointer, or its parent.
fn names_the_field(status: &Value, pointer: &str) -> bool {
    let leaf = pointer.rsplit('/').next().unwrap_or_default();
    let path = pointer.trim_start_matches('/').replace('/', ".");
    let causes = status.pointer("/details/causes").and_then(Value::as_array);
    let fields = causes.into_iter().flatten().map(|cause| text(cause, "/field"));
    text(status, "/message").contains(leaf)
        || fields.into_iter().any(|field| path.starts_with(field) || field.starts_with(&path))
}

#[tokio::test]
async fn malformed_http_never_causes_5xx() {
    let front = ServerFixture::open().await;
    for bytes in [
        &b"\x00\x01\x02\x03\r\n\r\n"[..],
        b"GET\r\n\r\n",
        b"GET /apis HTTP/9.9\r\nConnection: close\r\n\r\n",
        b"GET /apis\x00 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /%zz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET apis HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /apis HTTP/1.1\r\nHost: x\r\nA b: c\r\nConnection: close\r\n\r\n",
        b"GET /apis HTTP/1.1\r\nHost: x\r\nAccept: \x00\r\nConnection: close\r\n\r\n",
        b"POST /apis HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\nConnection: close\r\n\r\n",
        b"POST /apis HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\nConnection: close\r\n\r\nhello",
        b"POST /apis HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\nzz\r\n",
        b"GET http://elsewhere.example.com/apis HTTP/1.1\r\nHost: y\r\nConnection: close\r\n\r\n",
        b"CONNECT elsewhere.example.com:443 HTTP/1.1\r\nHost: elsewhere.example.com:443\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
    ] {
        let answer = front.http.send_bytes(bytes).await.unwrap_or_default();
        let line = String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned();
        assert!(!line.contains(" 5"), "{:?} is answered with {line}", String::from_utf8_lossy(bytes));
    }
    assert_eq!(front.get("/readyz").await.status, 200);
    assert!(!front.server.log().contains("panicked"), "{}", front.server.log());
}
