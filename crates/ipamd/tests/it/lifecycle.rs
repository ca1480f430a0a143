//! The server process: its files, the lock on its store, startup, shutdown, probes and metrics.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use http::Method;
use testkit::{Server, claim, pool};

use crate::support::{BINARY, CLAIMS, POOLS, ServerFixture, body, failure, revision, text};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn data_directory_files_are_readable_only_by_owner() {
    let front = ServerFixture::open().await;
    assert_eq!(mode(&front.server.kubeconfig_path()), 0o600);
    let mut files = vec![front.server.data_dir().to_owned()];
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        assert_eq!(mode(&path) & 0o077, 0, "{} can be read by others", path.display());
    }
    let kubeconfig = fs::read_to_string(front.server.kubeconfig_path()).unwrap();
    assert!(kubeconfig.contains(&format!("127.0.0.1:{}", front.server.port())), "the real port is in it");
}

#[tokio::test]
async fn second_server_on_one_data_directory_does_not_start() {
    let front = ServerFixture::open().await;
    front.pool(pool("root").cidr("10.0.0.0/8")).await;
    let kubeconfig = fs::read(front.server.kubeconfig_path()).unwrap();
    let error = refused_start(front.server.data_dir()).await;
    let words = error.to_lowercase();
    assert!(
        ["in use", "another process", "already", "locked"].iter().any(|word| words.contains(word)),
        "no reason: {error}"
    );
    assert_eq!(fs::read(front.server.kubeconfig_path()).unwrap(), kubeconfig, "the files of the first are unchanged");
    assert_eq!(front.block(claim("a").pool("root").length(24)).await, "10.0.0.0/24", "the first still serves");
}

#[tokio::test]
async fn objects_and_revisions_survive_stop_and_kill() {
    for hard in [false, true] {
        let mut front = ServerFixture::open().await;
        front.pool(pool("root").cidr("10.0.0.0/16").label("tier", "edge")).await;
        front.pool(pool("child").parent("root").length(20)).await;
        front.claim(claim("a").pool("child").length(24)).await;
        front.claim(claim("b").select("tier", "edge").length(24)).await;
        front.claim(claim("gone").pool("root").length(24)).await;
        front.claim(claim("kept").pool("root").length(24).retain()).await;
        front.delete_claim("gone").await;
        front.delete_claim("kept").await;
        let (before, at) = (front.everything().await, revision(&body(&front.get(POOLS).await, 200)));
        if !hard {
            assert_eq!(front.server.terminate().await.code(), Some(0));
        }
        front.server.restart().await;
        assert_eq!(front.everything().await, before, "killed: {hard}");
        assert_eq!(revision(&body(&front.get(POOLS).await, 200)), at, "a restart writes nothing");
        let mut watch = front.watch(&format!("{CLAIMS}?watch=true&resourceVersion={at}")).await;
        assert_eq!(
            front.block(claim("next").pool("root").length(24)).await,
            "10.0.17.0/24",
            "allocated blocks stay allocated"
        );
        assert!(revision(&watch.expect("ADDED", "next").await) > at, "revisions continue after a restart");
        front.delete_claim("a").await;
        front.delete_pool("child").await;
    }
}

#[tokio::test]
async fn watch_from_old_revision_works_after_restart() {
    let mut front = ServerFixture::open().await;
    front.pool(pool("root").cidr("10.0.0.0/16")).await;
    let from = revision(&body(&front.get(CLAIMS).await, 200));
    for name in ["a", "b", "c"] {
        front.claim(claim(name).pool("root").length(24)).await;
    }
    front.delete_claim("b").await;
    front.server.restart().await;
    let mut watch = front.watch(&format!("{CLAIMS}?watch=true&resourceVersion={from}")).await;
    for (kind, name) in [("ADDED", "a"), ("ADDED", "b"), ("ADDED", "c"), ("DELETED", "b")] {
        watch.expect(kind, name).await;
    }
}

#[tokio::test]
async fn sigterm_drains_then_stops() {
    let server = Server::builder(BINARY.as_ref()).argument("--shutdown-delay").argument("2s").start().await;
    let mut front = ServerFixture::to(server);
    front.pool(pool("root").cidr("10.0.0.0/16")).await;
    let from = revision(&body(&front.get(CLAIMS).await, 200));
    let mut watch = front.watch(&format!("{CLAIMS}?watch=true&resourceVersion={from}")).await;
    front.server.ask_to_end();
    wait_until_not_ready(&front).await;
    assert_eq!(front.get("/livez").await.status, 200, "alive until the end");
    assert_eq!(
        front.block(claim("last").pool("root").length(24)).await,
        "10.0.0.0/24",
        "requests are served while it drains"
    );
    watch.expect("ADDED", "last").await;
    watch.end().await;
    let status = front.server.wait().await;
    assert_eq!(status.code(), Some(0), "{}", front.server.log());
    assert!(front.http.get(POOLS).await.is_err(), "the port is closed");
    front.server.restart().await;
    assert_eq!(front.block(claim("next").pool("root").length(24)).await, "10.0.1.0/24");
}

async fn wait_until_not_ready(front: &ServerFixture) {
    let deadline = tokio::time::Instant::now() + crate::support::TIMEOUT;
    while front.get("/readyz").await.status == 200 {
        assert!(tokio::time::Instant::now() < deadline, "it stays ready after SIGTERM");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(front.get("/readyz").await.status.is_server_error());
}

#[tokio::test]
async fn sigterm_ends_open_watches() {
    let mut front = ServerFixture::open().await;
    let mut watch = front.watch(&format!("{POOLS}?watch=true&timeoutSeconds=3600")).await;
    let asked = std::time::Instant::now();
    front.server.ask_to_end();
    watch.end().await;
    assert_eq!(front.server.wait().await.code(), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(15), "{:?}", asked.elapsed());
}

#[tokio::test]
async fn health_endpoints_report_each_check() {
    let front = ServerFixture::open().await;
    for path in ["/livez", "/readyz"] {
        let plain = front.get(path).await;
        assert_eq!((plain.status.as_u16(), plain.text().trim_end()), (200, "ok"), "{path}");
        let verbose = front.get(&format!("{path}?verbose")).await.text();
        assert!(verbose.lines().any(|line| line.starts_with("[+]") && line.ends_with(" ok")), "{path}: {verbose}");
        assert!(verbose.contains(&format!("{} check passed", path.trim_start_matches('/'))), "{path}: {verbose}");
    }
    let stranger = front.server.http_anonymous();
    assert_eq!(stranger.get("/readyz").await.unwrap().status, 200, "probes have no credential");
}

#[tokio::test]
async fn metrics_count_requests_and_commands() {
    let front = ServerFixture::open().await;
    front.pool(pool("tiny").cidr("192.0.2.0/31")).await;
    for name in ["a", "b"] {
        front.claim(claim(name).pool("tiny").length(32)).await;
    }
    assert_eq!(front.refused_claim(claim("c").pool("tiny").length(32)).await.code, 507);
    let answer = front.get("/metrics").await;
    assert_eq!(answer.status, 200);
    let metrics = answer.text();
    let samples = |words: &[&str]| {
        metrics.lines().filter(|line| !line.starts_with('#') && words.iter().all(|word| line.contains(word))).count()
    };
    for words in [
        ["request", "POST", "ipclaims", "201"].as_slice(),
        &["request", "POST", "ipclaims", "507"],
        &["duration", "_bucket", "ipclaims"],
        &["ipclaims", "result=\"ok\""],
        &["ipclaims", "result=\"InsufficientStorage\""],
        &["utilization", "tiny"],
        &["queue"],
        &["batch"],
        &["commit", "_bucket"],
    ] {
        assert!(samples(words) > 0, "no sample with {words:?} in\n{metrics}");
    }
}

#[tokio::test]
async fn invalid_data_directory_stops_start_with_reason() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "not a directory").unwrap();
    let error = refused_start(&file).await;
    assert!(error.contains(file.to_str().unwrap()), "{error}");
    let broken = directory.path().join("broken");
    fs::create_dir(&broken).unwrap();
    fs::write(broken.join("ipam.db"), vec![7; 8192]).unwrap();
    let error = refused_start(&broken).await;
    assert!(error.contains("ipam.db"), "{error}");
}

/// The error of a server that cannot use its data directory and ends during startup, without a panic.
async fn refused_start(data_dir: &Path) -> String {
    let builder = Server::builder(BINARY.as_ref()).data_dir(data_dir);
    let refused = builder.environment("RUST_BACKTRACE", "0").try_start().await;
    let error = format!("{:#}", refused.err().expect("the server does not start"));
    assert!(error.contains("exit status: 1") && !error.contains("panicked"), "{error}");
    error
}

#[tokio::test]
async fn excess_mutating_requests_are_429() {
    let server =
        Server::builder(BINARY.as_ref()).argument("--max-mutating-requests-inflight").argument("1").start().await;
    let front = ServerFixture::to(server);
    front.pool(pool("root").cidr("10.0.0.0/16")).await;
    let names: Vec<_> = (0..40).map(|index| claim(&format!("c{index}")).pool("root").length(28)).collect();
    let answers = futures::future::join_all(names.into_iter().map(|claim| front.post(CLAIMS, claim))).await;
    let granted = answers.iter().filter(|answer| answer.status == 201).count();
    for refused in answers.iter().filter(|answer| answer.status != 201) {
        assert_eq!((refused.status.as_u16(), refused.header("retry-after")), (429, Some("1")), "{}", refused.text());
    }
    assert!(granted >= 1);
    assert_eq!(front.addresses("root").await.1, i64::try_from(granted * 16).unwrap());
    let missing = front.send(Method::GET, &format!("{CLAIMS}/missing"), &[], "").await;
    assert_eq!(text(&serde_json::to_value(failure(&missing)).unwrap(), "/reason"), "NotFound", "reads still work");
}
