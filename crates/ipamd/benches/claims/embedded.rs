//! One server on its embedded store, compared with the null server.

use std::{sync::Arc, time::Duration};

use crate::{
    Settings, lists,
    load::{Load, Outcome, Target},
    pools,
    process::Process,
    watchers,
};

/// Numbers of clients.
const CLIENTS: [usize; 3] = [1, 32, 256];

/// Measures claims, or the cost of watches or lists.
pub async fn measure(settings: &Settings) -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let server = Arc::new(Target::new(vec![Process::ipam(directory.path()).await?], pools::ONE));
    pools::create_one(server.first()).await?;
    if settings.lists > 0 {
        return lists::measure(&server, settings.lists, settings.claims).await;
    }
    if settings.watches > 0 {
        return watchers::measure(&server, settings.watches, settings.claims).await;
    }
    let null = Arc::new(Target::new(vec![Process::null(directory.path()).await?], pools::ONE));
    println!("| claims held | clients | claims/s | p50 | p99 | null server/s | ratio |");
    println!("|---|---|---|---|---|---|---|");
    for clients in CLIENTS {
        compare(&server, &null, clients, settings).await?;
    }
    fill(&server, settings.claims).await?;
    for clients in CLIENTS {
        compare(&server, &null, clients, settings).await?;
    }
    let held = server.claims();
    println!("\nmemory with {held} claims: {} MiB", server.first().resident_mib()?);
    drop((server, null));
    let started = std::time::Instant::now();
    let server = Process::ipam(directory.path()).await?;
    println!(
        "restart with {held} claims: ready after {:.2} s, {} MiB",
        started.elapsed().as_secs_f64(),
        server.resident_mib()?
    );
    Ok(())
}

/// Alternates between the two servers, so that a slow phase of the machine affects both.
async fn compare(server: &Arc<Target>, null: &Arc<Target>, clients: usize, settings: &Settings) -> anyhow::Result<()> {
    let held = server.claims();
    let time = Duration::from_secs(settings.seconds).div_f64(2.0);
    let (mut ours, mut theirs) = (Outcome::default(), Outcome::default());
    for _ in 0..2 {
        theirs.add(&Load { target: Arc::clone(null), clients, time, most: u64::MAX }.run().await?);
        ours.add(&Load { target: Arc::clone(server), clients, time, most: u64::MAX }.run().await?);
    }
    println!(
        "| {held} | {clients} | {:.0} | {:.2} ms | {:.2} ms | {:.0} | {:.2} |",
        ours.per_second(),
        ours.quantile_ms(0.5),
        ours.quantile_ms(0.99),
        theirs.per_second(),
        ours.per_second() / theirs.per_second()
    );
    Ok(())
}

/// Creates claims until there are `claims`.
pub async fn fill(server: &Arc<Target>, claims: u64) -> anyhow::Result<()> {
    let most = claims.saturating_sub(server.claims());
    let time = Duration::from_hours(1);
    Load { target: Arc::clone(server), clients: 256, time, most }.run().await?;
    Ok(())
}
