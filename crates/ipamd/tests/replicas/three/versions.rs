//! Two versions on one database: this one, and one with an additional enum value, field and kind (`--features newer`).

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};

use http::{Method, Request};
use serde_json::{Value, json};
use testkit::{Answer, Http, Replicas, Server, pool, postgres::Cluster};

use super::support::{BINARY, CLAIMS, POOLS, assert_refused, body, failure, text};

const HOLDS: &str = "/apis/ipam.miloapis.com/v1alpha1/ipholds";

/// The program of the newer version, in the directory of the present one.
static NEWER: LazyLock<PathBuf> = LazyLock::new(|| {
    let arguments =
        ["build", "--quiet", "--locked", "--package", "ipamd", "--bin", "ipam-newer", "--features", "newer"];
    let profile = if cfg!(debug_assertions) { "dev" } else { "release" };
    let mut cargo = Command::new(env!("CARGO"));
    let built =
        cargo.args(arguments).args(["--profile", profile]).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    Path::new(BINARY).with_file_name("ipam-newer")
});

/// A replica of this version, a replica of the newer version, and a client of each.
struct Versions {
    _replicas: Replicas,
    present: Http,
    newer: Http,
}

impl Versions {
    async fn start() -> Self {
        let database = Cluster::shared().database();
        let newer = &*NEWER;
        let way = |replica, builder: testkit::Builder| if replica == 0 { builder } else { builder.binary(newer) };
        let replicas = Replicas::start_each(BINARY.as_ref(), 2, database, way).await;
        let http = |replica: usize| Server::http(replicas.server(replica));
        Self { present: http(0), newer: http(1), _replicas: replicas }
    }
}

async fn post(http: &Http, path: &str, object: impl Into<Value>) -> Answer {
    http.send_json(Method::POST, path, &object.into()).await.unwrap()
}

async fn patch(http: &Http, path: &str, change: &Value) -> Answer {
    let request = Request::patch(path).header("content-type", "application/merge-patch+json");
    http.send(request.body(change.to_string()).unwrap()).await.unwrap()
}

fn claim_of(name: &str, pool: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"poolRef": {"name": pool}, "prefixLength": 26}})
}

/// Returns the object as `http` serves it after it has applied the revision of `answer`.
async fn seen(http: &Http, path: &str, answer: &Answer) -> Value {
    let revision = text(&body(answer, 200), "/metadata/resourceVersion").to_owned();
    let list = http.get(&format!("{POOLS}?resourceVersion={revision}")).await.unwrap();
    assert_eq!(list.status, 200, "{}", list.text());
    body(&http.get(path).await.unwrap(), 200)
}

/// Removes the fields of a pool that change with each claim.
fn without_figures(mut pool: Value) -> Value {
    pool["metadata"]["resourceVersion"].take();
    let status = pool["status"].as_object_mut().unwrap();
    status.retain(|name, _| !["capacity", "largestFreePrefix", "utilizationPercent"].contains(&name.as_str()));
    pool
}

#[tokio::test]
async fn pool_with_unknown_values_is_served_only_by_newer_replica() {
    let versions = Versions::start().await;
    let (present, newer) = (&versions.present, &versions.newer);
    let path = format!("{POOLS}/p");
    assert_eq!(post(newer, POOLS, pool("p").cidr("10.0.0.0/24")).await.status, 201);
    assert_eq!(post(present, CLAIMS, claim_of("a", "p")).await.status, 201, "the pool has no unknown values yet");
    let change = json!({"spec": {"site": "here", "allocation": {"strategy": "Scattered"}}});
    let changed = patch(newer, &path, &change).await;
    let before = seen(present, &path, &changed).await;
    assert_eq!((text(&before, "/spec/site"), text(&before, "/spec/allocation/strategy")), ("here", "Scattered"));

    let words = ["was written by a newer version of this server", "another replica may serve it"];
    assert_refused(&failure(&post(present, CLAIMS, claim_of("b", "p")).await), 503, "ServiceUnavailable", &words);
    let labels = json!({"metadata": {"labels": {"a": "b"}}});
    assert_refused(&failure(&patch(present, &path, &labels).await), 503, "ServiceUnavailable", &words);

    let deleted = present.send_json(Method::DELETE, &format!("{CLAIMS}/a"), &json!({})).await.unwrap();
    assert_eq!(deleted.status, 200, "{}", deleted.text());
    let after = body(&present.get(&path).await.unwrap(), 200);
    assert_eq!(after["status"]["capacity"]["exact"]["allocated"], "0", "the block is free again");
    assert_eq!(without_figures(after), without_figures(before), "the other fields are as the newer version wrote them");

    let made = post(newer, CLAIMS, claim_of("b", "p")).await;
    assert_eq!(made.status, 201, "{}", made.text());
    body(&patch(newer, &path, &labels).await, 200);
}

#[tokio::test]
async fn addresses_held_by_unknown_kind_are_not_allocated() {
    let versions = Versions::start().await;
    let (present, newer) = (&versions.present, &versions.newer);
    assert_eq!(post(present, POOLS, pool("p").cidr("10.0.0.0/24")).await.status, 201);
    assert_eq!(present.get(HOLDS).await.unwrap().status, 404, "the kind is unknown");
    let hold = json!({"metadata": {"name": "h"}, "spec": {"pool": "p", "first": "10.0.0.1", "last": "10.0.0.100"}});
    let created = post(newer, HOLDS, hold).await;
    assert_eq!(created.status, 201, "{}", created.text());

    let made = body(&post(present, CLAIMS, claim_of("a", "p")).await, 201);
    assert_eq!(text(&made, "/status/allocatedCIDR"), "10.0.0.128/26");
    let pool = body(&present.get(&format!("{POOLS}/p")).await.unwrap(), 200);
    assert_eq!(pool["status"]["capacity"]["exact"]["allocated"], "164", "100 held and 64 claimed");

    let gone = newer.send_json(Method::DELETE, &format!("{HOLDS}/h"), &json!({})).await.unwrap();
    assert_eq!(gone.status, 200, "{}", gone.text());
    let made = body(&post(present, CLAIMS, claim_of("b", "p")).await, 201);
    assert_eq!(text(&made, "/status/allocatedCIDR"), "10.0.0.0/26", "the held addresses are free again");
}
