//! Flags that select the store, for `ipam serve` and `ipam store`.

use std::{fmt, path::PathBuf, str::FromStr};

use clap::Args;
use store_postgres::CONNECTIONS_DEFAULT;

/// The minimum number of connections of a server: one to commit and one to read.
const CONNECTIONS_MIN: usize = 2;

/// A PostgreSQL connection string. It may contain a password, so `Debug` does not print it.
#[derive(Clone, PartialEq, Eq)]
pub struct Dsn(String);

/// Flags for a server whose store is in PostgreSQL.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "PostgreSQL")]
pub struct Postgres {
    /// Keep the store in this database instead of a file: "postgres://user@host/database", or libpq's "key=value" pairs
    #[arg(long = "postgres-dsn", id = "dsn", value_name = "DSN", env = "POSTGRES_DSN", hide_env_values = true)]
    pub dsn: Option<Dsn>,

    /// Direct connection to the same database for LISTEN, if --postgres-dsn is a connection pooler; the default is --postgres-dsn
    #[arg(
        long = "postgres-listen-dsn",
        value_name = "DSN",
        env = "IPAM_POSTGRES_LISTEN_DSN",
        hide_env_values = true,
        requires = "dsn"
    )]
    pub listen_dsn: Option<Dsn>,

    /// Maximum number of connections of this server, not counting the one for LISTEN
    #[arg(long = "postgres-connections", value_name = "CONNECTIONS", env = "IPAM_POSTGRES_CONNECTIONS", default_value_t = CONNECTIONS_DEFAULT, value_parser = connections)]
    pub connections: usize,
}

/// The flag for a PostgreSQL database.
#[derive(Args, Clone, Debug)]
pub struct Database {
    /// The database: "postgres://user@host/database", or libpq's "key=value" pairs
    #[arg(long = "postgres-dsn", value_name = "DSN", env = "POSTGRES_DSN", hide_env_values = true)]
    pub dsn: Dsn,
}

/// One store, in a file or in PostgreSQL. `--data-dir` has no environment variable here, so that a variable that is set for the
/// server and `POSTGRES_DSN` cannot select two different stores.
#[derive(Args, Clone, Debug)]
#[group(required = true, multiple = false)]
pub struct StoreLocation {
    /// The store in this data directory, whose server must be stopped
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,

    /// The store in this database: "postgres://user@host/database", or libpq's "key=value" pairs
    #[arg(long = "postgres-dsn", value_name = "DSN", env = "POSTGRES_DSN", hide_env_values = true)]
    pub dsn: Option<Dsn>,
}

impl Dsn {
    /// Returns the connection string.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl FromStr for Dsn {
    type Err = &'static str;

    /// Rejects an empty string: an empty environment variable usually comes from a missing secret, and must not select the
    /// SQLite store.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.trim().is_empty() { Err("the connection string is empty") } else { Ok(Self(text.to_owned())) }
    }
}

impl fmt::Debug for Dsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dsn(..)")
    }
}

fn connections(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| *number >= CONNECTIONS_MIN);
    number.ok_or_else(|| format!("a server needs {CONNECTIONS_MIN} connections or more"))
}
