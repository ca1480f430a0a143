//! Tests of the HTTP client against a small server that returns its requests.

use std::{net::SocketAddr, path::PathBuf};

use hyper::service::service_fn;
use hyper_util::server::conn::auto;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls::server::WebPkiClientVerifier;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;

struct Echo {
    kubeconfig: PathBuf,
    _directory: TempDir,
}

/// Starts a server that responds to every request with the request's method, URI, version and body.
async fn echo() -> Echo {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let issue = |usage| {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        params.extended_key_usages = vec![usage];
        (params.signed_by(&key, &authority).unwrap(), key)
    };
    let (serving, serving_key) = issue(ExtendedKeyUsagePurpose::ServerAuth);
    let (admin, admin_key) = issue(ExtendedKeyUsagePurpose::ClientAuth);

    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let verifier = verifier.allow_unauthenticated().build().unwrap();
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![serving.der().clone()], PrivateKeyDer::try_from(serving_key.serialize_der()).unwrap())
        .unwrap();
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];

    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(accept(socket, TlsAcceptor::from(Arc::new(tls))));

    let directory = tempfile::tempdir().unwrap();
    let kubeconfig = directory.path().join("kubeconfig");
    std::fs::write(&kubeconfig, kubeconfig_text(address, &authority.pem(), &admin.pem(), &admin_key.serialize_pem()))
        .unwrap();
    Echo { kubeconfig, _directory: directory }
}

fn kubeconfig_text(address: SocketAddr, authority: &str, certificate: &str, key: &str) -> String {
    let [authority, certificate, key] = [authority, certificate, key].map(|pem| STANDARD.encode(pem));
    format!(
        "clusters:\n- cluster: {{server: \"https://{address}\", certificate-authority-data: {authority}}}\n\
         users:\n- user: {{client-certificate-data: {certificate}, client-key-data: {key}}}\n"
    )
}

async fn accept(socket: TcpListener, acceptor: TlsAcceptor) {
    loop {
        let (stream, _) = socket.accept().await.unwrap();
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else {
                return;
            };
            let known = stream.get_ref().1.peer_certificates().is_some();
            let service = service_fn(move |request| respond(request, known));
            let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn respond(request: Request<Incoming>, known: bool) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let line = format!("{} {} {:?} known={known}\n", request.method(), request.uri(), request.version());
    let repeated = request.headers().get_all("x-twice").iter().count();
    let body = request.into_body().collect().await?.to_bytes();
    let text = [line.as_bytes(), &body, b"\n"].concat();
    let response = Response::builder().status(418).header("x-repeated", repeated);
    Ok(response.body(Full::from(text)).unwrap())
}

#[tokio::test]
async fn request_arrives_unchanged() {
    let echo = echo().await;
    let http = Http::admin(&echo.kubeconfig).unwrap();
    let request = Request::put("/a%2Fb?x=%00&y").header("x-twice", "1").header("x-twice", "2");
    let answer = http.send(request.body("\u{0}body").unwrap()).await.unwrap();
    assert_eq!(answer.status, 418);
    assert_eq!(answer.header("x-repeated"), Some("2"));
    assert_eq!(answer.text(), "PUT /a%2Fb?x=%00&y HTTP/1.1 known=true\n\u{0}body\n");
    assert!(answer.json().is_err());
}

#[tokio::test]
async fn anonymous_client_and_http2_work() {
    let echo = echo().await;
    let http = Http::anonymous(&echo.kubeconfig).unwrap();
    assert_eq!(http.get("/a").await.unwrap().text(), "GET /a HTTP/1.1 known=false\n\n");
    let answer = http.over_http2().send_json(Method::POST, "/a", &serde_json::json!([1])).await.unwrap();
    let (line, body) = answer.text().split_once('\n').map(|(line, body)| (line.to_owned(), body.to_owned())).unwrap();
    assert!(line.ends_with("/a HTTP/2.0 known=false"), "{line}");
    assert_eq!(body, "[1]\n");
}

#[tokio::test]
async fn streamed_response_is_read_line_by_line() {
    let echo = echo().await;
    let http = Http::admin(&echo.kubeconfig).unwrap();
    let mut stream = http.open(Request::post("/watch").body("one\ntwo").unwrap()).await.unwrap();
    let deadline = Duration::from_secs(30);
    assert_eq!(stream.status, 418);
    for expected in ["POST /watch HTTP/1.1 known=true", "one", "two"] {
        assert_eq!(stream.line(deadline).await.unwrap().unwrap(), expected);
    }
    assert_eq!(stream.line(deadline).await.unwrap(), None);
}

#[tokio::test]
async fn bytes_that_are_not_http_can_be_sent() {
    let echo = echo().await;
    let http = Http::admin(&echo.kubeconfig).unwrap();
    let answer = http.send_bytes(b"junk that is no HTTP\r\n\r\n").await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 400"), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test]
async fn unreachable_server_is_an_error() {
    let echo = echo().await;
    let text = std::fs::read_to_string(&echo.kubeconfig).unwrap();
    let other = tempfile::NamedTempFile::new().unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let start = text.find("https://").unwrap();
    let end = start + text[start..].find('"').unwrap();
    std::fs::write(other.path(), format!("{}https://{closed}{}", &text[..start], &text[end..])).unwrap();
    let error = Http::admin(other.path()).unwrap().get("/").await.unwrap_err();
    assert!(format!("{error:#}").contains("cannot connect"), "{error:#}");
}
