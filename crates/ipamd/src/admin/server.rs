//! The server of the admin socket: at most `ADMIN_CONNECTIONS_MAX` connections and one backup at a time.

use std::{io, ops::ControlFlow, path::Path, sync::Arc, time::Duration};

use store_sqlite::{BackupError, BackupProgress, SqliteStore};
use tokio::{
    io::{AsyncReadExt as _, BufReader},
    net::{UnixListener, UnixStream, unix::OwnedWriteHalf},
    sync::{Mutex, watch},
    task::{JoinHandle, JoinSet},
    time::{interval, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    protocol::{self, Event, Request},
    socket,
};
use crate::limits::{ADMIN_CONNECTIONS_MAX, ADMIN_REQUEST_TIMEOUT};

/// The time between two [`Event::Progress`] lines.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

/// The error for a backup request to a server whose store is in PostgreSQL.
const NO_FILE: &str =
    "the store of this server is in PostgreSQL: use pg_basebackup or pg_dump, see docs/operating/postgres.md";

/// A handle of the listener task. Dropping it cancels the task.
pub struct Admin {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// The state that all connections share.
struct Shared {
    /// `None` if the store is in PostgreSQL.
    store: Option<Arc<SqliteStore>>,
    backup: Mutex<()>,
    stop: CancellationToken,
    /// The time that a client has to send its request.
    patience: Duration,
}

impl Shared {
    fn new(store: Option<Arc<SqliteStore>>, stop: CancellationToken) -> Self {
        Self { store, backup: Mutex::new(()), stop, patience: ADMIN_REQUEST_TIMEOUT }
    }
}

impl Admin {
    /// Listens in the data directory, which this process has locked.
    ///
    /// # Errors
    /// If the socket cannot be created.
    pub fn start(directory: &Path, store: Option<Arc<SqliteStore>>) -> io::Result<Self> {
        let listener = socket::listen(directory)?;
        let stop = CancellationToken::new();
        let shared = Arc::new(Shared::new(store, stop.clone()));
        let path = directory.join(socket::NAME);
        let task = async move {
            accept(listener, shared).await;
            // If this fails, the next server replaces the file.
            let _ = std::fs::remove_file(path);
        };
        Ok(Self { stop, task: tokio::spawn(task) })
    }

    /// Cancels requests in progress, and waits until none of them uses the store.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if (&mut self.task).await.is_err() {
            tracing::error!("the admin socket ended in a panic");
        }
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn accept(listener: UnixListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = shared.stop.cancelled() => break,
            _ = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept(), if connections.len() < ADMIN_CONNECTIONS_MAX => match accepted {
                Ok((stream, _)) => drop(connections.spawn(serve(stream, Arc::clone(&shared)))),
                Err(error) => {
                    tracing::warn!(%error, "a connection to the admin socket could not be accepted");
                    tokio::time::sleep(PROGRESS_INTERVAL).await;
                }
            }
        }
    }
    while connections.join_next().await.is_some() {}
}

async fn serve(stream: UnixStream, shared: Arc<Shared>) {
    let allowed = stream.peer_cred().is_ok_and(|peer| is_allowed(peer.uid()));
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    let message = if allowed {
        let request = tokio::select! {
            request = timeout(shared.patience, protocol::receive(&mut reader)) => request,
            () = shared.stop.cancelled() => return,
        };
        match request {
            Ok(Ok(Some(Request::Backup { to }))) => {
                let gone = async move {
                    // The client sends nothing after its request, so this read ends when it closes the connection.
                    let _ = reader.read(&mut [0]).await;
                };
                return back_up(&to, &shared, gone, writer).await;
            }
            Ok(Ok(None)) => return,
            Ok(Err(error)) => format!("invalid request: {error}"),
            Err(_) => "no request arrived in time".to_owned(),
        }
    } else {
        "only the user that the server runs as, and root, may use this socket".to_owned()
    };
    say_last(&mut writer, &Event::Refused { message }).await;
}

/// Sends the last line. Errors are ignored: the client has closed the connection or does not read.
async fn say_last(writer: &mut OwnedWriteHalf, last: &Event) {
    let _ = timeout(PROGRESS_INTERVAL, protocol::send(writer, last)).await;
}

fn is_allowed(user: u32) -> bool {
    user == 0 || user == rustix::process::geteuid().as_raw()
}

/// Makes a backup and sends the result.
async fn back_up(to: &Path, shared: &Shared, gone: impl Future<Output = ()>, mut writer: OwnedWriteHalf) {
    let last = match prepare(to, shared) {
        Err(message) => Event::Refused { message },
        Ok((store, _turn)) => {
            let given_up = shared.stop.child_token();
            tracing::info!(to = %to.display(), "making a backup");
            let done = copy(&store, to, &given_up, gone, &mut writer).await;
            let is_stopping = shared.stop.is_cancelled();
            match done {
                Ok(revision) => {
                    tracing::info!(to = %to.display(), revision, "made a backup");
                    Event::Done { revision }
                }
                Err(error) => {
                    let message = match error {
                        BackupError::GivenUp if is_stopping => "the server stops; no backup was made".to_owned(),
                        error => format!("{:#}", anyhow::Error::from(error)),
                    };
                    tracing::warn!(to = %to.display(), error = message, "no backup was made");
                    Event::Refused { message }
                }
            }
        }
    };
    say_last(&mut writer, &last).await;
}

/// Returns the store to copy and the guard that excludes other backups.
fn prepare<'s>(to: &Path, shared: &'s Shared) -> Result<(Arc<SqliteStore>, tokio::sync::MutexGuard<'s, ()>), String> {
    let store = shared.store.as_ref().ok_or(NO_FILE)?;
    if !to.is_absolute() {
        return Err(format!("{} is not an absolute path", to.display()));
    }
    let exclusion = shared.backup.try_lock().map_err(|_| "another backup is being made; wait until it is done")?;
    Ok((Arc::clone(store), exclusion))
}

async fn copy(
    store: &SqliteStore,
    to: &Path,
    given_up: &CancellationToken,
    gone: impl Future<Output = ()>,
    writer: &mut OwnedWriteHalf,
) -> Result<u64, BackupError> {
    let (progress_sender, latest_progress) = watch::channel(BackupProgress { copied: 0, total: 0 });
    let is_given_up = given_up.clone();
    let step = move |progress| {
        // There is no receiver if the backup is about to be canceled.
        let _ = progress_sender.send(progress);
        if is_given_up.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let mut backup = std::pin::pin!(store.backup(to, step));
    let mut gone = std::pin::pin!(gone);
    let mut ticks = interval(PROGRESS_INTERVAL);
    loop {
        tokio::select! {
            biased;
            () = &mut gone, if !given_up.is_cancelled() => given_up.cancel(),
            done = &mut backup => return done.map(|head| head.revision.0),
            _ = ticks.tick() => {
                let BackupProgress { copied, total } = *latest_progress.borrow();
                let sent = timeout(PROGRESS_INTERVAL, protocol::send(writer, &Event::Progress { copied, total })).await;
                if !matches!(sent, Ok(Ok(()))) {
                    given_up.cancel();
                }
            }
        }
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
