//! Faults of a database: a crash, a pause, a full disk, and failover to a standby.

use std::{fs, io::Write as _, path::Path, time::Duration};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tokio::time::{Instant, sleep};

use super::{Cluster, SETTINGS, Setup, program, run};

/// The longest time until killed processes have ended or a standby has caught up.
const WAIT_MAX: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

impl Cluster {
    /// Starts a cluster with small WAL segments, so that a limit on the size of files applies to tables first.
    pub fn in_small_files() -> anyhow::Result<Self> {
        Self::start_with(&Setup { initdb: &["--wal-segsize", "1"], ..Setup::default() })
    }

    /// Kills all processes with SIGKILL. [`Cluster::run`] starts the cluster again.
    pub async fn crash(&self) -> anyhow::Result<()> {
        let processes = self.processes()?;
        for process in &processes {
            // An error means that the process has ended already.
            kill_process(*process, Signal::KILL).ok();
        }
        let is_there = |process: &Pid| test_kill_process(*process).is_ok();
        until("killed processes still run", || !processes.iter().any(is_there)).await
    }

    /// Stops all processes with SIGSTOP: connections stay open, and there are no responses.
    pub fn pause(&self) -> anyhow::Result<()> {
        self.signal(Signal::STOP)
    }

    /// Continues all processes with SIGCONT, after [`Cluster::pause`].
    pub fn resume(&self) -> anyhow::Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        for process in self.processes()? {
            // The process of a connection may have ended since the list was read.
            if kill_process(process, signal).is_err() && test_kill_process(process).is_ok() {
                anyhow::bail!("cannot send {signal:?} to {process:?}");
            }
        }
        Ok(())
    }

    /// Limits the size of files to `bytes`, to simulate a full disk; `None` removes the limit.
    pub fn limit_files(&self, bytes: Option<u64>) -> anyhow::Result<()> {
        let limit = bytes.map_or("unlimited".to_owned(), |bytes| bytes.to_string());
        for process in self.processes()? {
            let pid = process.as_raw_nonzero().to_string();
            // Run as the owner of the processes, who always has the permission.
            let mut change = program(Path::new(""), "prlimit");
            let changed = run(change.args(["--pid", &pid, &format!("--fsize={limit}:unlimited")]));
            // The process of a connection may have ended; later ones inherit the limit of the first process.
            if test_kill_process(process).is_ok() {
                changed?;
            }
        }
        Ok(())
    }

    /// Starts a synchronous standby: later commits wait until it has them.
    pub async fn standby(&self) -> anyhow::Result<Self> {
        let standby = self.follower().await?;
        self.execute("postgres", "ALTER SYSTEM SET synchronous_standby_names = '*'");
        self.execute("postgres", "SELECT pg_reload_conf()");
        let followed = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
        until("the standby is not synchronous", || self.execute("postgres", followed).trim() == "1").await?;
        Ok(standby)
    }

    /// Starts an asynchronous standby, and waits until it has all earlier commits.
    pub async fn follower(&self) -> anyhow::Result<Self> {
        let follower = Self::empty()?;
        let mut copy = program(&self.programs, "pg_basebackup");
        copy.args(["-U", "ipam", "-h", "127.0.0.1", "-p", &self.port.to_string(), "-R", "-c", "fast", "-D"]);
        run(copy.arg(follower.data()))?;
        let mut settings = fs::OpenOptions::new().append(true).open(follower.data().join(SETTINGS))?;
        settings.write_all(follower.place().as_bytes())?;
        follower.run()?;
        let end = self.execute("postgres", "SELECT pg_current_wal_flush_lsn()");
        let has_all = format!("SELECT count(*) FROM pg_stat_replication WHERE replay_lsn >= '{}'", end.trim());
        until("the standby has not caught up", || self.execute("postgres", &has_all).trim() == "1").await?;
        Ok(follower)
    }

    /// Promotes a standby to the primary.
    pub fn promote(&self) -> anyhow::Result<()> {
        let mut promote = program(&self.programs, "pg_ctl");
        run(promote.args(["-w", "-D"]).arg(self.data()).arg("promote")).map(drop)
    }

    /// Returns the postmaster process and its children.
    fn processes(&self) -> anyhow::Result<Vec<Pid>> {
        let noted = fs::read_to_string(self.data().join("postmaster.pid"))?;
        let first = noted.lines().next().context("an empty postmaster.pid")?.trim();
        let children = fs::read_to_string(format!("/proc/{first}/task/{first}/children"))?;
        let pids = std::iter::once(first).chain(children.split_whitespace());
        pids.map(|pid| Pid::from_raw(pid.parse()?).context("no process has the number 0")).collect()
    }
}

/// Waits until `is_so` returns true. Fails with `trouble` after `WAIT_MAX`.
async fn until(trouble: &'static str, is_so: impl Fn() -> bool) -> anyhow::Result<()> {
    let deadline = Instant::now() + WAIT_MAX;
    while !is_so() {
        anyhow::ensure!(Instant::now() < deadline, trouble);
        sleep(LOOK_AGAIN).await;
    }
    Ok(())
}
