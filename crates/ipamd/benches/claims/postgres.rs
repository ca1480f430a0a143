//! Replicas on PostgreSQL, compared with the transaction of the service that this one replaces, as plain SQL.

use std::{sync::Arc, time::Duration};

use testkit::{
    migrate,
    postgres::{Cluster, Database},
};

use crate::{
    Settings, embedded,
    load::{Load, Outcome, Target},
    pools,
    predecessor::Predecessor,
    process::Process,
};

const CLIENTS: [usize; 4] = [1, 32, 256, 1024];
const REPLICAS: [usize; 2] = [1, 3];
/// Numbers of existing claims; the number on the command line is the last.
const HELD: [u64; 3] = [0, 10_000, 100_000];
/// With more existing claims than this, the predecessor takes seconds for one claim.
const PREDECESSOR_HELD_MAX: u64 = 100_000;

/// Makes all measurements, and prints a row for each.
pub async fn measure(settings: &Settings) -> anyhow::Result<()> {
    let cluster = Cluster::durable()?;
    println!("| pools | claims held | replicas | clients | claims/s | p50 | p95 | p99 | predecessor/s | ratio |");
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for many in [false, true] {
        measure_pools(&cluster, many, settings).await?;
    }
    guard(&cluster, settings).await
}

/// Measures one pool, or many.
async fn measure_pools(cluster: &Cluster, many: bool, settings: &Settings) -> anyhow::Result<()> {
    let mut site = Site::new(cluster)?;
    let names = site.pools(many).await?;
    let last = settings.claims;
    for held in HELD.into_iter().filter(|held| *held < last).chain([last]) {
        site.fill(&names, held).await?;
        let predecessor = if many || held > PREDECESSOR_HELD_MAX {
            None
        } else {
            Some(Predecessor::new(&cluster.database().dsn, held).await?)
        };
        for replicas in REPLICAS {
            let target = site.target(replicas, &names).await?;
            for clients in CLIENTS {
                let row = Row { pools: names.len(), replicas, clients, time: Duration::from_secs(settings.seconds) };
                row.measure(&target, predecessor.as_ref().filter(|_| replicas == 1)).await?;
            }
            site.made = target.claims();
        }
    }
    Ok(())
}

/// The parameters of a row.
struct Row {
    pools: usize,
    replicas: usize,
    clients: usize,
    time: Duration,
}

impl Row {
    /// Alternates with the predecessor, so that a slow phase of the machine affects both.
    async fn measure(&self, target: &Arc<Target>, predecessor: Option<&Predecessor>) -> anyhow::Result<()> {
        let Self { pools, replicas, clients, .. } = self;
        let time = self.time.div_f64(2.0);
        let (mut ours, mut theirs, held) = (Outcome::default(), Outcome::default(), target.claims());
        for _ in 0..2 {
            if let Some(predecessor) = predecessor {
                theirs.add(&predecessor.run(self.clients, time).await?);
            }
            let load = Load { target: Arc::clone(target), clients: self.clients, time, most: u64::MAX };
            ours.add(&load.run().await?);
        }
        let rate = ours.per_second();
        let beside = match predecessor {
            Some(_) => format!("{:.0} | {:.1}", theirs.per_second(), rate / theirs.per_second()),
            None => "| ".to_owned(),
        };
        let [p50, p95, p99] = [0.5, 0.95, 0.99].map(|quantile| ours.quantile_ms(quantile));
        println!(
            "| {pools} | {held} | {replicas} | {clients} | {rate:.0} | {p50:.2} ms | {p95:.2} ms | {p99:.2} ms | {beside} |"
        );
        Ok(())
    }
}

/// Measures the cost of the triggers that reject overlapping spans: alternately with and without them.
async fn guard(cluster: &Cluster, settings: &Settings) -> anyhow::Result<()> {
    println!("\n| clients | with the guard | without | ratio |\n|---|---|---|---|");
    let site = Site::new(cluster)?;
    let names = site.pools(false).await?;
    let target = site.target(1, &names).await?;
    let (database, connection) = tokio_postgres::connect(&site.database.dsn, tokio_postgres::NoTls).await?;
    tokio::spawn(connection);
    for clients in CLIENTS {
        let mut outcomes = [Outcome::default(), Outcome::default()];
        for turn in 0..6 {
            let change = if turn % 2 == 0 { "ENABLE" } else { "DISABLE" };
            database.batch_execute(&format!("ALTER TABLE span {change} TRIGGER USER")).await?;
            let time = Duration::from_secs(settings.seconds).div_f64(3.0);
            let load = Load { target: Arc::clone(&target), clients, time, most: u64::MAX };
            outcomes[turn % 2].add(&load.run().await?);
        }
        let [with, without] = outcomes.map(|outcome| outcome.per_second());
        println!("| {clients} | {with:.0} | {without:.0} | {:.2} |", with / without);
    }
    Ok(())
}

/// A database on which servers are started and stopped.
struct Site {
    database: Database,
    directory: tempfile::TempDir,
    made: u64,
}

impl Site {
    fn new(cluster: &Cluster) -> anyhow::Result<Self> {
        let database = cluster.database();
        migrate(env!("CARGO_BIN_EXE_ipam").as_ref(), &database);
        Ok(Self { database, directory: tempfile::tempdir()?, made: 0 })
    }

    async fn replica(&self, number: usize) -> anyhow::Result<Process> {
        let directory = self.directory.path().join(format!("replica-{number}"));
        Process::on_postgres(&directory, &self.database.dsn).await
    }

    async fn pools(&self, many: bool) -> anyhow::Result<Vec<String>> {
        let server = self.replica(0).await?;
        if many {
            return pools::create_many(&server).await;
        }
        pools::create_one(&server).await?;
        Ok(vec![pools::ONE.to_owned()])
    }

    async fn target(&self, replicas: usize, names: &[String]) -> anyhow::Result<Arc<Target>> {
        let mut running = Vec::new();
        for number in 0..replicas {
            running.push(self.replica(number).await?);
        }
        for replica in &running {
            replica.wait_until_idle().await?;
        }
        Ok(Arc::new(Target::with(running, names.to_vec(), self.made)))
    }

    async fn fill(&mut self, names: &[String], held: u64) -> anyhow::Result<()> {
        let target = self.target(1, names).await?;
        embedded::fill(&target, held).await?;
        self.made = target.claims();
        Ok(())
    }
}
