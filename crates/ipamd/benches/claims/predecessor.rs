//! A claim as the predecessor created it: lock the pool, read all of its allocations, and write each row separately.
//!
//! This is faster than the original: no HTTP, no TLS, no validation, and only the address of each allocation is read.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::task::JoinSet;
use tokio_postgres::{Client, NoTls, Statement};

use crate::load::Outcome;

const SCHEMA: &str = "
CREATE TABLE pool (name text PRIMARY KEY, allocated bigint NOT NULL, body jsonb NOT NULL);
CREATE TABLE allocation (pool text NOT NULL, address bigint NOT NULL, name text NOT NULL, PRIMARY KEY (pool, address));
CREATE TABLE object (key text PRIMARY KEY, revision bigint NOT NULL, body jsonb NOT NULL);
CREATE TABLE log (revision bigserial PRIMARY KEY, key text NOT NULL, body jsonb NOT NULL);
INSERT INTO pool VALUES ('bench', 0, '{\"cidr\": \"10.0.0.0/8\"}');";

const STATEMENTS: [&str; 6] = [
    "SELECT body FROM pool WHERE name = 'bench' FOR UPDATE",
    "SELECT address FROM allocation WHERE pool = 'bench' ORDER BY address",
    "INSERT INTO allocation VALUES ('bench', $1, $2)",
    "INSERT INTO object VALUES ($1, 1, $2::text::jsonb)",
    "UPDATE pool SET allocated = allocated + 1 WHERE name = 'bench'",
    "INSERT INTO log (key, body) VALUES ($1, $2::text::jsonb)",
];

/// An object of about the same size as those of this service.
const BODY: &str = include_str!("claim.json");

/// The database of the predecessor.
pub struct Predecessor {
    dsn: String,
    made: Arc<AtomicU64>,
}

impl Predecessor {
    /// Creates the tables and `held` allocations.
    pub async fn new(dsn: &str, held: u64) -> anyhow::Result<Self> {
        let client = connect(dsn).await?;
        client.batch_execute(SCHEMA).await?;
        let fill = format!(
            "INSERT INTO allocation SELECT 'bench', n, 'old-' || n FROM generate_series(0, {held} - 1) AS n;
             UPDATE pool SET allocated = {held}; ANALYZE"
        );
        client.batch_execute(&fill).await?;
        Ok(Self { dsn: dsn.to_owned(), made: Arc::default() })
    }

    /// Runs clients for `time`, each on its own connection.
    pub async fn run(&self, clients: usize, time: Duration) -> anyhow::Result<Outcome> {
        let mut prepared = Vec::new();
        for _ in 0..clients {
            prepared.push(One::connect(&self.dsn).await?);
        }
        let started = Instant::now();
        let mut runs = JoinSet::new();
        for one in prepared {
            runs.spawn(one.work(started + time, Arc::clone(&self.made)));
        }
        let mut total = Outcome::default();
        while let Some(outcome) = runs.join_next().await {
            total.add(&outcome??);
        }
        Ok(total.over(started.elapsed()))
    }
}

async fn connect(dsn: &str) -> anyhow::Result<Client> {
    let (client, connection) = tokio_postgres::connect(dsn, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// A client.
struct One {
    client: Client,
    statements: Vec<Statement>,
}

impl One {
    async fn connect(dsn: &str) -> anyhow::Result<Self> {
        let client = connect(dsn).await?;
        let mut statements = Vec::new();
        for text in STATEMENTS {
            statements.push(client.prepare(text).await?);
        }
        Ok(Self { client, statements })
    }

    async fn work(mut self, until: Instant, made: Arc<AtomicU64>) -> anyhow::Result<Outcome> {
        let mut outcome = Outcome::default();
        while Instant::now() < until {
            let sent = Instant::now();
            self.claim(made.fetch_add(1, Ordering::Relaxed)).await?;
            outcome.record(sent.elapsed());
        }
        Ok(outcome)
    }

    async fn claim(&mut self, number: u64) -> anyhow::Result<()> {
        let [lock, read, allocate, insert, count, log] = &self.statements[..] else { anyhow::bail!("six statements") };
        let transaction = self.client.transaction().await?;
        transaction.query(lock, &[]).await?;
        let taken = transaction.query(read, &[]).await?;
        // The first gap, or the address after all of them.
        let gap = taken.iter().zip(0_i64..).find(|(row, place)| row.get::<_, i64>(0) != *place);
        let free = gap.map_or(i64::try_from(taken.len())?, |(_, place)| place);
        let [claim, allocation] = ["claim", "allocation"].map(|kind| format!("{kind}-{number}"));
        transaction.execute(allocate, &[&free, &allocation]).await?;
        for key in [&claim, &allocation] {
            transaction.execute(insert, &[key, &BODY]).await?;
        }
        transaction.execute(count, &[]).await?;
        for key in [&claim, &allocation, &"pool".to_owned()] {
            transaction.execute(log, &[key, &BODY]).await?;
        }
        transaction.commit().await?;
        Ok(())
    }
}
