//! Moving what was committed from the write-ahead log into the data file.
//!
//! A thread with a connection of its own does the bulk of it while commits go on. They add to the log meanwhile, so it
//! passes over the log until little is left; that little the writer moves itself, between two commits, because only a
//! log of which nothing is left starts anew. While a reader holds an old snapshot that is not to be had: the log grows,
//! and the thread tries again later.
//!
//! A frame stays in the log until the data file has it for certain, so a full disk, or a crash at any moment, loses nothing. A
//! failed sync would: `SQLite` has already noted the frames of the pass as moved, a later sync succeeds without writing their
//! pages, and the log would start anew. So the store fails ([`crate::condition`]), and the next process moves all frames again.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;

use rusqlite::Connection;
use rusqlite::hooks::Wal;

use crate::connection::{BUSY_MS, connect_writer};
use crate::data_file::DataFile;
use crate::limits::{LOG_FRAMES_CHECKPOINT, LOG_FRAMES_MAX};
use crate::writer::WriterHandle;

/// When to do what, in frames: a frame is a page in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The thread begins when the log has this many. Fewer means more checkpoints of the same hot pages, more means
    /// that commits wait longer for the disk when they come.
    pub begin: u32,
    /// When the log could not be emptied, the thread tries again after so many more.
    pub retry: u32,
    /// What the writer moves without a pause that anybody notices.
    pub rest: u32,
    /// From here on the writer moves whatever is left, and waits for readers: otherwise a writer that is quicker than
    /// the thread, or readers that overlap without end, would let the log grow for ever.
    pub insist: u32,
}

/// How a checkpoint of the thread ends.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// Too much is left: another one may do better.
    Later,
    /// The writer moves the rest.
    Rest,
    /// The writer moves whatever is left, and waits for readers.
    Insist,
}

pub const LIMITS: Limits = Limits { begin: LOG_FRAMES_CHECKPOINT, retry: 4_000, rest: 1_000, insist: LOG_FRAMES_MAX };

/// How often the thread passes over the log before it leaves the rest for another time.
const PASSES: u32 = 6;

/// How long the writer waits for readers when it insists.
const INSIST_MS: u32 = 100;

/// The thread, for its owner.
#[derive(Debug)]
pub struct Checkpointer {
    growth: Arc<Growth>,
    thread: Option<JoinHandle<()>>,
}

/// What the writer tells the thread: how the log grows.
#[derive(Debug)]
pub struct Growth {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    limits: Limits,
    /// How many frames the log had after the last commit.
    frames: u32,
    /// At how many of them the thread is to begin.
    due: u32,
    /// How many reads take so long that to wait for them is of no use.
    long_reads: u32,
    is_closing: bool,
}

/// As long as this is held, the writer does not wait for readers.
#[derive(Debug)]
pub struct Patience(Arc<Growth>);

impl Drop for Patience {
    fn drop(&mut self) {
        self.0.state().long_reads -= 1;
    }
}

/// Why the log was not moved.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the database failed")]
    Database(#[from] rusqlite::Error),
    #[error("the data file could not be synced")]
    Sync(#[from] io::Error),
}

impl Checkpointer {
    /// Starts the thread.
    pub fn start(data: Arc<DataFile>, growth: Arc<Growth>, writer: WriterHandle) -> io::Result<Self> {
        let told = Arc::clone(&growth);
        let condition = Arc::clone(writer.condition());
        let work = move || Checkpoint { connection: None, data, growth: told, writer }.run_until_closed();
        let thread = condition.spawn("store-checkpoint", work)?;
        Ok(Self { growth, thread: Some(thread) })
    }

    /// For a read that takes long: the write-ahead log grows meanwhile, and no commit waits for the read to end.
    pub fn be_patient(&self) -> Patience {
        self.growth.state().long_reads += 1;
        Patience(Arc::clone(&self.growth))
    }

    /// Ends the thread after the pass under way, and waits until it has closed its connection.
    pub fn stop(&mut self) {
        self.growth.close();
        if let Some(thread) = self.thread.take() {
            // A panic was reported by the condition.
            let _ = thread.join();
        }
    }
}

/// What one checkpoint needs.
struct Checkpoint {
    /// Opened when it is first needed.
    connection: Option<Connection>,
    data: Arc<DataFile>,
    growth: Arc<Growth>,
    writer: WriterHandle,
}

impl Checkpoint {
    fn run_until_closed(mut self) {
        while let Some(frames) = self.growth.wait_until_due() {
            let Err(failure) = self.run(frames) else { continue };
            self.check(&failure);
            if self.writer.condition().is_failed() {
                break;
            }
            complain(&failure, frames);
        }
        if let Some(connection) = self.connection.take() {
            self.writer.condition().close(connection);
        }
    }

    /// The store fails if this is a failed sync.
    fn check(&self, failure: &Failure) {
        match failure {
            Failure::Database(error) => self.writer.condition().check(error),
            Failure::Sync(error) => {
                self.writer.condition().fail(format!("the data file could not be synced ({error}): check the disk"));
            }
        }
    }

    fn run(&mut self, frames: u32) -> Result<(), Failure> {
        let limits = self.growth.state().limits;
        let connection = match &self.connection {
            Some(connection) => connection,
            None => self.connection.insert(connect_writer(self.data.path())?),
        };
        let mut left = frames;
        for _ in 0..PASSES {
            let moved = pass(connection, "passive")?;
            // A pass syncs only if no commit came in between; then the writer would have to, for all of it.
            self.data.sync()?;
            left = self.growth.left(moved);
            if left <= limits.rest {
                break;
            }
        }
        match limits.end(frames, left) {
            End::Later => {}
            End::Rest => self.on_writer(|connection| pass(connection, "passive").map(|_| ()))?,
            End::Insist if self.growth.state().long_reads > 0 => {}
            End::Insist => self.on_writer(insist)?,
        }
        Ok(())
    }

    /// Has `work` done between two commits, and waits for it: two checkpoints at once would be in each other's way.
    fn on_writer(&self, work: fn(&Connection) -> rusqlite::Result<()>) -> rusqlite::Result<()> {
        let (answer, answered) = mpsc::channel();
        let condition = Arc::clone(self.writer.condition());
        let job = move |connection: &mut Connection| {
            let done = work(connection);
            // Before the next commit.
            let _ = done.as_ref().inspect_err(|error| condition.check(error));
            // The thread that asked waits.
            let _ = answer.send(done);
        };
        // A writer that is gone has moved everything when it closed the file.
        self.writer.send(Box::new(job)).map_or(Ok(()), |()| answered.recv().unwrap_or(Ok(())))
    }
}

/// Moves what readers allow; gives back how many of the log's frames are moved now.
fn pass(connection: &Connection, mode: &str) -> rusqlite::Result<u32> {
    let moved: i64 = connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| row.get(2))?;
    // Negative while another program moves them.
    Ok(u32::try_from(moved).unwrap_or(0))
}

/// Moves everything and waits until no reader needs the log any more, but not for ever.
fn insist(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "busy_timeout", INSIST_MS)?;
    let moved = pass(connection, "restart");
    connection.pragma_update(None, "busy_timeout", BUSY_MS)?;
    moved.map(|_| ())
}

impl Limits {
    /// After a checkpoint that found `frames` and left `left`.
    fn end(self, frames: u32, left: u32) -> End {
        match (frames >= self.insist, left <= self.rest) {
            (true, _) => End::Insist,
            (false, true) => End::Rest,
            (false, false) => End::Later,
        }
    }
}

fn complain(failure: &Failure, frames: u32) {
    let cause = std::error::Error::source(failure).map(ToString::to_string);
    tracing::warn!(
        frames,
        cause,
        "the write-ahead log could not be moved into the data file ({failure}): commits go on and the log grows until \
         it can; check the data file's disk"
    );
}

impl Growth {
    /// Of a log that is not known yet.
    pub fn new(limits: Limits) -> Self {
        let state = State { limits, frames: 0, due: limits.begin, long_reads: 0, is_closing: false };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Is told of every commit of `connection`, in the place of SQLite's own checkpoints.
    pub fn watch(self: &Arc<Self>, connection: &mut Connection) -> rusqlite::Result<()> {
        let growth = Arc::clone(self);
        connection.wal_hook(Some(move |_: &mut Wal, frames| {
            growth.grown_to(u32::try_from(frames).unwrap_or(0));
            Ok(())
        }))
    }

    fn grown_to(&self, frames: u32) {
        let mut state = self.state();
        if frames < state.frames {
            // It started anew.
            state.due = state.limits.begin;
        }
        state.frames = frames;
        if frames >= state.due {
            self.changed.notify_one();
        }
    }

    /// How many frames there are behind the first `moved` ones.
    fn left(&self, moved: u32) -> u32 {
        self.state().frames.saturating_sub(moved)
    }

    /// How many frames there are, once a checkpoint is due; `None` if the store is closed before.
    fn wait_until_due(&self) -> Option<u32> {
        let waits = |state: &mut State| !state.is_closing && state.frames < state.due;
        let mut state = self.changed.wait_while(self.state(), waits).unwrap_or_else(PoisonError::into_inner);
        state.due = state.frames.saturating_add(state.limits.retry);
        (!state.is_closing).then_some(state.frames)
    }

    fn close(&self) {
        self.state().is_closing = true;
        self.changed.notify_one();
    }

    /// Each change of the state is whole, so a panic elsewhere leaves it as good as before.
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

    /// Far below what the store has, so that a test reaches them.
    const SMALL: Limits = Limits { begin: 100, retry: 100, rest: 50, insist: 1_000_000 };

    /// More commits than any checkpoint takes.
    const COMMITS_MAX: u32 = 2_000;

    fn new_store(limits: Limits) -> (SqliteStore, TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(directory.path().join("data.db")).unwrap();
        let mut state = store.checkpointer.growth.state();
        (state.limits, state.due) = (limits, limits.begin);
        drop(state);
        (store, directory)
    }

    fn frames(store: &SqliteStore) -> u32 {
        store.checkpointer.growth.state().frames
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

    /// Commits until the log has started anew, and gives back how long it became.
    async fn commit_until_anew(store: &SqliteStore) -> u32 {
        for _ in 0..COMMITS_MAX {
            let before = frames(store);
            commit(store).await;
            if frames(store) < before {
                return before;
            }
        }
        panic!("{} frames, and the log did not start anew", frames(store));
    }

    #[tokio::test]
    async fn the_log_starts_anew_while_commits_go_on() {
        let (store, directory) = new_store(SMALL);
        for _ in 0..5 {
            let length = commit_until_anew(&store).await;
            assert!(length >= SMALL.begin, "a checkpoint after {length} frames");
            assert_eq!(store.checkpointer.growth.state().due, SMALL.begin, "the next one is due later than this one");
        }
        let head = store.head().await.unwrap();
        drop(store);
        let path = directory.path().join("data.db");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2, "the data file and its lock");
        assert_eq!(SqliteStore::open(path).unwrap().head().await.unwrap(), head);
    }

    #[tokio::test]
    async fn a_reader_keeps_the_log_only_as_long_as_it_reads() {
        let (store, _directory) = new_store(SMALL);
        commit(&store).await;
        let reader = reader::connect(store.data.path()).unwrap();
        let snapshot = reader.unchecked_transaction().unwrap();
        let count = || snapshot.query_row("SELECT count(*) FROM log", [], |row| row.get::<_, u32>(0)).unwrap();
        assert_eq!(count(), 1);
        grow_to(&store, 10 * SMALL.begin).await;
        assert_eq!(count(), 1);
        drop(snapshot);
        commit_until_anew(&store).await;
    }

    /// Nothing is left in the log that is not moved, and the writer's own patience is as before.
    #[tokio::test]
    async fn who_insists_waits_for_readers_but_not_for_ever() {
        let (store, _directory) = new_store(Limits { begin: u32::MAX, ..SMALL });
        grow_to(&store, 20).await;
        let reader = reader::connect(store.data.path()).unwrap();
        let snapshot = reader.unchecked_transaction().unwrap();
        snapshot.query_row("SELECT count(*) FROM log", [], |_| Ok(())).unwrap();
        let insisted = store.writer.handle().run(|connection| {
            insist(connection).unwrap();
            connection.pragma_query_value(None, "busy_timeout", |row| row.get::<_, u32>(0)).unwrap()
        });
        assert_eq!(insisted.await.unwrap(), BUSY_MS);
        let before = frames(&store);
        commit(&store).await;
        assert!(frames(&store) > before, "the log started anew under a reader");
        drop(snapshot);
        store.writer.handle().run(|connection| insist(connection)).await.unwrap().unwrap();
        commit(&store).await;
        assert!(frames(&store) < before);
    }

    /// Far beyond the limit: the writer would have moved all that it may.
    #[tokio::test]
    async fn writer_does_not_wait_for_a_read_that_takes_long() {
        let (store, _directory) = new_store(Limits { begin: u32::MAX, insist: 10, ..SMALL });
        grow_to(&store, 100).await;
        let reader = reader::connect(store.data.path()).unwrap();
        let snapshot = reader.unchecked_transaction().unwrap();
        snapshot.query_row("SELECT count(*) FROM log", [], |_| Ok(())).unwrap();
        let patience = store.checkpointer.be_patient();
        let (data, growth) = (Arc::clone(&store.data), Arc::clone(&store.checkpointer.growth));
        // Nobody is there to do what the writer would be asked for.
        let (release, held) = mpsc::channel::<()>();
        store.writer.handle().send(Box::new(move |_| held.recv().unwrap_or(()))).unwrap();
        let writer = store.writer.handle().clone();
        let frames = frames(&store);
        let (done, ended) = mpsc::channel();
        std::thread::spawn(move || done.send(Checkpoint { connection: None, data, growth, writer }.run(frames)));
        let ended = ended.recv_timeout(Duration::from_secs(20));
        drop(patience);
        release.send(()).unwrap();
        ended.expect("the checkpoint asks the writer for nothing").unwrap();
    }

    #[test]
    fn the_writer_moves_little_unless_the_log_grows_too_long() {
        let limits = Limits { begin: 100, retry: 100, rest: 50, insist: 400 };
        let cases = [(100, 0, End::Rest), (399, 50, End::Rest), (399, 51, End::Later), (400, 51, End::Insist)];
        for (frames, left, end) in cases {
            assert_eq!(limits.end(frames, left), end, "{left} of {frames}");
        }
    }

    /// Here the thread cannot open the file.
    #[tokio::test]
    async fn a_failure_stops_no_commit_and_is_not_the_last_attempt() {
        let (store, directory) = new_store(SMALL);
        let (path, away) = (directory.path().join("data.db"), directory.path().join("away"));
        fs::rename(&path, &away).unwrap();
        let (data, writer) = (Arc::clone(&store.data), store.writer.handle().clone());
        let growth = Arc::new(Growth::new(SMALL));
        let failure = Checkpoint { connection: None, data, growth, writer }.run(SMALL.begin).unwrap_err();
        assert!(matches!(failure, Failure::Database(_)), "{failure:?}");
        grow_to(&store, 10 * SMALL.begin).await;
        fs::rename(&away, &path).unwrap();
        commit_until_anew(&store).await;
    }
}
