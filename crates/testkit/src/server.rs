//! A server process: start, restarts and end.
#![expect(clippy::panic, reason = "a test ends if its server fails, with the server's log in the message")]

use std::{
    ffi::OsString,
    fs::{self, Metadata},
    os::{fd::OwnedFd, unix::fs::MetadataExt as _},
    path::{Path, PathBuf},
    process::ExitStatus,
    time::{Duration, Instant},
};

use ::http::{Request, StatusCode};
use anyhow::{Context as _, anyhow, bail};
use bytes::Bytes;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use tempfile::TempDir;

use crate::{
    Answer, Disk, Http, install_crypto,
    postgres::Database,
    process::{Process, ProcessSpec, tail},
};

const KUBECONFIG: &str = "admin.kubeconfig";
const START_DEADLINE: Duration = Duration::from_secs(30);
/// Longer than the server's own drain timeout, which is 60 s unless a test sets another.
const END_DEADLINE: Duration = Duration::from_secs(90);
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// A server and its data. Dropping it kills the process and removes the data, and prints the log if the test has failed.
pub struct Server {
    setup: Setup,
    process: Option<Process>,
    access: Access,
}

/// The configuration of a server.
pub struct Builder {
    binary: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    data_dir: Option<PathBuf>,
    stderr: Option<OwnedFd>,
    prepare: Option<Prepare>,
    port: u16,
}

/// A function that prepares a data directory before the first start.
type Prepare = Box<dyn FnOnce(&Path) -> std::io::Result<()> + Send>;

/// The configuration that restarts keep.
struct Setup {
    binary: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    data_dir: PathBuf,
    log: PathBuf,
    stderr: Option<OwnedFd>,
    /// The directory of the log, and of the data unless the test set a data directory.
    _directory: TempDir,
}

/// The address and client configuration of a running server.
struct Access {
    port: u16,
    config: Config,
}

impl Server {
    /// Starts `binary serve` on an empty data directory and a free port, and waits until it is ready.
    pub async fn start(binary: &Path) -> Self {
        Self::builder(binary).start().await
    }

    /// Returns a builder of a server with other settings.
    pub fn builder(binary: &Path) -> Builder {
        Builder {
            binary: binary.to_owned(),
            arguments: Vec::new(),
            environment: Vec::new(),
            data_dir: None,
            stderr: None,
            prepare: None,
            port: 0,
        }
    }

    /// Returns a client of the administrator with its own connections.
    pub fn client(&self) -> kube::Client {
        kube::Client::try_from(self.access.config.clone())
            .unwrap_or_else(|error| self.setup.fail(&anyhow!(error).context("no client can be made")))
    }

    /// Returns an HTTP client of the administrator.
    pub fn http(&self) -> Http {
        Http::admin(&self.kubeconfig_path()).unwrap_or_else(|error| self.setup.fail(&error))
    }

    /// Returns an HTTP client without credentials.
    pub fn http_anonymous(&self) -> Http {
        Http::anonymous(&self.kubeconfig_path()).unwrap_or_else(|error| self.setup.fail(&error))
    }

    /// Returns the path of the kubeconfig that the server wrote.
    pub fn kubeconfig_path(&self) -> PathBuf {
        self.setup.kubeconfig()
    }

    /// Returns the data directory.
    pub fn data_dir(&self) -> &Path {
        &self.setup.data_dir
    }

    /// Returns the port of the last start. [`Server::restart`] keeps it.
    pub fn port(&self) -> u16 {
        self.access.port
    }

    /// Returns the base URL, without a slash at its end.
    pub fn url(&self) -> String {
        self.access.config.cluster_url.to_string().trim_end_matches('/').to_owned()
    }

    /// Returns the process ID, or `None` if the server does not run.
    pub fn process_id(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// Returns the log of all starts.
    pub fn log(&self) -> String {
        fs::read(&self.setup.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Kills the process with SIGKILL, and waits for its end.
    pub fn kill(&mut self) {
        let Some(mut process) = self.process.take() else {
            return;
        };
        if let Err(error) = process.kill() {
            self.setup.fail(&error);
        }
    }

    /// Stops the process with SIGSTOP. It keeps its connections and locks.
    pub fn pause(&self) {
        self.signal(Process::pause);
    }

    /// Continues the process with SIGCONT, after [`Server::pause`].
    pub fn resume(&self) {
        self.signal(Process::resume);
    }

    /// Sends SIGTERM and does not wait. [`Server::wait`] waits for the end.
    pub fn ask_to_end(&self) {
        self.signal(Process::ask_to_end);
    }

    fn signal(&self, signal: impl FnOnce(&Process) -> anyhow::Result<()>) {
        let sent = self.process.as_ref().context("the server does not run").and_then(signal);
        sent.unwrap_or_else(|error| self.setup.fail(&error));
    }

    /// Waits until the process ends, and returns its exit status.
    pub async fn wait(&mut self) -> ExitStatus {
        let Some(mut process) = self.process.take() else { self.setup.fail(&anyhow!("the server does not run")) };
        match process.wait(END_DEADLINE).await {
            Ok(status) => status,
            Err(error) => self.setup.fail(&error.context("the server does not end")),
        }
    }

    /// Sends SIGTERM, waits for the end, and returns the exit status.
    pub async fn terminate(&mut self) -> ExitStatus {
        self.ask_to_end();
        self.wait().await
    }

    /// Starts the server again on the same data and the same port, so that clients can reconnect. Kills it first if it runs.
    pub async fn restart(&mut self) {
        self.start_on(self.access.port).await;
    }

    /// Like [`Server::restart`], on another port; 0 selects a free port.
    pub async fn start_on(&mut self, port: u16) {
        self.kill();
        match self.setup.launch(port).await {
            Ok((process, access)) => (self.process, self.access) = (Some(process), access),
            Err(error) => self.setup.fail(&error),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process = None;
        if std::thread::panicking() {
            eprintln!("{}", self.setup.epilogue());
        }
    }
}

impl Builder {
    /// Replaces the program.
    #[must_use]
    pub fn binary(mut self, binary: &Path) -> Self {
        binary.clone_into(&mut self.binary);
        self
    }

    /// Adds an argument of `ipam serve`.
    #[must_use]
    pub fn argument(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn environment(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Sets the data directory, which the caller creates and removes.
    #[must_use]
    pub fn data_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.data_dir = Some(path.into());
        self
    }

    /// Uses a simulated disk and its data directory.
    #[must_use]
    pub fn disk(mut self, disk: &Disk) -> Self {
        self.environment.extend(disk.environment());
        self.data_dir(disk.data_dir())
    }

    /// Redirects the server's standard error, which is otherwise part of [`Server::log`].
    #[must_use]
    pub fn stderr(mut self, stderr: impl Into<OwnedFd>) -> Self {
        self.stderr = Some(stderr.into());
        self
    }

    /// Sets a function that prepares the data directory before the first start.
    #[must_use]
    pub fn prepare(mut self, prepare: impl FnOnce(&Path) -> std::io::Result<()> + Send + 'static) -> Self {
        self.prepare = Some(Box::new(prepare));
        self
    }

    /// Uses this database, which must have been migrated, as the store.
    #[must_use]
    pub fn database(self, database: &Database) -> Self {
        self.environment("POSTGRES_DSN", &database.dsn)
    }

    /// Sets the port of the first start; the default is a free port.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Starts the server and waits until it is ready.
    pub async fn start(self) -> Server {
        self.try_start().await.unwrap_or_else(|error| panic!("{error:#}"))
    }

    /// Like [`Builder::start`], but returns an error, which ends with the server's log, if the server does not start.
    pub async fn try_start(self) -> anyhow::Result<Server> {
        install_crypto();
        let directory = TempDir::with_prefix("ipam-test-").context("no temporary directory")?;
        let setup = Setup {
            binary: self.binary,
            arguments: self.arguments,
            environment: self.environment,
            data_dir: self.data_dir.unwrap_or_else(|| directory.path().join("data")),
            log: directory.path().join("server.log"),
            stderr: self.stderr,
            _directory: directory,
        };
        if let Some(prepare) = self.prepare {
            prepare(&setup.data_dir).context("the data directory cannot be prepared")?;
        }
        match setup.launch(self.port).await {
            Ok((process, access)) => Ok(Server { setup, process: Some(process), access }),
            Err(error) => Err(anyhow!("{error:#}\n{}", setup.epilogue())),
        }
    }
}

impl Setup {
    fn kubeconfig(&self) -> PathBuf {
        self.data_dir.join(KUBECONFIG)
    }

    fn process_spec(&self, port: u16) -> anyhow::Result<ProcessSpec> {
        let mut arguments: Vec<OsString> = vec!["serve".into(), "--data-dir".into(), self.data_dir.clone().into()];
        arguments.extend(["--secure-port".into(), port.to_string().into()]);
        arguments.extend(self.arguments.iter().cloned());
        Ok(ProcessSpec {
            binary: self.binary.clone(),
            arguments,
            environment: self.environment.clone(),
            log: self.log.clone(),
            stderr: self.stderr.as_ref().map(OwnedFd::try_clone).transpose()?,
        })
    }

    /// Starts a process and waits until it is ready. Retries if the port is in use, because another connection may have taken it
    /// between two starts.
    async fn launch(&self, port: u16) -> anyhow::Result<(Process, Access)> {
        let start = Instant::now();
        loop {
            let logged = fs::metadata(&self.log).map_or(0, |log| log.len());
            match self.launch_once(port, start).await {
                Err(_) if port != 0 && start.elapsed() < START_DEADLINE && self.port_was_taken(logged) => {
                    tokio::time::sleep(POLL_INTERVAL).await;
                }
                result => return result,
            }
        }
    }

    async fn launch_once(&self, port: u16, start: Instant) -> anyhow::Result<(Process, Access)> {
        // The kubeconfig of an earlier start may contain another port, so wait until this process has replaced it.
        let earlier = identity(&self.kubeconfig());
        let mut process = Process::start(&self.process_spec(port)?)?;
        loop {
            if identity(&self.kubeconfig()).is_some_and(|now| Some(now) != earlier) {
                break;
            }
            still_starting(&mut process, start).context("the server wrote no kubeconfig")?;
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        let http = Http::admin(&self.kubeconfig())?;
        loop {
            let left = START_DEADLINE.saturating_sub(start.elapsed());
            let probe = Request::get("/readyz").body(Bytes::new())?;
            let answer = tokio::time::timeout(left, http.send(probe)).await.context("no answer").flatten();
            match not_ready(answer) {
                None => return Ok((process, self.access().await?)),
                Some(reason) => still_starting(&mut process, start).context(reason)?,
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    async fn access(&self) -> anyhow::Result<Access> {
        let kubeconfig = Kubeconfig::read_from(self.kubeconfig())?;
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        // A test must see every response, so the client does not retry.
        config.default_retry = false;
        // The server is on this machine, so a proxy of the developer's environment is not used.
        config.proxy_url = None;
        let port = config.cluster_url.port_u16().context("the kubeconfig names no port")?;
        Ok(Access { port, config })
    }

    fn port_was_taken(&self, logged_before: u64) -> bool {
        let log = fs::read(&self.log).unwrap_or_default();
        let fresh = log.get(usize::try_from(logged_before).unwrap_or(0)..).unwrap_or_default();
        String::from_utf8_lossy(fresh).to_lowercase().contains("address already in use")
    }

    fn fail(&self, error: &anyhow::Error) -> ! {
        panic!("{error:#}\n{}", self.epilogue())
    }

    fn epilogue(&self) -> String {
        format!("--- the end of the server's log ---\n{}\n---", tail(&self.log))
    }
}

/// Returns the identity of the file at a path. It changes if the file is replaced by a rename.
fn identity(path: &Path) -> Option<(u64, i64, i64)> {
    let of = |file: Metadata| (file.ino(), file.mtime(), file.mtime_nsec());
    fs::metadata(path).ok().map(of)
}

fn still_starting(process: &mut Process, start: Instant) -> anyhow::Result<()> {
    if let Some(status) = process.ended()? {
        bail!("the server ended with {status}");
    }
    if start.elapsed() > START_DEADLINE {
        bail!("the server is not ready after {START_DEADLINE:?}");
    }
    Ok(())
}

fn not_ready(answer: anyhow::Result<Answer>) -> Option<String> {
    match answer {
        Ok(answer) if answer.status == StatusCode::OK => None,
        Ok(answer) => Some(format!("/readyz returned {}: {}", answer.status, answer.text())),
        Err(error) => Some(format!("/readyz failed: {error:#}")),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn script(directory: &Path, text: &str) -> PathBuf {
        let path = directory.join("ipam");
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    #[tokio::test]
    async fn start_error_contains_exit_status_and_log() {
        let directory = tempfile::tempdir().unwrap();
        let binary = script(directory.path(), "echo \"arguments: $1 $4 $5 $6\"; echo 'no such disk' >&2; exit 3");
        let error = Server::builder(&binary).argument("--extra").try_start().await.err().unwrap().to_string();
        for part in ["exit status: 3", "no such disk", "arguments: serve --secure-port 0 --extra"] {
            assert!(error.contains(part), "{part} is missing in {error}");
        }
    }

    #[tokio::test]
    async fn start_is_retried_while_port_is_in_use() {
        let directory = tempfile::tempdir().unwrap();
        let binary = script(
            directory.path(),
            "if [ -e \"$0.second\" ]; then echo 'another trouble'; exit 4; fi; touch \"$0.second\"; \
             echo 'Address already in use (os error 98)'; exit 1",
        );
        let error = Server::builder(&binary).port(1).try_start().await.err().unwrap().to_string();
        assert!(error.contains("exit status: 4"), "{error}");
    }

    #[tokio::test]
    async fn start_ignores_kubeconfig_of_earlier_server() {
        let (directory, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(data.path().join(KUBECONFIG), "stale").unwrap();
        let binary = script(directory.path(), "sleep 0.2; exit 5");
        let error = Server::builder(&binary).data_dir(data.path()).try_start().await.err().unwrap().to_string();
        assert!(error.contains("wrote no kubeconfig") && error.contains("exit status: 5"), "{error}");
    }
}
