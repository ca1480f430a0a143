//! Memory of the server process during lists: bounded for any length and number of concurrent lists.

use std::{fs, path::Path};

use futures::future::try_join_all;
use http::Request;
use serde_json::{Value, json};
use store::{Key, Store as _, Write};
use store_sqlite::SqliteStore;
use testkit::{Server, claim, pool};

use crate::support::{BINARY, CLAIMS, ServerFixture, body};

/// Claims in the store; together some 10 MiB.
const CLAIMS_HELD: usize = 10_000;
/// Writes per commit.
const COMMIT: usize = 1_000;
/// Concurrent lists.
const LISTS: usize = 32;
/// The maximum growth of the resident memory during the lists. Held as documents in memory, the lists would
/// take 32 times the size of the claims, and more.
const GROWTH_KIB_MAX: u64 = 192 * 1024;

/// Writes copies of the claim `template` into the store.
async fn fill(file: &Path, template: &Value) {
    let store = SqliteStore::open(file).unwrap();
    let mut head = store.head().await.unwrap().revision.0;
    for start in (0..CLAIMS_HELD).step_by(COMMIT) {
        let write = |(n, revision): (usize, u64)| {
            let mut claim = template.clone();
            let name = format!("many-{n:06}");
            let uid = format!("00000000-0000-4000-8000-{n:012}");
            claim["metadata"]["name"] = Value::from(name.as_str());
            claim["metadata"]["uid"] = Value::from(uid);
            claim["metadata"]["resourceVersion"] = Value::from(revision.to_string());
            Write {
                key: Key::new(format!("ipclaims/platform/default/{name}")).unwrap(),
                value: Some(claim.to_string().into()),
                expected: None,
                releases: Vec::new(),
                takes: Vec::new(),
            }
        };
        let writes: Vec<Write> = (start..start + COMMIT).zip(head + 1..).map(write).collect();
        head += writes.len() as u64;
        store.begin().await.unwrap().commit(writes).await.unwrap();
    }
}

/// Reads a value in KiB from `/proc/{process}/status`.
fn memory_kib(process: u32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn unlimited_lists_use_bounded_memory() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let mut front = ServerFixture::to(Server::builder(BINARY.as_ref()).data_dir(&data).start().await);
    front.pool(pool("root").cidr("10.0.0.0/16")).await;
    front.claim(claim("template").pool("root").length(28)).await;
    let template = body(&front.get(&format!("{CLAIMS}/template")).await, 200);
    front.server.terminate().await;
    fill(&data.join("ipam.db"), &template).await;
    front.server.restart().await;

    let process = front.server.process_id().unwrap();
    let one = front.get(&format!("{CLAIMS}?limit=1")).await;
    assert_eq!(body(&one, 200)["items"].as_array().unwrap().len(), 1);
    for (accept, over_http2) in [
        ("application/json", false),
        ("application/json", true),
        ("application/json;as=Table;v=v1;g=meta.k8s.io", true),
    ] {
        let http = if over_http2 { front.server.http().over_http2() } else { front.server.http() };
        // Writing 5 resets the peak resident size (VmHWM).
        fs::write(format!("/proc/{process}/clear_refs"), "5").unwrap();
        let before = memory_kib(process, "VmRSS:");
        let open = || async { http.open(Request::get(CLAIMS).header("accept", accept).body("")?).await };
        let mut lists = try_join_all((0..LISTS).map(|_| open())).await.unwrap();
        // One list is read to its end; the others are read only as far as their connections buffer.
        let length = lists.remove(0).drain().await.unwrap();
        let grown = memory_kib(process, "VmHWM:").saturating_sub(before);
        println!("{LISTS} lists of {length} bytes, {accept}, HTTP/2 {over_http2}: {grown} KiB more than {before} KiB");
        assert!(length > 5_000_000, "{length} bytes");
        assert!(grown < GROWTH_KIB_MAX, "{grown} KiB more");
    }
    let list = body(&front.get(CLAIMS).await, 200);
    assert_eq!(list["items"].as_array().unwrap().len(), CLAIMS_HELD + 1);
    assert_eq!(list["metadata"].get("continue"), None::<&Value>);
    assert_eq!(list["kind"], json!("IPClaimList"));
}
