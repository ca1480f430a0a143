//! Memory use of lists of all claims without a limit, one at a time and many at once.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use http_body_util::BodyExt as _;
use tokio::task::JoinSet;

use crate::{
    embedded::fill,
    load::{CLAIMS, Client, Target},
};

/// Names and values of the `Accept` header: plain JSON, and the tables of `kubectl get`.
const ACCEPTED: [(&str, &str); 2] =
    [("JSON", "application/json"), ("Table", "application/json;as=Table;v=v1;g=meta.k8s.io")];

/// Measures one list of `claims` claims, and `lists` such lists at once.
pub async fn measure(server: &Arc<Target>, lists: usize, claims: u64) -> anyhow::Result<()> {
    fill(server, claims).await?;
    server.first().wait_until_idle().await?;
    let held = server.claims();
    println!("| claims | as | lists at once | MiB sent for each | s | MiB before | at most | more |");
    println!("|---|---|---|---|---|---|---|---|");
    for (form, accept) in ACCEPTED {
        for count in [1, lists] {
            let before = server.first().forget_peak()?;
            let started = Instant::now();
            let sent = list(server, accept, count).await?;
            let (elapsed, peak) = (started.elapsed().as_secs_f64(), server.first().peak_mib()?);
            let more = peak.saturating_sub(before);
            println!("| {held} | {form} | {count} | {} | {elapsed:.1} | {before} | {peak} | {more} |", sent >> 20);
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
    Ok(())
}

/// Reads `count` lists at once, each on its own connection. Returns the length of one in bytes.
async fn list(server: &Arc<Target>, accept: &'static str, count: usize) -> anyhow::Result<u64> {
    let mut lists = JoinSet::new();
    for _ in 0..count {
        let mut client = Client::connect(server.first()).await?;
        lists.spawn(async move {
            let mut body = client.open_as(CLAIMS, accept).await?;
            let mut length = 0;
            while let Some(frame) = body.frame().await {
                length += frame?.into_data().map_or(0, |data| data.len() as u64);
            }
            anyhow::Ok(length)
        });
    }
    let lengths: Vec<u64> = lists.join_all().await.into_iter().collect::<Result<_, _>>()?;
    anyhow::ensure!(
        lengths.iter().all(|length| *length == lengths[0]),
        "concurrent lists differ in length: {lengths:?}"
    );
    Ok(lengths[0])
}
