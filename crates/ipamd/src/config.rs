//! The command line. Every flag of the server can also be set by an environment variable.

#[cfg(test)]
mod repeated;
mod store;
mod store_command;

use std::{net::IpAddr, path::PathBuf, time::Duration};

use apiserver::limits;
use clap::{Args, Parser, Subcommand, ValueEnum};
use tracing_subscriber::EnvFilter;

pub use self::{
    store::{Database, Dsn, Postgres, StoreLocation},
    store_command::{Backup, BumpRevision, Check, CheckFormat, Export, Import, Migrate, Source, StoreCommand},
};
use crate::credentials::SubjectName;

/// IP address management with a Kubernetes-style API: creating a claim allocates a block from a pool
#[derive(Debug, Parser)]
#[command(name = "ipam", version, arg_required_else_help = true, args_override_self = true)]
pub struct CommandLine {
    /// The connection of the client commands to a server.
    #[command(flatten)]
    pub connection: cli::Connection,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands of the program.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server
    Serve(Box<Serve>),
    /// Work on a store: export, import, migrate, bump-revision, backup, check
    #[command(subcommand)]
    Store(StoreCommand),
    /// A client command, which connects to a running server.
    #[command(flatten)]
    Client(cli::Command),
}

/// Flags of `ipam serve`.
#[derive(Args, Clone, Debug)]
pub struct Serve {
    /// Directory for the credentials, admin.kubeconfig and, without --postgres-dsn, the database file; created if it does not exist
    #[arg(long, value_name = "DIR", env = "IPAM_DATA_DIR")]
    pub data_dir: PathBuf,

    /// Address to listen on
    #[arg(long, value_name = "ADDRESS", env = "IPAM_BIND_ADDRESS", default_value = "127.0.0.1")]
    pub bind_address: IpAddr,

    /// Port for HTTPS; 0 selects a free port, which is written to admin.kubeconfig
    #[arg(long, value_name = "PORT", env = "IPAM_SECURE_PORT", default_value_t = 6443)]
    pub secure_port: u16,

    /// The PostgreSQL database.
    #[command(flatten)]
    pub postgres: Postgres,

    /// The serving certificates.
    #[command(flatten)]
    pub certificates: Certificates,

    /// The authentication of users.
    #[command(flatten)]
    pub users: Users,

    /// The log format and level.
    #[command(flatten)]
    pub logging: Logging,

    /// The shutdown delays.
    #[command(flatten)]
    pub shutdown: Shutdown,

    /// The limits of the server.
    #[command(flatten)]
    pub limits: Limits,
}

/// Flags for the certificates that the server presents to clients.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Certificates")]
pub struct Certificates {
    /// PEM file of the serving certificate and its intermediate certificates; the server's own certificate is used only for its own names; reloaded when it changes
    #[arg(long = "tls-cert-file", value_name = "FILE", env = "IPAM_TLS_CERT_FILE", requires = "key")]
    pub certificate: Option<PathBuf>,

    /// PEM file of the private key for --tls-cert-file; reloaded when it changes
    #[arg(
        long = "tls-private-key-file",
        id = "key",
        value_name = "FILE",
        env = "IPAM_TLS_PRIVATE_KEY_FILE",
        requires = "certificate"
    )]
    pub key: Option<PathBuf>,

    /// Additional DNS names and IP addresses for the certificate that the server generates, separated by commas
    #[arg(long = "tls-san", value_name = "NAMES", env = "IPAM_TLS_SAN", value_delimiter = ',')]
    pub names: Vec<SubjectName>,
}

/// Flags for users in addition to the administrator. Roles and bindings grant their permissions.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Users")]
pub struct Users {
    /// CSV file of bearer tokens, one per line: token,user,uid,"group1,group2"; reloaded when it changes
    #[arg(long = "token-auth-file", value_name = "FILE", env = "IPAM_TOKEN_AUTH_FILE")]
    pub tokens: Option<PathBuf>,

    /// PEM file of certificate authorities for client certificates, in addition to the server's own (CN: user, O: groups); reloaded when it changes
    #[arg(long = "client-ca-file", value_name = "FILE", env = "IPAM_CLIENT_CA_FILE")]
    pub authorities: Option<PathBuf>,
}

/// Flags for the log, which is written to standard error.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Logging")]
pub struct Logging {
    /// Format of log lines; auto is text on a terminal and JSON otherwise
    #[arg(long = "log-format", value_enum, value_name = "FORMAT", env = "IPAM_LOG_FORMAT", default_value_t = LogFormat::Auto)]
    pub format: LogFormat,

    /// Lowest level to log: error, warn, info, debug or trace, also per module as in "info,apiserver=debug"
    #[arg(long = "log-level", value_name = "FILTER", env = "IPAM_LOG", default_value = "info", value_parser = log_filter)]
    pub level: String,
}

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    Auto,
    /// Lines of text.
    Text,
    /// One JSON object per line.
    Json,
}

/// Flags for the shutdown. Durations are numbers with `ms`, `s`, `m` or `h`; a number without a unit is in seconds.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Shutdown")]
pub struct Shutdown {
    /// Time between reporting not ready and refusing connections, so that load balancers can react, as in "15s"
    #[arg(long = "shutdown-delay", value_name = "DURATION", env = "IPAM_SHUTDOWN_DELAY", default_value = "0s", value_parser = duration)]
    pub delay: Duration,

    /// Time that requests in progress have to finish before their connections are closed
    #[arg(long = "drain-timeout", value_name = "DURATION", env = "IPAM_DRAIN_TIMEOUT", default_value = "60s", value_parser = duration)]
    pub drain: Duration,
}

/// Flags for the limits of the server.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Limits")]
pub struct Limits {
    /// Concurrent read requests, not counting watches; further ones get 429
    #[arg(long = "max-requests-inflight", value_name = "REQUESTS", env = "IPAM_MAX_REQUESTS_INFLIGHT", default_value_t = limits::READ_REQUESTS_MAX, value_parser = at_least_one)]
    pub requests_inflight: usize,

    /// Concurrent write requests; further ones get 429
    #[arg(long = "max-mutating-requests-inflight", value_name = "REQUESTS", env = "IPAM_MAX_MUTATING_REQUESTS_INFLIGHT", default_value_t = limits::MUTATING_REQUESTS_MAX, value_parser = at_least_one)]
    pub mutating_requests_inflight: usize,

    /// Open connections; further ones are closed immediately
    #[arg(long = "max-connections", id = "open_connections", value_name = "CONNECTIONS", env = "IPAM_MAX_CONNECTIONS", default_value_t = limits::CONNECTIONS_MAX, value_parser = at_least_one)]
    pub connections: usize,

    /// Concurrent requests and watches on one HTTP/2 connection; a client that needs more opens another connection
    #[arg(long = "http2-max-streams-per-connection", value_name = "STREAMS", env = "IPAM_HTTP2_MAX_STREAMS_PER_CONNECTION", default_value_t = limits::HTTP2_STREAMS_MAX, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub http2_streams: u32,

    /// Maximum size of a request body, in bytes or with Ki, Mi or Gi; a larger one gets 413
    #[arg(long = "max-body", value_name = "BYTES", env = "IPAM_MAX_BODY", default_value = "3Mi", value_parser = bytes)]
    pub body_bytes: usize,
}

fn log_filter(text: &str) -> Result<String, String> {
    EnvFilter::try_new(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}

fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split_unit(text);
    let milliseconds = match unit {
        "ms" => Some(1),
        "" | "s" => Some(1_000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        _ => None,
    };
    let number = number.parse::<u64>().ok();
    let total = number.zip(milliseconds).and_then(|(number, unit)| number.checked_mul(unit));
    total.map(Duration::from_millis).ok_or_else(|| "a duration is a number with ms, s, m or h, as in 90s".to_owned())
}

fn bytes(text: &str) -> Result<usize, String> {
    let (number, unit) = split_unit(text);
    let factor = match unit {
        "" => Some(1),
        "Ki" | "KiB" => Some(1 << 10),
        "Mi" | "MiB" => Some(1 << 20),
        "Gi" | "GiB" => Some(1 << 30),
        _ => None,
    };
    let number = number.parse::<usize>().ok().filter(|number| *number > 0);
    let total = number.zip(factor).and_then(|(number, factor)| number.checked_mul(factor));
    total.ok_or_else(|| "a size is a positive number of bytes, or one with Ki, Mi or Gi, as in 3Mi".to_owned())
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| "this must be a positive number".to_owned())
}

fn split_unit(text: &str) -> (&str, &str) {
    text.split_at(text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, error::ErrorKind};

    use super::*;

    fn serve(arguments: &str) -> Result<Serve, clap::Error> {
        let words = ["ipam", "serve"].into_iter().chain(arguments.split_whitespace());
        match CommandLine::try_parse_from(words)?.command {
            Command::Serve(serve) => Ok(*serve),
            command => panic!("{command:?}"),
        }
    }

    #[test]
    fn command_line_definition_is_valid() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn serve_flags_have_documented_defaults() {
        let serve = serve("--data-dir somewhere").unwrap();
        assert_eq!(serve.data_dir, PathBuf::from("somewhere"));
        assert_eq!((serve.bind_address.to_string().as_str(), serve.secure_port), ("127.0.0.1", 6443));
        assert_eq!((serve.logging.format, serve.logging.level.as_str()), (LogFormat::Auto, "info"));
        assert_eq!((serve.shutdown.delay, serve.shutdown.drain), (Duration::ZERO, Duration::from_mins(1)));
        assert_eq!(serve.limits.body_bytes, limits::BODY_BYTES_MAX);
    }

    #[test]
    fn serve_flags_are_parsed() {
        let serve = serve(
            "--data-dir d --bind-address ::1 --secure-port 0 --log-format json --log-level info,apiserver=debug \
             --shutdown-delay 15s --drain-timeout 2m --max-requests-inflight 7 --max-body 1Mi --max-connections 9 \
             --http2-max-streams-per-connection 250 --tls-san a.example.org,192.0.2.7 --tls-cert-file c --tls-private-key-file k",
        )
        .unwrap();
        assert_eq!((serve.bind_address.to_string().as_str(), serve.secure_port), ("::1", 0));
        assert_eq!(serve.logging.format, LogFormat::Json);
        assert_eq!((serve.shutdown.delay, serve.shutdown.drain), (Duration::from_secs(15), Duration::from_mins(2)));
        assert_eq!((serve.limits.requests_inflight, serve.limits.body_bytes), (7, 1 << 20));
        assert_eq!((serve.limits.connections, serve.limits.http2_streams), (9, 250));
        let names = [SubjectName::Dns("a.example.org".to_owned()), SubjectName::Address([192, 0, 2, 7].into())];
        assert_eq!(serve.certificates.names, names);
    }

    #[test]
    fn debug_output_hides_connection_string() {
        let serve = serve("--data-dir d --postgres-dsn password=secret --postgres-listen-dsn password=secret").unwrap();
        assert_eq!(serve.postgres.dsn.as_ref().map(Dsn::expose), Some("password=secret"));
        assert!(!format!("{serve:?}").contains("secret"), "{serve:?}");
    }

    #[test]
    fn invalid_serve_flags_are_rejected() {
        for arguments in [
            "",
            "--data-dir d --secure-port 65536",
            "--data-dir d --bind-address localhost",
            "--data-dir d --log-level =x=",
            "--data-dir d --shutdown-delay soon",
            "--data-dir d --max-requests-inflight 0",
            "--data-dir d --max-body 0",
            "--data-dir d --max-body 3MB",
            "--data-dir d --max-connections 0",
            "--data-dir d --http2-max-streams-per-connection 0",
            "--data-dir d --tls-san a_b",
            "--data-dir d --tls-cert-file c",
            "--data-dir d --tls-private-key-file k",
            "--data-dir d --postgres-listen-dsn host=h",
            "--data-dir d --postgres-dsn host=h --postgres-connections 1",
        ] {
            assert!(serve(arguments).is_err(), "{arguments}");
        }
    }

    #[test]
    fn durations_and_sizes_are_parsed_with_units() {
        for (text, expected) in [
            ("0", Some(0)),
            ("5", Some(5_000)),
            ("250ms", Some(250)),
            ("1h", Some(3_600_000)),
            ("", None),
            ("s", None),
            ("-1s", None),
            ("1.5s", None),
            ("1d", None),
            ("18446744073709551615h", None),
        ] {
            assert_eq!(duration(text).ok(), expected.map(Duration::from_millis), "{text:?}");
        }
        for (text, expected) in [
            ("1", Some(1)),
            ("2KiB", Some(2_048)),
            ("1Gi", Some(1 << 30)),
            ("0", None),
            ("Mi", None),
            ("18446744073709551615Ki", None),
        ] {
            assert_eq!(bytes(text).ok(), expected, "{text:?}");
        }
    }

    #[test]
    fn client_commands_and_version_flag_are_parsed() {
        let line = CommandLine::try_parse_from(["ipam", "--kubeconfig", "f", "get", "ippools"]).unwrap();
        assert!(matches!(line.command, Command::Client(_)));
        let version = CommandLine::try_parse_from(["ipam", "--version"]).unwrap_err();
        assert_eq!(version.kind(), ErrorKind::DisplayVersion);
    }
}
