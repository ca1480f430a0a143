//! A whole server on a free port, and a client that shows the responses as received.

use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use apiserver::{
    authentication::TokenFile,
    entropy::RandomSource,
    limits::Limits,
    serve::Listener,
    server::Server,
    supervisor::{Supervisor, TaskEnds},
    tls::{ServingCertificate, Tls, TlsMaterial},
};
use apiserver_standalone::Standalone;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::sync::CancellationToken;

use crate::{
    fault_injecting_store::FaultInjectingStore,
    sample_kinds::{self, BOOKS, SampleState, book, shelf},
};

/// The timeout of every wait, longer than the server's own request timeout: exceeding it is a failure.
pub const TIMEOUT: Duration = Duration::from_mins(2);

/// The interval at which a state is polled.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Advances the time of every running timer. The time is not paused afterwards, so that network transfers and new
/// timers take real time.
pub async fn advance(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

/// A server, its store and a client.
pub struct TestServer {
    pub server: Arc<Server<SampleState>>,
    pub store: FaultInjectingStore,
    pub address: SocketAddr,
    /// Stops accepting connections.
    pub stop: CancellationToken,
    pub listening: JoinHandle<()>,
    /// A client over HTTP/2, with one connection for all requests.
    pub client: Client,
    pub tasks: Supervisor,
    pub ends: TaskEnds,
}

/// The configuration of a server.
pub struct Setup {
    pub limits: Limits,
    /// The deadline of the shutdown.
    pub drain: Duration,
    /// The options of standalone mode; `None` for a server in a cluster.
    pub standalone: Option<Standalone>,
    /// The source of random bytes; `None` for that of the system.
    pub random_source: Option<RandomSource>,
    /// The contents of the token file.
    pub tokens: &'static str,
}

impl Default for Setup {
    fn default() -> Self {
        Self { limits: Limits::default(), drain: TIMEOUT, standalone: None, random_source: None, tokens: "" }
    }
}

impl Setup {
    /// A server in standalone mode.
    pub fn standalone() -> Self {
        Self { standalone: Some(Standalone::default()), ..Self::default() }
    }
}

impl TestServer {
    /// A server with a shelf `a` that is never full and, in standalone mode, the namespace `attic`.
    pub async fn open() -> Self {
        Self::set_up(Setup::default()).await
    }

    pub async fn set_up(setup: Setup) -> Self {
        let is_standalone = setup.standalone.is_some();
        let test_server = Self::starting(setup, FaultInjectingStore::new()).await;
        let test_server = test_server.restored().await;
        test_server.create("/apis/library.example.com/v1/shelves", &shelf("a", 100_000)).await;
        if is_standalone {
            test_server.make_namespace("attic").await;
        }
        test_server
    }

    pub async fn make_namespace(&self, name: &str) {
        self.create("/api/v1/namespaces", &json!({ "metadata": { "name": name } })).await;
    }

    /// A server that has not read its state yet.
    pub async fn starting(setup: Setup, store: FaultInjectingStore) -> Self {
        let (shared, registry) = (Arc::new(store.clone()), sample_kinds::registry());
        let server = match setup.standalone {
            None => Server::aggregated(shared, registry, setup.limits, "test"),
            Some(standalone) => standalone.server(shared, registry, setup.limits, "test"),
        };
        server.tokens().replace(TokenFile::parse(setup.tokens).unwrap());
        let server = Arc::new(match setup.random_source {
            Some(random_source) => server.with_random_source(random_source),
            None => server,
        });
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let stop = CancellationToken::new();
        let pki = Pki::get();
        let material = TlsMaterial {
            certificates: vec![ServingCertificate { chain: vec![pki.server.0.clone()], key: pki.server.1.clone_key() }],
            client_authorities: vec![pki.authority.clone()],
        };
        let listener = Listener {
            socket,
            tls: Arc::new(Tls::new(material).unwrap()),
            handler: Arc::clone(&server),
            metrics: server.metrics(),
            limits: setup.limits,
            stop: stop.clone(),
            drain: setup.drain,
        };
        let listening = tokio::spawn(listener.run());
        let (tasks, ends) = Supervisor::new(server.metrics());
        server.start_probing(&tasks);
        let client = Client::connect(address, true).await;
        Self { server, store, address, stop, listening, client, tasks, ends }
    }

    /// Ends the server without a graceful shutdown.
    pub fn kill(self) {
        self.stop.cancel();
        self.listening.abort();
    }

    /// Reads the state.
    pub async fn restored(self) -> Self {
        self.server.restore(SampleState::default(), &self.tasks).await.unwrap();
        self
    }

    /// Waits until `/readyz` returns 200 or, if `ready` is false, 500.
    pub async fn until_ready(&self, ready: bool) {
        let status = if ready { 200 } else { 500 };
        let answered = async {
            while self.get("/readyz").await.status != status {
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        };
        timeout(TIMEOUT, answered).await.unwrap_or_else(|_| panic!("/readyz never answers {status}"));
    }

    /// Creates an object and returns it.
    pub async fn create(&self, path: &str, body: &Value) -> Value {
        let answer = self.client.send(Method::POST, path, body).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.json()
    }

    /// Creates a book on the shelf `a` and returns it.
    pub async fn book(&self, name: &str) -> Value {
        self.create(BOOKS, &book(name, "a")).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.client.send(Method::GET, path, &Value::Null).await
    }

    /// A GET with these headers.
    pub async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let request = request(Method::GET, path, &Value::Null);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        self.client.request(request.body(Full::default()).unwrap()).await
    }

    /// Changes an object by a merge patch and returns it.
    pub async fn patch(&self, path: &str, change: &Value) -> Value {
        let request = request(Method::PATCH, path, change);
        let request = request.header("content-type", "application/merge-patch+json");
        let answer = self.client.request(request.body(Full::from(change.to_string())).unwrap()).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    pub async fn delete(&self, path: &str) {
        let answer = self.client.send(Method::DELETE, path, &Value::Null).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    /// The head of the log.
    pub async fn head(&self) -> u64 {
        use store::Store as _;
        self.store.head().await.unwrap().revision.0
    }

    /// Opens a watch, which must be accepted.
    pub async fn watch(&self, path: &str) -> Events {
        self.client.watch(path).await
    }

    /// The value of a metric, by the beginning of its line.
    pub async fn metric(&self, name: &str) -> Option<String> {
        let text = self.get("/metrics").await.text();
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.map(|value| value.trim().to_owned())
    }
}

/// One connection, which is reopened after the server has closed it because it was idle.
#[derive(Clone)]
pub struct Client {
    who: Who,
    address: SocketAddr,
    over_http2: bool,
    sender: Arc<tokio::sync::Mutex<Sender>>,
}

#[derive(Clone)]
enum Sender {
    Http1(Arc<tokio::sync::Mutex<http1::SendRequest<Full<Bytes>>>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Sender {
    async fn connect(who: Who, address: SocketAddr, over_http2: bool) -> Self {
        let protocol: &[u8] = if over_http2 { b"h2" } else { b"http/1.1" };
        let stream = TokioIo::new(handshake(address, protocol, who).await);
        if over_http2 {
            // A small window, so that the server keeps what a reader has not taken.
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder.initial_stream_window_size(65_535).initial_connection_window_size(4 << 20);
            let (sender, connection) = builder.handshake(stream).await.unwrap();
            tokio::spawn(connection);
            return Self::Http2(sender);
        }
        let (sender, connection) = http1::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        Self::Http1(Arc::new(tokio::sync::Mutex::new(sender)))
    }

    async fn is_open(&self) -> bool {
        match self {
            Self::Http1(sender) => !sender.lock().await.is_closed(),
            Self::Http2(sender) => !sender.is_closed(),
        }
    }
}

/// A complete response.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// The events of a watch, one JSON object per line.
pub struct Events {
    body: Incoming,
    buffer: BytesMut,
}

impl Client {
    /// Connects as a member of `system:masters`.
    pub async fn connect(address: SocketAddr, over_http2: bool) -> Self {
        Self::connect_as(Who::Admin, address, over_http2).await
    }

    /// Connects as `who`.
    pub async fn connect_as(who: Who, address: SocketAddr, over_http2: bool) -> Self {
        let sender = Sender::connect(who, address, over_http2).await;
        Self { who, address, over_http2, sender: Arc::new(tokio::sync::Mutex::new(sender)) }
    }

    async fn sender(&self) -> Sender {
        let mut sender = self.sender.lock().await;
        if !sender.is_open().await {
            *sender = Sender::connect(self.who, self.address, self.over_http2).await;
        }
        sender.clone()
    }

    /// True if the connection is open.
    pub async fn is_open(&self) -> bool {
        self.sender.lock().await.is_open().await
    }

    /// Sends a request with a JSON body; `null` for none.
    pub async fn send(&self, method: Method, path: &str, body: &Value) -> Answer {
        let text = if body.is_null() { String::new() } else { body.to_string() };
        self.request(request(method, path, body).body(Full::from(text)).unwrap()).await
    }

    pub async fn request(&self, request: Request<Full<Bytes>>) -> Answer {
        let (head, body) = self.open(request).await.into_parts();
        let body = timeout(TIMEOUT, body.collect()).await.expect("an end").unwrap().to_bytes();
        Answer { status: head.status.as_u16(), headers: head.headers, body }
    }

    /// Sends a request and returns the response with its body unread.
    pub async fn open(&self, mut request: Request<Full<Bytes>>) -> Response<Incoming> {
        if !self.over_http2 {
            *request.uri_mut() = request.uri().path_and_query().unwrap().as_str().parse().unwrap();
        }
        let answer = async {
            loop {
                let sent = match self.sender().await {
                    Sender::Http1(sender) => sender.lock().await.send_request(request.clone()).await,
                    Sender::Http2(mut sender) => sender.send_request(request.clone()).await,
                };
                match sent {
                    // The server closed the idle connection at this moment, and has not seen the request.
                    Err(error) if error.is_canceled() => {}
                    sent => break sent.unwrap(),
                }
            }
        };
        timeout(TIMEOUT, answer).await.expect("an answer")
    }

    /// Opens a watch, which must be accepted.
    pub async fn watch(&self, path: &str) -> Events {
        self.watch_as(path, "application/json").await
    }

    /// Opens a watch of this media type, which must be accepted.
    pub async fn watch_as(&self, path: &str, accept: &str) -> Events {
        let request = request(Method::GET, path, &Value::Null).header("accept", accept);
        let answer = self.open(request.body(Full::default()).unwrap()).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "application/json");
        Events { body: answer.into_body(), buffer: BytesMut::new() }
    }
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{} {}", self.status, self.text()))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl Events {
    /// The next event; `None` after an orderly end of the stream.
    pub async fn next(&mut self) -> Option<Value> {
        timeout(TIMEOUT, self.line()).await.expect("an event or the end")
    }

    /// The object of the next event, which must have this type.
    pub async fn expect(&mut self, event_type: &str) -> Value {
        let mut event = self.next().await.unwrap_or_else(|| panic!("no {event_type}, but the end"));
        assert_eq!(event["type"], event_type, "{event}");
        event["object"].take()
    }

    /// All remaining events.
    pub async fn rest(mut self) -> Vec<Value> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }

    /// The next event, without a timeout.
    pub async fn line(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                return Some(serde_json::from_slice(&self.buffer.split_to(end + 1)).unwrap());
            }
            let Some(frame) = self.body.frame().await else {
                assert!(self.buffer.is_empty(), "the stream ends inside an event");
                return None;
            };
            self.buffer.extend_from_slice(&frame.unwrap().into_data().unwrap_or_default());
        }
    }
}

/// The revision of an object.
pub fn revision(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap()
}

/// The name of an object.
pub fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

/// The user of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// A member of `system:masters`.
    Admin,
    /// A user with a certificate and no permissions.
    Visitor,
    /// A user without a certificate.
    Anonymous,
}

/// A TLS connection.
pub async fn handshake(address: SocketAddr, protocol: &[u8], who: Who) -> TlsStream<TcpStream> {
    handshake_over(TcpStream::connect(address).await.unwrap(), protocol, who).await
}

/// A TLS connection over this stream.
pub async fn handshake_over(stream: TcpStream, protocol: &[u8], who: Who) -> TlsStream<TcpStream> {
    let pki = Pki::get();
    let mut roots = RootCertStore::empty();
    roots.add(pki.authority.clone()).unwrap();
    let builder = ClientConfig::builder().with_root_certificates(roots);
    let certified = |(certificate, key): &Certified| {
        builder.clone().with_client_auth_cert(vec![certificate.clone()], key.clone_key()).unwrap()
    };
    let mut config = match who {
        Who::Admin => certified(&pki.client),
        Who::Visitor => certified(&pki.visitor),
        Who::Anonymous => builder.clone().with_no_client_auth(),
    };
    config.alpn_protocols = vec![protocol.to_vec()];
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
}

pub fn request(method: Method, path: &str, body: &Value) -> http::request::Builder {
    let uri = format!("https://localhost{path}");
    let request = Request::builder().method(method).uri(uri).header("host", "localhost");
    if body.is_object() && request.method_ref() != Some(&Method::PATCH) {
        return request.header("content-type", "application/json");
    }
    request
}

type Certified = (CertificateDer<'static>, PrivateKeyDer<'static>);

/// The certificates of all tests.
struct Pki {
    authority: CertificateDer<'static>,
    server: Certified,
    client: Certified,
    visitor: Certified,
}

impl Pki {
    fn get() -> &'static Self {
        static PKI: OnceLock<Pki> = OnceLock::new();
        PKI.get_or_init(Self::new)
    }

    fn new() -> Self {
        // The only error is that a provider is installed already, and this workspace has only one.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "authority");
        let key = KeyPair::generate().unwrap();
        let authority = params.self_signed(&key).unwrap().der().clone();
        let issuer = Issuer::new(params, key);
        let certified = |params: CertificateParams| {
            let key = KeyPair::generate().unwrap();
            let certificate = params.signed_by(&key, &issuer).unwrap().der().clone();
            (certificate, PrivateKeyDer::try_from(key.serialize_der()).unwrap())
        };
        let mut client = CertificateParams::new(Vec::new()).unwrap();
        client.distinguished_name.push(DnType::CommonName, "admin");
        client.distinguished_name.push(DnType::OrganizationName, "system:masters");
        let mut visitor = CertificateParams::new(Vec::new()).unwrap();
        visitor.distinguished_name.push(DnType::CommonName, "visitor");
        Self {
            server: certified(CertificateParams::new(vec!["localhost".to_owned()]).unwrap()),
            client: certified(client),
            visitor: certified(visitor),
            authority,
        }
    }
}
