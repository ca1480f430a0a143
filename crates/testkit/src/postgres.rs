//! A throwaway PostgreSQL from the machine's own packages: one cluster for each test binary, one database for each test.
//!
//! The cluster listens on a socket in a folder of its own and on a free port of the loopback. It stops when the test binary
//! ends, however it ends: a guardian waits for the end of a pipe that only the binary holds open.
#![expect(clippy::panic, reason = "a test ends where its database fails, with the reason in the message")]

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

/// Where Debian and its kin keep the programs of each version.
const VERSIONS: &str = "/usr/lib/postgresql";

/// As root PostgreSQL refuses to run; its packages make this user.
const USER: &str = "postgres";

/// Where clusters and poolers listen.
const PORTS: std::ops::Range<u16> = 12_000..32_000;
const PORTS_TRIED_MAX: usize = 100;

/// The file of settings that is read last.
const SETTINGS: &str = "postgresql.auto.conf";

/// What a cluster has of its own.
#[derive(Clone, Copy, Debug, Default)]
pub struct Setup<'a> {
    /// Lines of `postgresql.conf`.
    pub settings: &'a str,
    /// Lines of `pg_hba.conf`, behind one that lets everybody in by the socket. None: everybody gets in.
    pub access: &'a str,
    /// Files, by name and contents. Settings may name them so; tests find them by [`Cluster::file`].
    pub files: &'a [(&'a str, &'a str)],
    /// What `initdb` is told besides.
    pub initdb: &'a [&'a str],
}

/// A cluster that runs.
pub struct Cluster {
    folder: PathBuf,
    port: u16,
    programs: PathBuf,
    databases: AtomicU32,
    /// Stops the cluster when its standard input ends.
    _guardian: Child,
}

/// An empty database of a test's own.
#[derive(Clone, Debug)]
pub struct Database {
    /// Its connection string, by the socket.
    pub dsn: String,
    /// The port on the loopback, for what has to go through a proxy.
    pub port: u16,
    /// Its name.
    pub name: String,
}

impl Cluster {
    /// The cluster of this test binary, started by the first test that asks.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(|| match Self::start() {
            Ok(cluster) => cluster,
            Err(error) => panic!("{error:#}"),
        })
    }

    /// A cluster of one's own. What it acknowledges does not survive a power cut.
    pub fn start() -> anyhow::Result<Self> {
        Self::start_with(&Setup::default())
    }

    /// Like [`Cluster::start`], with what a test needs besides.
    pub fn start_with(setup: &Setup) -> anyhow::Result<Self> {
        let settings = format!("fsync = off\nmax_connections = 300\n{}", setup.settings);
        Self::with(&Setup { settings: &settings, ..*setup })
    }

    /// One that keeps what it acknowledges, with the memory of a small machine, for measurements.
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

    /// A folder and a port for a cluster, and a guardian who removes it.
    fn empty() -> anyhow::Result<Self> {
        let programs = find_programs()?;
        let folder = private_folder("ipam-pg-")?;
        let guardian = guardian(&programs, &folder)?;
        let port = free_port()?;
        Ok(Self { folder, port, programs, databases: AtomicU32::new(0), _guardian: guardian })
    }

    /// The port on the loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Where it listens, as settings.
    fn place(&self) -> String {
        format!(
            "unix_socket_directories = '{}'\nlisten_addresses = '127.0.0.1'\nport = {}\nlog_min_messages = warning\n",
            self.folder.display(),
            self.port
        )
    }

    /// Starts it, if it does not run, and waits until it answers.
    pub fn run(&self) -> anyhow::Result<()> {
        let log = self.folder.join("log");
        let mut start = program(&self.programs, "pg_ctl");
        let started = run(start.args(["-w", "-D"]).arg(self.data()).arg("-l").arg(&log).arg("start"));
        started.with_context(|| fs::read_to_string(log).unwrap_or_default()).map(drop)
    }

    /// Where a file of the setup is.
    pub fn file(&self, name: &str) -> PathBuf {
        self.data().join(name)
    }

    /// A new, empty database.
    pub fn database(&self) -> Database {
        let name = format!("test{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.execute("postgres", &format!("CREATE DATABASE {name}"));
        let socket = self.folder.display();
        let dsn = format!("host={socket} port={} user=ipam dbname={name}", self.port);
        Database { dsn, port: self.port, name }
    }
}

impl Cluster {
    /// Runs a statement in a database, and gives back what psql shows of its answer: a line for each row.
    pub fn execute(&self, database: &str, statement: &str) -> String {
        let done = run(program(&self.programs, "psql")
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "ipam", "-d", database, "-p"])
            .args([&self.port.to_string(), "-h", &self.folder.display().to_string(), "-c", statement]));
        done.unwrap_or_else(|error| panic!("{error:#}"))
    }
}

/// Waits for the end of the pipe, then stops the cluster and removes its folder.
fn guardian(programs: &Path, folder: &Path) -> anyhow::Result<Child> {
    let script = "cat >/dev/null; \"$@\" >/dev/null 2>&1; rm -rf \"$FOLDER\"";
    let stop = program(programs, "pg_ctl");
    let mut words: Vec<OsString> = vec![stop.get_program().to_owned()];
    words.extend(stop.get_args().map(ToOwned::to_owned));
    words.extend(["-w", "-m", "immediate", "stop", "-D"].map(OsString::from));
    words.push(folder.join("data").into());
    let mut command = Command::new("sh");
    command.arg("-c").arg(script).arg("sh").args(words).env("FOLDER", folder);
    // The end of the test binary by a signal from the terminal must not be its own.
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    Ok(command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).current_dir("/").spawn()?)
}

/// A port that nothing listens on. It lies below those that a system gives to outgoing connections, of which one could have taken it
/// by the time that a program has started, or has started again.
fn free_port() -> anyhow::Result<u16> {
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    let mut drawn = std::iter::repeat_with(|| rand::random_range(PORTS)).take(PORTS_TRIED_MAX);
    drawn.find(is_free).context("no port is free")
}

/// A folder of the user's that the programs run as. Whoever stops them removes it.
fn private_folder(prefix: &str) -> anyhow::Result<PathBuf> {
    let folder = tempfile::Builder::new().prefix(prefix).tempdir()?.keep();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))?;
    give_away(&folder)?;
    Ok(folder)
}

/// A file that PostgreSQL takes for a key: nobody else may read it.
fn write_private(path: &Path, contents: &str) -> anyhow::Result<()> {
    fs::write(path, contents)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    give_away(path)
}

/// Makes a file or folder the user's that the cluster runs as.
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

/// A program of PostgreSQL, as a user that it agrees to run as.
fn program(programs: &Path, name: &str) -> Command {
    as_user(programs.join(name))
}

/// A program that does not agree to run as root.
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
        "there is no PostgreSQL here: install it (Debian: apt-get install postgresql), or put its initdb into PATH",
    )
}

/// The folder of PATH that a program is in.
fn in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).find(|folder| folder.join(name).exists())
}

fn run(command: &mut Command) -> anyhow::Result<String> {
    // pg_ctl leaves the server behind with the same standard output: a pipe would never end.
    let mut log = tempfile::tempfile()?;
    let status = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log.try_clone()?).status();
    let Ok(status) = status else { bail!("{} cannot be run: {status:?}", command.get_program().display()) };
    let mut said = String::new();
    std::io::Seek::rewind(&mut log)?;
    log.read_to_string(&mut said)?;
    ensure!(status.success(), "{} failed: {said}", command.get_program().display());
    Ok(said)
}
