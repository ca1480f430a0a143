//! Standard error that accepts no writes: log lines are lost, and requests are served as before.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use testkit::{Server, claim, pool};

use crate::support::{BINARY, ServerFixture, TIMEOUT};

/// The log level at which every frame of every connection is logged.
const EVERYTHING: &str = "trace";

const LOST: &str = "ipam_log_lines_lost_total";

/// The maximum number of claims; their log lines exceed the pipe and the server's buffer.
const CLAIMS_MAX: usize = 500;

#[tokio::test]
async fn full_log_disk_drops_only_log_lines() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let mut front = start(full).await;
    until_lines_are_lost(&front).await;
    end(&mut front).await;
}

#[tokio::test]
async fn closed_stderr_pipe_drops_only_log_lines() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut front = start(writer).await;
    until_lines_are_lost(&front).await;
    end(&mut front).await;
}

/// Writes to this pipe block forever. The lines that fit into it are complete.
#[tokio::test]
async fn unread_stderr_pipe_drops_only_log_lines() {
    let (reader, writer) = std::io::pipe().unwrap();
    let mut front = start(writer).await;
    until_lines_are_lost(&front).await;
    let begun = Instant::now();
    end(&mut front).await;
    println!("ended after {:?}", begun.elapsed());
    drop(front);
    let lines: Vec<String> = BufReader::new(reader).lines().map(Result::unwrap).collect();
    let (_, whole) = lines.split_last().unwrap();
    assert!(whole.len() > 100, "{} lines", whole.len());
    for line in whole {
        serde_json::from_str::<serde_json::Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    }
}

/// A startup error is printed if possible, and the process ends in either case.
#[tokio::test]
async fn unread_stderr_pipe_does_not_block_failed_start() {
    let (reader, writer) = std::io::pipe().unwrap();
    fill(writer.try_clone().unwrap());
    let refused = Server::builder(BINARY.as_ref()).argument("--bind-address").argument("192.0.2.1").stderr(writer);
    let error = refused.try_start().await.err().unwrap().to_string();
    assert!(error.contains("ended with exit status: 1"), "{error}");
    drop(reader);
}

async fn start(stderr: impl Into<OwnedFd>) -> ServerFixture {
    let server = Server::builder(BINARY.as_ref()).stderr(stderr).argument("--log-level").argument(EVERYTHING);
    ServerFixture::to(server.start().await)
}

/// Makes claims until the server counts lost log lines, and ten more. Each HTTP/2 frame is several lines.
async fn until_lines_are_lost(front: &ServerFixture) {
    front.pool(pool("root").cidr("10.0.0.0/8")).await;
    for number in 0..CLAIMS_MAX {
        front.claim(claim(&format!("c{number}")).pool("root").length(24)).await;
        if lost(front).await > 0.0 {
            for more in 0..10 {
                front.claim(claim(&format!("more-{more}")).pool("root").length(24)).await;
            }
            return;
        }
    }
    panic!("no line was lost in {CLAIMS_MAX} requests");
}

async fn lost(front: &ServerFixture) -> f64 {
    let metrics = front.http.clone().over_http2().get("/metrics").await.unwrap().text();
    let line = metrics.lines().find_map(|line| line.strip_prefix(LOST)).unwrap_or_else(|| panic!("no {LOST}"));
    line.trim().parse().unwrap()
}

async fn end(front: &mut ServerFixture) {
    let ended = tokio::time::timeout(TIMEOUT, front.server.terminate()).await.expect("it does not end");
    assert_eq!(ended.code(), Some(0), "{ended}");
}

/// Writes into a pipe until it is full.
fn fill(pipe: std::io::PipeWriter) {
    let (full, is_full) = std::sync::mpsc::channel();
    // The last write blocks until the reader is closed.
    std::thread::spawn(move || {
        let mut pipe = pipe;
        while std::io::Write::write_all(&mut pipe, &[b'x'; 4096]).is_ok() {
            let _ = full.send(());
        }
    });
    while is_full.recv_timeout(Duration::from_millis(500)).is_ok() {}
}
