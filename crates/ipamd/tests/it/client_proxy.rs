//! The command-line client with proxies from environment variables and from the kubeconfig.

use std::{
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::Output,
    sync::{Arc, Mutex},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustls::ServerConfig;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use tempfile::TempDir;
use testkit::{Server, pool};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

use crate::support::{BINARY, ServerFixture};

/// A host name that only the proxy resolves.
const HOST: &str = "ipam.invalid:6443";

/// A proxy that forwards every connection to one server and ignores the host that the client requests.
struct Proxy {
    port: u16,
    asked: Asked,
}

/// The lines of the proxy request of each connection.
type Asked = Arc<Mutex<Vec<Vec<String>>>>;

#[derive(Clone, Copy, Debug)]
enum Kind {
    Connect,
    ConnectOverTls,
    Socks5,
}

impl Kind {
    fn scheme(self) -> &'static str {
        match self {
            Self::Connect => "http",
            Self::ConnectOverTls => "https",
            Self::Socks5 => "socks5",
        }
    }
}

impl Proxy {
    async fn start(kind: Kind, server: &Server) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let (port, asked) = (listener.local_addr().unwrap().port(), Asked::default());
        let (record, target, tls) = (Arc::clone(&asked), server.port(), acceptor(server));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (record, tls) = (Arc::clone(&record), tls.clone());
                tokio::spawn(async move {
                    match kind {
                        Kind::Connect => connect(stream, target, &record).await,
                        Kind::ConnectOverTls => connect(tls.accept(stream).await.unwrap(), target, &record).await,
                        Kind::Socks5 => socks(stream, target, &record).await,
                    }
                });
            }
        });
        Self { port, asked }
    }

    fn url(&self, kind: Kind, credential: &str) -> String {
        format!("{}://{credential}127.0.0.1:{}", kind.scheme(), self.port)
    }

    /// Asserts that there was a connection since the last call, and that each one requested `expected`. A client opens
    /// a second connection if it sends its next request before the first one is idle.
    #[track_caller]
    fn assert_asked(&self, expected: &[String]) {
        let asked = std::mem::take(&mut *self.asked.lock().unwrap());
        assert!(!asked.is_empty() && asked.iter().all(|lines| lines == expected), "{asked:?} instead of {expected:?}");
    }
}

/// A TLS acceptor with the server's own certificate, which the client already trusts.
fn acceptor(server: &Server) -> TlsAcceptor {
    testkit::install_crypto();
    let read = |name: &str| fs::read(server.data_dir().join("pki").join(name)).unwrap();
    let chain = vec![CertificateDer::from_pem_slice(&read("serving.crt")).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(&read("serving.key")).unwrap();
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// Serves one `CONNECT host:port HTTP/1.1` and records its lines.
async fn connect(mut client: impl AsyncRead + AsyncWrite + Unpin, target: u16, record: &Asked) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    record.lock().unwrap().push(head.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect());
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
    forward(client, target).await;
}

/// Serves one SOCKS5 request (RFC 1928) for a domain name with user and password (RFC 1929), and records it.
async fn socks(mut client: TcpStream, target: u16, record: &Asked) {
    assert_eq!(client.read_u8().await.unwrap(), 5);
    let methods = text(&mut client).await;
    assert!(methods.contains('\u{2}'), "a user and a password are offered");
    client.write_all(&[5, 2]).await.unwrap();
    assert_eq!(client.read_u8().await.unwrap(), 1);
    let (user, password) = (text(&mut client).await, text(&mut client).await);
    client.write_all(&[1, 0]).await.unwrap();
    let mut head = [0; 4];
    client.read_exact(&mut head).await.unwrap();
    assert_eq!(head, [5, 1, 0, 3], "a connection to a name");
    let (name, port) = (text(&mut client).await, client.read_u16().await.unwrap());
    record.lock().unwrap().push(vec![format!("{user} {password} {name}:{port}")]);
    client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await.unwrap();
    forward(client, target).await;
}

/// Reads a length byte, and then that number of bytes.
async fn text(client: &mut TcpStream) -> String {
    let mut bytes = vec![0; client.read_u8().await.unwrap().into()];
    client.read_exact(&mut bytes).await.unwrap();
    String::from_utf8(bytes).unwrap()
}

async fn forward(mut client: impl AsyncRead + AsyncWrite + Unpin, target: u16) {
    let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).await.unwrap();
    // The client closes the connection without a TLS close_notify.
    let _ = copy_bidirectional(&mut client, &mut server).await;
}

/// Writes the administrator's kubeconfig with [`HOST`] as its server and `cluster` added to its cluster entry.
fn kubeconfig(directory: &TempDir, front: &ServerFixture, cluster: &str) -> PathBuf {
    let text = fs::read_to_string(front.server.kubeconfig_path()).unwrap();
    let own = format!("server: {}", front.server.url());
    assert!(text.contains(&own), "{text}");
    let path = directory.path().join("kubeconfig");
    let server = format!("server: https://{HOST}\n    tls-server-name: localhost");
    fs::write(&path, text.replace(&own, &format!("{server}{cluster}"))).unwrap();
    path
}

async fn get_pools(kubeconfig: &Path, environment: &[(&str, &str)]) -> Output {
    let mut ipam = testkit::command(BINARY.as_ref());
    for name in ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy"] {
        ipam.env_remove(name);
    }
    ipam.arg("--kubeconfig").arg(kubeconfig).args(["get", "ippools"]).envs(environment.iter().copied());
    tokio::process::Command::from(ipam).kill_on_drop(true).output().await.unwrap()
}

#[track_caller]
fn assert_shows_the_pool(output: &Output, case: &str) {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.contains("10.0.0.0/16"), "{case}: {out}{err}");
}

async fn front() -> ServerFixture {
    let front = ServerFixture::to(Server::start(BINARY.as_ref()).await);
    front.pool(pool("root").cidr("10.0.0.0/16")).await;
    front
}

#[tokio::test]
async fn client_reaches_local_server_without_environment_proxy() {
    let front = front().await;
    let unreachable = "http://127.0.0.1:9";
    for environment in [
        &[("HTTPS_PROXY", unreachable), ("NO_PROXY", "127.0.0.1")][..],
        &[("HTTPS_PROXY", unreachable)],
        &[("https_proxy", unreachable), ("no_proxy", "a, ,b/c,")],
        &[("HTTPS_PROXY", "http://a b")],
    ] {
        let output = get_pools(&front.server.kubeconfig_path(), environment).await;
        assert_shows_the_pool(&output, &format!("{environment:?}"));
    }
}

#[tokio::test]
async fn client_reaches_server_through_every_kind_of_proxy() {
    let (front, directory) = (front().await, tempfile::tempdir().unwrap());
    let credential = STANDARD.encode("jane:p@ss");
    for kind in [Kind::Connect, Kind::ConnectOverTls, Kind::Socks5] {
        let proxy = Proxy::start(kind, &front.server).await;
        let expected = match kind {
            Kind::Socks5 => vec![format!("jane p@ss {HOST}")],
            Kind::Connect | Kind::ConnectOverTls => vec![
                format!("CONNECT {HOST} HTTP/1.1"),
                format!("Host: {HOST}"),
                format!("Proxy-Authorization: Basic {credential}"),
            ],
        };
        let url = proxy.url(kind, "jane:p%40ss@");
        let plain = kubeconfig(&directory, &front, "");
        assert_shows_the_pool(&get_pools(&plain, &[("HTTPS_PROXY", &url)]).await, &url);
        proxy.assert_asked(&expected);
        // The proxy of the kubeconfig has precedence over the environment, and NO_PROXY does not apply to it.
        let named = kubeconfig(&directory, &front, &format!("\n    proxy-url: {url}"));
        let environment = [("HTTPS_PROXY", "http://127.0.0.1:9"), ("NO_PROXY", "*,,")];
        assert_shows_the_pool(&get_pools(&named, &environment).await, &url);
        proxy.assert_asked(&expected);
    }
}

#[tokio::test]
async fn proxy_error_names_proxy_without_credentials() {
    let (front, directory) = (front().await, tempfile::tempdir().unwrap());
    let plain = kubeconfig(&directory, &front, "");
    let output = get_pools(&plain, &[("HTTPS_PROXY", "http://jane:s3cret@127.0.0.1:9")]).await;
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("(through the proxy http://127.0.0.1:9)") && !said.contains("s3cret"), "{said}");

    let unknown = kubeconfig(&directory, &front, "\n    proxy-url: ftp://127.0.0.1");
    let output = get_pools(&unknown, &[]).await;
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("http://, https:// or socks5://"), "{said}");
}
