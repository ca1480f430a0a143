//! Our server, in this process, on a store in memory.

use std::{sync::Arc, time::Duration};

use apimachinery::kind::{Registry, State};
use apiserver::{
    limits::Limits,
    serve::Listener,
    server::Server,
    supervisor::Supervisor,
    tls::{ServingCertificate, Tls, TlsMaterial},
};
use apiserver_standalone::Standalone;
use store::memory::MemoryStore;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    pki::{HOST, Pki},
    wire::{Access, Client},
};

/// Starts a server of these kinds in cluster mode. It runs until the process ends.
pub async fn start<W: State>(pki: &Pki, registry: Registry<W>, state: W) -> anyhow::Result<Client> {
    serve(pki, Server::aggregated(Arc::new(MemoryStore::new()), registry, Limits::default(), "oracle"), state).await
}

/// Starts a server of these kinds in standalone mode, with namespaces, roles and bindings. It runs until the process ends.
pub async fn start_alone<W: State>(pki: &Pki, registry: Registry<W>, state: W) -> anyhow::Result<Client> {
    let server = Standalone::default().server(Arc::new(MemoryStore::new()), registry, Limits::default(), "oracle");
    serve(pki, server, state).await
}

async fn serve<W: State>(pki: &Pki, server: Server<W>, state: W) -> anyhow::Result<Client> {
    let server = Arc::new(server);
    let (tasks, mut ends) = Supervisor::new(server.metrics());
    let socket = TcpListener::bind("127.0.0.1:0").await?;
    let port = socket.local_addr()?.port();
    let material = TlsMaterial {
        certificates: vec![ServingCertificate { chain: vec![pki.server.certificate.clone()], key: pki.server.key() }],
        client_authorities: vec![pki.authority.certificate.clone()],
    };
    let listener = Listener {
        socket,
        tls: Arc::new(Tls::new(material)?),
        handler: Arc::clone(&server),
        metrics: server.metrics(),
        limits: Limits::default(),
        stop: CancellationToken::new(),
        drain: Duration::from_secs(1),
    };
    tokio::spawn(listener.run());
    server.start_probing(&tasks);
    server.restore(state, &tasks).await?;
    tokio::spawn(async move {
        let failure = ends.failure().await;
        drop(tasks);
        eprintln!("the server ended: {failure}");
    });
    let client = (pki.client.certificate.clone(), pki.client.key());
    Client::connect(Access { host: HOST.to_owned(), port, authority: pki.authority.certificate.clone(), client }).await
}
