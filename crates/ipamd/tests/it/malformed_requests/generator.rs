//! Generates invalid requests: each strange value at each path of the schemas, and random requests.

use std::fmt;

use http::Method;
use rand::{Rng as _, rngs::SmallRng, seq::IndexedRandom as _};
use serde_json::{Value, json};

use super::expected_state::ExpectedState;
use crate::support::{API, CLAIMS, POOLS};

/// One request.
pub struct MalformedRequest {
    pub method: Method,
    pub uri: String,
    pub headers: Vec<(&'static str, Vec<u8>)>,
    pub body: Vec<u8>,
    pub aim: Target,
}

impl fmt::Debug for MalformedRequest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (body, Self { method, uri, headers, aim, .. }) = (self.body.escape_ascii(), self);
        write!(formatter, "{method} {uri} {headers:?} {body} ({aim:?})")
    }
}

/// The location of the invalid part of a request.
#[derive(Debug)]
pub enum Target {
    /// The value at this pointer, in well-formed JSON.
    Field(&'static str),
    /// Anything else.
    Else,
}

/// Values that few or no fields accept. Those that are not JSON come last.
const TOKENS: [&str; 36] = [
    "null",
    "true",
    "-1",
    "0",
    "3.7",
    "129",
    "2147483648",
    "-9223372036854775809",
    "123456789012345678901234567890",
    "\"\"",
    "\" \"",
    "\"\\u0000\"",
    "\"💥\"",
    "\"a/b\"",
    "\"../..\"",
    "\"UPPER\"",
    "\"10.0.0.0/33\"",
    "\"::ffff:1.2.3.4/99\"",
    "\"999.1.1.1/8\"",
    "\"fe80::1%lo/64\"",
    "\"NaN\"",
    "[]",
    "[null]",
    "[[[]]]",
    "{}",
    "{\"\":{}}",
    "{\"a\":{\"a\":{\"a\":1}}}",
    "{\"matchLabels\":{\"a b\":\"c\"}}",
    "{\"name\":7}",
    "\"\\ud800\"",
    "1e400",
    "NaN",
    "'a'",
    "",
    "\"open",
    "{\"a\":1,\"a\":",
];
/// The number of `TOKENS` that are JSON.
const READABLE: usize = 29;

const METADATA: [&str; 14] = [
    "/apiVersion",
    "/kind",
    "/metadata",
    "/metadata/name",
    "/metadata/generateName",
    "/metadata/namespace",
    "/metadata/labels",
    "/metadata/labels/a",
    "/metadata/annotations/a",
    "/metadata/finalizers",
    "/metadata/ownerReferences",
    "/metadata/resourceVersion",
    "/metadata/creationTimestamp",
    "/metadata/managedFields",
];
const POOL: [&str; 14] = [
    "/spec",
    "/spec/cidr",
    "/spec/ipFamily",
    "/spec/parentPoolRef",
    "/spec/parentPoolRef/name",
    "/spec/prefixLength",
    "/spec/allocation",
    "/spec/allocation/minPrefixLength",
    "/spec/allocation/maxPrefixLength",
    "/spec/allocation/defaultPrefixLength",
    "/spec/allocation/strategy",
    "/spec/visibility",
    "/spec/unknown",
    "/status",
];
const CLAIM: [&str; 18] = [
    "/spec",
    "/spec/poolRef",
    "/spec/poolRef/name",
    "/spec/poolRef/projectRef",
    "/spec/poolRef/projectRef/name",
    "/spec/poolSelector",
    "/spec/poolSelector/matchLabels",
    "/spec/poolSelector/matchExpressions",
    "/spec/ipFamily",
    "/spec/prefixLength",
    "/spec/address",
    "/spec/reclaimPolicy",
    "/spec/ownerRef",
    "/spec/ownerRef/kind",
    "/spec/ownerRef/namespace",
    "/spec/ownerRef/name",
    "/spec/unknown",
    "/status",
];
const OPTIONS: [&str; 8] = [
    "/kind",
    "/apiVersion",
    "/gracePeriodSeconds",
    "/propagationPolicy",
    "/preconditions",
    "/preconditions/uid",
    "/orphanDependents",
    "/dryRun",
];

const PARAMETERS: [&str; 16] = [
    "limit",
    "continue",
    "resourceVersion",
    "resourceVersionMatch",
    "labelSelector",
    "fieldSelector",
    "timeoutSeconds",
    "timeout",
    "watch",
    "allowWatchBookmarks",
    "sendInitialEvents",
    "dryRun",
    "fieldManager",
    "fieldValidation",
    "propagationPolicy",
    "gracePeriodSeconds",
];
const ARGUMENTS: [&str; 30] = [
    "",
    "%00",
    "%ff%fe",
    "-1",
    "0",
    "1e9",
    "abc",
    "true",
    "TRUE",
    "18446744073709551616",
    "-9223372036854775809",
    "%20",
    "a%3Db",
    "a%3D%3D%3Db",
    "a%20in",
    "a%20in%20(",
    "!!a",
    ",,,",
    "%3D",
    "metadata.name%3D",
    "spec.prefixLength%3D24",
    "metadata.name%3D%5C",
    "..%2F..%2Fetc",
    "All",
    "Exact",
    "NotOlderThan",
    "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6LTEsInN0YXJ0IjoiIn0",
    "bnVsbA",
    "5h",
    "%F0%9F%92%A5",
];
const NAMES: [&str; 16] = [
    "%00",
    "%2f",
    "%2e%2e",
    "..",
    ".",
    "a%2fb",
    "%ff",
    "%zz",
    "%",
    "UPPER",
    "a_b",
    "-a",
    "%20",
    "%F0%9F%92%A5",
    "a;b=c",
    "*",
];
const MEDIA: [&str; 16] = [
    "",
    ";",
    "/",
    "*/*",
    "application",
    "application/",
    "application/json;",
    "application/json;q=x",
    "application/json;as=;v=;g=",
    "text/html",
    "application/json;as=Table;v=v9;g=meta.k8s.io",
    "application/json-patch+json",
    "application/merge-patch+json",
    "multipart/form-data; boundary=",
    "application/json; charset=klingon",
    "\u{ff}\u{fe}",
];
const OPERATIONS: [&str; 12] = [
    r#"[{"op":"add","path":"","value":7}]"#,
    r#"[{"op":"remove","path":""}]"#,
    r#"[{"op":"add","path":"spec","value":{}}]"#,
    r#"[{"op":"add","path":"/metadata/labels/-/x","value":1}]"#,
    r#"[{"op":"copy","from":"","path":"/spec/self"}]"#,
    r#"[{"op":"move","from":"/spec","path":"/spec/inner"}]"#,
    r#"[{"op":"test","path":"/spec/~2","value":null}]"#,
    r#"[{"op":7}]"#,
    r"[null]",
    r#"[{"op":"replace","path":"/metadata/uid","value":"x"}]"#,
    r#"[{"op":"remove","path":"/spec"}]"#,
    r#"[{"op":"remove","path":"/metadata/name"}]"#,
];

/// The request that creates the pool for a worker's claims.
pub fn home(worker: u64) -> MalformedRequest {
    let pool =
        json!({ "metadata": { "name": format!("home-{worker}") }, "spec": { "cidr": format!("10.{worker}.0.0/16") } });
    MalformedRequest {
        method: Method::POST,
        uri: POOLS.into(),
        headers: vec![],
        body: pool.to_string().into(),
        aim: Target::Else,
    }
}

/// A worker's share of all combinations of paths and values.
pub fn every_path(worker: u64, workers: u64) -> impl Iterator<Item = MalformedRequest> {
    let pools = METADATA.into_iter().chain(POOL).map(|path| (POOLS, path));
    let claims = METADATA.into_iter().chain(CLAIM).map(|path| (CLAIMS, path));
    let all = pools.chain(claims).flat_map(|target| (0..TOKENS.len()).map(move |token| (target, token)));
    let mine = (0_u64..).zip(all).filter(move |(number, _)| number % workers == worker);
    mine.map(move |(number, ((uri, path), token))| {
        let body = planted(manifest(uri, worker, number), path, TOKENS[token]);
        let aim = if token < READABLE && ["/spec/", "/metadata/"].iter().any(|part| path.starts_with(part)) {
            Target::Field(path)
        } else {
            Target::Else
        };
        MalformedRequest { method: Method::POST, uri: uri.into(), headers: vec![], body, aim }
    })
}

/// A valid object.
fn manifest(collection: &str, worker: u64, number: u64) -> Value {
    let name = format!("w{worker}-{number}");
    let metadata = json!({ "name": name, "labels": { "a": "b" } });
    if collection == POOLS {
        json!({ "metadata": metadata, "spec": { "cidr": format!("fd{worker:02x}:{number:x}::/48"), "allocation": { "strategy": "FirstFit" } } })
    } else {
        json!({ "metadata": metadata, "spec": { "poolRef": { "name": format!("home-{worker}") }, "prefixLength": 30, "ownerRef": { "kind": "Machine", "name": name } } })
    }
}

/// Serializes the object with `token` as the value at a pointer.
fn planted(mut object: Value, pointer: &str, token: &str) -> Vec<u8> {
    let mut place = &mut object;
    for key in pointer.split('/').skip(1) {
        if !place.is_object() {
            *place = json!({});
        }
        place = &mut place[key];
    }
    *place = "@here@".into();
    object.to_string().replacen("\"@here@\"", token, 1).into_bytes()
}

/// One random request. It only changes the worker's own objects.
pub fn random(random: &mut SmallRng, worker: u64, round: usize, ledger: &ExpectedState) -> MalformedRequest {
    let number = 1_000_000 + u64::try_from(round).unwrap_or_default();
    let uri = *[POOLS, CLAIMS].choose(random).unwrap_or(&CLAIMS);
    let create = MalformedRequest {
        method: Method::POST,
        uri: uri.into(),
        headers: vec![],
        body: manifest(uri, worker, number).to_string().into(),
        aim: Target::Else,
    };
    match random.random_range(0..8) {
        0 => MalformedRequest { body: mangled(random, create.body), ..create },
        1 => MalformedRequest { uri: queried(random, uri), ..create },
        2 => MalformedRequest { method: Method::GET, uri: queried(random, uri), body: vec![], ..create },
        3 => MalformedRequest { headers: headers(random), ..create },
        4 => strange_path(random, create),
        5 => changed(random, ledger).unwrap_or(create),
        6 => deleted(random, ledger).unwrap_or(create),
        _ => strange_method(random, create),
    }
}

/// Cuts, doubles, flips or nests the body.
fn mangled(random: &mut SmallRng, mut body: Vec<u8>) -> Vec<u8> {
    let at = random.random_range(0..body.len());
    match random.random_range(0..6) {
        0 => body.truncate(at),
        1 => body[at] = random.random(),
        2 => body.insert(at, 0),
        3 => body.extend_from_within(at..),
        4 => body = ["[", "{\"a\":"].choose(random).unwrap_or(&"").repeat(random.random_range(1..20_000)).into_bytes(),
        _ => body.splice(..0, [0xef, 0xbb, 0xbf]).for_each(drop),
    }
    body
}

fn queried(random: &mut SmallRng, path: &str) -> String {
    let count = random.random_range(1..4);
    let pairs: Vec<_> =
        (0..count).map(|_| format!("{}={}", pick(random, &PARAMETERS), pick(random, &ARGUMENTS))).collect();
    format!("{path}?{}", pairs.join("&"))
}

fn headers(random: &mut SmallRng) -> Vec<(&'static str, Vec<u8>)> {
    let name = pick(
        random,
        &[
            "accept",
            "content-type",
            "accept-encoding",
            "if-none-match",
            "user-agent",
            "x-remote-user",
            "audit-id",
            "range",
            "expect-ct",
        ],
    );
    vec![(name, pick(random, &MEDIA).as_bytes().to_vec())]
}

fn strange_path(random: &mut SmallRng, shot: MalformedRequest) -> MalformedRequest {
    let name = if random.random_bool(0.1) {
        "n".repeat(random.random_range(254..5_000))
    } else {
        pick(random, &NAMES).to_owned()
    };
    let path = match random.random_range(0..6) {
        0 => format!("{API}/namespaces/{name}/ipclaims"),
        1 => format!("{API}/{name}"),
        2 => format!("{CLAIMS}/{name}/status/more"),
        3 => format!("{API}//ippools/{name}"),
        _ => format!("{}/{name}", shot.uri),
    };
    let method = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::HEAD]
        .choose(random)
        .cloned()
        .unwrap_or_default();
    MalformedRequest { uri: path, method, ..shot }
}

/// A change of an object that the worker created.
fn changed(random: &mut SmallRng, ledger: &ExpectedState) -> Option<MalformedRequest> {
    let (uri, object) = ledger.any(random)?;
    let paths: Vec<_> =
        METADATA.iter().chain(if uri.contains("ippools") { &POOL[..] } else { &CLAIM[..] }).copied().collect();
    let (path, token) = (pick(random, &paths), pick(random, &TOKENS));
    let (method, media, body) = match random.random_range(0..3) {
        0 => (Method::PUT, "application/json", planted(object.clone(), path, token)),
        1 => (Method::PATCH, "application/merge-patch+json", planted(json!({}), path, token)),
        _ => (Method::PATCH, "application/json-patch+json", pick(random, &OPERATIONS).as_bytes().to_vec()),
    };
    Some(MalformedRequest { method, uri, headers: vec![("content-type", media.into())], body, aim: Target::Else })
}

/// A delete of an object that the worker created.
fn deleted(random: &mut SmallRng, ledger: &ExpectedState) -> Option<MalformedRequest> {
    let (uri, _) = ledger.any(random)?;
    let body = planted(json!({}), pick(random, &OPTIONS), pick(random, &TOKENS));
    let uri = if random.random_bool(0.3) { queried(random, &uri) } else { uri };
    Some(MalformedRequest { method: Method::DELETE, uri, headers: vec![], body, aim: Target::Else })
}

fn strange_method(random: &mut SmallRng, shot: MalformedRequest) -> MalformedRequest {
    let long = "M".repeat(300);
    let name = pick(random, &["BREW", "TRACE", "OPTIONS", "PROPFIND", "get", &long]);
    MalformedRequest { method: name.parse().unwrap_or_default(), ..shot }
}

fn pick<'a>(random: &mut SmallRng, from: &[&'a str]) -> &'a str {
    from.choose(random).copied().unwrap_or_default()
}
