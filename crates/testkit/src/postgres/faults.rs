//! What may happen to a database: it dies, its disk is full, another one takes over.

use std::{fs, io::Write as _, path::Path, time::Duration};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tokio::time::{Instant, sleep};

use super::{Cluster, SETTINGS, Setup, program, run};

/// How long processes that were killed may take to be gone, and a standby to follow.
const WAIT_MAX: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

impl Cluster {
    /// A cluster whose log is written in small pieces, so that a limit on the size of files meets tables first.
    pub fn in_small_files() -> anyhow::Result<Self> {
        Self::start_with(&Setup { initdb: &["--wal-segsize", "1"], ..Setup::default() })
    }

    /// `kill -9` of all of its processes. [`Cluster::run`] starts it again.
    pub async fn crash(&self) -> anyhow::Result<()> {
        let processes = self.processes()?;
        for process in &processes {
            // One that is gone already is what is wanted.
            kill_process(*process, Signal::KILL).ok();
        }
        let is_there = |process: &Pid| test_kill_process(*process).is_ok();
        until("processes that were killed are still there", || !processes.iter().any(is_there)).await
    }

    /// SIGSTOP to all of its processes: connections stay open, and nothing answers.
    pub fn pause(&self) -> anyhow::Result<()> {
        self.signal(Signal::STOP)
    }

    /// SIGCONT after [`Cluster::pause`].
    pub fn resume(&self) -> anyhow::Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        for process in self.processes()? {
            // A connection may have ended meanwhile.
            if kill_process(process, signal).is_err() && test_kill_process(process).is_ok() {
                anyhow::bail!("{signal:?} does not reach {process:?}");
            }
        }
        Ok(())
    }

    /// From now on no file of it grows beyond so many bytes, as on a full disk; `None`: as they like.
    pub fn limit_files(&self, bytes: Option<u64>) -> anyhow::Result<()> {
        let limit = bytes.map_or("unlimited".to_owned(), |bytes| bytes.to_string());
        for process in self.processes()? {
            let pid = process.as_raw_nonzero().to_string();
            // As the user to whom the processes belong, who may do that everywhere.
            let mut change = program(Path::new(""), "prlimit");
            let changed = run(change.args(["--pid", &pid, &format!("--fsize={limit}:unlimited")]));
            // A connection may have ended meanwhile; those that begin later have the limit of the first process.
            if test_kill_process(process).is_ok() {
                changed?;
            }
        }
        Ok(())
    }

    /// Another cluster that follows this one, and whose copy every commit waits for from now on.
    pub async fn standby(&self) -> anyhow::Result<Self> {
        let standby = self.follower().await?;
        self.execute("postgres", "ALTER SYSTEM SET synchronous_standby_names = '*'");
        self.execute("postgres", "SELECT pg_reload_conf()");
        let followed = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
        until("the standby does not follow", || self.execute("postgres", followed).trim() == "1").await?;
        Ok(standby)
    }

    /// Another cluster that follows this one, and that no commit waits for. It has all that was committed before.
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
        until("the follower does not follow", || self.execute("postgres", &has_all).trim() == "1").await?;
        Ok(follower)
    }

    /// Makes a standby the one that is written to.
    pub fn promote(&self) -> anyhow::Result<()> {
        let mut promote = program(&self.programs, "pg_ctl");
        run(promote.args(["-w", "-D"]).arg(self.data()).arg("promote")).map(drop)
    }

    /// The first process, and all that it has started.
    fn processes(&self) -> anyhow::Result<Vec<Pid>> {
        let noted = fs::read_to_string(self.data().join("postmaster.pid"))?;
        let first = noted.lines().next().context("an empty postmaster.pid")?.trim();
        let children = fs::read_to_string(format!("/proc/{first}/task/{first}/children"))?;
        let pids = std::iter::once(first).chain(children.split_whitespace());
        pids.map(|pid| Pid::from_raw(pid.parse()?).context("no process has the number 0")).collect()
    }
}

/// Waits for a state; if it does not come, says what is wrong.
async fn until(trouble: &'static str, is_so: impl Fn() -> bool) -> anyhow::Result<()> {
    let deadline = Instant::now() + WAIT_MAX;
    while !is_so() {
        anyhow::ensure!(Instant::now() < deadline, trouble);
        sleep(LOOK_AGAIN).await;
    }
    Ok(())
}
