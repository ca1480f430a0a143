//! Flags that say where the store is, for the server and for what is done to a store without one.

use std::{fmt, path::PathBuf, str::FromStr};

use clap::Args;
use store_postgres::CONNECTIONS_DEFAULT;

/// The fewest connections that a server can work with: one commits while another reads.
const CONNECTIONS_MIN: usize = 2;

/// A connection string of PostgreSQL. It may hold a password, so it shows itself to nobody.
#[derive(Clone, PartialEq, Eq)]
pub struct Dsn(String);

/// A PostgreSQL database for a server.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "PostgreSQL")]
pub struct Postgres {
    /// Keep the store in this database instead of a file: "postgres://user@host/database", or libpq's "key=value" pairs
    #[arg(long = "postgres-dsn", id = "dsn", value_name = "DSN", env = "POSTGRES_DSN", hide_env_values = true)]
    pub dsn: Option<Dsn>,

    /// The same database past a pooler, which passes no notification on; without it --postgres-dsn
    #[arg(
        long = "postgres-listen-dsn",
        value_name = "DSN",
        env = "IPAM_POSTGRES_LISTEN_DSN",
        hide_env_values = true,
        requires = "dsn"
    )]
    pub listen_dsn: Option<Dsn>,

    /// Connections of this server at most, besides the one that listens
    #[arg(long = "postgres-connections", value_name = "CONNECTIONS", env = "IPAM_POSTGRES_CONNECTIONS", default_value_t = CONNECTIONS_DEFAULT, value_parser = connections)]
    pub connections: usize,
}

/// A PostgreSQL database and nothing else.
#[derive(Args, Clone, Debug)]
pub struct Database {
    /// The database: "postgres://user@host/database", or libpq's "key=value" pairs
    #[arg(long = "postgres-dsn", value_name = "DSN", env = "POSTGRES_DSN", hide_env_values = true)]
    pub dsn: Dsn,
}

/// One store, in a file or in a database. The directory has no twin in the environment: a command that takes a whole store out
/// or changes it must not have to guess which of two is meant.
#[derive(Args, Clone, Debug)]
#[group(required = true, multiple = false)]
pub struct Place {
    /// The store of the server with this data directory, which must not run
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,

    /// The store in this database: "postgres://user@host/database", or libpq's "key=value" pairs
    #[arg(long = "postgres-dsn", value_name = "DSN", env = "POSTGRES_DSN", hide_env_values = true)]
    pub dsn: Option<Dsn>,
}

impl Dsn {
    /// The text itself, for whoever connects.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl FromStr for Dsn {
    type Err = &'static str;

    /// Anything but nothing: an empty variable is a secret that was not there, and must not mean another store.
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
