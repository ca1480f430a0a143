//! Many watches at once: each must receive every event once and in order, at little cost for the writers.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::{
    runtime::{self, Runtime},
    task::{JoinHandle, JoinSet},
};

use crate::load::{CLAIMS, Client, Load, Outcome, Target};

/// The number of connections that are opened concurrently.
const OPENING: usize = 64;
/// The number of clients that create claims.
const CLIENTS: usize = 32;
/// The nice value of the threads that read the watches. On this machine they share the cores with the server; in production they do
/// not.
const READERS_NICE: i32 = 10;

/// Measures the creation of claims without and with `watches` open watches, each on its own connection.
pub async fn measure(server: &Arc<Target>, watches: usize, claims: u64) -> anyhow::Result<()> {
    let alone = make(server, claims).await?;
    let before = server.first().resident_mib()?;
    let opened = Instant::now();
    let readers = readers()?;
    let streams = readers.spawn(open(Arc::clone(server), watches)).await??;
    println!("{watches} watches opened in {:.1} s", opened.elapsed().as_secs_f64());
    println!("memory: {before} MiB before, {} MiB with them, idle", server.first().resident_mib()?);
    let started = Instant::now();
    let reading: Vec<_> = streams.into_iter().map(|stream| readers.spawn(read(stream, claims))).collect();
    let busy = make(server, claims).await?;
    all_the_same(reading).await?;
    let elapsed = started.elapsed().as_secs_f64();
    readers.shutdown_background();
    let events = claims as f64 * watches as f64;
    println!("every watch got each of {claims} events once and in order: {:.0} events/s in all", events / elapsed);
    println!("memory afterwards: {} MiB\n", server.first().resident_mib()?);
    println!("| watches | claims/s | p50 | p99 |\n|---|---|---|---|");
    for (watches, outcome) in [(0, alone), (watches, busy)] {
        let (p50, p99) = (outcome.quantile_ms(0.5), outcome.quantile_ms(0.99));
        println!("| {watches} | {:.0} | {p50:.2} ms | {p99:.2} ms |", outcome.per_second());
    }
    Ok(())
}

/// Returns the runtime that reads the watches.
fn readers() -> anyhow::Result<Runtime> {
    let stand_back = || {
        // If this fails, the readers slow down the server, but the figures are still valid.
        rustix::process::nice(READERS_NICE).ok();
    };
    Ok(runtime::Builder::new_multi_thread().enable_all().on_thread_start(stand_back).build()?)
}

/// Waits for all watches. Returns an error unless all end at the same event.
async fn all_the_same(reading: Vec<JoinHandle<anyhow::Result<u64>>>) -> anyhow::Result<()> {
    let mut last = None;
    for revision in reading {
        let revision = revision.await??;
        anyhow::ensure!(last.is_none_or(|last| last == revision), "two watches end at different events");
        last = Some(revision);
    }
    Ok(())
}

async fn make(server: &Arc<Target>, claims: u64) -> anyhow::Result<Outcome> {
    let time = Duration::from_hours(1);
    Load { target: Arc::clone(server), clients: CLIENTS, time, most: claims }.run().await
}

/// Opens the watches, all from the same revision.
async fn open(server: Arc<Target>, watches: usize) -> anyhow::Result<Vec<Stream>> {
    let list = Client::connect(server.first()).await?.text(&format!("{CLAIMS}?limit=1")).await?;
    let revision = revision_of(list.as_bytes()).context("the list has no revision")?;
    let path = format!("{CLAIMS}?watch=true&resourceVersion={revision}&timeoutSeconds=3600");
    let mut streams = Vec::with_capacity(watches);
    let mut opening = JoinSet::new();
    for _ in 0..watches {
        if opening.len() == OPENING {
            streams.extend(opening.join_next().await.transpose()?.transpose()?);
        }
        let (server, path) = (Arc::clone(&server), path.clone());
        opening.spawn(async move {
            let mut client = Client::connect(server.first()).await?;
            let body = client.open(&path).await?;
            anyhow::Ok(Stream { body, _client: client })
        });
    }
    while let Some(stream) = opening.join_next().await {
        streams.push(stream??);
    }
    Ok(streams)
}

/// An open watch.
struct Stream {
    body: Incoming,
    _client: Client,
}

/// Reads `events` events. Returns the revision of the last; an error if they are not in order.
async fn read(mut stream: Stream, events: u64) -> anyhow::Result<u64> {
    let (mut seen, mut last) = (0, 0);
    let mut rest = Vec::new();
    while seen < events {
        let frame = stream.body.frame().await.context("the watch ended early")??;
        rest.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
        let mut read = 0;
        while let Some(end) = rest[read..].iter().position(|byte| *byte == b'\n') {
            let line = &rest[read..read + end];
            anyhow::ensure!(line.starts_with(b"{\"type\":\"ADDED\""), "not the event of a creation");
            let revision = revision_of(line).context("an event without a revision")?;
            anyhow::ensure!(revision > last, "{revision} came after {last}");
            (last, seen, read) = (revision, seen + 1, read + end + 1);
        }
        rest.drain(..read);
    }
    anyhow::ensure!(seen == events, "{seen} events instead of {events}");
    Ok(last)
}

/// Returns the first `resourceVersion` in a text.
fn revision_of(text: &[u8]) -> Option<u64> {
    const NAME: &[u8] = b"\"resourceVersion\":\"";
    let at = text.windows(NAME.len()).position(|window| window == NAME)? + NAME.len();
    let digits = text[at..].split(|byte| *byte == b'"').next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}
