//! Generated nonsense at the HTTP edge. Every answer must be a refusal that a client can read, or an acceptance that is
//! true: never a fault of the server, and never a trace of what was refused.

mod generator;
mod ledger;

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
    generator::{Aim, Shot},
    ledger::Ledger,
};
use crate::support::{API, Front, seed, text};

const WORKERS: u64 = 8;
/// Random requests per worker, after those that go through every path of the schemas.
const RANDOM_SHOTS: usize = 200;
const ANSWER_DEADLINE: Duration = Duration::from_secs(30);

/// An answer: its code, and its body unless it is a stream that has no end.
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
async fn junk_is_refused_and_leaves_no_trace() {
    let seed = seed();
    let front = Front::open().await;
    let workers = (0..WORKERS).map(|index| {
        let random = SmallRng::seed_from_u64(seed.wrapping_add(index));
        tokio::spawn(shoot(index, front.another_client(), random))
    });
    let (mut codes, mut ledger) = (BTreeMap::<u16, u32>::new(), Ledger::default());
    for (found, part) in join_all(workers).await.into_iter().map(Result::unwrap) {
        ledger.join(part);
        for (code, count) in found {
            *codes.entry(code).or_default() += count;
        }
    }
    ledger.assert_is_what_is_stored(&front).await;
    assert!(
        !front.server.log().contains("panicked"),
        "{}",
        front.server.log()
    );
    front.pool(pool("after").cidr("192.0.2.0/24")).await;
    println!(
        "junk: {} requests, codes {codes:?}",
        codes.values().sum::<u32>()
    );
}

/// One worker: everything that it stores is its own, so that its ledger is exact.
async fn shoot(index: u64, client: Client, mut random: SmallRng) -> (BTreeMap<u16, u32>, Ledger) {
    let (mut codes, mut ledger) = (BTreeMap::new(), Ledger::default());
    let home = generator::home(index);
    assert_eq!(fire(&client, &home, &mut ledger).await, 201);
    for shot in generator::every_path(index, WORKERS) {
        *codes
            .entry(fire(&client, &shot, &mut ledger).await)
            .or_default() += 1;
    }
    for round in 0..RANDOM_SHOTS {
        let shot = generator::random(&mut random, index, round, &ledger);
        *codes
            .entry(fire(&client, &shot, &mut ledger).await)
            .or_default() += 1;
    }
    (codes, ledger)
}

/// Sends one request, checks its answer and books what it did.
async fn fire(client: &Client, shot: &Shot, ledger: &mut Ledger) -> u16 {
    let mut request = Request::builder()
        .method(shot.method.clone())
        .uri(&shot.uri);
    for (name, value) in &shot.headers {
        request = request.header(*name, &value[..]);
    }
    let request = request
        .body(Body::from(shot.body.clone()))
        .unwrap_or_else(|error| panic!("{error}: {shot:?}"));
    let exchange = async {
        let answer = client
            .send(request)
            .await
            .unwrap_or_else(|error| panic!("{error:?}: {shot:?}"));
        let status = answer.status().as_u16();
        let is_stream = status == 200 && shot.uri.contains("watch");
        let body = if is_stream {
            Bytes::new()
        } else {
            answer.into_body().collect().await.unwrap().to_bytes()
        };
        Reply { status, body }
    };
    let reply = tokio::time::timeout(ANSWER_DEADLINE, exchange)
        .await
        .unwrap_or_else(|_| panic!("no answer: {shot:?}"));
    check(shot, &reply);
    ledger.book(shot, &reply);
    reply.status
}

/// A request is accepted, or refused by a Status that says the code, and the field where there is one.
fn check(shot: &Shot, reply: &Reply) {
    let shown = || {
        format!(
            "{shot:?}\nanswered {}: {}",
            reply.status,
            String::from_utf8_lossy(&reply.body)
        )
    };
    let is_full = reply.status == 507
        && reply
            .json()
            .is_some_and(|body| body["reason"] == "InsufficientStorage");
    assert!(reply.status < 500 || is_full, "{}", shown());
    if reply.status < 400 || shot.method == Method::HEAD || !shot.uri.starts_with(API) {
        return;
    }
    if reply.status == 404 && reply.body.trim_ascii() == b"404 page not found" {
        return;
    }
    let status = reply
        .json()
        .unwrap_or_else(|| panic!("no JSON: {}", shown()));
    assert_eq!(
        (text(&status, "/kind"), text(&status, "/status")),
        ("Status", "Failure"),
        "{}",
        shown()
    );
    assert_eq!(status["code"], reply.status, "{}", shown());
    assert!(
        !text(&status, "/message").is_empty() && !text(&status, "/reason").is_empty(),
        "{}",
        shown()
    );
    if let Aim::Field(path) = &shot.aim {
        assert!(
            ![400, 422].contains(&reply.status) || names_the_field(&status, path),
            "the field is not named: {}",
            shown()
        );
    }
}

/// The message or a cause names the field at this pointer, or what holds it.
fn names_the_field(status: &Value, pointer: &str) -> bool {
    let leaf = pointer.rsplit('/').next().unwrap_or_default();
    let path = pointer.trim_start_matches('/').replace('/', ".");
    let causes = status.pointer("/details/causes").and_then(Value::as_array);
    let fields = causes
        .into_iter()
        .flatten()
        .map(|cause| text(cause, "/field"));
    text(status, "/message").contains(leaf)
        || fields
            .into_iter()
            .any(|field| path.starts_with(field) || field.starts_with(&path))
}

#[tokio::test]
async fn what_is_not_http_is_not_a_fault() {
    let front = Front::open().await;
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
    assert!(
        !front.server.log().contains("panicked"),
        "{}",
        front.server.log()
    );
}
