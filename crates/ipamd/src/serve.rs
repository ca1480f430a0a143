//! `ipam serve`: start, run and shutdown of the server.

use std::{
    convert::Infallible,
    fs::File,
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use anyhow::Context;
use apiserver::{
    compaction,
    limits::Limits,
    metrics::Metrics,
    restore::Restored,
    serve::Listener,
    server::{COMMITTER, Server},
    supervisor::{Failure, Supervisor, TaskEnds},
    tls::Tls,
};
use apiserver_standalone::Standalone;
use futures::FutureExt as _;
use ipam::state::AllocatorState;
use store::Store;
use store_sqlite::SqliteStore;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    admin::server::Admin,
    config::{Serve, Shutdown},
    credentials,
    database::{self, Opened},
    descriptors, files,
    logging::LostLines,
    reload::{Material, Reload},
    signals::Signals,
};

/// The name of the task that accepts connections.
const LISTENER: &str = "listener";

/// The name of the task that ends when the store has failed.
const STORE: &str = "store";

/// The version of this program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Serves until a signal arrives or a required task fails.
pub async fn serve(options: Serve, lost_lines: LostLines) -> anyhow::Result<()> {
    let signals = Signals::listen()?;
    let metrics = Arc::<Metrics>::default();
    metrics.count_lost_log_lines(move || lost_lines.count());
    let (tasks, mut ends) = Supervisor::new(Arc::clone(&metrics));
    let started = tokio::select! {
        biased;
        failure = ends.failure() => return Err(failure.into()),
        signal = signals.asked() => {
            tracing::info!(signal, "stopped before the server was ready");
            return Ok(());
        }
        started = start(&options, metrics, &tasks) => started?,
    };
    let ended = tokio::select! {
        signal = signals.asked() => {
            tracing::info!(signal, "stopping");
            Ok(())
        }
        failure = ends.failure() => Err(failure),
    };
    stop(&options.shutdown, started, &tasks, &mut ends, ended).await?;
    tracing::info!("stopped");
    Ok(())
}

/// The parts of a running server, in the order of their shutdown.
struct Started {
    server: Arc<Server<AllocatorState>>,
    /// Ends the listener.
    stop: CancellationToken,
    store: Arc<dyn Store>,
    /// The admin socket, for backups of the store.
    admin: Option<Admin>,
    /// The lock of the data directory.
    _directory: File,
}

/// Starts the server. Returns when it is ready.
async fn start(options: &Serve, metrics: Arc<Metrics>, tasks: &Supervisor) -> anyhow::Result<Started> {
    files::create_private_dir(&options.data_dir)?;
    // The lock is taken first, because it protects all files in the directory from a second process.
    let directory = files::lock_dir(&options.data_dir)?;
    let Opened { store, file } = database::open(options).await?;
    let admin = listen_for_backups(&options.data_dir, file);
    let watched = Arc::clone(&store);
    tasks.spawn_required(STORE, async move { Err::<(), _>(watched.failed().await) });
    let (material, tokens) = Material::read(options, credentials::hostname().as_deref(), now().into()).await?;
    let socket = TcpListener::bind((options.bind_address, options.secure_port)).await.with_context(|| {
        format!(
            "cannot listen on {}:{}; choose another --secure-port (0: any free one)",
            options.bind_address, options.secure_port
        )
    })?;
    let address = socket.local_addr()?;
    material.write_kubeconfig(address)?;

    let limits = limits(options);
    let server = Standalone::default().server(Arc::clone(&store), ipam::registry(), limits, VERSION);
    let server = Arc::new(server.with_metrics(metrics));
    server.tokens().replace(tokens);
    let stop = CancellationToken::new();
    let tls = Arc::new(Tls::new(material.tls()).context("the certificates cannot be used")?);
    let reload = Reload::new(material, address, Arc::clone(&tls), server.tokens(), server.metrics(), now)?;
    tasks.spawn_required("reload of certificates and tokens", reload.run());
    let listener = listener(options.shutdown.drain, limits, &server, socket, tls, stop.clone());
    tasks.spawn_draining(LISTENER, listener.run().map(Ok::<_, Infallible>));
    server.start_probing(tasks);
    let started = Instant::now();
    let restored =
        server.restore(AllocatorState::default(), tasks).await.context("cannot restore the state from the store")?;
    log_ready(address, restored, started);
    let compacted = Arc::clone(&store);
    tasks.spawn_restarting("compaction", move || compaction::run(Arc::clone(&compacted)));
    Ok(Started { server, stop, store, admin, _directory: directory })
}

/// Shuts the server down in order. If a task has failed, it skips the shutdown delay and does not wait for the committer, and only
/// drains the requests in progress.
async fn stop(
    shutdown: &Shutdown,
    started: Started,
    tasks: &Supervisor,
    ends: &mut TaskEnds,
    mut ended: Result<(), Failure>,
) -> anyhow::Result<()> {
    let Started { server, stop, store, admin, _directory } = started;
    server.begin_stop();
    if ended.is_ok() {
        ended = tokio::select! {
            () = tokio::time::sleep(shutdown.delay) => Ok(()),
            failure = ends.failure() => Err(failure),
        };
    }
    server.end_watches();
    stop.cancel();
    ended = ended.and(ends.finished(LISTENER).await);
    tasks.stop().await;
    drop(server);
    if let Some(admin) = admin {
        admin.stop().await;
    }
    if ended.is_ok() {
        ended = ends.finished(COMMITTER).await;
    }
    drop(store);
    Ok(ended?)
}

/// Starts the admin socket. On failure it logs a warning and returns `None`: the server runs, but it cannot be backed up while it
/// does.
fn listen_for_backups(directory: &Path, file: Option<Arc<SqliteStore>>) -> Option<Admin> {
    let started = Admin::start(directory, file);
    started
        .inspect_err(|error| tracing::warn!(%error, "cannot create the admin socket: a backup requires that the server is stopped"))
        .ok()
}

#[expect(clippy::disallowed_methods, reason = "the one place from which the process around the server takes its time")]
fn now() -> SystemTime {
    SystemTime::now()
}

fn limits(options: &Serve) -> Limits {
    Limits {
        read_requests: options.limits.requests_inflight,
        mutating_requests: options.limits.mutating_requests_inflight,
        body_bytes: options.limits.body_bytes,
        connections: descriptors::for_connections(options.limits.connections),
        http2_streams: options.limits.http2_streams,
        ..Limits::default()
    }
}

fn listener(
    drain: Duration,
    limits: Limits,
    server: &Arc<Server<AllocatorState>>,
    socket: TcpListener,
    tls: Arc<Tls>,
    stop: CancellationToken,
) -> Listener<Server<AllocatorState>> {
    Listener { socket, tls, handler: Arc::clone(server), metrics: server.metrics(), limits, stop, drain }
}

fn log_ready(address: SocketAddr, restored: Restored, started: Instant) {
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

/// Returns the resident memory of this process in MiB, or `None` without `/proc`.
fn resident_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib / 1024)
}
