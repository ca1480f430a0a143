//! The command line of `ipam store`.

use std::{ops::RangeInclusive, path::PathBuf};

use clap::{Args, Subcommand, ValueEnum};

use super::{Database, Dsn, Logging, StoreLocation};

/// The default: more writes than the lost store can have made since the backup. etcd's documentation recommends the same number.
const BUMP_REVISIONS_DEFAULT: u64 = 1_000_000_000;
/// The accepted values. A thousand bumps by the largest one stay below 2⁶³, the limit of revisions in the stores.
const BUMP_REVISIONS: RangeInclusive<u64> = 1..=1_000_000_000_000_000;

/// The subcommands of `ipam store`.
#[derive(Debug, Subcommand)]
pub enum StoreCommand {
    /// Write the contents of a store to a file
    Export(Export),
    /// Load an exported file into an empty store
    Import(Import),
    /// Manage the schema of a PostgreSQL database
    #[command(subcommand)]
    Migrate(Migrate),
    /// Advance the revision of a store after a backup was restored
    BumpRevision(BumpRevision),
    /// Copy the store in a data directory to a file, whether or not its server runs
    Backup(Backup),
    /// Check the integrity and consistency of a store; exit code 10 if it has faults
    Check(Check),
}

/// The subcommands of `ipam store migrate`.
#[derive(Debug, Subcommand)]
pub enum Migrate {
    /// Migrate the schema to the version of this program; safe to repeat, also while servers run
    Up(Database),
    /// Show the schema version of the database and of this program; exit code 1 if they differ
    Status(Database),
}

/// Arguments of `ipam store export`.
#[derive(Args, Clone, Debug)]
pub struct Export {
    /// The file to create; "-" is standard output
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// The store to export.
    #[command(flatten)]
    pub source: Source,

    /// The log format and level.
    #[command(flatten)]
    pub logging: Logging,
}

/// Arguments of `ipam store import`.
#[derive(Args, Clone, Debug)]
pub struct Import {
    /// The file to read; "-" is standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// The store to fill. A data directory is created; a database must have been migrated with `ipam store migrate up`.
    #[command(flatten)]
    pub place: StoreLocation,

    /// The log format and level.
    #[command(flatten)]
    pub logging: Logging,
}

/// Arguments of `ipam store bump-revision`. All servers of the store must be stopped.
#[derive(Args, Clone, Debug)]
pub struct BumpRevision {
    /// Number of revisions to skip: more than were written since the backup
    #[arg(long, value_name = "REVISIONS", default_value_t = BUMP_REVISIONS_DEFAULT, value_parser = clap::value_parser!(u64).range(BUMP_REVISIONS))]
    pub by: u64,

    /// The store to change.
    #[command(flatten)]
    pub place: StoreLocation,
}

/// Arguments of `ipam store backup`.
#[derive(Args, Clone, Debug)]
pub struct Backup {
    /// The file to create; it must not exist
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// The store to copy.
    #[command(flatten)]
    pub place: ServerOrStoreLocation,
}

/// One store, whose server may be running.
#[derive(Args, Clone, Debug)]
#[group(required = true, multiple = false)]
pub struct ServerOrStoreLocation {
    /// The store in this data directory; if its server runs, the server makes the copy
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,

    /// A store in PostgreSQL: not supported; the error names the tools of PostgreSQL to use
    #[arg(long = "postgres-dsn", value_name = "DSN", env = "POSTGRES_DSN", hide_env_values = true)]
    pub dsn: Option<Dsn>,
}

/// Arguments of `ipam store check`.
#[derive(Args, Clone, Debug)]
pub struct Check {
    /// The store to check.
    #[command(flatten)]
    pub source: Source,

    /// Output format: a table, or one line of JSON for each fault and each note
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t = CheckFormat::Text)]
    pub output: CheckFormat,
}

/// The output format of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CheckFormat {
    /// A table.
    Text,
    /// One JSON object per line.
    Jsonl,
}

/// One store or a backup of one, opened for reading only.
#[derive(Args, Clone, Debug)]
#[group(required = true, multiple = false)]
pub struct Source {
    /// The store in this data directory, whose server must be stopped
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,

    /// The store in this database: "postgres://user@host/database", or libpq's "key=value" pairs
    #[arg(long = "postgres-dsn", value_name = "DSN", env = "POSTGRES_DSN", hide_env_values = true)]
    pub dsn: Option<Dsn>,

    /// A file made by `ipam store backup`; it is not changed
    #[arg(long, value_name = "FILE")]
    pub backup: Option<PathBuf>,
}
