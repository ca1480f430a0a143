//! A child process with its output in a file, and signals to it.

use std::{
    ffi::{OsStr, OsString},
    fs::OpenOptions,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};

const POLL_INTERVAL: Duration = Duration::from_millis(5);
const TAIL_LINES: usize = 60;

/// A running child. Dropping it kills it.
pub(crate) struct Process {
    child: Child,
}

/// A command to run.
pub(crate) struct ProcessSpec {
    pub(crate) binary: PathBuf,
    pub(crate) arguments: Vec<OsString>,
    pub(crate) environment: Vec<(OsString, OsString)>,
    /// Standard output and standard error are appended to this file.
    pub(crate) log: PathBuf,
    /// If set, standard error is written here instead.
    pub(crate) stderr: Option<OwnedFd>,
}

/// Returns a command for the binary, without the environment variables of ipam that a developer may have set.
pub fn command(binary: &Path) -> Command {
    let mut command = Command::new(binary);
    let is_ours = |name: &OsStr| name.as_encoded_bytes().starts_with(b"IPAM_") || name == "POSTGRES_DSN";
    for (name, _) in std::env::vars_os().filter(|(name, _)| is_ours(name)) {
        command.env_remove(name);
    }
    command
}

impl Process {
    pub(crate) fn start(process_spec: &ProcessSpec) -> anyhow::Result<Self> {
        let log =
            OpenOptions::new().create(true).append(true).open(&process_spec.log).context("cannot open the log")?;
        let mut command = command(&process_spec.binary);
        // Backtraces of panics only, not of `anyhow` errors.
        command.env("RUST_LIB_BACKTRACE", "0");
        command.args(&process_spec.arguments).envs(process_spec.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(log.try_clone()?);
        let stderr = process_spec.stderr.as_ref().map(OwnedFd::try_clone).transpose()?;
        command.stderr(stderr.map_or_else(|| Stdio::from(log), Stdio::from));
        let child = command.spawn().with_context(|| format!("cannot run {}", process_spec.binary.display()))?;
        Ok(Self { child })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns the exit status if the process has ended.
    pub(crate) fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Sends SIGKILL, and waits for the end.
    pub(crate) fn kill(&mut self) -> anyhow::Result<ExitStatus> {
        self.child.kill()?;
        Ok(self.child.wait()?)
    }

    /// Sends SIGTERM, and does not wait.
    pub(crate) fn ask_to_end(&self) -> anyhow::Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), Signal::TERM)?)
    }

    /// Sends SIGSTOP: the process stops and keeps its connections and locks.
    pub(crate) fn pause(&self) -> anyhow::Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), Signal::STOP)?)
    }

    /// Sends SIGCONT.
    pub(crate) fn resume(&self) -> anyhow::Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), Signal::CONT)?)
    }

    /// Waits until the process ends. Fails after the deadline.
    pub(crate) async fn wait(&mut self, deadline: Duration) -> anyhow::Result<ExitStatus> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            if start.elapsed() > deadline {
                bail!("it still runs after {deadline:?}");
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // An error means that the process has ended already.
        let _ = self.kill();
    }
}

/// Returns the last lines of a log.
pub(crate) fn tail(log: &Path) -> String {
    let text = match std::fs::read(log) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => return format!("(no log: {error})"),
    };
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    fn shell(directory: &Path, script: &str) -> ProcessSpec {
        ProcessSpec {
            binary: "/bin/sh".into(),
            arguments: vec!["-c".into(), script.into()],
            environment: vec![("GREETING".into(), "hello".into())],
            log: directory.join("log"),
            stderr: None,
        }
    }

    #[tokio::test]
    async fn output_is_logged_and_exit_status_returned() {
        let directory = tempfile::tempdir().unwrap();
        let process_spec = shell(directory.path(), "echo $GREETING; echo trouble >&2; exit 3");
        let status = Process::start(&process_spec).unwrap().wait(Duration::from_secs(30)).await.unwrap();
        assert_eq!(status.code(), Some(3));
        assert_eq!(tail(&process_spec.log), "hello\ntrouble");
    }

    #[tokio::test]
    async fn sigterm_lets_process_exit_by_itself() {
        let directory = tempfile::tempdir().unwrap();
        let process_spec = shell(directory.path(), "trap 'exit 0' TERM; echo ready; while :; do sleep 0.01; done");
        let mut process = Process::start(&process_spec).unwrap();
        while tail(&process_spec.log) != "ready" {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        assert!(process.wait(Duration::from_millis(20)).await.is_err(), "it runs until it is asked");
        process.ask_to_end().unwrap();
        assert_eq!(process.wait(Duration::from_secs(30)).await.unwrap().code(), Some(0));
    }

    #[tokio::test]
    async fn kill_waits_for_the_end() {
        let directory = tempfile::tempdir().unwrap();
        let mut process = Process::start(&shell(directory.path(), "exec sleep 1000")).unwrap();
        assert_eq!(process.kill().unwrap().signal(), Some(9));
        assert!(process.ended().unwrap().is_some());
    }

    #[test]
    fn missing_binary_error_names_the_path() {
        let process_spec = ProcessSpec { binary: "/nowhere/ipam".into(), ..shell(&std::env::temp_dir(), "") };
        let error = Process::start(&process_spec).err().unwrap();
        assert!(format!("{error:#}").contains("/nowhere/ipam"), "{error:#}");
    }
}
