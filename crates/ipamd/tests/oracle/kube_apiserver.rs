//! A kube-apiserver and its etcd, on free ports and in a temporary directory.

use std::{
    fs::{self, File},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http::Request;
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    pki::{HOST, Pki},
    wire::{Access, Client},
};

const START_DEADLINE: Duration = Duration::from_mins(3);
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// The two processes. Dropping it stops them.
pub struct KubeApiserver {
    /// The client of the server.
    pub client: Client,
    _server: Process,
    _store: Process,
    _directory: TempDir,
}

/// The paths of the two programs.
pub struct Programs {
    /// kube-apiserver.
    pub server: PathBuf,
    /// etcd.
    pub store: PathBuf,
}

/// A program under a shell that kills it when the shell's standard input is closed, and so also when this process ends in any way.
struct Process(Child);

/// The shell script. Its arguments are the program and the arguments of the program.
const KEEPER: &str =
    r#"exec 3<&0; "$@" 3<&- & program=$!; (read -r _ <&3; kill -9 "$program") 2>/dev/null & wait "$program""#;

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        // An error means that the process has ended already.
        let _ = self.0.wait();
    }
}

impl KubeApiserver {
    /// Starts both and waits until they serve.
    pub async fn start(programs: &Programs, pki: &Pki) -> anyhow::Result<Self> {
        let directory = TempDir::with_prefix("ipam-oracle-")?;
        let at = directory.path();
        let [store_port, peer_port, port] = free_ports()?;
        let store = format!("http://127.0.0.1:{store_port}");
        let peer = format!("http://127.0.0.1:{peer_port}");
        let arguments = [
            format!("--data-dir={}", at.join("etcd").display()),
            format!("--listen-client-urls={store}"),
            format!("--advertise-client-urls={store}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
            format!("--initial-cluster=default={peer}"),
            // The data is not needed after the run.
            "--unsafe-no-fsync".to_owned(),
        ];
        let store_process = start(&programs.store, &arguments, &at.join("etcd.log"))?;
        let server_process = start(&programs.server, &server_arguments(at, pki, &store, port)?, &log(at))?;
        let mut server_process = server_process;
        let client = ready(pki, port, &mut server_process, &log(at)).await?;
        Ok(Self { client, _server: server_process, _store: store_process, _directory: directory })
    }

    /// Installs a CRD and waits until its resource is served.
    pub async fn install(&self, crd: &Value, collection: &str) -> anyhow::Result<()> {
        let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
        let request = Request::post(path).header("content-type", "application/json");
        let answer = self.client.send(request.body(Bytes::from(crd.to_string()))?).await?;
        anyhow::ensure!(answer.code == 201, "the CRD is rejected: {}", answer.json());
        let started = Instant::now();
        while self.client.send(Request::get(collection).body(Bytes::new())?).await?.code != 200 {
            anyhow::ensure!(started.elapsed() < START_DEADLINE, "{collection} is not served");
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        // kube-apiserver replaces the handler of the CRD once more when its names are accepted.
        tokio::time::sleep(Duration::from_secs(2)).await;
        Ok(())
    }
}

fn server_arguments(at: &Path, pki: &Pki, store: &str, port: u16) -> anyhow::Result<Vec<String>> {
    let file = |name: &str, text: &str| {
        let path = at.join(name);
        fs::write(&path, text)?;
        anyhow::Ok(path.display().to_string())
    };
    let key = file("server.key", &pki.server.key_pem)?;
    let certificate = file("server.crt", &pki.server.certificate_pem)?;
    Ok(vec![
        format!("--etcd-servers={store}"),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--secure-port={port}"),
        format!("--cert-dir={}", at.display()),
        format!("--tls-cert-file={certificate}"),
        format!("--tls-private-key-file={key}"),
        format!("--client-ca-file={}", file("ca.crt", &pki.authority.certificate_pem)?),
        format!("--service-account-issuer=https://{HOST}"),
        format!("--service-account-key-file={certificate}"),
        format!("--service-account-signing-key-file={key}"),
        "--authorization-mode=RBAC".to_owned(),
        "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
        "--profiling=false".to_owned(),
    ])
}

fn log(at: &Path) -> PathBuf {
    at.join("kube-apiserver.log")
}

fn start(program: &Path, arguments: &[String], log: &Path) -> anyhow::Result<Process> {
    let output = File::create(log)?;
    let child = Command::new("sh")
        .args(["-c", KEEPER, "sh"])
        .arg(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    Ok(Process(child))
}

async fn ready(pki: &Pki, port: u16, process: &mut Process, log: &Path) -> anyhow::Result<Client> {
    let started = Instant::now();
    loop {
        let access = Access {
            host: HOST.to_owned(),
            port,
            authority: pki.authority.certificate.clone(),
            client: (pki.client.certificate.clone(), pki.client.key()),
        };
        let probe = async {
            let client = Client::connect(access).await?;
            let answer = client.send(Request::get("/readyz").body(Bytes::new())?).await?;
            anyhow::ensure!(answer.code == 200, "{}", answer.json());
            anyhow::Ok(client)
        };
        let error = match probe.await {
            Ok(client) => return Ok(client),
            Err(error) => error,
        };
        let ended = process.0.try_wait()?;
        if ended.is_some() || started.elapsed() > START_DEADLINE {
            let text = fs::read_to_string(log).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            bail!("{error:#}\n{}", lines[lines.len().saturating_sub(30)..].join("\n"));
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

fn free_ports() -> anyhow::Result<[u16; 3]> {
    let sockets =
        [TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?];
    let mut ports = [0; 3];
    for (port, socket) in ports.iter_mut().zip(&sockets) {
        *port = socket.local_addr()?.port();
    }
    Ok(ports)
}
