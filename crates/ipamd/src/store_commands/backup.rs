//! `ipam store backup`: a copy of the store in a data directory.
//!
//! While a server runs, the server makes it: a second process on the file would keep its shared memory alive when the server
//! ends, and the next server would then trust that instead of reading the write-ahead log again.

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
    transfer::progress::{Progress, Unit},
};

/// How long a server may take between the lock of its store and its socket, when it starts or ends.
const SERVER_CHANGE_TIMEOUT: Duration = Duration::from_secs(5);
/// How often it is looked for.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// What the command ends with if it was interrupted.
const INTERRUPTED: u8 = 130;

/// Runs it; what was done goes to `out`.
///
/// # Errors
/// If there is no backup; then there is no file either.
pub async fn run(options: &Backup, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let Some(directory) = &options.place.data_dir else {
        bail!(
            "the store is in PostgreSQL, which has tools of its own: pg_basebackup with archived write-ahead log, or pg_dump. \
             docs/operating/postgres.md says how to back up and restore; `ipam store export` writes a file that any store can be \
             made from"
        );
    };
    let to = destination(&options.file)?;
    let mut progress = Progress::start("copying", Unit::Bytes, None);
    let revision = match reach(directory).await? {
        Reached::Server(server) => server.back_up(&to, |copied, total| progress.reached_of(copied, total)).await?,
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

/// The file as the server has to be told of it, which runs in another directory.
fn destination(file: &Path) -> anyhow::Result<PathBuf> {
    if file.as_os_str() == "-" {
        bail!("a backup is a file and cannot be written to standard output; `ipam store export` can");
    }
    let to = std::path::absolute(file).with_context(|| format!("cannot tell where {} is", file.display()))?;
    if to.to_str().is_none() {
        bail!("the name {} is not UTF-8: name another file", to.display());
    }
    Ok(to)
}

/// Who can make the backup.
enum Reached {
    Server(client::Connection),
    Store(Box<SqliteStore>),
}

/// The server of a data directory, or its store if none runs.
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

/// Makes it in this process.
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
            progress.reached_of(copied, total);
        }
        if seen.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let done = store.backup(to, watch).await;
    interruption.abort();
    done.map(|head| head.revision.0)
}
