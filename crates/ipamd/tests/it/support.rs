//! Common parts of the tests: a server per test, and short functions for frequent requests.

use std::{net::IpAddr, time::Duration};

use bytes::Bytes;
use http::{Method, Request, header};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, PostParams},
    core::{DynamicObject, Status},
};
use serde_json::{Value, json};
use testkit::{
    Answer, Claim, Http, Pool, StreamingResponse, allocated_cidr, allocations, claims, pool, pools, refusal,
};

use super::environment::{self, Servers};

/// The path of the tested binary.
pub const BINARY: &str = env!("CARGO_BIN_EXE_ipam");
/// The path of the API version.
pub const API: &str = "/apis/ipam.miloapis.com/v1alpha1";
/// The collection of pools.
pub const POOLS: &str = "/apis/ipam.miloapis.com/v1alpha1/ippools";
/// The claims of the namespace `default`.
pub const CLAIMS: &str = "/apis/ipam.miloapis.com/v1alpha1/namespaces/default/ipclaims";
/// The allocations of the namespace `default`.
pub const ALLOCATIONS: &str = "/apis/ipam.miloapis.com/v1alpha1/namespaces/default/ipallocations";
/// The timeout for results that should be immediate.
pub const TIMEOUT: Duration = Duration::from_secs(20);

/// A running server and clients for its three kinds.
pub struct ServerFixture {
    pub server: Servers,
    pub http: Http,
    pub pools: Api<DynamicObject>,
    pub claims: Api<DynamicObject>,
    pub allocations: Api<DynamicObject>,
}

impl ServerFixture {
    pub async fn open() -> Self {
        Self::to(environment::start().await)
    }

    /// Starts a server with a pool `root` of 10.0.0.0/16.
    pub async fn with_pool() -> Self {
        let front = Self::open().await;
        front.pool(pool("root").cidr("10.0.0.0/16")).await;
        front
    }

    pub fn to(server: Servers) -> Self {
        let (client, http) = (server.client(), server.http());
        Self {
            pools: pools(&client),
            claims: claims(&client, "default"),
            allocations: allocations(&client, "default"),
            server,
            http,
        }
    }

    /// Returns a client with its own connections.
    pub fn another_client(&self) -> Client {
        self.server.client()
    }

    pub async fn pool(&self, pool: Pool) -> DynamicObject {
        self.pools.create(&PostParams::default(), &pool.into()).await.unwrap()
    }

    pub async fn claim(&self, claim: Claim) -> DynamicObject {
        self.claims.create(&PostParams::default(), &claim.into()).await.unwrap()
    }

    /// Creates a namespace.
    pub async fn namespace(&self, name: &str) {
        body(&self.post("/api/v1/namespaces", json!({ "metadata": { "name": name } })).await, 201);
    }

    /// Creates a claim in another namespace than `default`.
    pub async fn claim_in(&self, namespace: &str, claim: Claim) -> DynamicObject {
        let elsewhere = claims(&self.another_client(), namespace);
        elsewhere.create(&PostParams::default(), &claim.into()).await.unwrap()
    }

    /// Creates a claim and returns its block.
    pub async fn block(&self, claim: Claim) -> String {
        allocated_cidr(&self.claim(claim).await).to_owned()
    }

    pub async fn refused_claim(&self, claim: Claim) -> Status {
        refusal(self.claims.create(&PostParams::default(), &claim.into()).await)
    }

    pub async fn delete_pool(&self, name: &str) {
        let deleted = self.pools.delete(name, &DeleteParams::default()).await.unwrap();
        assert!(deleted.is_right(), "pool {name} is not deleted at once: {deleted:?}");
    }

    pub async fn delete_claim(&self, name: &str) {
        let deleted = self.claims.delete(name, &DeleteParams::default()).await.unwrap();
        assert!(deleted.is_right(), "claim {name} is not deleted at once: {deleted:?}");
    }

    /// Waits until the path returns 404.
    pub async fn gone(&self, path: &str) {
        let gone = async {
            while self.get(path).await.status != 404 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(TIMEOUT, gone).await.unwrap_or_else(|_| panic!("{path} still exists"));
    }

    /// Returns the status of a pool.
    pub async fn status(&self, pool: &str) -> Value {
        self.pools.get(pool).await.unwrap().data["status"].clone()
    }

    /// The total, allocated and available addresses of a pool.
    pub async fn addresses(&self, pool: &str) -> (i64, i64, i64) {
        let status = self.status(pool).await;
        let count = |name: &str| status["capacity"][name].as_i64().unwrap();
        (count("total"), count("allocated"), count("available"))
    }

    /// Returns all objects of all three kinds, including their metadata.
    pub async fn everything(&self) -> Value {
        let mut kinds = Vec::new();
        for kind in [&self.pools, &self.claims, &self.allocations] {
            kinds.push(kind.list(&ListParams::default()).await.unwrap().items);
        }
        json!(kinds)
    }

    /// Sends one request and returns the whole response.
    pub async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.http.send(request.body(body.into()).unwrap()).await.unwrap()
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.http.get(path).await.unwrap()
    }

    pub async fn get_as(&self, path: &str, accept: &str) -> Answer {
        self.send(Method::GET, path, &[("accept", accept)], "").await
    }

    pub async fn post(&self, path: &str, body: impl Into<Value>) -> Answer {
        self.http.send_json(Method::POST, path, &body.into()).await.unwrap()
    }

    /// Sends a patch of the media type `application/{form}-patch+json`.
    pub async fn patch(&self, path: &str, form: &str, change: &Value) -> Answer {
        let media = format!("application/{form}-patch+json");
        self.send(Method::PATCH, path, &[("content-type", &media)], change.to_string()).await
    }

    pub async fn watch(&self, path: &str) -> Watch {
        self.watch_as(path, "application/json").await
    }

    pub async fn watch_as(&self, path: &str, accept: &str) -> Watch {
        let request = Request::get(path).header(header::ACCEPT, accept).body(Bytes::new()).unwrap();
        let stream = self.http.open(request).await.unwrap();
        assert_eq!(stream.status, 200, "a watch of {path}");
        Watch(stream)
    }
}

/// An open watch.
pub struct Watch(pub StreamingResponse);

impl Watch {
    /// Waits for the next event.
    pub async fn next(&mut self) -> Value {
        let line = self.0.line(TIMEOUT).await.unwrap().expect("the watch is open");
        serde_json::from_slice(&line).unwrap()
    }

    /// Waits for the next event, which must have this type and name, and returns its object.
    pub async fn expect(&mut self, kind: &str, name: &str) -> Value {
        let event = self.next().await;
        assert_eq!((text(&event, "/type"), text(&event, "/object/metadata/name")), (kind, name), "{event}");
        event["object"].clone()
    }

    /// Asserts that the stream ends without another event.
    pub async fn end(&mut self) {
        let line = self.0.line(TIMEOUT).await.unwrap();
        assert_eq!(line, None, "nothing more was expected");
    }
}

/// A block of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Block {
    pub is_v6: bool,
    pub first: u128,
    pub last: u128,
}

impl Block {
    /// Parses a block in a response, which must be canonical.
    #[track_caller]
    pub fn of(cidr: &str) -> Self {
        let (address, length) = cidr.split_once('/').unwrap_or_else(|| panic!("{cidr:?} is not a CIDR"));
        let (address, length) = (address.parse::<IpAddr>().unwrap(), length.parse::<u32>().unwrap());
        let (first, width) = match address {
            IpAddr::V4(v4) => (u128::from(v4.to_bits()), 32),
            IpAddr::V6(v6) => (v6.to_bits(), 128),
        };
        assert_eq!(cidr, format!("{address}/{length}"), "not in canonical form");
        let span = 1_u128.checked_shl(width - length).map_or(u128::MAX, |size| size - 1);
        assert_eq!(first & span, 0, "{cidr} has host bits");
        Self { is_v6: width == 128, first, last: first + span }
    }

    pub fn contains(&self, other: &Self) -> bool {
        self.is_v6 == other.is_v6 && self.first <= other.first && other.last <= self.last
    }

    /// The number of addresses; one less for ::/0, whose count exceeds `u128`.
    pub fn size(&self) -> u128 {
        (self.last - self.first).saturating_add(1)
    }
}

/// Asserts that the blocks lie inside `pool` and do not overlap; returns the number of their addresses.
#[track_caller]
pub fn assert_disjoint<'a>(pool: &str, blocks: impl IntoIterator<Item = &'a str>) -> u128 {
    let pool = Block::of(pool);
    let mut blocks: Vec<Block> = blocks.into_iter().map(Block::of).collect();
    blocks.sort();
    for block in &blocks {
        assert!(pool.contains(block), "{block:?} is outside {pool:?}");
    }
    for pair in blocks.windows(2) {
        assert!(pair[0].last < pair[1].first, "{pair:?} overlap");
    }
    blocks.iter().map(Block::size).sum()
}

/// Asserts an API error with this code and reason whose message contains every one of these words.
#[track_caller]
pub fn assert_refused(status: &Status, code: u16, reason: &str, words: &[&str]) {
    assert_eq!((status.code, status.reason.as_str()), (code, reason), "{}", status.message);
    assert!(status.is_failure(), "{status:?}");
    for word in words {
        assert!(status.message.contains(word), "{word:?} is missing in {:?}", status.message);
    }
}

/// Asserts that the causes are these pairs of type and field, in any order.
#[track_caller]
pub fn assert_causes(status: &Status, expected: &[(&str, &str)]) {
    let mut expected = expected.to_vec();
    let mut causes = causes(status);
    expected.sort_unstable();
    causes.sort_unstable();
    assert_eq!(causes, expected, "{}", status.message);
}

/// The type and the field of every cause.
pub fn causes(status: &Status) -> Vec<(&str, &str)> {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes.map(|cause| (cause.reason.as_str(), cause.field.as_str())).collect()
}

/// Parses a response that must be an API error: a JSON Status whose code equals the HTTP status.
#[track_caller]
pub fn failure(answer: &Answer) -> Status {
    let body = answer.json().unwrap();
    assert_eq!(answer.header("content-type"), Some("application/json"), "{body}");
    assert_eq!((text(&body, "/kind"), text(&body, "/apiVersion")), ("Status", "v1"), "{body}");
    assert_eq!((text(&body, "/status"), &body["code"]), ("Failure", &json!(answer.status.as_u16())), "{body}");
    assert!(!text(&body, "/message").is_empty() && !text(&body, "/reason").is_empty(), "{body}");
    serde_json::from_value(body).unwrap()
}

/// Parses the body of a response, which must have this HTTP status.
#[track_caller]
pub fn body(answer: &Answer, status: u16) -> Value {
    assert_eq!(answer.status, status, "{}", answer.text());
    answer.json().unwrap()
}

/// The warnings of a response.
pub fn warnings(answer: &Answer) -> Vec<&str> {
    answer.headers.get_all("warning").iter().map(|value| value.to_str().unwrap()).collect()
}

/// The text at a JSON pointer; empty if there is none.
pub fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The resourceVersion of an object as a number.
#[track_caller]
pub fn revision(object: &Value) -> u64 {
    let version = text(object, "/metadata/resourceVersion");
    assert!(!version.is_empty() && !version.starts_with('0'), "{version:?} is not a resourceVersion: {object}");
    version.parse().unwrap()
}

/// The names of a list's items.
pub fn names(list: &Value) -> Vec<&str> {
    list["items"].as_array().unwrap().iter().map(|item| text(item, "/metadata/name")).collect()
}

/// The status and the reason of the condition of this type, which must exist exactly once.
pub fn condition<'a>(status: &'a Value, kind: &str) -> (&'a str, &'a str) {
    let conditions = status["conditions"].as_array().map_or(&[][..], Vec::as_slice);
    let mut found = conditions.iter().filter(|condition| condition["type"] == kind);
    let condition = found.next().unwrap_or_else(|| panic!("no condition {kind} in {status}"));
    assert!(found.next().is_none(), "condition {kind} exists twice");
    (text(condition, "/status"), text(condition, "/reason"))
}

/// The seed of a generated test: `IPAM_TEST_SEED`, or a random one. It is printed, so that a run can be repeated.
pub fn seed() -> u64 {
    let seed = std::env::var("IPAM_TEST_SEED").map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
    println!("IPAM_TEST_SEED={seed}");
    seed
}
