//! `ipam store backup`: a copy of the store in a data directory.
//!
//! If a server runs, the server makes the copy. A second process with the file open would keep SQLite's shared memory alive when
//! the server ends, and the next server would use that memory instead of recovering from the write-ahead log.

use std::{
    io::Write,
    ops::ControlFlow,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use store_sqlite::{BackupError, BackupProgress, OpenError, SqliteStore};

use crate::{
    admin::client,
    config::Backup,
    database,
    export_import::progress::{Progress, Unit},
};

/// The longest time in which a starting or ending server holds the lock of its store without a socket.
const SERVER_CHANGE_TIMEOUT: Duration = Duration::from_secs(5);
/// The time between two attempts to reach the server or to open its store.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// The exit code if the command was interrupted.
const INTERRUPTED: u8 = 130;

/// Runs the command, and writes its result to `out`.
///
/// # Errors
/// If no backup was made; then no file remains.
pub async fn run(options: &Backup, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let Some(directory) = &options.place.data_dir else {
        bail!(
            "the store is in PostgreSQL: use its own tools, pg_basebackup with archived write-ahead log, or pg_dump. \
             docs/operating/postgres.md describes backup and restore; `ipam store export` writes a file that can be imported into \
             any empty store"
        );
    };
    let to = destination(&options.file)?;
    let mut progress = Progress::start("copying", Unit::Bytes, None);
    let revision = match reach(directory).await? {
        Reached::Server(server) => server.back_up(&to, |copied, total| progress.set_position_of(copied, total)).await?,
        Reached::Store(store) => match back_up(&store, &to, progress).await {
            Ok(revision) => return said(out, &to, revision),
            Err(BackupError::GivenUp) => return Ok(ExitCode::from(INTERRUPTED)),
            Err(error) => return Err(error.into()),
        },
    };
    progress.done();
    said(out, &to, revision)
}

fn said(out: &mut dyn Write, to: &Path, revision: u64) -> anyhow::Result<ExitCode> {
    writeln!(out, "wrote a backup of revision {revision} to {}", to.display())?;
    Ok(ExitCode::SUCCESS)
}

/// Returns the absolute path of the backup, because the server has another working directory.
fn destination(file: &Path) -> anyhow::Result<PathBuf> {
    if file.as_os_str() == "-" {
        bail!("a backup is a file and cannot be written to standard output; `ipam store export` can");
    }
    let to = std::path::absolute(file)
        .with_context(|| format!("cannot determine the absolute path of {}", file.display()))?;
    if to.to_str().is_none() {
        bail!("the path {} is not UTF-8: use another path", to.display());
    }
    Ok(to)
}

/// The running server, or the store if no server runs.
enum Reached {
    Server(client::Connection),
    Store(Box<SqliteStore>),
}

/// Connects to the server of a data directory, or opens its store if no server runs.
async fn reach(directory: &Path) -> anyhow::Result<Reached> {
    let deadline = Instant::now() + SERVER_CHANGE_TIMEOUT;
    loop {
        if let Some(server) = client::connect(directory).await? {
            return Ok(Reached::Server(server));
        }
        match database::open_file_in(directory) {
            Ok(store) => return Ok(Reached::Store(Box::new(store))),
            Err(error) if !is_held(&error) || Instant::now() > deadline => return Err(error),
            Err(_) => tokio::time::sleep(POLL_INTERVAL).await,
        }
    }
}

fn is_held(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| matches!(cause.downcast_ref(), Some(OpenError::Held { .. })))
}

/// Makes the backup in this process. SIGINT cancels it.
async fn back_up(store: &SqliteStore, to: &Path, progress: Progress) -> Result<u64, BackupError> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&interrupted);
    let interruption = tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            interrupted.store(true, Ordering::Relaxed);
        }
    });
    let mut progress = Some(progress);
    let watch = move |BackupProgress { copied, total }| {
        if let Some(progress) = &mut progress {
            progress.set_position_of(copied, total);
        }
        if seen.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let done = store.backup(to, watch).await;
    interruption.abort();
    done.map(|head| head.revision.0)
}
