//! Checkpoints: copying committed pages from the write-ahead log (WAL) to the data file.
//!
//! A background thread with its own connection does most of the work while commits continue. Commits append to the WAL
//! during a checkpoint, so the thread repeats passive checkpoints until few frames remain. The writer thread
//! checkpoints those between two commits, because SQLite restarts the WAL only when every frame has been checkpointed.
//! A reader with an old snapshot prevents that: the WAL grows, and the thread retries later.
//!
//! A frame stays in the WAL until the data file is synced, so a full disk or a crash loses nothing. A failed sync
//! would: `SQLite` has already marked the frames as checkpointed, a later sync succeeds without writing their pages,
//! and the WAL would be restarted. The store therefore fails permanently ([`crate::failure_flag`]), and the next process
//! checkpoints all frames again.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;

use rusqlite::Connection;
use rusqlite::hooks::Wal;

use crate::connection::{BUSY_MS, connect_writer};
use crate::data_file::DataFile;
use crate::limits::{WAL_FRAMES_CHECKPOINT, WAL_FRAMES_MAX};
use crate::writer::WriterHandle;

/// Thresholds in frames. A frame is one page in the WAL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_field_names, reason = "the names have the unit")]
pub struct Limits {
    /// The WAL size at which the thread starts a checkpoint. Smaller: hot pages are checkpointed more often. Larger:
    /// each checkpoint delays commits for longer.
    pub start_frames: u32,
    /// The growth of the WAL after which the thread retries, if it could not checkpoint everything.
    pub retry_frames: u32,
    /// The number of remaining frames that the writer may checkpoint without a noticeable delay.
    pub finish_frames: u32,
    /// The WAL size from which the writer checkpoints all remaining frames and waits for readers. Otherwise a writer
    /// that is faster than the thread, or overlapping readers, would let the WAL grow without limit.
    pub force_frames: u32,
}

/// The outcome of the thread's checkpoint.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// Too many frames remain; retry later.
    Retry,
    /// The writer checkpoints the remaining frames.
    FinishOnWriter,
    /// The writer checkpoints all remaining frames and waits for readers.
    ForceRestart,
}

pub const LIMITS: Limits = Limits {
    start_frames: WAL_FRAMES_CHECKPOINT,
    retry_frames: 4_000,
    finish_frames: 1_000,
    force_frames: WAL_FRAMES_MAX,
};

/// The maximum number of passive checkpoints in one run.
const PASSES: u32 = 6;

/// The busy timeout of the writer in a forced checkpoint, which waits for readers; in milliseconds.
const RESTART_BUSY_MS: u32 = 100;

/// The checkpoint thread, as seen by the store.
#[derive(Debug)]
pub struct Checkpointer {
    wal_size: Arc<WalSize>,
    thread: Option<JoinHandle<()>>,
}

/// The WAL size, which the writer reports to the thread.
#[derive(Debug)]
pub struct WalSize {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    limits: Limits,
    /// The WAL size in frames after the last commit.
    frames: u32,
    /// The WAL size at which the thread starts.
    due: u32,
    /// The number of reads that are too long to wait for.
    restart_holds: u32,
    is_closing: bool,
}

/// While this exists, the writer does not wait for readers.
#[derive(Debug)]
pub struct RestartHold(Arc<WalSize>);

impl Drop for RestartHold {
    fn drop(&mut self) {
        self.0.state().restart_holds -= 1;
    }
}

/// The reason why a checkpoint failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the database failed")]
    Database(#[from] rusqlite::Error),
    #[error("the data file could not be synced")]
    Sync(#[from] io::Error),
}

impl Checkpointer {
    /// Starts the thread.
    pub fn start(data: Arc<DataFile>, wal_size: Arc<WalSize>, writer: WriterHandle) -> io::Result<Self> {
        let shared = Arc::clone(&wal_size);
        let failure_flag = Arc::clone(writer.failure_flag());
        let work = move || Checkpoint { connection: None, data, wal_size: shared, writer }.run_until_closed();
        let thread = failure_flag.spawn("store-checkpoint", work)?;
        Ok(Self { wal_size, thread: Some(thread) })
    }

    /// Registers a long read. The WAL may grow during it, and no commit waits for its end.
    pub fn hold_restart(&self) -> RestartHold {
        self.wal_size.state().restart_holds += 1;
        RestartHold(Arc::clone(&self.wal_size))
    }

    /// Stops the thread after the current checkpoint, and waits until its connection is closed.
    pub fn stop(&mut self) {
        self.wal_size.close();
        if let Some(thread) = self.thread.take() {
            // The condition has already reported a panic.
            let _ = thread.join();
        }
    }
}

/// The state of the thread.
struct Checkpoint {
    /// Opened on first use.
    connection: Option<Connection>,
    data: Arc<DataFile>,
    wal_size: Arc<WalSize>,
    writer: WriterHandle,
}

impl Checkpoint {
    fn run_until_closed(mut self) {
        while let Some(frames) = self.wal_size.wait_until_due() {
            let Err(failure) = self.run(frames) else { continue };
            self.check(&failure);
            if self.writer.failure_flag().is_failed() {
                break;
            }
            log_failure(&failure, frames);
        }
        if let Some(connection) = self.connection.take() {
            self.writer.failure_flag().close(connection);
        }
    }

    /// Fails the store permanently if a sync failed.
    fn check(&self, failure: &Failure) {
        match failure {
            Failure::Database(error) => self.writer.failure_flag().check(error),
            Failure::Sync(error) => {
                self.writer.failure_flag().fail(format!("the data file could not be synced ({error}): check the disk"));
            }
        }
    }

    fn run(&mut self, frames: u32) -> Result<(), Failure> {
        let limits = self.wal_size.state().limits;
        let connection = match &self.connection {
            Some(connection) => connection,
            None => self.connection.insert(connect_writer(self.data.path())?),
        };
        let mut left = frames;
        for _ in 0..PASSES {
            let moved = checkpoint(connection, "passive")?;
            // A passive checkpoint syncs the data file only if it completes the WAL. Without this sync, the writer
            // would have to sync all pages.
            self.data.sync()?;
            left = self.wal_size.left(moved);
            if left <= limits.finish_frames {
                break;
            }
        }
        match limits.outcome(frames, left) {
            Outcome::Retry => {}
            Outcome::FinishOnWriter => self.on_writer(|connection| checkpoint(connection, "passive").map(|_| ()))?,
            Outcome::ForceRestart if self.wal_size.state().restart_holds > 0 => {}
            Outcome::ForceRestart => self.on_writer(checkpoint_restart)?,
        }
        Ok(())
    }

    /// Runs `work` on the writer thread between two commits, and waits for it, because two concurrent checkpoints would
    /// block each other.
    fn on_writer(&self, work: fn(&Connection) -> rusqlite::Result<()>) -> rusqlite::Result<()> {
        let (answer, answered) = mpsc::channel();
        let failure_flag = Arc::clone(self.writer.failure_flag());
        let job = move |connection: &mut Connection| {
            let done = work(connection);
            // Checked before the next commit.
            let _ = done.as_ref().inspect_err(|error| failure_flag.check(error));
            // The requesting thread waits for the result.
            let _ = answer.send(done);
        };
        // If the writer has stopped, it checkpointed everything when it closed the file.
        self.writer.send(Box::new(job)).map_or(Ok(()), |()| answered.recv().unwrap_or(Ok(())))
    }
}

/// Runs a checkpoint in `mode`. Returns the number of checkpointed frames in the WAL.
fn checkpoint(connection: &Connection, mode: &str) -> rusqlite::Result<u32> {
    let moved: i64 = connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| row.get(2))?;
    // Negative while another program is checkpointing.
    Ok(u32::try_from(moved).unwrap_or(0))
}

/// Runs a RESTART checkpoint: everything is checkpointed, and readers of the WAL are waited for, up to `RESTART_BUSY_MS`.
fn checkpoint_restart(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "busy_timeout", RESTART_BUSY_MS)?;
    let moved = checkpoint(connection, "restart");
    connection.pragma_update(None, "busy_timeout", BUSY_MS)?;
    moved.map(|_| ())
}

impl Limits {
    /// Returns the outcome of a checkpoint that started with `frames` frames and ended with `left`.
    fn outcome(self, frames: u32, left: u32) -> Outcome {
        match (frames >= self.force_frames, left <= self.finish_frames) {
            (true, _) => Outcome::ForceRestart,
            (false, true) => Outcome::FinishOnWriter,
            (false, false) => Outcome::Retry,
        }
    }
}

fn log_failure(failure: &Failure, frames: u32) {
    let cause = std::error::Error::source(failure).map(ToString::to_string);
    tracing::warn!(
        frames,
        cause,
        "the write-ahead log could not be checkpointed ({failure}): commits continue and the log grows until it can be; \
         check the data file's disk"
    );
}

impl WalSize {
    /// Creates the state of a WAL of unknown size.
    pub fn new(limits: Limits) -> Self {
        let state = State { limits, frames: 0, due: limits.start_frames, restart_holds: 0, is_closing: false };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Registers a WAL hook, which is called after every commit of `connection` and replaces SQLite's automatic
    /// checkpoints.
    pub fn watch(self: &Arc<Self>, connection: &mut Connection) -> rusqlite::Result<()> {
        let wal_size = Arc::clone(self);
        connection.wal_hook(Some(move |_: &mut Wal, frames| {
            wal_size.on_wal_frames(u32::try_from(frames).unwrap_or(0));
            Ok(())
        }))
    }

    fn on_wal_frames(&self, frames: u32) {
        let mut state = self.state();
        if frames < state.frames {
            // The WAL was restarted.
            state.due = state.limits.start_frames;
        }
        state.frames = frames;
        if frames >= state.due {
            self.changed.notify_one();
        }
    }

    /// Returns the number of frames after the first `moved` ones.
    fn left(&self, moved: u32) -> u32 {
        self.state().frames.saturating_sub(moved)
    }

    /// Waits until a checkpoint is due and returns the WAL size in frames; `None` if the store is closed.
    fn wait_until_due(&self) -> Option<u32> {
        let waits = |state: &mut State| !state.is_closing && state.frames < state.due;
        let mut state = self.changed.wait_while(self.state(), waits).unwrap_or_else(PoisonError::into_inner);
        state.due = state.frames.saturating_add(state.limits.retry_frames);
        (!state.is_closing).then_some(state.frames)
    }

    fn close(&self) {
        self.state().is_closing = true;
        self.changed.notify_one();
    }

    /// Every change of the state is complete, so the state is valid even after a panic of another thread.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use bytes::Bytes;
    use store::{Key, Store, Write};
    use tempfile::TempDir;

    use super::*;
    use crate::{SqliteStore, reader};

    /// Much smaller than the real limits, so that a test reaches them.
    const SMALL: Limits = Limits { start_frames: 100, retry_frames: 100, finish_frames: 50, force_frames: 1_000_000 };

    /// More commits than a checkpoint needs.
    const COMMITS_MAX: u32 = 2_000;

    fn new_store(limits: Limits) -> (SqliteStore, TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(directory.path().join("data.db")).unwrap();
        let mut state = store.checkpointer.wal_size.state();
        (state.limits, state.due) = (limits, limits.start_frames);
        drop(state);
        (store, directory)
    }

    fn frames(store: &SqliteStore) -> u32 {
        store.checkpointer.wal_size.state().frames
    }

    async fn commit(store: &SqliteStore) {
        let transaction = store.begin().await.unwrap();
        let key = Key::new(format!("k{}", transaction.head().next())).unwrap();
        let value = Some(Bytes::from(vec![b'v'; 10_000]));
        transaction.commit(vec![Write { key, value, expected: None, releases: vec![], takes: vec![] }]).await.unwrap();
    }

    async fn grow_to(store: &SqliteStore, wanted: u32) {
        while frames(store) < wanted {
            commit(store).await;
        }
    }

    /// Commits until the WAL is restarted, and returns its size before that.
    async fn commit_until_restart(store: &SqliteStore) -> u32 {
        for _ in 0..COMMITS_MAX {
            let before = frames(store);
            commit(store).await;
            if frames(store) < before {
                return before;
            }
        }
        panic!("{} frames, and the WAL was not restarted", frames(store));
    }

    #[tokio::test]
    async fn wal_is_restarted_during_commits() {
        let (store, directory) = new_store(SMALL);
        for _ in 0..5 {
            let length = commit_until_restart(&store).await;
            assert!(length >= SMALL.start_frames, "a checkpoint after {length} frames");
            assert_eq!(
                store.checkpointer.wal_size.state().due,
                SMALL.start_frames,
                "the next one is due later than this one"
            );
        }
        let head = store.head().await.unwrap();
        drop(store);
        let path = directory.path().join("data.db");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2, "the data file and its lock");
        assert_eq!(SqliteStore::open(path).unwrap().head().await.unwrap(), head);
    }

    #[tokio::test]
    async fn reader_prevents_wal_restart_only_while_it_reads() {
        let (store, _directory) = new_store(SMALL);
        commit(&store).await;
        let reader = reader::connect(store.data.path()).unwrap();
        let snapshot = reader.unchecked_transaction().unwrap();
        let count = || snapshot.query_row("SELECT count(*) FROM log", [], |row| row.get::<_, u32>(0)).unwrap();
        assert_eq!(count(), 1);
        grow_to(&store, 10 * SMALL.start_frames).await;
        assert_eq!(count(), 1);
        drop(snapshot);
        commit_until_restart(&store).await;
    }

    /// The forced checkpoint completes the WAL, and restores the busy timeout of the writer.
    #[tokio::test]
    async fn forced_checkpoint_waits_for_readers_with_a_timeout() {
        let (store, _directory) = new_store(Limits { start_frames: u32::MAX, ..SMALL });
        grow_to(&store, 20).await;
        let reader = reader::connect(store.data.path()).unwrap();
        let snapshot = reader.unchecked_transaction().unwrap();
        snapshot.query_row("SELECT count(*) FROM log", [], |_| Ok(())).unwrap();
        let insisted = store.writer.handle().run(|connection| {
            checkpoint_restart(connection).unwrap();
            connection.pragma_query_value(None, "busy_timeout", |row| row.get::<_, u32>(0)).unwrap()
        });
        assert_eq!(insisted.await.unwrap(), BUSY_MS);
        let before = frames(&store);
        commit(&store).await;
        assert!(frames(&store) > before, "the WAL was restarted under a reader");
        drop(snapshot);
        store.writer.handle().run(|connection| checkpoint_restart(connection)).await.unwrap().unwrap();
        commit(&store).await;
        assert!(frames(&store) < before);
    }

    /// The WAL is far larger than the limit at which the writer would force a checkpoint.
    #[tokio::test]
    async fn writer_does_not_wait_for_long_reads() {
        let (store, _directory) = new_store(Limits { start_frames: u32::MAX, force_frames: 10, ..SMALL });
        grow_to(&store, 100).await;
        let reader = reader::connect(store.data.path()).unwrap();
        let snapshot = reader.unchecked_transaction().unwrap();
        snapshot.query_row("SELECT count(*) FROM log", [], |_| Ok(())).unwrap();
        let restart_hold = store.checkpointer.hold_restart();
        let (data, wal_size) = (Arc::clone(&store.data), Arc::clone(&store.checkpointer.wal_size));
        // The writer is blocked, so any request to it would never complete.
        let (release, held) = mpsc::channel::<()>();
        store.writer.handle().send(Box::new(move |_| held.recv().unwrap_or(()))).unwrap();
        let writer = store.writer.handle().clone();
        let frames = frames(&store);
        let (done, ended) = mpsc::channel();
        std::thread::spawn(move || done.send(Checkpoint { connection: None, data, wal_size, writer }.run(frames)));
        let ended = ended.recv_timeout(Duration::from_secs(20));
        drop(restart_hold);
        release.send(()).unwrap();
        ended.expect("the checkpoint does not use the writer").unwrap();
    }

    #[test]
    fn writer_checkpoints_few_frames_unless_wal_is_too_large() {
        let limits = Limits { start_frames: 100, retry_frames: 100, finish_frames: 50, force_frames: 400 };
        let cases = [
            (100, 0, Outcome::FinishOnWriter),
            (399, 50, Outcome::FinishOnWriter),
            (399, 51, Outcome::Retry),
            (400, 51, Outcome::ForceRestart),
        ];
        for (frames, left, end) in cases {
            assert_eq!(limits.outcome(frames, left), end, "{left} of {frames}");
        }
    }

    /// The thread fails because it cannot open the file.
    #[tokio::test]
    async fn failed_checkpoint_blocks_no_commit_and_is_retried() {
        let (store, directory) = new_store(SMALL);
        let (path, away) = (directory.path().join("data.db"), directory.path().join("away"));
        fs::rename(&path, &away).unwrap();
        let (data, writer) = (Arc::clone(&store.data), store.writer.handle().clone());
        let wal_size = Arc::new(WalSize::new(SMALL));
        let failure = Checkpoint { connection: None, data, wal_size, writer }.run(SMALL.start_frames).unwrap_err();
        assert!(matches!(failure, Failure::Database(_)), "{failure:?}");
        grow_to(&store, 10 * SMALL.start_frames).await;
        fs::rename(&away, &path).unwrap();
        commit_until_restart(&store).await;
    }
}
