//! Temporary PostgreSQL clusters, from the packages of the machine: one cluster for each test binary, one database for each test.
//!
//! A cluster listens on a socket in its own folder and on a free loopback port. It is stopped when the test binary ends, also by a
//! crash: a guardian process waits for the end of a pipe that only the binary holds open.
#![expect(clippy::panic, reason = "a test ends if its database fails, with the reason in the message")]

mod faults;
mod pooler;

use std::{
    ffi::OsString,
    fs,
    io::Read as _,
    net::{Ipv4Addr, TcpListener},
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use anyhow::{Context as _, bail, ensure};

pub use pooler::Pooler;

/// The directory of the PostgreSQL versions on Debian and its derivatives.
const VERSIONS: &str = "/usr/lib/postgresql";

/// The user that runs PostgreSQL if the tests run as root, as which PostgreSQL does not run. The packages create this user.
const USER: &str = "postgres";

/// The ports for clusters and poolers.
const PORTS: std::ops::Range<u16> = 12_000..32_000;
const PORTS_TRIED_MAX: usize = 100;

/// The settings file that PostgreSQL reads last.
const SETTINGS: &str = "postgresql.auto.conf";

/// The configuration of a cluster.
#[derive(Clone, Copy, Debug, Default)]
pub struct Setup<'a> {
    /// Lines of `postgresql.conf`.
    pub settings: &'a str,
    /// Lines of `pg_hba.conf`, after a line that allows all connections through the socket. If empty, all connections are allowed.
    pub access: &'a str,
    /// Names and contents of files in the data directory, for use in settings. [`Cluster::file`] returns their paths.
    pub files: &'a [(&'a str, &'a str)],
    /// Additional arguments of `initdb`.
    pub initdb: &'a [&'a str],
}

/// A running cluster.
pub struct Cluster {
    folder: PathBuf,
    port: u16,
    programs: PathBuf,
    databases: AtomicU32,
    /// Stops the cluster when its standard input ends.
    _guardian: Child,
}

/// A database of a test, initially empty.
#[derive(Clone, Debug)]
pub struct Database {
    /// The connection string, through the socket.
    pub dsn: String,
    /// The loopback port, for connections through a proxy.
    pub port: u16,
    /// The name of the database.
    pub name: String,
}

impl Cluster {
    /// Returns the shared cluster of this test binary. The first call starts it.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(|| match Self::start() {
            Ok(cluster) => cluster,
            Err(error) => panic!("{error:#}"),
        })
    }

    /// Starts a separate cluster without `fsync`: commits may be lost at a power loss.
    pub fn start() -> anyhow::Result<Self> {
        Self::start_with(&Setup::default())
    }

    /// Like [`Cluster::start`], with an additional configuration.
    pub fn start_with(setup: &Setup) -> anyhow::Result<Self> {
        let settings = format!("fsync = off\nmax_connections = 300\n{}", setup.settings);
        Self::with(&Setup { settings: &settings, ..*setup })
    }

    /// Starts a durable cluster with the memory settings of a small machine, for benchmarks.
    pub fn durable() -> anyhow::Result<Self> {
        let settings = "shared_buffers = 1GB\nmax_wal_size = 8GB\nmax_connections = 1200\n";
        Self::with(&Setup { settings, ..Setup::default() })
    }

    fn with(setup: &Setup) -> anyhow::Result<Self> {
        let cluster = Self::empty()?;
        let data = cluster.data();
        let initdb = ["-N", "-A", "trust", "-U", "ipam", "-E", "UTF8", "--no-locale", "-D"];
        run(program(&cluster.programs, "initdb").args(initdb).arg(&data).args(setup.initdb))?;
        fs::write(data.join(SETTINGS), cluster.place() + setup.settings)?;
        if !setup.access.is_empty() {
            fs::write(data.join("pg_hba.conf"), format!("local all all trust\n{}\n", setup.access))?;
        }
        for (name, contents) in setup.files {
            write_private(&cluster.file(name), contents)?;
        }
        cluster.run()?;
        Ok(cluster)
    }

    /// Creates a folder, a port and a guardian for a cluster.
    fn empty() -> anyhow::Result<Self> {
        let programs = find_programs()?;
        let folder = private_folder("ipam-pg-")?;
        let reaper = reaper(&programs, &folder)?;
        let port = free_port()?;
        Ok(Self { folder, port, programs, databases: AtomicU32::new(0), _guardian: reaper })
    }

    /// Returns the loopback port.
    pub fn port(&self) -> u16 {
        self.port
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Returns the settings of the listen addresses.
    fn place(&self) -> String {
        format!(
            "unix_socket_directories = '{}'\nlisten_addresses = '127.0.0.1'\nport = {}\nlog_min_messages = warning\n",
            self.folder.display(),
            self.port
        )
    }

    /// Starts the cluster if it does not run, and waits until it accepts connections.
    pub fn run(&self) -> anyhow::Result<()> {
        let log = self.folder.join("log");
        let mut start = program(&self.programs, "pg_ctl");
        let started = run(start.args(["-w", "-D"]).arg(self.data()).arg("-l").arg(&log).arg("start"));
        started.with_context(|| fs::read_to_string(log).unwrap_or_default()).map(drop)
    }

    /// Returns the path of a file of the setup.
    pub fn file(&self, name: &str) -> PathBuf {
        self.data().join(name)
    }

    /// Creates an empty database.
    pub fn database(&self) -> Database {
        let name = format!("test{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.execute("postgres", &format!("CREATE DATABASE {name}"));
        let socket = self.folder.display();
        let dsn = format!("host={socket} port={} user=ipam dbname={name}", self.port);
        Database { dsn, port: self.port, name }
    }
}

impl Cluster {
    /// Runs a statement with `psql`, and returns the output: one line for each row.
    pub fn execute(&self, database: &str, statement: &str) -> String {
        let done = run(program(&self.programs, "psql")
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "ipam", "-d", database, "-p"])
            .args([&self.port.to_string(), "-h", &self.folder.display().to_string(), "-c", statement]));
        done.unwrap_or_else(|error| panic!("{error:#}"))
    }
}

/// Starts a process that waits for the end of its standard input, then stops the cluster and removes its folder.
fn reaper(programs: &Path, folder: &Path) -> anyhow::Result<Child> {
    let script = "cat >/dev/null; \"$@\" >/dev/null 2>&1; rm -rf \"$FOLDER\"";
    let stop = program(programs, "pg_ctl");
    let mut words: Vec<OsString> = vec![stop.get_program().to_owned()];
    words.extend(stop.get_args().map(ToOwned::to_owned));
    words.extend(["-w", "-m", "immediate", "stop", "-D"].map(OsString::from));
    words.push(folder.join("data").into());
    let mut command = Command::new("sh");
    command.arg("-c").arg(script).arg("sh").args(words).env("FOLDER", folder);
    // A separate process group, so that a signal from the terminal ends the test binary only.
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    Ok(command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).current_dir("/").spawn()?)
}

/// Returns a port without a listener. It is below the ephemeral ports, so that no outgoing connection can take it before a program
/// starts or restarts.
fn free_port() -> anyhow::Result<u16> {
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    let mut drawn = std::iter::repeat_with(|| rand::random_range(PORTS)).take(PORTS_TRIED_MAX);
    drawn.find(is_free).context("no port is free")
}

/// Creates a folder that belongs to the user that runs the programs. The guardian removes it.
fn private_folder(prefix: &str) -> anyhow::Result<PathBuf> {
    let folder = tempfile::Builder::new().prefix(prefix).tempdir()?.keep();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))?;
    give_away(&folder)?;
    Ok(folder)
}

/// Writes a file with mode 0600, which PostgreSQL requires for a key.
fn write_private(path: &Path, contents: &str) -> anyhow::Result<()> {
    fs::write(path, contents)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    give_away(path)
}

/// Changes the owner of a file or folder to the user that runs the cluster.
fn give_away(path: &Path) -> anyhow::Result<()> {
    if is_root() {
        let number =
            |flag: &str| -> anyhow::Result<u32> { Ok(run(Command::new("id").args([flag, USER]))?.trim().parse()?) };
        chown(path, Some(number("-u")?), Some(number("-g")?))?;
    }
    Ok(())
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Returns a command for a program of PostgreSQL that does not run as root.
fn program(programs: &Path, name: &str) -> Command {
    as_user(programs.join(name))
}

/// Returns a command that runs as `USER` if the tests run as root.
fn as_user(path: PathBuf) -> Command {
    if !is_root() {
        return Command::new(path);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", USER, "--regid", USER, "--clear-groups", "--"]).arg(path).current_dir("/");
    command
}

fn find_programs() -> anyhow::Result<PathBuf> {
    let versions = fs::read_dir(VERSIONS).into_iter().flatten().flatten();
    let mut found: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .filter(|(_, path)| path.join("initdb").exists())
        .collect();
    found.sort_unstable();
    let newest = found.pop().map(|(_, path)| path).or_else(|| in_path("initdb"));
    newest.context(
        "PostgreSQL is not installed: install it (Debian: apt-get install postgresql), or add the directory of initdb to PATH",
    )
}

/// Returns the folder in PATH that contains a program.
fn in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).find(|folder| folder.join(name).exists())
}

fn run(command: &mut Command) -> anyhow::Result<String> {
    // The server that pg_ctl starts inherits the standard output: a pipe would not end before the server.
    let mut log = tempfile::tempfile()?;
    let status = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log.try_clone()?).status();
    let Ok(status) = status else { bail!("{} cannot be run: {status:?}", command.get_program().display()) };
    let mut said = String::new();
    std::io::Seek::rewind(&mut log)?;
    log.read_to_string(&mut said)?;
    ensure!(status.success(), "{} failed: {said}", command.get_program().display());
    Ok(said)
}
