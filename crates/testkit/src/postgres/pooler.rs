//! A pgbouncer for a cluster, with transaction pooling.

use std::{
    fs,
    io::{BufRead as _, BufReader, Lines},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
};

use anyhow::{Context as _, bail};

use crate::proxy::Proxy;

use super::{Cluster, Database, as_user, free_port, give_away, in_path, private_folder};

/// The directory of pgbouncer on Debian, which is not in every user's PATH.
const PLACE: &str = "/usr/sbin";

/// The size of the pool: less than the connections of a test, so that they share.
const CONNECTIONS: u16 = 4;

/// A running pgbouncer.
pub struct Pooler {
    port: u16,
    /// Stops the pooler when its standard input ends.
    _guardian: Child,
    /// Keeps the pipe of the pooler's output open, so that its writes do not fail.
    _said: Lines<BufReader<ChildStdout>>,
}

impl Pooler {
    /// Starts a pooler for all databases of the cluster.
    pub fn start(cluster: &Cluster) -> anyhow::Result<Self> {
        Self::before(&cluster.folder.display().to_string(), cluster.port)
    }

    /// Starts a pooler that connects through a proxy.
    pub fn start_through(proxy: &Proxy) -> anyhow::Result<Self> {
        Self::before("127.0.0.1", proxy.port())
    }

    fn before(host: &str, target: u16) -> anyhow::Result<Self> {
        let program = find_program()?;
        let folder = private_folder("ipam-pgbouncer-")?;
        let port = free_port()?;
        let config = folder.join("pgbouncer.ini");
        fs::write(&config, settings(host, target, port))?;
        give_away(&config)?;
        let mut reaper = reaper(program, &folder, &config)?;
        let mut said = BufReader::new(reaper.stdout.take().context("its output is piped")?).lines();
        let mut before = String::new();
        for line in &mut said {
            let line = line?;
            if line.contains("process up") {
                return Ok(Self { port, _guardian: reaper, _said: said });
            }
            before = before + &line + "\n";
        }
        bail!("pgbouncer did not start: {before}")
    }

    /// Returns the connection string of a database through the pooler.
    pub fn dsn(&self, database: &Database) -> String {
        format!("host=127.0.0.1 port={} user=ipam dbname={}", self.port, database.name)
    }
}

fn settings(host: &str, target: u16, port: u16) -> String {
    format!(
        "[databases]\n* = host={host} port={target} user=ipam\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
         unix_socket_dir =\nauth_type = any\npool_mode = transaction\ndefault_pool_size = {CONNECTIONS}\n\
         log_connections = 0\nlog_disconnections = 0\nlog_stats = 0\nserver_login_retry = 0.1\n"
    )
}

/// Starts a process that runs the pooler until the end of its standard input, then stops it and removes its folder.
fn reaper(program: PathBuf, folder: &Path, config: &Path) -> anyhow::Result<Child> {
    // The standard input of a background job of a shell is /dev/null, so cat can read the pipe.
    let script = "\"$@\" 2>&1 & { cat; kill $!; wait; rm -rf \"$FOLDER\"; } >/dev/null 2>&1";
    let pooler = as_user(program);
    let mut command = Command::new("sh");
    command.arg("-c").arg(script).arg("sh").arg(pooler.get_program()).args(pooler.get_args()).arg(config);
    // A separate process group, so that a signal from the terminal ends the test binary only.
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let piped = command.env("FOLDER", folder).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    Ok(piped.current_dir("/").spawn()?)
}

fn find_program() -> anyhow::Result<PathBuf> {
    let usual = Path::new(PLACE).join("pgbouncer");
    let found = in_path("pgbouncer").map(|folder| folder.join("pgbouncer")).or_else(|| usual.exists().then_some(usual));
    found.context(
        "pgbouncer is not installed: install it (Debian: apt-get install pgbouncer), or add its directory to PATH",
    )
}
