//! What can be typed. The words and letters are kubectl's.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// Which server to talk to, and as whom.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Connection")]
pub struct Connection {
    /// Kubeconfig file; without it $KUBECONFIG, then ~/.kube/config
    #[arg(long, value_name = "FILE", global = true)]
    pub kubeconfig: Option<PathBuf>,

    /// Context of the kubeconfig; without it its current one
    #[arg(long, value_name = "NAME", global = true)]
    pub context: Option<String>,
}

/// What a client can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show resources
    Get(Get),
    /// Create what files describe; each must be new
    Create(Write),
    /// Create what files describe, or change what exists to match
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

    /// Names; without them everything is listed
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,

    /// Where to look.
    #[command(flatten)]
    pub namespace: Namespace,

    /// Look in all namespaces
    #[arg(short = 'A', long, conflicts_with_all = ["namespace", "names"])]
    pub all_namespaces: bool,

    /// Only what has these labels: "tier=edge,zone in (a, b)"
    #[arg(short = 'l', long, value_name = "LABELS", conflicts_with = "names")]
    pub selector: Option<String>,

    /// Only what has these fields: "status.phase=Bound"
    #[arg(long, value_name = "FIELDS", conflicts_with = "names")]
    pub field_selector: Option<String>,

    /// How to show it; a table unless told otherwise
    #[arg(short = 'o', long, value_name = "FORMAT", value_enum)]
    pub output: Option<Format>,

    /// Leave out the table's header
    #[arg(long)]
    pub no_headers: bool,
}

/// Arguments of `create` and `apply`.
#[derive(Args, Clone, Debug)]
pub struct Write {
    /// File or directory of YAML or JSON; "-" is standard input
    #[arg(short = 'f', long = "filename", value_name = "FILE", required = true, num_args = 1..)]
    pub files: Vec<PathBuf>,

    /// Where objects go that name no namespace.
    #[command(flatten)]
    pub namespace: Namespace,

    /// Only ask what would happen
    #[arg(long, value_name = "WHERE", value_enum)]
    pub dry_run: Option<DryRun>,

    /// How to show the server's answer; one line per object unless told otherwise
    #[arg(short = 'o', long, value_name = "FORMAT", value_enum)]
    pub output: Option<ObjectFormat>,
}

/// Arguments of `delete`.
#[derive(Args, Clone, Debug)]
pub struct Delete {
    /// Resource by plural, singular, short name or kind: "ipclaims", "ipclaim/name"
    #[arg(value_name = "RESOURCE", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub resource: String,

    /// Names
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,

    /// Where they are.
    #[command(flatten)]
    pub namespace: Namespace,

    /// Only ask what would happen
    #[arg(long, value_name = "WHERE", value_enum)]
    pub dry_run: Option<DryRun>,
}

/// The namespace of a command.
#[derive(Args, Clone, Debug, Default)]
pub struct Namespace {
    /// Namespace; without it the context's
    #[arg(short = 'n', long = "namespace", id = "namespace", value_name = "NAMESPACE")]
    pub name: Option<String>,
}

/// How `get` shows what it got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// The table with all of its columns.
    Wide,
    /// JSON.
    Json,
    /// YAML.
    Yaml,
    /// `resource.group/name`, one per line.
    Name,
}

/// How `create` and `apply` show an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ObjectFormat {
    /// JSON.
    Json,
    /// YAML.
    Yaml,
    /// `resource.group/name`.
    Name,
}

/// Who pretends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DryRun {
    /// The server does everything but keep it.
    Server,
}
