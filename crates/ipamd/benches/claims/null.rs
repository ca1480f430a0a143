//! The baseline: a null server with the TLS, HTTP and JSON code of the real server, and nothing else.

use std::{path::Path, sync::Arc, time::Duration};

use apiserver::{
    body::Body,
    limits::Limits,
    metrics::Metrics,
    respond,
    serve::{Handler, Listener, Peer},
    tls::{Tls, TlsMaterial},
};
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The environment variable that makes this program run the null server. Its value is the directory of the credentials.
pub const DIRECTORY: &str = "IPAM_BENCH_NULL_SERVER";
/// The file in that directory to which the null server writes its port.
pub const PORT_FILE: &str = "null.port";

struct Null;

impl Handler for Null {
    async fn handle(&self, _: Arc<Peer>, request: Request<Incoming>) -> Response<Body> {
        let body = request.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        match serde_json::from_slice::<serde_json::Value>(&body) {
            Ok(value) => respond::body(201, respond::JSON, value.to_string()),
            Err(error) => respond::text(400, error.to_string()),
        }
    }
}

/// Serves until the process is killed.
pub async fn serve(directory: &Path) -> anyhow::Result<()> {
    let credentials = crate::process::read_credentials(directory)?;
    let socket = TcpListener::bind("127.0.0.1:0").await?;
    std::fs::write(directory.join(PORT_FILE), socket.local_addr()?.port().to_string())?;
    let material =
        TlsMaterial { certificates: vec![credentials.serving], client_authorities: vec![credentials.ca_der] };
    let listener = Listener {
        socket,
        tls: Arc::new(Tls::new(material)?),
        handler: Arc::new(Null),
        metrics: Arc::<Metrics>::default(),
        limits: Limits::default(),
        stop: CancellationToken::new(),
        drain: Duration::ZERO,
    };
    listener.run().await;
    Ok(())
}
