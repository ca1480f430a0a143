//! Claims per second and their latency, end to end over TLS, against a real `ipam` process on the embedded store.
//!
//! `cargo bench -p ipamd --bench claims [-- --seconds 10 --claims 1000000]`, or, for what many watches cost,
//! `-- --watches 5000 --claims 1000`. Beside each figure stands that of a server of
//! the same stack (TLS, HTTP, JSON) that only parses the body and answers it, measured in the same run by the same
//! clients: the machine's share of the time. It does not check answers beyond their status; the tests do that.

mod load;
mod null;
mod process;
mod watchers;

use std::{sync::Arc, time::Duration};

use load::{Load, Outcome};
use process::Process;

/// Clients of one pool.
const CLIENTS: [usize; 3] = [1, 32, 256];

struct Settings {
    seconds: u64,
    claims: u64,
    /// Measure with so many open watches instead; 0: do not.
    watches: usize,
}

impl Settings {
    fn from_args() -> Self {
        let args: Vec<String> = std::env::args().collect();
        let number = |name: &str, default: u64| {
            let given = args.iter().position(|arg| arg == name).and_then(|at| args.get(at + 1));
            given.and_then(|text| text.parse().ok()).unwrap_or(default)
        };
        Self {
            seconds: number("--seconds", 10),
            claims: number("--claims", 1_000_000),
            watches: usize::try_from(number("--watches", 0)).unwrap_or(usize::MAX),
        }
    }
}

fn main() -> anyhow::Result<()> {
    rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
    if let Some(directory) = std::env::var_os(null::DIRECTORY) {
        return runtime()?.block_on(null::serve(directory.as_ref()));
    }
    runtime()?.block_on(measure(&Settings::from_args()))
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

async fn measure(settings: &Settings) -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let server = Arc::new(Process::ipam(directory.path()).await?);
    if settings.watches > 0 {
        create_pool(&server).await?;
        return watchers::measure(&server, settings.watches, settings.claims).await;
    }
    let null = Arc::new(Process::null(directory.path()).await?);
    create_pool(&server).await?;
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
    println!("\nmemory with {held} claims: {} MiB", server.resident_mib()?);
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

/// Alternates the two servers, so that a slow moment of the machine hits both.
async fn compare(
    server: &Arc<Process>,
    null: &Arc<Process>,
    clients: usize,
    settings: &Settings,
) -> anyhow::Result<()> {
    let held = server.claims();
    let time = Duration::from_secs(settings.seconds).div_f64(2.0);
    let (mut ours, mut theirs) = (Outcome::default(), Outcome::default());
    for _ in 0..2 {
        theirs.add(&Load { process: Arc::clone(null), clients, time, most: u64::MAX }.run().await?);
        ours.add(&Load { process: Arc::clone(server), clients, time, most: u64::MAX }.run().await?);
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

async fn fill(server: &Arc<Process>, claims: u64) -> anyhow::Result<()> {
    let most = claims.saturating_sub(server.claims());
    let time = Duration::from_hours(1);
    Load { process: Arc::clone(server), clients: 256, time, most }.run().await?;
    Ok(())
}

async fn create_pool(server: &Arc<Process>) -> anyhow::Result<()> {
    let pool = serde_json::json!({
        "apiVersion": "ipam.miloapis.com/v1alpha1",
        "kind": "IPPool",
        "metadata": {"name": "bench"},
        "spec": {"cidr": "10.0.0.0/8"},
    });
    let mut client = load::Client::connect(server).await?;
    let code = client.post("/apis/ipam.miloapis.com/v1alpha1/ippools", pool.to_string()).await?;
    anyhow::ensure!(code == 201, "the pool was refused with {code}");
    Ok(())
}
