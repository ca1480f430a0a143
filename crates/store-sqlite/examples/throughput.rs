//! How many claims a second the commit path takes, at 1, 32 and 256 claims to a commit.
//!
//! A claim is what the server writes for one: two objects of about 700 bytes and a span, after a look whether the name
//! is free. Usage, from the root of the repository:
//!
//! ```text
//! cargo run --release -p store-sqlite --example throughput -- [directory] [seconds per figure] [ordered|scattered]
//! ```
//!
//! `scattered` names (the default) fall anywhere in the index, `ordered` ones at its end. Each figure goes on in the
//! file that the one before it left; the median of the commit times is less noisy than the rate.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::Bytes;
use store::{Key, Span, Store, Write};
use store_sqlite::SqliteStore;

const VALUE_BYTES: usize = 700;
const CLAIMS_PER_COMMIT: [u32; 3] = [1, 32, 256];

struct Load {
    store: SqliteStore,
    scattered: bool,
    claims: u64,
    value: Bytes,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let argument = |place: usize, default: &str| arguments.get(place).map_or(default, String::as_str).to_owned();
    let directory = tempfile::tempdir_in(PathBuf::from(argument(0, ".")))?;
    let duration = Duration::from_secs(argument(1, "5").parse()?);
    let store = SqliteStore::open(directory.path().join("throughput.db"))?;
    let value = Bytes::from(vec![b'v'; VALUE_BYTES]);
    let mut load = Load { store, scattered: argument(2, "scattered") == "scattered", claims: 0, value };
    for claims in CLAIMS_PER_COMMIT {
        load.measure(claims, duration).await?;
    }
    let statistics = load.store.statistics().await?;
    println!(
        "{} claims; file {} MiB, log {} MiB",
        load.claims,
        statistics.file_bytes >> 20,
        statistics.wal_bytes >> 20
    );
    Ok(())
}

impl Load {
    async fn measure(&mut self, claims: u32, duration: Duration) -> Result<(), store::Error> {
        let mut times = Vec::new();
        let begun = Instant::now();
        while begun.elapsed() < duration {
            let batch = self.batch(claims);
            let commit = Instant::now();
            self.commit(batch).await?;
            times.push(commit.elapsed());
        }
        times.sort_unstable();
        let mean: Duration = times.iter().sum::<Duration>() / u32::try_from(times.len()).unwrap_or(u32::MAX);
        let rate = |time: Duration| f64::from(claims) / time.as_secs_f64();
        let [p50, p99] = [50, 99].map(|percent| times[times.len() * percent / 100]);
        println!(
            "{claims:>4} per commit: {:>6.0} claims/s, {:>6.0} at the median; commit p50 {p50:?} p99 {p99:?} max {:?}",
            rate(mean),
            rate(p50),
            times[times.len() - 1],
        );
        Ok(())
    }

    async fn commit(&self, writes: Vec<Write>) -> Result<(), store::Error> {
        let claims: Vec<Key> = writes.iter().step_by(2).map(|write| write.key.clone()).collect();
        let mut transaction = self.store.begin().await?;
        transaction.read(&claims).await?;
        transaction.commit(writes).await
    }

    fn batch(&mut self, claims: u32) -> Vec<Write> {
        let mut writes = Vec::new();
        for _ in 0..claims {
            self.claims += 1;
            // An odd factor visits every number once, far from the one before.
            let name = if self.scattered { self.claims.wrapping_mul(0x9E37_79B9_7F4A_7C15) } else { self.claims };
            let holder = key(format!("claims/tenant-a/production/claim-{name:016x}"));
            let number = u128::from(self.claims);
            let space = "pools/tenant-a/5b0c4c9e-5d0e-4d5f-8f5e-2f6f3f0a7c11".to_owned();
            let span = Span { space, first: number << 8, last: (number << 8) | 0xFF, holder: holder.clone() };
            let allocation = key(format!("allocations/tenant-a/production/claim-{name:016x}"));
            writes.push(self.write(holder, vec![]));
            writes.push(self.write(allocation, vec![span]));
        }
        writes
    }

    fn write(&self, key: Key, takes: Vec<Span>) -> Write {
        Write { key, value: Some(self.value.clone()), expected: None, releases: vec![], takes }
    }
}

fn key(text: String) -> Key {
    Key::new(text).expect("the names of this program are short")
}
