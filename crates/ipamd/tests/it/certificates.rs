//! Serving certificates, client CAs and token files that change while the server runs.

use std::{fs, net::Ipv4Addr, path::PathBuf, sync::Arc};

use aws_lc_rs::encoding::{AsDer as _, EcPrivateKeyRfc5915Der};
use base64::{Engine as _, engine::general_purpose::STANDARD};
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

use crate::support::{BINARY, POOLS, ServerFixture, TIMEOUT};

/// The host name in certificates that the server did not create.
const HOST: &str = "ipam.example.org";
const WHOAMI: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";

/// A certificate authority other than the server's.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate and its private key, as PEM.
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

/// The certificate of the CA that a server created for itself.
fn own_authority(server: &Server) -> CertificateDer<'static> {
    der(&fs::read_to_string(server.data_dir().join("pki/ca.crt")).unwrap())
}

/// Does a TLS handshake that trusts only this CA, with `name` as SNI.
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

/// Returns the certificate that the server sends to a client that trusts this CA and sends `name` as SNI.
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

    /// The user name in the response of SelfSubjectReview; `None` if authentication fails.
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

/// The user that the server sees for this client certificate; `None` if it rejects the certificate.
async fn user_of(server: &Server, pair: &Pair) -> Option<String> {
    let stream = handshake(server, own_authority(server), "localhost", Some(pair)).await.ok()?;
    Connection::open(stream).await.whoami(None).await
}

/// Polls the condition until it is true; panics after `TIMEOUT`.
async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !is_so().await {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(TIMEOUT, wait).await.unwrap_or_else(|_| panic!("not within {TIMEOUT:?}: {what}"));
}

/// The value of the metric whose line starts with `name`; 0 if there is none.
async fn metric(front: &ServerFixture, name: &str) -> f64 {
    let text = front.get("/metrics").await.text();
    text.lines().find_map(|line| line.strip_prefix(name)).map_or(0.0, |value| value.trim().parse().unwrap())
}

fn file(directory: &TempDir, name: &str, contents: &str) -> PathBuf {
    let path = directory.path().join(name);
    fs::write(&path, contents).unwrap();
    path
}

#[tokio::test]
async fn serving_certificate_files_are_reloaded() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new("elsewhere");
    let (first, second) = (authority.certify(&[HOST], "first"), authority.certify(&[HOST], "second"));
    let certificate = file(&directory, "tls.crt", &first.certificate);
    let key = file(&directory, "tls.key", &first.key);
    let server = Server::builder(BINARY.as_ref()).argument("--tls-cert-file").argument(&certificate);
    let front = ServerFixture::to(server.argument("--tls-private-key-file").argument(&key).start().await);
    let shown = async |name: &str| shown(&front.server, authority.der(), name).await;
    assert_eq!(shown(HOST).await, Some(der(&first.certificate)));
    assert_eq!(shown("localhost").await, None, "the server's own certificate is only for its own names");
    front.pool(pool("root").cidr("10.0.0.0/8")).await;

    fs::write(&certificate, &second.certificate).unwrap();
    let failures = "ipam_file_reloads_total{files=\"certificate\",result=\"failure\"}";
    eventually("a certificate without its key is counted", async || metric(&front, failures).await >= 2.0).await;
    assert_eq!(shown(HOST).await, Some(der(&first.certificate)), "the pair from before stays in use");
    assert_eq!(front.server.log().matches("cannot be used together").count(), 1, "it is logged once");
    assert_eq!(front.get("/readyz").await.status, 200);

    fs::write(&key, &second.key).unwrap();
    eventually("the new pair is shown", async || shown(HOST).await == Some(der(&second.certificate))).await;
    assert_eq!(front.block(claim("a").pool("root").length(24)).await, "10.0.0.0/24", "open connections continue");
    fs::remove_file(&key).unwrap();
    eventually("a missing key is counted", async || front.server.log().contains("tls.key: No such file")).await;
    assert_eq!(shown(HOST).await, Some(der(&second.certificate)));
}

#[tokio::test]
async fn mismatched_certificate_and_key_stop_the_start() {
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
async fn tls_san_names_are_in_the_self_signed_certificate() {
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
async fn client_ca_file_is_reloaded() {
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
    assert_eq!(
        ServerFixture::to(server).get(POOLS).await.status,
        200,
        "the administrator's authority is the server's own"
    );
}

#[tokio::test]
async fn token_file_is_reloaded() {
    let directory = tempfile::tempdir().unwrap();
    let tokens = file(&directory, "tokens.csv", "s3cret,jane,1\n");
    let server = Server::builder(BINARY.as_ref()).argument("--token-auth-file").argument(&tokens).start().await;
    let front = ServerFixture::to(server);
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
    eventually("a removed token is rejected", on_the_same_connection).await;
    assert_eq!(connection.whoami(Some("other")).await.as_deref(), Some("joe"));
}

/// Reads a file in the server's `pki` directory.
fn pki(server: &Server, name: &str) -> String {
    fs::read_to_string(server.data_dir().join("pki").join(name)).unwrap()
}

/// Decodes a kubeconfig field, which is base64 on one line.
fn kubeconfig_data(kubeconfig: &str, field: &str) -> String {
    let line = kubeconfig.lines().find_map(|line| line.trim().strip_prefix(&format!("{field}: "))).unwrap();
    String::from_utf8(STANDARD.decode(line).unwrap()).unwrap()
}

/// Asserts that the key is SEC1 and includes its curve and its public key, which some libraries do not compute.
#[track_caller]
fn assert_sec1(pem: &str, what: &str) {
    let lines: Vec<_> = pem.split('\n').collect();
    assert_eq!((lines[0], lines[lines.len() - 1]), ("-----BEGIN EC PRIVATE KEY-----", ""), "{what}");
    assert!(lines.iter().all(|line| line.len() <= 64 && !line.ends_with('\r')), "{what}");
    let PrivateKeyDer::Sec1(key) = PrivateKeyDer::from_pem_slice(pem.as_bytes()).unwrap() else {
        panic!("{what} is no SEC1")
    };
    let der = key.secret_sec1_der();
    let has = |part: &[u8]| der.windows(part.len()).any(|window| window == part);
    assert!(has(b"\xa0\x0a\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"), "{what} does not say prime256v1");
    assert!(has(b"\xa1\x44\x03\x42\x00\x04"), "{what} has no public key");
}

#[tokio::test]
async fn generated_keys_are_sec1_pem() {
    let server = Server::start(BINARY.as_ref()).await;
    let kubeconfig = fs::read_to_string(server.kubeconfig_path()).unwrap();
    assert_sec1(&kubeconfig_data(&kubeconfig, "client-key-data"), "client-key-data");
    for name in ["ca.key", "serving.key", "admin.key"] {
        assert_sec1(&pki(&server, name), name);
    }
    assert_eq!(kubeconfig_data(&kubeconfig, "client-certificate-data"), pki(&server, "admin.crt"));
    assert_eq!(kubeconfig_data(&kubeconfig, "certificate-authority-data"), pki(&server, "ca.crt"));
    assert_eq!(server.http().get(POOLS).await.unwrap().status, 200);
}

#[tokio::test]
async fn generated_certificates_suit_old_tls_libraries() {
    let server = Server::start(BINARY.as_ref()).await;
    let now = time::OffsetDateTime::now_utc().unix_timestamp();
    for (name, subject) in
        [("ca.crt", "CN=ipam-ca"), ("serving.crt", "CN=ipam"), ("admin.crt", "O=system:masters, CN=admin")]
    {
        let text = pki(&server, name);
        assert!(text.starts_with("-----BEGIN CERTIFICATE-----\n") && !text.contains('\r'), "{name}");
        let der = der(&text);
        let (rest, certificate) = x509_parser::parse_x509_certificate(&der).unwrap();
        assert!(rest.is_empty(), "{name}");
        let serial = certificate.raw_serial();
        assert!((8..=20).contains(&serial.len()) && (1..0x80).contains(&serial[0]), "{name}: {serial:?}");
        assert_eq!(
            (certificate.subject().to_string(), certificate.issuer().to_string()),
            (subject.into(), "CN=ipam-ca".into())
        );
        let validity = certificate.validity();
        assert!(validity.not_before.is_utctime() && validity.not_after.is_utctime(), "{name}: before 2050");
        assert!(validity.not_before.timestamp() <= now - 30 * 60, "{name} is valid for clients whose clock is slow");
        assert_eq!(
            certificate.signature_algorithm.algorithm.to_id_string(),
            "1.2.840.10045.4.3.2",
            "{name}: ECDSA, SHA-256"
        );
        let constraints = certificate.basic_constraints().unwrap().unwrap();
        assert_eq!((constraints.critical, constraints.value.ca), (true, name == "ca.crt"), "{name}");
        let usage = certificate.key_usage().unwrap().unwrap();
        assert!(usage.critical && usage.value.digital_signature(), "{name}");
        assert_eq!(usage.value.key_cert_sign(), name == "ca.crt", "{name}");
        let names = certificate.subject_alternative_name().unwrap();
        assert_eq!(names.is_some_and(|names| !names.value.general_names.is_empty()), name == "serving.crt", "{name}");
    }
}

/// A key in each format that common tools write.
fn keys_of_every_form() -> Vec<(&'static str, KeyPair, String)> {
    let pem = |tag: &str, der: &[u8]| pem::encode(&pem::Pem::new(tag, der));
    let (ec, rsa) = (KeyPair::generate().unwrap(), KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap());
    let (ec_text, rsa_text) = (ec.serialize_pem(), rsa.serialize_pem());
    // Without its first 26 bytes, a PKCS #8 RSA key of 2048 bits is a PKCS #1 key.
    let pkcs1 = pem("RSA PRIVATE KEY", &rsa.serialized_der()[26..]);
    let again = |text: &str| KeyPair::from_pem(text).unwrap();
    let sec1 = format!("{}{}", pem("EC PARAMETERS", b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"), sec1(&ec));
    vec![
        ("PKCS #8, EC", again(&ec_text), ec_text),
        ("SEC1 after EC PARAMETERS", ec, sec1),
        ("PKCS #8, RSA", again(&rsa_text), rsa_text),
        ("PKCS #1", rsa, pkcs1),
    ]
}

/// A P-256 key in the format of `openssl ecparam -genkey`.
fn sec1(key: &KeyPair) -> String {
    let curve = &aws_lc_rs::signature::ECDSA_P256_SHA256_ASN1_SIGNING;
    let pair = aws_lc_rs::signature::EcdsaKeyPair::from_pkcs8(curve, key.serialized_der()).unwrap();
    let der: EcPrivateKeyRfc5915Der<'_> = pair.private_key().as_der().unwrap();
    pem::encode(&pem::Pem::new("EC PRIVATE KEY", der.as_ref()))
}

#[tokio::test]
async fn pkcs8_pkcs1_and_sec1_keys_are_accepted() {
    let server = Server::start(BINARY.as_ref()).await;
    let directory = tempfile::tempdir().unwrap();
    let kubeconfig = fs::read_to_string(server.kubeconfig_path()).unwrap();
    let own = own_authority(&server);
    let authority = KeyPair::from_pem(&pki(&server, "ca.key")).unwrap();
    for (form, key, text) in keys_of_every_form() {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "jane");
        params.distinguished_name.push(DnType::OrganizationName, "system:masters");
        let certificate = params.signed_by(&key, &Issuer::from_ca_cert_der(&own, &authority).unwrap()).unwrap().pem();
        // The client reads it as a user's key.
        let own = |field: &str| format!("{field}: {}", STANDARD.encode(kubeconfig_data(&kubeconfig, field)));
        let of_user = |field: &str, text: &str| format!("{field}: {}", STANDARD.encode(text));
        let of_jane = kubeconfig
            .replace(&own("client-certificate-data"), &of_user("client-certificate-data", &certificate))
            .replace(&own("client-key-data"), &of_user("client-key-data", &text));
        let mut ipam = testkit::command(BINARY.as_ref());
        ipam.arg("--kubeconfig").arg(file(&directory, "jane.kubeconfig", &of_jane)).args(["get", "ippools"]);
        let output = ipam.output().unwrap();
        assert!(output.status.success(), "{form}: {}", String::from_utf8_lossy(&output.stderr));
        // The server reads it as its serving key.
        let given = Server::builder(BINARY.as_ref())
            .argument("--tls-cert-file")
            .argument(file(&directory, "tls.crt", &certificate))
            .argument("--tls-private-key-file")
            .argument(file(&directory, "tls.key", &text));
        assert!(given.try_start().await.is_ok(), "{form}");
    }
}

/// The server starts with its clock in the past, when its certificates are new; then the clock moves to the present,
/// close to their expiry.
#[tokio::test]
async fn self_signed_certificates_are_renewed_at_run_time() {
    let directory = tempfile::tempdir().unwrap();
    let clock = file(&directory, "clock", "-340d");
    let server = Server::builder(BINARY.as_ref())
        .environment("LD_PRELOAD", testkit::other_clock())
        .environment("FAKETIME_TIMESTAMP_FILE", &clock)
        .environment("FAKETIME_NO_CACHE", "1")
        .environment("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    let front = ServerFixture::to(server.start().await);
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
    assert_eq!(front.block(claim("a").pool("root").length(24)).await, "10.0.0.0/24", "open connections continue");
    assert_eq!(own_authority(server), own);
}

#[tokio::test]
async fn expiring_certificate_is_logged_once_a_day() {
    let directory = tempfile::tempdir().unwrap();
    let clock = file(&directory, "clock", "+0");
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![HOST.to_owned()]).unwrap();
    let now = time::OffsetDateTime::now_utc();
    (params.not_before, params.not_after) = (now - time::Duration::days(90), now + time::Duration::days(3));
    let certificate = params.signed_by(&key, &Authority::new("elsewhere").issuer).unwrap().pem();
    let server = Server::builder(BINARY.as_ref())
        .environment("LD_PRELOAD", testkit::other_clock())
        .environment("FAKETIME_TIMESTAMP_FILE", &clock)
        .environment("FAKETIME_NO_CACHE", "1")
        .environment("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .argument("--tls-cert-file")
        .argument(file(&directory, "tls.crt", &certificate))
        .argument("--tls-private-key-file")
        .argument(file(&directory, "tls.key", &key.serialize_pem()));
    let server = server.start().await;
    let logged = |message: &str| server.log().lines().filter(|line| line.contains(message)).count();
    let soon = "a certificate expires soon and has not been replaced";
    eventually("the end is logged", async || logged(soon) == 1).await;
    assert!(server.log().lines().any(|line| line.contains(soon) && line.contains("file")), "{}", server.log());
    fs::write(&clock, "+25h").unwrap();
    eventually("it is logged again", async || logged(soon) == 2).await;
    fs::write(&clock, "+4d").unwrap();
    eventually("that it has ended is logged", async || logged("a certificate has expired") == 1).await;
    assert_eq!(logged(soon), 2, "not on every check, and only if it is not renewed");
}
