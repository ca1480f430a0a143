//! An HTTP client that sends exact bytes and returns exact responses, without retries, redirects or decoding.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, anyhow};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinHandle,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::client::IntoClientRequest as _};

use crate::round_robin::RoundRobin;

/// Longer than the server's timeout of any request except a watch.
const ANSWER_DEADLINE: Duration = Duration::from_secs(90);

/// A client with one connection per request, over HTTP/1.1 by default.
#[derive(Clone)]
pub struct Http {
    /// One target for each server.
    targets: Vec<Target>,
    round_robin: Arc<RoundRobin>,
    protocol: Protocol,
}

/// The address and TLS configuration of a server.
#[derive(Clone)]
struct Target {
    authority: String,
    host: String,
    /// The TLS server name.
    server_name: ServerName<'static>,
    port: u16,
    tls: Arc<ClientConfig>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Http1,
    Http2,
}

/// A complete response.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: StatusCode,
    /// The headers, without trailers.
    pub headers: HeaderMap,
    /// The body, not decoded.
    pub body: Bytes,
}

/// A response whose body is read in pieces, such as a watch. Dropping it closes the connection.
pub struct StreamingResponse {
    /// The status code.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    body: Incoming,
    buffer: BytesMut,
    _connection: Connection,
}

/// The task that drives a connection. Dropping it aborts the task.
struct Connection(JoinHandle<()>);

impl Http {
    /// Creates a client with the client certificate of a kubeconfig.
    pub fn admin(kubeconfig: &Path) -> anyhow::Result<Self> {
        let entry = Entry::read(kubeconfig)?;
        let (certificate, key) =
            (entry.bytes("/users/0/user/client-certificate-data")?, entry.bytes("/users/0/user/client-key-data")?);
        let chain = CertificateDer::pem_slice_iter(&certificate).collect::<Result<Vec<_>, _>>()?;
        let config = entry.trust()?.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(&key)?)?;
        entry.client(config)
    }

    /// Creates a client for the server of a kubeconfig, without credentials.
    pub fn anonymous(kubeconfig: &Path) -> anyhow::Result<Self> {
        let entry = Entry::read(kubeconfig)?;
        let config = entry.trust()?.with_no_client_auth();
        entry.client(config)
    }

    /// Creates a client that spreads its requests over the servers of `clients`, which are in the order of `round_robin`.
    pub(crate) fn spread(clients: Vec<Self>, round_robin: Arc<RoundRobin>) -> Self {
        let targets = clients.into_iter().flat_map(|client| client.targets).collect();
        Self { targets, round_robin, protocol: Protocol::Http1 }
    }

    /// Returns the same client over HTTP/2.
    #[must_use]
    pub fn over_http2(self) -> Self {
        Self { protocol: Protocol::Http2, ..self }
    }

    /// Sends a GET request.
    pub async fn get(&self, path: &str) -> anyhow::Result<Answer> {
        self.send(Request::get(path).body(Bytes::new())?).await
    }

    /// Sends a request with a JSON body.
    pub async fn send_json(&self, method: Method, path: &str, body: &Value) -> anyhow::Result<Answer> {
        let request = Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, "application/json");
        self.send(request.body(Bytes::from(body.to_string()))?).await
    }

    /// Sends a request whose URI is a path with a query, and reads the complete response. Adds `Host` if it is missing.
    pub async fn send(&self, request: Request<impl Into<Bytes>>) -> anyhow::Result<Answer> {
        let exchange = async {
            let (response, _connection) = self.exchange(request.map(Into::into)).await?;
            let (head, body) = response.into_parts();
            let body = body.collect().await.context("the response body ended early")?.to_bytes();
            Ok(Answer { status: head.status, headers: head.headers, body })
        };
        within(Box::pin(exchange)).await
    }

    /// Sends a request and reads the head of the response.
    pub async fn open(&self, request: Request<impl Into<Bytes>>) -> anyhow::Result<StreamingResponse> {
        let (response, connection) = within(Box::pin(self.exchange(request.map(Into::into)))).await?;
        let (head, body) = response.into_parts();
        let buffer = BytesMut::new();
        Ok(StreamingResponse { status: head.status, headers: head.headers, body, buffer, _connection: connection })
    }

    /// Opens a WebSocket.
    pub async fn websocket(&self, path: &str) -> anyhow::Result<WebSocketStream<TlsStream<TcpStream>>> {
        let target = self.target();
        let opened = async {
            let stream = target.connect(Protocol::Http1).await?;
            let request = format!("wss://{}{path}", target.authority).into_client_request()?;
            let (socket, _) = client_async(request, stream).await?;
            Ok(socket)
        };
        within(Box::pin(opened)).await
    }

    /// Sends arbitrary bytes, and reads until the server closes the connection. Bytes that arrive before a connection error are
    /// returned as the response.
    pub async fn send_bytes(&self, bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
        let exchange = async {
            let mut stream = self.target().connect(Protocol::Http1).await?;
            stream.write_all(bytes).await?;
            stream.flush().await?;
            let mut answer = Vec::new();
            match stream.read_to_end(&mut answer).await {
                Err(error) if answer.is_empty() => Err(error.into()),
                _ => Ok(answer),
            }
        };
        within(Box::pin(exchange)).await
    }

    async fn exchange(&self, mut request: Request<Bytes>) -> anyhow::Result<(Response<Incoming>, Connection)> {
        let target = self.target();
        let stream = TokioIo::new(target.connect(self.protocol).await?);
        match self.protocol {
            Protocol::Http1 => {
                if !request.headers().contains_key(header::HOST) {
                    request.headers_mut().insert(header::HOST, HeaderValue::from_str(&target.authority)?);
                }
                let (mut sender, driver) = hyper::client::conn::http1::handshake(stream).await?;
                let connection = Connection::drive(driver);
                Ok((sender.send_request(request.map(Full::new)).await?, connection))
            }
            Protocol::Http2 => {
                *request.uri_mut() = target.absolute(request.uri())?;
                *request.version_mut() = http::Version::HTTP_2;
                let (mut sender, driver) = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await?;
                let connection = Connection::drive(driver);
                Ok((sender.send_request(request.map(Full::new)).await?, connection))
            }
        }
    }

    /// Returns the next server.
    fn target(&self) -> &Target {
        &self.targets[self.round_robin.next()]
    }
}

impl Target {
    async fn connect(&self, protocol: Protocol) -> anyhow::Result<TlsStream<TcpStream>> {
        let mut tls = ClientConfig::clone(&self.tls);
        let wanted: &[u8] = if protocol == Protocol::Http2 { b"h2" } else { b"http/1.1" };
        tls.alpn_protocols = vec![wanted.to_vec()];
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await.context("cannot connect")?;
        stream.set_nodelay(true)?;
        let name = self.server_name.clone();
        let stream = TlsConnector::from(Arc::new(tls)).connect(name, stream).await.context("no TLS")?;
        let agreed = stream.get_ref().1.alpn_protocol();
        if protocol == Protocol::Http2 && agreed != Some(wanted) {
            return Err(anyhow!("the server does not speak HTTP/2"));
        }
        Ok(stream)
    }

    fn absolute(&self, uri: &Uri) -> anyhow::Result<Uri> {
        let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        Ok(Uri::builder().scheme("https").authority(self.authority.as_str()).path_and_query(path).build()?)
    }
}

impl Answer {
    /// Returns the body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Parses the body as JSON.
    pub fn json(&self) -> anyhow::Result<Value> {
        serde_json::from_slice(&self.body)
            .with_context(|| format!("{} with a body that is not JSON: {}", self.status, self.text()))
    }

    /// Returns the value of a header that occurs once and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        values.next().filter(|_| values.next().is_none())?.to_str().ok()
    }
}

impl StreamingResponse {
    /// Reads the next line, such as an event of a watch, and returns it without its line break. Returns `None` at the regular end
    /// of the body. Fails after the deadline.
    pub async fn line(&mut self, deadline: Duration) -> anyhow::Result<Option<Bytes>> {
        tokio::time::timeout(deadline, self.next_line())
            .await
            .with_context(|| format!("no line within {deadline:?}"))?
    }

    /// Reads and discards the rest of the body, and returns its length in bytes. Fails if the body does not end regularly.
    pub async fn drain(mut self) -> anyhow::Result<u64> {
        let mut length = self.buffer.len() as u64;
        while let Some(frame) = self.body.frame().await {
            length += frame?.into_data().unwrap_or_default().len() as u64;
        }
        Ok(length)
    }

    async fn next_line(&mut self) -> anyhow::Result<Option<Bytes>> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let mut line = self.buffer.split_to(end + 1);
                line.truncate(end);
                return Ok(Some(line.freeze()));
            }
            match self.body.frame().await {
                Some(frame) => self.buffer.extend_from_slice(&frame?.into_data().unwrap_or_default()),
                None if self.buffer.is_empty() => return Ok(None),
                None => return Err(anyhow!("the body ends inside a line: {:?}", self.buffer)),
            }
        }
    }
}

impl Connection {
    /// Drives a connection in a task. Its error is ignored here, because the reader of the response gets it too.
    fn drive<E>(driver: impl Future<Output = Result<(), E>> + Send + 'static) -> Self {
        Self(tokio::spawn(async {
            let _ = driver.await;
        }))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn within<T>(exchange: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::time::timeout(ANSWER_DEADLINE, exchange)
        .await
        .with_context(|| format!("no answer within {ANSWER_DEADLINE:?}"))?
}

/// A kubeconfig with one cluster and one user.
struct Entry(Value);

impl Entry {
    fn read(kubeconfig: &Path) -> anyhow::Result<Self> {
        let text =
            std::fs::read_to_string(kubeconfig).with_context(|| format!("cannot read {}", kubeconfig.display()))?;
        Ok(Self(serde_saphyr::from_str(&text).context("the kubeconfig is not YAML")?))
    }

    fn text(&self, pointer: &str) -> anyhow::Result<&str> {
        self.0.pointer(pointer).and_then(Value::as_str).with_context(|| format!("the kubeconfig lacks {pointer}"))
    }

    fn bytes(&self, pointer: &str) -> anyhow::Result<Vec<u8>> {
        STANDARD.decode(self.text(pointer)?).with_context(|| format!("{pointer} of the kubeconfig is not base64"))
    }

    fn trust(&self) -> anyhow::Result<rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>> {
        let mut roots = RootCertStore::empty();
        let authority = self.bytes("/clusters/0/cluster/certificate-authority-data")?;
        roots.add(CertificateDer::from_pem_slice(&authority)?)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        Ok(builder.with_root_certificates(roots))
    }

    fn client(&self, tls: ClientConfig) -> anyhow::Result<Http> {
        let server: Uri = self.text("/clusters/0/cluster/server")?.parse()?;
        let authority = server.authority().context("the server's URL has no host")?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let (port, authority) = (authority.port_u16().unwrap_or(443), authority.to_string());
        let named = self.text("/clusters/0/cluster/tls-server-name").map(str::to_owned);
        let server_name = ServerName::try_from(named.unwrap_or_else(|_| host.clone()))?;
        let target = Target { authority, host, server_name, port, tls: Arc::new(tls) };
        Ok(Http { targets: vec![target], round_robin: Arc::new(RoundRobin::of(1)), protocol: Protocol::Http1 })
    }
}

#[cfg(test)]
mod tests;
