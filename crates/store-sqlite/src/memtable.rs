//! The in-memory part of the index by key.
//!
//! The structure is that of a log-structured merge (LSM) index: versions are collected in memtables in memory, which
//! are flushed to the index table of the file. If keys are random, a commit of a hundred objects would change a hundred
//! pages of the index table, and each page is written to the WAL as a whole. A commit therefore writes only the log,
//! and its versions are added to a memtable. When a memtable has enough versions, it is flushed in key order, a few
//! versions with each commit, so that neighboring keys share the pages that they change.
//!
//! The memtables need not be durable: the log has every version, `log_state.indexed` is the revision up to which the
//! file's index is complete, and the missing part is added when the file is opened ([`catch_up`]).
//!
//! A read merges the file's index in its snapshot with the memtables at the same moment. A memtable may contain
//! versions newer than the snapshot, so every look-up has an upper bound. A flushed memtable is kept in memory while
//! readers use it.

use std::collections::{BTreeMap, btree_map};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use rusqlite::Connection;
use store::{Revision, Write};

use crate::limits::MEMTABLE_VERSIONS_MAX;
use crate::row_codec::{self, from_revision};

/// A memtable is flushed when it has one version per this many pages of the file. The file has about four versions per
/// page and its index sixty, so each changed index page receives about eight new versions, regardless of the size of
/// the file.
const PAGES_PER_VERSION: u32 = 2;

/// The minimum number of versions of a flush.
const MEMTABLE_VERSIONS_MIN: u32 = 256;

/// Returns the number of versions at which a memtable is full, for a file with `pages` pages.
fn memtable_capacity(pages: u32) -> usize {
    (pages / PAGES_PER_VERSION).clamp(MEMTABLE_VERSIONS_MIN, MEMTABLE_VERSIONS_MAX) as usize
}

/// The number of versions that are flushed per written version. With 2, a memtable is flushed before the next one is
/// full.
const FLUSH_RATIO: usize = 2;

/// The number of versions per transaction when a caller waits for a complete flush.
const FLUSH_BATCH_VERSIONS: usize = 4_096;

/// The number of keys that an iterator copies from each memtable at once.
const SCAN_CHUNK_KEYS: usize = 128;

const INSERT: &str = "INSERT OR IGNORE INTO version (key, revision, live) VALUES (?1, ?2, ?3)";

/// Sets the revision up to which the file's index is complete.
pub const SET_INDEXED: &str = "UPDATE log_state SET indexed = ?1";

const CATCH_UP: &str = "
INSERT OR IGNORE INTO version (key, revision, live)
SELECT key, revision, live FROM log WHERE revision > (SELECT indexed FROM log_state) ORDER BY key, revision DESC";

const UNINDEXED: &str = "
SELECT key, revision, live FROM log WHERE revision > (SELECT indexed FROM log_state) ORDER BY revision";

/// Completes the file's index. After a crash it lacks at most about two memtables.
pub fn catch_up(connection: &mut Connection, head: Revision) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    transaction.execute(CATCH_UP, [])?;
    transaction.execute(SET_INDEXED, [from_revision(head)])?;
    transaction.commit()
}

/// Returns a memtable with the versions that the file's index lacks, for a file that must not be changed.
pub fn from_log(connection: &Connection) -> rusqlite::Result<IndexMemtables> {
    let mut memtable = Memtable::default();
    let mut statement = connection.prepare(UNINDEXED)?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        let key: String = row.get(0)?;
        memtable.add(&key, Version { revision: row_codec::revision(row, 1)?, live: row.get(2)? });
    }
    let memtables = MemtableSet(vec![Arc::new(RwLock::new(memtable))]);
    Ok(IndexMemtables { memtables: RwLock::new(Arc::new(memtables)), flush_job: Mutex::default() })
}

/// A version of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    /// The revision.
    pub revision: Revision,
    /// False for a deletion.
    pub live: bool,
}

/// Versions by key; the versions of a key are in ascending order.
#[derive(Debug, Default)]
struct Memtable {
    versions: BTreeMap<Box<str>, Vec<Version>>,
    len: usize,
}

impl Memtable {
    fn add(&mut self, key: &str, version: Version) {
        self.versions.entry(key.into()).or_insert_with(|| Vec::with_capacity(1)).push(version);
        self.len += 1;
    }

    /// Returns the versions after `cursor`, in key order, newest first per key. Skips the flushed versions of a
    /// key at once, because a key may have tens of thousands of versions and each commit flushes only a few.
    fn after_cursor<'a>(&'a self, cursor: &'a FlushCursor) -> impl Iterator<Item = (&'a str, Version)> {
        let begun = self.versions.get_key_value(&cursor.key).map(|(key, versions)| {
            let left = versions.len().saturating_sub(cursor.versions);
            (key, &versions[..left])
        });
        let others = self.versions.range::<str, _>((Bound::Excluded(&*cursor.key), Bound::Unbounded));
        let others = others.map(|(key, versions)| (key, &versions[..]));
        begun
            .into_iter()
            .chain(others)
            .flat_map(|(key, versions)| versions.iter().rev().map(move |version| (&**key, *version)))
    }

    fn rollback_to(&mut self, head: Revision) {
        self.versions.retain(|_, versions| {
            versions.retain(|version| version.revision <= head);
            !versions.is_empty()
        });
        self.len = self.versions.values().map(Vec::len).sum();
    }
}

/// Returns the newest version up to `at`.
fn newest(versions: &[Version], at: Revision) -> Option<Version> {
    let count = versions.partition_point(|version| version.revision <= at);
    count.checked_sub(1).map(|last| versions[last])
}

/// The memtables at one moment, the newest first. Only the newest one grows.
#[derive(Debug)]
pub struct MemtableSet(Vec<Arc<RwLock<Memtable>>>);

impl MemtableSet {
    /// Returns the newest version of a key up to `at` if a memtable has one. The file has no newer one then.
    pub fn newest(&self, key: &str, at: Revision) -> Option<Version> {
        let in_memtable = |memtable: &Arc<RwLock<Memtable>>| newest(read(memtable).versions.get(key)?, at);
        self.0.iter().find_map(in_memtable)
    }

    /// Returns the number of memtables: one, or two during a flush.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Iterates over the keys with `prefix` from `start` on, with the newest version up to `at` of each.
    pub fn scan<'a>(&'a self, prefix: &'a str, start: &str, at: Revision) -> MergeIter<'a> {
        MergeIter { memtables: self, prefix, at, start: Some(start.to_owned()), found: BTreeMap::new().into_iter() }
    }
}

/// An iterator over the keys of all memtables in order. It holds no lock between items.
pub struct MergeIter<'a> {
    memtables: &'a MemtableSet,
    prefix: &'a str,
    at: Revision,
    /// The key at which to continue when `found` is consumed; `None` at the end.
    start: Option<String>,
    found: btree_map::IntoIter<Box<str>, Version>,
}

impl Iterator for MergeIter<'_> {
    type Item = (Box<str>, Version);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(found) = self.found.next() {
                return Some(found);
            }
            let start = self.start.take()?;
            self.refill(&start);
        }
    }
}

impl MergeIter<'_> {
    fn refill(&mut self, start: &str) {
        let mut found = BTreeMap::new();
        // The last key up to which all memtables were read.
        let mut end: Option<Box<str>> = None;
        for memtable in &self.memtables.0 {
            let memtable = read(memtable);
            let keys = memtable.versions.range::<str, _>((Bound::Included(start), Bound::Unbounded));
            let mut keys = keys.take_while(|(key, _)| key.starts_with(self.prefix));
            for (place, (key, versions)) in keys.by_ref().take(SCAN_CHUNK_KEYS).enumerate() {
                if let Some(version) = newest(versions, self.at) {
                    found.entry(key.clone()).or_insert(version);
                }
                if place + 1 == SCAN_CHUNK_KEYS && end.as_ref().is_none_or(|end| key < end) {
                    end = Some(key.clone());
                }
            }
        }
        if let Some(end) = end {
            let next_start = format!("{end}\0");
            drop(found.split_off(next_start.as_str()));
            self.start = Some(next_start);
        }
        self.found = found.into_iter();
    }
}

/// The in-memory index of a store. Only the writer thread changes it.
#[derive(Debug)]
pub struct IndexMemtables {
    memtables: RwLock<Arc<MemtableSet>>,
    flush_job: Mutex<Option<FlushJob>>,
}

/// A flush in progress.
#[derive(Debug)]
struct FlushJob {
    memtable: Arc<RwLock<Memtable>>,
    /// The revision up to which the file's index is complete after the flush.
    up_to: Revision,
    /// The part of the memtable that is in the file already.
    cursor: FlushCursor,
}

/// A position in a memtable. The versions before it have been flushed: those of all keys before `key`, and the newest
/// `versions` versions of `key`.
#[derive(Clone, Debug, Default)]
pub struct FlushCursor {
    key: Box<str>,
    versions: usize,
}

/// The progress of a flush in a transaction. It takes effect after the commit.
#[must_use = "to be given to `IndexMemtables::flush_done` after the commit"]
pub enum FlushStep {
    /// Nothing was flushed.
    Nothing,
    /// A part was flushed; the memtable is now flushed up to here.
    Slice(FlushCursor),
    /// The last part was flushed.
    Last,
}

impl IndexMemtables {
    /// Creates the in-memory index for a file with a complete index.
    pub fn new() -> Self {
        Self { memtables: RwLock::new(Arc::new(MemtableSet(vec![Arc::default()]))), flush_job: Mutex::default() }
    }

    /// Returns the current memtables.
    pub fn memtables(&self) -> Arc<MemtableSet> {
        Arc::clone(&self.memtables.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// True if `memtables` are still the current memtables. A snapshot that began in between then finds every version in
    /// the memtables, in the file, or in both.
    pub fn is_current(&self, memtables: &Arc<MemtableSet>) -> bool {
        Arc::ptr_eq(&self.memtables(), memtables)
    }

    /// Adds the writes of a commit after `head`. Must be called before readers can see the commit.
    pub fn add(&self, head: Revision, writes: &[Write]) {
        let memtables = self.memtables();
        let mut newest = write(&memtables.0[0]);
        for (write, revision) in writes.iter().zip(head.0 + 1..) {
            newest.add(write.key.as_str(), Version { revision: Revision(revision), live: write.value.is_some() });
        }
    }

    /// Removes the versions after `head`, which belong to a failed commit.
    pub fn rollback_to(&self, head: Revision) {
        write(&self.memtables().0[0]).rollback_to(head);
    }

    /// Flushes the part that is due for a commit of `writes` writes, in its transaction.
    pub fn flush_some(&self, transaction: &Connection, head: Revision, writes: usize) -> rusqlite::Result<FlushStep> {
        let mut flush_job = self.flush_job();
        if flush_job.is_none() && self.is_full(transaction)? {
            *flush_job = Some(self.start_flush(head));
        }
        flush_batch(flush_job.as_ref(), transaction, writes * FLUSH_RATIO)
    }

    /// Flushes a part of all memtables, regardless of their size. Repeated calls flush everything up to `head`.
    pub fn flush_all(&self, transaction: &Connection, head: Revision) -> rusqlite::Result<FlushStep> {
        let mut flush_job = self.flush_job();
        let flush_job = flush_job.get_or_insert_with(|| {
            // The outcome of the last commit may be unresolved. The transaction resolves it: versions after its head do
            // not exist.
            self.rollback_to(head);
            self.start_flush(head)
        });
        flush_batch(Some(flush_job), transaction, FLUSH_BATCH_VERSIONS)
    }

    /// Applies the progress of a flush after the commit.
    pub fn flush_done(&self, flushed: FlushStep) {
        let mut flush_job = self.flush_job();
        match (flushed, &mut *flush_job) {
            (FlushStep::Slice(cursor), Some(flush_job)) => flush_job.cursor = cursor,
            (FlushStep::Last, _) => {
                *flush_job = None;
                self.replace(|memtables| vec![Arc::clone(&memtables.0[0])]);
            }
            (FlushStep::Nothing, _) | (FlushStep::Slice(_), None) => {}
        }
    }

    /// True if the newest memtable has enough versions for the size of the file.
    fn is_full(&self, connection: &Connection) -> rusqlite::Result<bool> {
        let versions = read(&self.memtables().0[0]).len;
        if versions < MEMTABLE_VERSIONS_MIN as usize {
            return Ok(false);
        }
        let pages = connection.prepare_cached("PRAGMA page_count")?.query_row([], |row| row.get(0))?;
        Ok(versions >= memtable_capacity(pages))
    }

    /// Starts a flush of the newest memtable, which is complete up to `head`, and adds an empty memtable before it.
    fn start_flush(&self, head: Revision) -> FlushJob {
        let memtable = Arc::clone(&self.memtables().0[0]);
        self.replace(|memtables| vec![Arc::default(), Arc::clone(&memtables.0[0])]);
        FlushJob { memtable, up_to: head, cursor: FlushCursor::default() }
    }

    fn replace(&self, change: impl FnOnce(&MemtableSet) -> Vec<Arc<RwLock<Memtable>>>) {
        let mut memtables = self.memtables.write().unwrap_or_else(PoisonError::into_inner);
        *memtables = Arc::new(MemtableSet(change(&memtables)));
    }

    fn flush_job(&self) -> MutexGuard<'_, Option<FlushJob>> {
        self.flush_job.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes up to `count` versions of the memtable in `flush_job` to the file's index.
fn flush_batch(flush_job: Option<&FlushJob>, transaction: &Connection, count: usize) -> rusqlite::Result<FlushStep> {
    let Some(FlushJob { memtable, up_to, cursor }) = flush_job else { return Ok(FlushStep::Nothing) };
    let memtable = read(memtable);
    let mut insert = transaction.prepare_cached(INSERT)?;
    let mut reached = cursor.clone();
    let mut left = memtable.after_cursor(cursor);
    for (key, Version { revision, live }) in left.by_ref().take(count) {
        insert.execute((key, from_revision(revision), live))?;
        if *reached.key != *key {
            reached = FlushCursor { key: key.into(), versions: 0 };
        }
        reached.versions += 1;
    }
    if left.next().is_some() {
        return Ok(FlushStep::Slice(reached));
    }
    transaction.prepare_cached(SET_INDEXED)?.execute([from_revision(*up_to)])?;
    Ok(FlushStep::Last)
}

/// A memtable is valid even after a panic of another thread.
fn read(memtable: &RwLock<Memtable>) -> RwLockReadGuard<'_, Memtable> {
    memtable.read().unwrap_or_else(PoisonError::into_inner)
}

fn write(memtable: &RwLock<Memtable>) -> RwLockWriteGuard<'_, Memtable> {
    memtable.write().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layer_capacity_depends_on_the_file_size() {
        let sizes = [(1, 256), (513, 256), (1_000, 500), (524_288, 262_144), (u32::MAX, 262_144)];
        for (pages, versions) in sizes {
            assert_eq!(memtable_capacity(pages), versions, "{pages} pages");
        }
    }
}
