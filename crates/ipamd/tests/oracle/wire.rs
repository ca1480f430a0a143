//! One HTTP/2 connection to a server, and watches on it.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::Context as _;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, client::conn::http2::SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::{Value, json};
use tokio::{net::TcpStream, task::JoinHandle};
use tokio_rustls::TlsConnector;

/// Longer than the timeout of a server for any request except a watch.
const ANSWER_DEADLINE: Duration = Duration::from_secs(90);

/// The address and the credentials for a server.
pub struct Access {
    /// The name in its certificate.
    pub host: String,
    /// Its port on the loopback interface.
    pub port: u16,
    /// The certificate of the authority that signed its certificate.
    pub authority: CertificateDer<'static>,
    /// The certificate and the key of the client.
    pub client: (CertificateDer<'static>, PrivateKeyDer<'static>),
}

/// A client with one connection.
#[derive(Clone)]
pub struct Client {
    sender: SendRequest<Full<Bytes>>,
    host: String,
}

/// A complete answer.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// The status code.
    pub code: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// Returns the body as JSON; as a JSON string if it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&self.body).into_owned()))
    }
}

impl Client {
    /// Connects to a server.
    pub async fn connect(access: Access) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(access.authority)?;
        let (certificate, key) = access.client;
        let builder = ClientConfig::builder().with_root_certificates(roots);
        let mut config = builder.with_client_auth_cert(vec![certificate], key)?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        let stream = TcpStream::connect(("127.0.0.1", access.port)).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from(access.host.clone())?;
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
        let (sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { sender, host: access.host })
    }

    /// Sends a request whose URI is a path with a query. Returns the complete answer.
    pub async fn send(&self, request: Request<Bytes>) -> anyhow::Result<Answer> {
        let exchange = async {
            let (head, body) = self.open(request).await?.into_parts();
            let body = body.collect().await.context("the body ended early")?.to_bytes();
            anyhow::Ok(Answer { code: head.status.as_u16(), headers: head.headers, body })
        };
        tokio::time::timeout(ANSWER_DEADLINE, exchange).await.context("no answer")?
    }

    /// Creates a namespace.
    pub async fn create_namespace(&self, name: &str) -> anyhow::Result<()> {
        let request = Request::post("/api/v1/namespaces").header("content-type", "application/json");
        let body = json!({ "metadata": { "name": name } }).to_string();
        let answer = self.send(request.body(Bytes::from(body))?).await?;
        anyhow::ensure!(answer.code == 201, "the namespace is rejected: {}", answer.json());
        Ok(())
    }

    /// Opens a watch and collects its events.
    pub async fn watch(&self, path: &str, accept: &str) -> anyhow::Result<Events> {
        let request = Request::get(path).header("accept", accept).body(Bytes::new())?;
        let response = self.open(request).await?;
        anyhow::ensure!(response.status() == 200, "the watch {path} is answered with {}", response.status());
        let kept = Arc::new(Mutex::new(Vec::new()));
        let reader = tokio::spawn(read(response.into_body(), Arc::clone(&kept)));
        Ok(Events { kept, reader })
    }

    async fn open(&self, mut request: Request<Bytes>) -> anyhow::Result<Response<Incoming>> {
        *request.uri_mut() = format!("https://{}{}", self.host, request.uri()).parse()?;
        Ok(self.sender.clone().send_request(request.map(Full::new)).await?)
    }
}

/// The events that a watch has received. Dropping it ends the watch.
pub struct Events {
    kept: Arc<Mutex<Vec<Value>>>,
    reader: JoinHandle<()>,
}

impl Events {
    /// Removes and returns the events up to the first for which `is_last` is true; `None` if there is none yet.
    pub fn take_until(&self, is_last: impl Fn(&Value) -> bool) -> Option<Vec<Value>> {
        let mut kept = self.kept.lock().expect("nothing panics with the lock held");
        let last = kept.iter().position(is_last)?;
        Some(kept.drain(..=last).collect())
    }

    /// True if the server has ended the watch.
    pub fn ended(&self) -> bool {
        self.reader.is_finished()
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

async fn read(mut body: Incoming, kept: Arc<Mutex<Vec<Value>>>) {
    let mut buffer = BytesMut::new();
    while let Some(Ok(frame)) = body.frame().await {
        buffer.extend_from_slice(&frame.into_data().unwrap_or_default());
        while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
            let line = buffer.split_to(end + 1);
            let event = serde_json::from_slice(&line)
                .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&line).into_owned()));
            kept.lock().expect("nothing panics with the lock held").push(event);
        }
    }
}
