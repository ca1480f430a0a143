//! What the server shows to its clients and by what it knows them, changed while it runs.

use std::{fs, net::Ipv4Addr, path::PathBuf, sync::Arc};

use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _};
use tempfile::TempDir;
use testkit::{Server, claim, pool};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::support::{BINARY, Front, POOLS, SOON};

/// The name in certificates that come from elsewhere.
const HOST: &str = "ipam.example.org";
const WHOAMI: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";

/// An authority that is not the server's.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate and its key, as PEM.
struct Pair {
    certificate: String,
    key: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    fn certify(&self, names: &[&str], user: &str) -> Pair {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, user);
        let key = KeyPair::generate().unwrap();
        Pair { certificate: params.signed_by(&key, &self.issuer).unwrap().pem(), key: key.serialize_pem() }
    }

    fn der(&self) -> CertificateDer<'static> {
        der(&self.pem)
    }
}

fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

/// The authority that a server has made for itself.
fn own_authority(server: &Server) -> CertificateDer<'static> {
    der(&fs::read_to_string(server.data_dir().join("pki/ca.crt")).unwrap())
}

/// A handshake that trusts one authority alone and asks for `name`.
async fn handshake(
    server: &Server,
    trusted: CertificateDer<'static>,
    name: &str,
    client: Option<&Pair>,
) -> std::io::Result<TlsStream<TcpStream>> {
    testkit::install_crypto();
    let mut roots = RootCertStore::empty();
    roots.add(trusted).unwrap();
    let builder = ClientConfig::builder().with_root_certificates(roots);
    let config = match client {
        Some(Pair { certificate, key }) => {
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            builder.with_client_auth_cert(vec![der(certificate)], key).unwrap()
        }
        None => builder.with_no_client_auth(),
    };
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, server.port())).await.unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

/// The certificate that the server shows to a client that trusts this authority and asks for this name.
async fn shown(server: &Server, trusted: CertificateDer<'static>, name: &str) -> Option<CertificateDer<'static>> {
    let stream = handshake(server, trusted, name, None).await.ok()?;
    stream.get_ref().1.peer_certificates().map(|chain| chain[0].clone().into_owned())
}

/// An open connection.
struct Connection(http1::SendRequest<Full<Bytes>>);

impl Connection {
    async fn open(stream: TlsStream<TcpStream>) -> Self {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self(sender)
    }

    /// Who the server says that the caller is; `None` when it does not know.
    async fn whoami(&mut self, token: Option<&str>) -> Option<String> {
        let mut request = Request::builder().method(Method::POST).uri(WHOAMI).header("host", HOST);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let body = Full::from(r#"{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}"#);
        let answer = self.0.send_request(request.body(body).unwrap()).await.ok()?;
        if answer.status() == StatusCode::UNAUTHORIZED {
            return None;
        }
        assert_eq!(answer.status(), StatusCode::CREATED);
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let review: serde_json::Value = serde_json::from_slice(&body).unwrap();
        Some(review["status"]["userInfo"]["username"].as_str().unwrap().to_owned())
    }
}

/// Who the owner of this certificate is to the server; `None` when it is refused.
async fn user_of(server: &Server, pair: &Pair) -> Option<String> {
    let stream = handshake(server, own_authority(server), "localhost", Some(pair)).await.ok()?;
    Connection::open(stream).await.whoami(None).await
}

/// Waits until it is so.
async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !is_so().await {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(SOON, wait).await.unwrap_or_else(|_| panic!("not within {SOON:?}: {what}"));
}

/// The value of a metric, by the beginning of its line; 0 where there is none.
async fn metric(front: &Front, name: &str) -> f64 {
    let text = front.get("/metrics").await.text();
    text.lines().find_map(|line| line.strip_prefix(name)).map_or(0.0, |value| value.trim().parse().unwrap())
}

fn file(directory: &TempDir, name: &str, contents: &str) -> PathBuf {
    let path = directory.path().join(name);
    fs::write(&path, contents).unwrap();
    path
}

#[tokio::test]
async fn certificates_given_as_files_are_read_again() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new("elsewhere");
    let (first, second) = (authority.certify(&[HOST], "first"), authority.certify(&[HOST], "second"));
    let certificate = file(&directory, "tls.crt", &first.certificate);
    let key = file(&directory, "tls.key", &first.key);
    let server = Server::builder(BINARY.as_ref()).argument("--tls-cert-file").argument(&certificate);
    let front = Front::to(server.argument("--tls-private-key-file").argument(&key).start().await);
    let shown = async |name: &str| shown(&front.server, authority.der(), name).await;
    assert_eq!(shown(HOST).await, Some(der(&first.certificate)));
    assert_eq!(shown("localhost").await, None, "the server's own certificate is for its own names");
    front.pool(pool("root").cidr("10.0.0.0/8")).await;

    fs::write(&certificate, &second.certificate).unwrap();
    let failures = "ipam_file_reloads_total{files=\"certificate\",result=\"failure\"}";
    eventually("a certificate without its key is counted", async || metric(&front, failures).await >= 2.0).await;
    assert_eq!(shown(HOST).await, Some(der(&first.certificate)), "the pair from before stays in use");
    assert_eq!(front.server.log().matches("cannot be used together").count(), 1, "it is logged once");
    assert_eq!(front.get("/readyz").await.status, 200);

    fs::write(&key, &second.key).unwrap();
    eventually("the new pair is shown", async || shown(HOST).await == Some(der(&second.certificate))).await;
    assert_eq!(front.block(claim("a").pool("root").length(24)).await, "10.0.0.0/24", "open connections go on");
    fs::remove_file(&key).unwrap();
    eventually("a key that is gone is counted", async || front.server.log().contains("tls.key: No such file")).await;
    assert_eq!(shown(HOST).await, Some(der(&second.certificate)));
}

#[tokio::test]
async fn a_pair_that_does_not_belong_together_ends_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new("elsewhere");
    let (one, other) = (authority.certify(&[HOST], "one"), authority.certify(&[HOST], "other"));
    let server = Server::builder(BINARY.as_ref());
    let server = server.argument("--tls-cert-file").argument(file(&directory, "tls.crt", &one.certificate));
    let server = server.argument("--tls-private-key-file").argument(file(&directory, "tls.key", &other.key));
    let error = format!("{:#}", server.try_start().await.err().unwrap());
    assert!(error.contains("cannot be used together") && !error.contains("panicked"), "{error}");
}

#[tokio::test]
async fn more_names_are_in_the_servers_own_certificate() {
    let mut server =
        Server::builder(BINARY.as_ref()).argument("--tls-san").argument("ipam.example.net,2001:db8::7").start().await;
    for name in ["localhost", "ipam.example.net", "2001:db8::7"] {
        assert!(shown(&server, own_authority(&server), name).await.is_some(), "{name}");
    }
    assert_eq!(shown(&server, own_authority(&server), HOST).await, None);
    let before = shown(&server, own_authority(&server), "localhost").await;
    server.restart().await;
    assert_eq!(shown(&server, own_authority(&server), "localhost").await, before, "it has all of its names");
}

#[tokio::test]
async fn authorities_of_clients_are_read_again() {
    let directory = tempfile::tempdir().unwrap();
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let (jane, joe) = (old.certify(&[], "jane"), new.certify(&[], "joe"));
    let authorities = file(&directory, "clients.crt", &old.pem);
    let server = Server::builder(BINARY.as_ref()).argument("--client-ca-file").argument(&authorities).start().await;
    assert_eq!(user_of(&server, &jane).await.as_deref(), Some("jane"));
    assert_eq!(user_of(&server, &joe).await, None);
    let open = handshake(&server, own_authority(&server), "localhost", Some(&jane)).await.unwrap();
    let mut open = Connection::open(open).await;

    fs::write(&authorities, [old.pem.as_str(), &new.pem].concat()).unwrap();
    eventually("the new authority holds", async || user_of(&server, &joe).await.as_deref() == Some("joe")).await;
    assert_eq!(user_of(&server, &jane).await.as_deref(), Some("jane"));
    fs::write(&authorities, &new.pem).unwrap();
    eventually("the old authority does not hold", async || user_of(&server, &jane).await.is_none()).await;
    assert_eq!(user_of(&server, &joe).await.as_deref(), Some("joe"));
    assert_eq!(open.whoami(None).await.as_deref(), Some("jane"), "an open connection keeps its user, as upstream");
    assert_eq!(Front::to(server).get(POOLS).await.status, 200, "the administrator's authority is the server's own");
}

#[tokio::test]
async fn tokens_are_read_again() {
    let directory = tempfile::tempdir().unwrap();
    let tokens = file(&directory, "tokens.csv", "s3cret,jane,1\n");
    let server = Server::builder(BINARY.as_ref()).argument("--token-auth-file").argument(&tokens).start().await;
    let front = Front::to(server);
    let stream = handshake(&front.server, own_authority(&front.server), "localhost", None).await.unwrap();
    let mut connection = Connection::open(stream).await;
    assert_eq!(connection.whoami(Some("s3cret")).await.as_deref(), Some("jane"));

    fs::write(&tokens, "s3cret,jane\n").unwrap();
    let failures = "ipam_file_reloads_total{files=\"tokens\",result=\"failure\"}";
    eventually("a faulty file is counted", async || metric(&front, failures).await >= 2.0).await;
    assert_eq!(connection.whoami(Some("s3cret")).await.as_deref(), Some("jane"), "the tokens from before stay in use");
    let log = front.server.log();
    assert_eq!(log.matches("tokens.csv, line 1").count(), 1, "it is logged once: {log}");
    assert!(!log.contains("s3cret"), "{log}");

    fs::write(&tokens, "other,joe,2\n").unwrap();
    let on_the_same_connection = async || connection.whoami(Some("s3cret")).await.is_none();
    eventually("a token that is gone is not known", on_the_same_connection).await;
    assert_eq!(connection.whoami(Some("other")).await.as_deref(), Some("joe"));
}

/// The server starts in a past in which its certificates are new, and comes to the present, in which they end soon.
#[tokio::test]
async fn own_certificates_are_renewed_while_the_server_runs() {
    let directory = tempfile::tempdir().unwrap();
    let clock = file(&directory, "clock", "-340d");
    let server = Server::builder(BINARY.as_ref())
        .environment("LD_PRELOAD", testkit::other_clock())
        .environment("FAKETIME_TIMESTAMP_FILE", &clock)
        .environment("FAKETIME_NO_CACHE", "1")
        .environment("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    let front = Front::to(server.start().await);
    let server = &front.server;
    let (own, kubeconfig) = (own_authority(server), fs::read(server.kubeconfig_path()).unwrap());
    let shown = async || shown(server, own.clone(), "localhost").await.unwrap();
    let before = shown().await;
    let ends = "ipam_certificate_expiration_timestamp_seconds{certificate=\"own\"}";
    let end = metric(&front, ends).await;
    front.pool(pool("root").cidr("10.0.0.0/8")).await;

    fs::write(&clock, "+0").unwrap();
    eventually("the certificate is renewed", async || shown().await != before).await;
    let days = (metric(&front, ends).await - end) / 86_400.0;
    assert!((339.0..341.0).contains(&days), "it ends {days} days later");
    eventually("the kubeconfig is written", async || fs::read(server.kubeconfig_path()).unwrap() != kubeconfig).await;
    assert_eq!(server.http().get(POOLS).await.unwrap().status, 200, "with the renewed certificate");
    assert_eq!(front.get(POOLS).await.status, 200, "with the one from before, which has not ended");
    assert_eq!(front.block(claim("a").pool("root").length(24)).await, "10.0.0.0/24", "open connections go on");
    assert_eq!(own_authority(server), own);
}
