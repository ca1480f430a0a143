//! The measured processes: the real server and the null server.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::Context;
use ipamd::credentials::{self, ServingNames};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use tokio_rustls::TlsConnector;

use crate::null;

/// A running server.
pub struct Process {
    child: Child,
    port: u16,
    tls: TlsConnector,
}

impl Process {
    /// Starts the real server on the embedded store in `directory`, and waits until it is ready.
    pub async fn ipam(directory: &Path) -> anyhow::Result<Self> {
        Self::serve(directory, &[]).await
    }

    /// Starts the real server on a database, with its credentials in `directory`, and waits until it is ready.
    pub async fn on_postgres(directory: &Path, dsn: &str) -> anyhow::Result<Self> {
        Self::serve(directory, &["--postgres-dsn", dsn]).await
    }

    async fn serve(directory: &Path, arguments: &[&str]) -> anyhow::Result<Self> {
        let kubeconfig = directory.join("admin.kubeconfig");
        drop(std::fs::remove_file(&kubeconfig));
        let mut command = Command::new(env!("CARGO_BIN_EXE_ipam"));
        command
            .args(["serve", "--secure-port", "0", "--log-level", "warn", "--data-dir"])
            .arg(directory)
            .args(arguments);
        let child = command.stdin(Stdio::null()).spawn()?;
        let text = wait_for_file(&kubeconfig).await?;
        let port = text.lines().find_map(|line| line.trim().strip_prefix("server: https://127.0.0.1:"));
        let port = port.context("the kubeconfig names no port")?.parse()?;
        let process = Self { child, port, tls: connector(directory)? };
        process.wait_until_ready().await?;
        Ok(process)
    }

    /// Starts the null server with the credentials in `directory`.
    pub async fn null(directory: &Path) -> anyhow::Result<Self> {
        let child =
            Command::new(std::env::current_exe()?).env(null::DIRECTORY, directory).stdin(Stdio::null()).spawn()?;
        let port = wait_for_file(&directory.join(null::PORT_FILE)).await?.parse()?;
        Ok(Self { child, port, tls: connector(directory)? })
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// TLS with the administrator's certificate.
    pub fn connector(&self) -> &TlsConnector {
        &self.tls
    }

    /// Returns the resident memory of the process, in MiB.
    pub fn resident_mib(&self) -> anyhow::Result<u64> {
        self.memory_mib("VmRSS:")
    }

    /// Returns the peak of the resident memory since [`Process::forget_peak`], in MiB.
    pub fn peak_mib(&self) -> anyhow::Result<u64> {
        self.memory_mib("VmHWM:")
    }

    /// Resets the peak of the resident memory. Returns the present resident memory, in MiB.
    pub fn forget_peak(&self) -> anyhow::Result<u64> {
        std::fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5")?;
        self.resident_mib()
    }

    fn memory_mib(&self, name: &str) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find(|line| line.starts_with(name)).with_context(|| format!("no {name}"))?;
        Ok(line.split_whitespace().nth(1).context("no number")?.parse::<u64>()? / 1024)
    }

    /// Waits until the background work after the start is done: the server reads the owner references of all objects.
    pub async fn wait_until_idle(&self) -> anyhow::Result<()> {
        let mut before = 0;
        loop {
            let used = self.ticks_used()?;
            if used - before <= 1 {
                return Ok(());
            }
            before = used;
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// Returns the CPU time that the process has used, in clock ticks of the kernel (10 ms).
    fn ticks_used(&self) -> anyhow::Result<u64> {
        let line = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let (_, fields) = line.rsplit_once(')').context("no name")?;
        // `utime` and `stime`, fields 14 and 15 of proc_pid_stat(5); the first two fields are cut off.
        let used = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
        Ok(used.sum::<Result<u64, _>>()?)
    }

    async fn wait_until_ready(&self) -> anyhow::Result<()> {
        let deadline = std::time::Instant::now() + Duration::from_mins(2);
        while crate::load::Client::connect(self).await?.get("/readyz").await? != 200 {
            anyhow::ensure!(std::time::Instant::now() < deadline, "the server does not become ready");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

async fn wait_for_file(path: &Path) -> anyhow::Result<String> {
    let deadline = std::time::Instant::now() + Duration::from_mins(1);
    loop {
        match std::fs::read_to_string(path) {
            Ok(text) if !text.is_empty() => return Ok(text),
            _ => anyhow::ensure!(std::time::Instant::now() < deadline, "{} does not appear", path.display()),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The name in the certificates of both servers.
pub fn server_name() -> ServerName<'static> {
    ServerName::IpAddress(std::net::Ipv4Addr::LOCALHOST.into())
}

/// Returns a TLS connector with the credentials that both servers were started with. Reading them again does not change them.
pub fn connector(directory: &Path) -> anyhow::Result<TlsConnector> {
    let credentials = read_credentials(directory)?;
    let mut roots = RootCertStore::empty();
    roots.add(credentials.ca_der)?;
    let chain = CertificateDer::pem_slice_iter(credentials.admin_cert_pem.as_bytes()).collect::<Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(credentials.admin_key_pem.as_bytes())?;
    let config = ClientConfig::builder().with_root_certificates(roots).with_client_auth_cert(chain, key)?;
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Reads the credentials in `directory`; creates them if they do not exist.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures in real time")]
pub fn read_credentials(directory: &Path) -> anyhow::Result<credentials::Credentials> {
    let names = ServingNames::new([127, 0, 0, 1].into(), credentials::hostname().as_deref(), &[]);
    credentials::ensure(directory, &names, SystemTime::now().into())
}
