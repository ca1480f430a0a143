//! Benchmark of the commit path, with 1, 32 and 256 claims per commit.
//!
//! A claim is what the server writes for one: two objects of about 900 bytes and a span, after a look-up of the name.
//! Usage, from the root of the repository:
//!
//! ```text
//! cargo run --release -p store-sqlite --example throughput -- [file] [seconds per figure] [keys] [claims]
//! ```
//!
//! The file is created if it does not exist, and is kept; the next run continues in it. It is filled up to `claims`
//! claims (default 0) before the measurement. Keys are `mixed` (the default: claims at the end of the index,
//! allocations anywhere, as in the server), `ordered` (both at the end) or `scattered` (both anywhere). Each figure
//! continues in the file of the previous one. The median commit time and the CPU time are less noisy than the rate.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use store::{Key, Span, Store, Write};
use store_sqlite::SqliteStore;

const VALUE_BYTES: usize = 900;
const CLAIMS_PER_COMMIT: [u64; 3] = [1, 32, 256];

/// Claims per commit while the file is filled.
const CLAIMS_PER_FILLING: u64 = 2_000;

/// The unit of CPU times in `/proc`: 1/100 s (USER_HZ).
const TICK: Duration = Duration::from_millis(10);

struct Load {
    store: SqliteStore,
    keys: Keys,
    claims: u64,
    value: Bytes,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Keys {
    Mixed,
    Ordered,
    Scattered,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let argument = |place: usize, default: &str| arguments.get(place).map_or(default, String::as_str).to_owned();
    let file = PathBuf::from(argument(0, "throughput.db"));
    let duration = Duration::from_secs(argument(1, "5").parse()?);
    let keys = match argument(2, "mixed").as_str() {
        "mixed" => Keys::Mixed,
        "ordered" => Keys::Ordered,
        "scattered" => Keys::Scattered,
        other => return Err(format!("keys are mixed, ordered or scattered, not {other}").into()),
    };
    let mut load = Load::open(&file, keys).await?;
    load.fill(argument(3, "0").parse()?).await?;
    for claims in CLAIMS_PER_COMMIT {
        load.measure(claims, duration).await?;
    }
    let statistics = load.store.statistics().await?;
    println!(
        "{} claims; file {} MiB, log {} MiB; at most {} MiB of memory",
        load.claims,
        statistics.file_bytes >> 20,
        statistics.wal_bytes >> 20,
        memory_kib_max()? >> 10
    );
    Ok(())
}

impl Load {
    async fn open(file: &Path, keys: Keys) -> Result<Self, Box<dyn std::error::Error>> {
        let store = SqliteStore::open(file)?;
        let claims = store.head().await?.revision.0 / 2;
        Ok(Self { store, keys, claims, value: Bytes::from(vec![b'v'; VALUE_BYTES]) })
    }

    async fn fill(&mut self, claims: u64) -> Result<(), store::Error> {
        while self.claims < claims {
            let batch = self.batch(CLAIMS_PER_FILLING.min(claims - self.claims));
            self.commit(batch).await?;
        }
        Ok(())
    }

    async fn measure(&mut self, claims: u64, duration: Duration) -> Result<(), Box<dyn std::error::Error>> {
        let mut times = Vec::new();
        let (begun, busy) = (Instant::now(), processor_time()?);
        while times.is_empty() || begun.elapsed() < duration {
            let batch = self.batch(claims);
            let commit = Instant::now();
            self.commit(batch).await?;
            times.push(commit.elapsed());
        }
        let total = claims as f64 * times.len() as f64;
        let busy = processor_time()?.saturating_sub(busy).as_secs_f64() * 1e6 / total;
        let rate = total / times.iter().sum::<Duration>().as_secs_f64();
        times.sort_unstable();
        let [p50, p99] = [50, 99].map(|percent| times[times.len() * percent / 100]);
        let max = times[times.len() - 1];
        println!(
            "{claims:>4} per commit: {rate:>6.0} claims/s, {:>6.0} at the median; \
             commit p50 {p50:.2?} p99 {p99:.2?} max {max:.2?}; CPU {busy:.1} us per claim",
            claims as f64 / p50.as_secs_f64(),
        );
        Ok(())
    }

    async fn commit(&self, writes: Vec<Write>) -> Result<(), store::Error> {
        let claims: Vec<Key> = writes.iter().step_by(2).map(|write| write.key.clone()).collect();
        let transaction = self.store.begin().await?;
        transaction.read(&claims).await?;
        transaction.commit(writes).await
    }

    fn batch(&mut self, claims: u64) -> Vec<Write> {
        let mut writes = Vec::new();
        for number in self.claims..self.claims + claims {
            // Multiplication by an odd number is a bijection that spreads consecutive numbers.
            let anywhere = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let claim = if self.keys == Keys::Scattered { anywhere } else { number };
            let allocation = if self.keys == Keys::Ordered { number } else { anywhere };
            let holder = key(format!("ipallocations/platform/production/alloc-{allocation:016x}"));
            let space = "pools/platform/5b0c4c9e-5d0e-4d5f-8f5e-2f6f3f0a7c11".to_owned();
            let first = u128::from(number) << 8;
            let span = Span { space, first, last: first | 0xFF, holder: holder.clone() };
            writes.push(self.write(key(format!("ipclaims/platform/production/claim-{claim:016x}")), vec![]));
            writes.push(self.write(holder, vec![span]));
        }
        self.claims += claims;
        writes
    }

    fn write(&self, key: Key, takes: Vec<Span>) -> Write {
        Write { key, value: Some(self.value.clone()), expected: None, releases: vec![], takes }
    }
}

fn key(text: String) -> Key {
    Key::new(text).expect("a short key")
}

/// Returns the CPU time of this process so far.
fn processor_time() -> Result<Duration, Box<dyn std::error::Error>> {
    let line = std::fs::read_to_string("/proc/self/stat")?;
    // Fields after the process name, which may contain blanks: 11 and 12 are user and system time.
    let fields = line.rsplit_once(')').ok_or("no name in /proc/self/stat")?.1;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u32>);
    Ok(TICK * ticks.sum::<Result<u32, _>>()?)
}

fn memory_kib_max() -> Result<u64, Box<dyn std::error::Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM in /proc/self/status")?;
    Ok(line.trim_end_matches("kB").trim().parse()?)
}
