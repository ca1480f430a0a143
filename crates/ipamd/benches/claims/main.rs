//! Claims per second and their latency, end to end over TLS, against real `ipam` processes.
//!
//! - `cargo bench -p ipamd --bench claims [-- --seconds 10 --claims 1000000]` measures claims on the embedded store.
//! - `-- --watches 5000 --claims 1000` measures the cost of many watches.
//! - `-- --lists 64 --claims 1000000` measures the memory of lists.
//! - `-- --postgres` measures replicas on PostgreSQL.
//!
//! Claims on the embedded store are compared with a null server of the same stack (TLS, HTTP, JSON) that parses the body and
//! returns it, in the same run with the same clients. The benchmark checks only the status code of answers; the tests check the rest.

mod embedded;
mod lists;
mod load;
mod null;
mod pools;
mod postgres;
mod predecessor;
mod process;
mod watchers;

struct Settings {
    seconds: u64,
    claims: u64,
    /// The number of open watches to measure; with 0 watches are not measured.
    watches: usize,
    /// The number of concurrent lists to measure; with 0 lists are not measured.
    lists: usize,
    /// True to measure replicas on PostgreSQL.
    postgres: bool,
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
            lists: usize::try_from(number("--lists", 0)).unwrap_or(usize::MAX),
            postgres: args.iter().any(|arg| arg == "--postgres"),
        }
    }
}

fn main() -> anyhow::Result<()> {
    rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
    if let Some(directory) = std::env::var_os(null::DIRECTORY) {
        return runtime()?.block_on(null::serve(directory.as_ref()));
    }
    let settings = Settings::from_args();
    runtime()?.block_on(async {
        if settings.postgres { postgres::measure(&settings).await } else { embedded::measure(&settings).await }
    })
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}
