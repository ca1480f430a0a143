//! Command-line arguments. Names and letters are those of kubectl.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// Server and credentials.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Connection")]
pub struct Connection {
    /// Kubeconfig file; default is $KUBECONFIG, then ~/.kube/config
    #[arg(long, value_name = "FILE", global = true)]
    pub kubeconfig: Option<PathBuf>,

    /// Context of the kubeconfig; default is its current context
    #[arg(long, value_name = "NAME", global = true)]
    pub context: Option<String>,
}

/// Client commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show resources
    Get(Get),
    /// Create objects from files; fails for objects that exist
    Create(Write),
    /// Create or change objects to match files
    Apply(Write),
    /// Delete resources
    Delete(Delete),
}

/// Arguments of `get`.
#[derive(Args, Clone, Debug)]
pub struct Get {
    /// Resource by plural, singular, short name, kind or category: "ippools", "ipclaims,ipalloc", "ipam", "ippool/name"
    #[arg(value_name = "RESOURCE", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub resource: String,

    /// Names of objects; without names, all are listed
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,

    /// Namespace of the objects.
    #[command(flatten)]
    pub namespace: Namespace,

    /// List objects in all namespaces
    #[arg(short = 'A', long, conflicts_with_all = ["namespace", "names"])]
    pub all_namespaces: bool,

    /// Label selector: "tier=edge,zone in (a, b)"
    #[arg(short = 'l', long, value_name = "LABELS", conflicts_with = "names")]
    pub selector: Option<String>,

    /// Field selector: "status.phase=Bound"
    #[arg(long, value_name = "FIELDS", conflicts_with = "names")]
    pub field_selector: Option<String>,

    /// Output format; default is a table
    #[arg(short = 'o', long, value_name = "FORMAT", value_enum)]
    pub output: Option<Format>,

    /// Print the table without header
    #[arg(long)]
    pub no_headers: bool,
}

/// Arguments of `create` and `apply`.
#[derive(Args, Clone, Debug)]
pub struct Write {
    /// File or directory of YAML or JSON; "-" is standard input
    #[arg(short = 'f', long = "filename", value_name = "FILE", required = true, num_args = 1..)]
    pub files: Vec<PathBuf>,

    /// Namespace of objects without one in the file.
    #[command(flatten)]
    pub namespace: Namespace,

    /// Validate and compute on the server without persisting
    #[arg(long, value_name = "WHERE", value_enum)]
    pub dry_run: Option<DryRun>,

    /// Output format; default is one line per object
    #[arg(short = 'o', long, value_name = "FORMAT", value_enum)]
    pub output: Option<ObjectFormat>,
}

/// Arguments of `delete`.
#[derive(Args, Clone, Debug)]
pub struct Delete {
    /// Resource by plural, singular, short name or kind: "ipclaims", "ipclaim/name"
    #[arg(value_name = "RESOURCE", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub resource: String,

    /// Names of objects
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,

    /// Namespace of the objects.
    #[command(flatten)]
    pub namespace: Namespace,

    /// Validate and compute on the server without persisting
    #[arg(long, value_name = "WHERE", value_enum)]
    pub dry_run: Option<DryRun>,
}

/// The namespace of a command.
#[derive(Args, Clone, Debug, Default)]
pub struct Namespace {
    /// Namespace; default is that of the context
    #[arg(short = 'n', long = "namespace", id = "namespace", value_name = "NAMESPACE")]
    pub name: Option<String>,
}

/// Output formats of `get`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Table with all columns.
    Wide,
    /// JSON.
    Json,
    /// YAML.
    Yaml,
    /// `resource.group/name`, one per line.
    Name,
}

/// Output formats of `create` and `apply`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ObjectFormat {
    /// JSON.
    Json,
    /// YAML.
    Yaml,
    /// `resource.group/name`.
    Name,
}

/// Values of `--dry-run`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DryRun {
    /// The server does everything except persist the change.
    Server,
}
