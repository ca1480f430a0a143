//! `ipam serve`: the parts of the server put together, from the first start to the last answer.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Instant, SystemTime},
};

use anyhow::Context;
use apiserver::{
    compaction,
    limits::Limits,
    restore::Restored,
    serve::Listener,
    server::Server,
    tls::{self, TlsMaterial},
};
use ipam::world::World;
use rustls_pki_types::CertificateDer;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{
    config::Serve,
    credentials::{self, Credentials, ServingNames},
    database, files, kubeconfig,
    signals::Signals,
    users,
};

/// The version of this program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Serves until a signal, or until a fault after which going on would be wrong.
pub async fn serve(options: Serve) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    files::create_private_dir(&options.data_dir)?;
    // First of all the lock: it keeps a second process away from everything in the directory.
    let directory = files::lock_dir(&options.data_dir)?;
    let store = database::open(&options).await?;
    let names = ServingNames::new(options.bind_address, credentials::hostname().as_deref());
    let credentials = credentials::ensure(&options.data_dir, &names, now().into())?;
    let (tokens, authorities) = (users::tokens(&options.users)?, users::authorities(&options.users)?);
    let socket = TcpListener::bind((options.bind_address, options.secure_port)).await.with_context(|| {
        format!(
            "cannot listen on {}:{}; choose another --secure-port (0: any free one)",
            options.bind_address, options.secure_port
        )
    })?;
    let address = socket.local_addr()?;
    kubeconfig::write(&options.data_dir, address, &credentials)?;

    let server = Server::<World>::alone(Arc::clone(&store), ipam::registry(), limits(&options), VERSION);
    let server = Arc::new(server.knowing(tokens));
    let stop = CancellationToken::new();
    let material = material(credentials, authorities);
    let listening = listen(&options, &server, socket, material, stop.clone())?;
    let started = Instant::now();
    let (restored, mut committer) = server.restore(World::default()).await.context("cannot read the state back")?;
    announce(address, restored, started);
    let compaction = tokio::spawn(compaction::run(Arc::clone(&store)));

    let ended = tokio::select! {
        signal = signals.next() => {
            tracing::info!(signal, "stopping");
            Ok(())
        }
        ended = &mut committer => ended.context("the committer panicked")?.context("the committer ended"),
    };
    server.begin_stop();
    if ended.is_ok() {
        tokio::time::sleep(options.shutdown.delay).await;
    }
    server.end_watches();
    stop.cancel();
    listening.await.context("the listener panicked")?;
    compaction.abort();
    drop(server);
    if ended.is_ok() {
        committer.await.context("the committer panicked")?.context("the last writes")?;
    }
    drop(store);
    drop(directory);
    tracing::info!("stopped");
    ended
}

#[expect(clippy::disallowed_methods, reason = "the process starts here: this is where its time comes from")]
fn now() -> SystemTime {
    SystemTime::now()
}

fn limits(options: &Serve) -> Limits {
    Limits {
        read_requests: options.limits.requests_inflight,
        mutating_requests: options.limits.mutating_requests_inflight,
        body_bytes: options.limits.body_bytes,
        ..Limits::default()
    }
}

fn material(credentials: Credentials, others: Vec<CertificateDer<'static>>) -> TlsMaterial {
    TlsMaterial {
        chain: credentials.serving_chain,
        key: credentials.serving_key,
        client_authorities: [vec![credentials.ca_der], others].concat(),
    }
}

fn listen(
    options: &Serve,
    server: &Arc<Server<World>>,
    socket: TcpListener,
    material: TlsMaterial,
    stop: CancellationToken,
) -> anyhow::Result<JoinHandle<()>> {
    let listener = Listener {
        socket,
        tls: tls::server_config(material).context("the certificates cannot be used")?,
        handler: Arc::clone(server),
        metrics: server.metrics(),
        stop,
        drain: options.shutdown.drain,
    };
    Ok(tokio::spawn(listener.run()))
}

fn announce(address: SocketAddr, restored: Restored, started: Instant) {
    tracing::info!(
        %address,
        revision = restored.revision,
        pools = restored.objects,
        spans = restored.spans,
        restore_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        memory_mib = resident_mib(),
        "ready"
    );
}

/// Memory of this process in MiB, where the system tells.
fn resident_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib / 1024)
}
