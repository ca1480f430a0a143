//! The command line of `ipam store`.

use std::{ops::RangeInclusive, path::PathBuf};

use clap::{Args, Subcommand, ValueEnum};

use super::{Database, Dsn, Logging, Place};

/// More writes than the lost store can have made since the backup. etcd's documentation names the same number.
const BUMP_REVISIONS_DEFAULT: u64 = 1_000_000_000;
/// Revisions stay far below 2⁶³, the largest number of the stores, for a thousand times the largest step.
const BUMP_REVISIONS: RangeInclusive<u64> = 1..=1_000_000_000_000_000;

/// What is done to a store beside serving it.
#[derive(Debug, Subcommand)]
pub enum StoreCommand {
    /// Write everything that a store holds to a file
    Export(Export),
    /// Fill an empty store with what was exported from another
    Import(Import),
    /// See to the schema of a PostgreSQL database
    #[command(subcommand)]
    Migrate(Migrate),
    /// Let the log of a store go on far behind its end, after a backup was restored
    BumpRevision(BumpRevision),
    /// Copy the store in a data directory to a file, while its server runs or not
    Backup(Backup),
    /// Prove that what a store holds adds up; exit code 10 if it does not
    Check(Check),
}

/// What can be done about a database's schema.
#[derive(Debug, Subcommand)]
pub enum Migrate {
    /// Bring the schema up to date; safe to repeat, and beside running servers
    Up(Database),
    /// Show the schema's version and the one that this program knows; exit code 1 unless they are the same
    Status(Database),
}

/// Arguments of `ipam store export`.
#[derive(Args, Clone, Debug)]
pub struct Export {
    /// The file to make; "-" is standard output
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// What to export.
    #[command(flatten)]
    pub source: Source,

    /// How and what to log.
    #[command(flatten)]
    pub logging: Logging,
}

/// Arguments of `ipam store import`.
#[derive(Args, Clone, Debug)]
pub struct Import {
    /// The file to read; "-" is standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// What to fill; a directory is made, a database has been prepared by `ipam store migrate up`.
    #[command(flatten)]
    pub place: Place,

    /// How and what to log.
    #[command(flatten)]
    pub logging: Logging,
}

/// Arguments of `ipam store bump-revision`. No server may run on the store.
#[derive(Args, Clone, Debug)]
pub struct BumpRevision {
    /// How many revisions to leave out: more than were written since the backup
    #[arg(long, value_name = "REVISIONS", default_value_t = BUMP_REVISIONS_DEFAULT, value_parser = clap::value_parser!(u64).range(BUMP_REVISIONS))]
    pub by: u64,

    /// Whose log.
    #[command(flatten)]
    pub place: Place,
}

/// Arguments of `ipam store backup`.
#[derive(Args, Clone, Debug)]
pub struct Backup {
    /// The file to make; it must be new
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// What to copy.
    #[command(flatten)]
    pub place: RunningPlace,
}

/// One store, which may be in use.
#[derive(Args, Clone, Debug)]
#[group(required = true, multiple = false)]
pub struct RunningPlace {
    /// The store of the server with this data directory; a server that runs is asked to make the copy
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,

    /// A store in PostgreSQL, which has tools of its own: the command names them
    #[arg(long = "postgres-dsn", value_name = "DSN", env = "POSTGRES_DSN", hide_env_values = true)]
    pub dsn: Option<Dsn>,
}

/// Arguments of `ipam store check`.
#[derive(Args, Clone, Debug)]
pub struct Check {
    /// What to check.
    #[command(flatten)]
    pub source: Source,

    /// A table, or one line of JSON for each fault and each note
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t = CheckFormat::Text)]
    pub output: CheckFormat,
}

/// How the result of a check is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CheckFormat {
    /// For people.
    Text,
    /// For machines.
    Jsonl,
}

/// One store, or a backup of one, which is only read.
#[derive(Args, Clone, Debug)]
#[group(required = true, multiple = false)]
pub struct Source {
    /// The store of the server with this data directory, which must not run
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,

    /// The store in this database: "postgres://user@host/database", or libpq's "key=value" pairs
    #[arg(long = "postgres-dsn", value_name = "DSN", env = "POSTGRES_DSN", hide_env_values = true)]
    pub dsn: Option<Dsn>,

    /// A file that `ipam store backup` made; it is left as it is
    #[arg(long, value_name = "FILE")]
    pub backup: Option<PathBuf>,
}
