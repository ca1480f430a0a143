//! The newest part of the index, in memory.
//!
//! In an index each key has a place of its own. Where keys are hashes, a commit of a hundred objects would change a
//! hundred pages of it, and each goes through the write-ahead log as a whole. So a commit writes the log alone, and its
//! versions are indexed here. When many have come together they are folded into the file's index in the order of their
//! keys, a slice with each commit, so that neighbours share the page that they change.
//!
//! Nothing depends on what is here: the log has every version, `history.indexed` says up to where the file's index is
//! complete, and what it lacks is added when the file is opened ([`catch_up`]).
//!
//! A read joins the file's index as of its snapshot with the layers as of then. A layer may have versions behind that
//! snapshot, so whoever looks says how far; and one that has been folded stays for those who still hold it.

use std::collections::{BTreeMap, btree_map};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use rusqlite::Connection;
use store::{Revision, Write};

use crate::limits::LAYER_VERSIONS_MAX;
use crate::rows::{self, from_revision};

/// A layer is folded when it has a version for so many pages of the file. The file has about four versions to a page
/// and its index sixty, so a page of the index takes eight new ones whenever it changes, however large the file is.
const PAGES_PER_VERSION: u32 = 2;

/// The fewest versions that are worth it.
const LAYER_VERSIONS_MIN: u32 = 256;

/// The versions with which a layer is full when the file has so many pages.
fn versions_of_full_layer(pages: u32) -> usize {
    (pages / PAGES_PER_VERSION).clamp(LAYER_VERSIONS_MIN, LAYER_VERSIONS_MAX) as usize
}

/// How many versions are folded for each that is written: a layer is in the file before the next one is full.
const FOLDED_PER_WRITE: usize = 2;

/// How many versions are folded at once when somebody waits for the last of them.
const FOLDED_AT_ONCE: usize = 4_096;

/// How many keys a walk copies from each layer at a time.
const WALK_KEYS: usize = 128;

const INSERT: &str = "INSERT OR IGNORE INTO version (key, revision, live) VALUES (?1, ?2, ?3)";

/// Says up to where the file's index is complete.
pub const SET_INDEXED: &str = "UPDATE history SET indexed = ?1";

const CATCH_UP: &str = "
INSERT OR IGNORE INTO version (key, revision, live)
SELECT key, revision, live FROM log WHERE revision > (SELECT indexed FROM history) ORDER BY key, revision DESC";

const MISSING: &str = "
SELECT key, revision, live FROM log WHERE revision > (SELECT indexed FROM history) ORDER BY revision";

/// Completes the file's index: it is behind after a crash, and no further than a layer or two.
pub fn catch_up(connection: &mut Connection, head: Revision) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    transaction.execute(CATCH_UP, [])?;
    transaction.execute(SET_INDEXED, [from_revision(head)])?;
    transaction.commit()
}

/// What the file's index lacks, for a file that is not to be changed.
pub fn missing(connection: &Connection) -> rusqlite::Result<Recent> {
    let mut layer = Layer::default();
    let mut statement = connection.prepare(MISSING)?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        let key: String = row.get(0)?;
        layer.add(&key, Version { revision: rows::revision(row, 1)?, live: row.get(2)? });
    }
    let layers = Layers(vec![Arc::new(RwLock::new(layer))]);
    Ok(Recent { layers: RwLock::new(Arc::new(layers)), folding: Mutex::default() })
}

/// A version of some key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    /// Which.
    pub revision: Revision,
    /// Whether it is an object, and not its deletion.
    pub live: bool,
}

/// Versions by their keys, of each key the oldest first.
#[derive(Debug, Default)]
struct Layer {
    versions: BTreeMap<Box<str>, Vec<Version>>,
    len: usize,
}

impl Layer {
    fn add(&mut self, key: &str, version: Version) {
        self.versions.entry(key.into()).or_insert_with(|| Vec::with_capacity(1)).push(version);
        self.len += 1;
    }

    /// The versions that are not done, by key, of each the newest first. What is done is not stepped over one by one: a key
    /// may have tens of thousands of versions, and each commit folds a few of them.
    fn behind<'a>(&'a self, done: &'a Done) -> impl Iterator<Item = (&'a str, Version)> {
        let begun = self.versions.get_key_value(&done.key).map(|(key, versions)| {
            let left = versions.len().saturating_sub(done.versions);
            (key, &versions[..left])
        });
        let others = self.versions.range::<str, _>((Bound::Excluded(&*done.key), Bound::Unbounded));
        let others = others.map(|(key, versions)| (key, &versions[..]));
        begun
            .into_iter()
            .chain(others)
            .flat_map(|(key, versions)| versions.iter().rev().map(move |version| (&**key, *version)))
    }

    fn forget_after(&mut self, head: Revision) {
        self.versions.retain(|_, versions| {
            versions.retain(|version| version.revision <= head);
            !versions.is_empty()
        });
        self.len = self.versions.values().map(Vec::len).sum();
    }
}

/// The newest of a key's versions up to `at`.
fn newest(versions: &[Version], at: Revision) -> Option<Version> {
    let count = versions.partition_point(|version| version.revision <= at);
    count.checked_sub(1).map(|last| versions[last])
}

/// All layers at one moment, the newest first. Only that one still grows.
#[derive(Debug)]
pub struct Layers(Vec<Arc<RwLock<Layer>>>);

impl Layers {
    /// The newest version of a key up to `at`, if it is in a layer: the file has none that is newer.
    pub fn newest(&self, key: &str, at: Revision) -> Option<Version> {
        let in_layer = |layer: &Arc<RwLock<Layer>>| newest(read(layer).versions.get(key)?, at);
        self.0.iter().find_map(in_layer)
    }

    /// How many they are: one, or two while one is being folded.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The keys of a prefix from `start` on, each with its newest version up to `at`.
    pub fn walk<'a>(&'a self, prefix: &'a str, start: &str, at: Revision) -> Walk<'a> {
        Walk { layers: self, prefix, at, start: Some(start.to_owned()), found: BTreeMap::new().into_iter() }
    }
}

/// Through the keys of all layers in order; it holds no lock in between.
pub struct Walk<'a> {
    layers: &'a Layers,
    prefix: &'a str,
    at: Revision,
    /// Where it goes on when `found` is used up; `None` at the end.
    start: Option<String>,
    found: btree_map::IntoIter<Box<str>, Version>,
}

impl Iterator for Walk<'_> {
    type Item = (Box<str>, Version);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(found) = self.found.next() {
                return Some(found);
            }
            let start = self.start.take()?;
            self.look(&start);
        }
    }
}

impl Walk<'_> {
    fn look(&mut self, start: &str) {
        let mut found = BTreeMap::new();
        // Behind this key a layer was not looked into.
        let mut end: Option<Box<str>> = None;
        for layer in &self.layers.0 {
            let layer = read(layer);
            let keys = layer.versions.range::<str, _>((Bound::Included(start), Bound::Unbounded));
            let mut keys = keys.take_while(|(key, _)| key.starts_with(self.prefix));
            for (place, (key, versions)) in keys.by_ref().take(WALK_KEYS).enumerate() {
                if let Some(version) = newest(versions, self.at) {
                    found.entry(key.clone()).or_insert(version);
                }
                if place + 1 == WALK_KEYS && end.as_ref().is_none_or(|end| key < end) {
                    end = Some(key.clone());
                }
            }
        }
        if let Some(end) = end {
            let behind = format!("{end}\0");
            drop(found.split_off(behind.as_str()));
            self.start = Some(behind);
        }
        self.found = found.into_iter();
    }
}

/// The layers of a store. One thread writes, the store's writer.
#[derive(Debug)]
pub struct Recent {
    layers: RwLock<Arc<Layers>>,
    folding: Mutex<Option<Folding>>,
}

/// A layer on its way into the file.
#[derive(Debug)]
struct Folding {
    layer: Arc<RwLock<Layer>>,
    /// Up to here the file's index is complete afterwards.
    until: Revision,
    /// Which part of the layer is in the file.
    done: Done,
}

/// A part of a layer: every key before this one, and so many versions of this one.
#[derive(Clone, Debug, Default)]
pub struct Done {
    key: Box<str>,
    versions: usize,
}

/// What a transaction has folded. It counts when that is committed.
#[must_use = "to be given to `Recent::folded` after the commit"]
pub enum Folded {
    /// Nothing was to be done.
    Nothing,
    /// A slice: this much of the layer is done now.
    Slice(Done),
    /// The last slice.
    Last,
}

impl Recent {
    /// For a file whose index is complete.
    pub fn new() -> Self {
        Self { layers: RwLock::new(Arc::new(Layers(vec![Arc::default()]))), folding: Mutex::default() }
    }

    /// The layers as of now.
    pub fn layers(&self) -> Arc<Layers> {
        Arc::clone(&self.layers.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether these are still the layers. Then a snapshot that began in between has every version in them, in the file
    /// or in both.
    pub fn is_current(&self, layers: &Arc<Layers>) -> bool {
        Arc::ptr_eq(&self.layers(), layers)
    }

    /// Indexes the writes of a commit behind `head`, before anybody can see it.
    pub fn add(&self, head: Revision, writes: &[Write]) {
        let layers = self.layers();
        let mut newest = write(&layers.0[0]);
        for (write, revision) in writes.iter().zip(head.0 + 1..) {
            newest.add(write.key.as_str(), Version { revision: Revision(revision), live: write.value.is_some() });
        }
    }

    /// Forgets what is behind `head`, of a commit that failed.
    pub fn forget_after(&self, head: Revision) {
        write(&self.layers().0[0]).forget_after(head);
    }

    /// Folds what a commit of so many writes has to, in its transaction.
    pub fn fold(&self, transaction: &Connection, head: Revision, writes: usize) -> rusqlite::Result<Folded> {
        let mut folding = self.folding();
        if folding.is_none() && self.is_full(transaction)? {
            *folding = Some(self.begin(head));
        }
        slice(folding.as_ref(), transaction, writes * FOLDED_PER_WRITE)
    }

    /// Folds some of what there is, however little. Repeated, it leaves nothing up to `head`.
    pub fn fold_now(&self, transaction: &Connection, head: Revision) -> rusqlite::Result<Folded> {
        let mut folding = self.folding();
        let folding = folding.get_or_insert_with(|| {
            // Nobody may have found out yet what became of the last commit. Here it is known: what the transaction does
            // not see is not there.
            self.forget_after(head);
            self.begin(head)
        });
        slice(Some(folding), transaction, FOLDED_AT_ONCE)
    }

    /// What was folded is in the file.
    pub fn folded(&self, folded: Folded) {
        let mut folding = self.folding();
        match (folded, &mut *folding) {
            (Folded::Slice(done), Some(folding)) => folding.done = done,
            (Folded::Last, _) => {
                *folding = None;
                self.replace(|layers| vec![Arc::clone(&layers.0[0])]);
            }
            (Folded::Nothing, _) | (Folded::Slice(_), None) => {}
        }
    }

    /// Whether the newest layer has enough versions for the size of the file.
    fn is_full(&self, connection: &Connection) -> rusqlite::Result<bool> {
        let versions = read(&self.layers().0[0]).len;
        if versions < LAYER_VERSIONS_MIN as usize {
            return Ok(false);
        }
        let pages = connection.prepare_cached("PRAGMA page_count")?.query_row([], |row| row.get(0))?;
        Ok(versions >= versions_of_full_layer(pages))
    }

    /// Puts an empty layer before the newest one, which is complete up to `head`.
    fn begin(&self, head: Revision) -> Folding {
        let layer = Arc::clone(&self.layers().0[0]);
        self.replace(|layers| vec![Arc::default(), Arc::clone(&layers.0[0])]);
        Folding { layer, until: head, done: Done::default() }
    }

    fn replace(&self, change: impl FnOnce(&Layers) -> Vec<Arc<RwLock<Layer>>>) {
        let mut layers = self.layers.write().unwrap_or_else(PoisonError::into_inner);
        *layers = Arc::new(Layers(change(&layers)));
    }

    fn folding(&self) -> MutexGuard<'_, Option<Folding>> {
        self.folding.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes the next versions of the layer that is being folded into the file's index.
fn slice(folding: Option<&Folding>, transaction: &Connection, count: usize) -> rusqlite::Result<Folded> {
    let Some(Folding { layer, until, done }) = folding else { return Ok(Folded::Nothing) };
    let layer = read(layer);
    let mut insert = transaction.prepare_cached(INSERT)?;
    let mut reached = done.clone();
    let mut left = layer.behind(done);
    for (key, Version { revision, live }) in left.by_ref().take(count) {
        insert.execute((key, from_revision(revision), live))?;
        if *reached.key != *key {
            reached = Done { key: key.into(), versions: 0 };
        }
        reached.versions += 1;
    }
    if left.next().is_some() {
        return Ok(Folded::Slice(reached));
    }
    transaction.prepare_cached(SET_INDEXED)?.execute([from_revision(*until)])?;
    Ok(Folded::Last)
}

/// A panic in between leaves a layer as it was.
fn read(layer: &RwLock<Layer>) -> RwLockReadGuard<'_, Layer> {
    layer.read().unwrap_or_else(PoisonError::into_inner)
}

fn write(layer: &RwLock<Layer>) -> RwLockWriteGuard<'_, Layer> {
    layer.write().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layer_is_full_by_the_size_of_the_file() {
        let sizes = [(1, 256), (513, 256), (1_000, 500), (524_288, 262_144), (u32::MAX, 262_144)];
        for (pages, versions) in sizes {
            assert_eq!(versions_of_full_layer(pages), versions, "{pages} pages");
        }
    }
}
