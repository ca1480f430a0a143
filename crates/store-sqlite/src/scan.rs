//! Scan of the keys in order, with the version of each key at a snapshot.
//!
//! The scan merges the index in the file with the index in memory. If a key has many versions, it skips to the next
//! relevant index entry instead of reading all of them (a skip scan), so a key that was written a hundred thousand
//! times costs no more than one that was written twenty times.

use std::ops::ControlFlow;

use rusqlite::{Connection, OptionalExtension};
use store::{Error, Key, Revision};

use crate::error::failed;
use crate::memtable::Version;
use crate::row_codec::{self, from_revision};
use crate::view::ReadView;

/// The number of versions of one key that are read before the scan seeks. A seek costs as much as about twenty steps.
const STEPS_BEFORE_SEEK: u32 = 16;

/// The newest version of a key up to a revision, in the file's index.
pub const NEWEST: &str =
    "SELECT revision, live FROM version WHERE key = ?1 AND revision <= ?2 ORDER BY revision DESC LIMIT 1";

/// All versions of all keys from a key on, the newest first per key, in the file's index.
pub const SCAN: &str = "SELECT key, revision, live FROM version WHERE key >= ?1 ORDER BY key, revision DESC";

/// Calls `visit` in key order with the version that each key of the prefix had at `snapshot`, until `visit` returns
/// `Break`.
pub fn scan(
    view: &ReadView<'_>,
    prefix: &str,
    after: Option<&Key>,
    snapshot: Revision,
    mut visit: impl FnMut(&str, Revision) -> ControlFlow<()>,
) -> Result<(), Error> {
    let start = start(prefix, after);
    let mut in_memory = view.memtables.scan(prefix, &start, snapshot).peekable();
    let mut visit_live = |key: &str, Version { revision, live }| {
        if live { visit(key, revision) } else { ControlFlow::Continue(()) }
    };
    // A version in memory is newer than those in the file.
    let join = |key: &str, revision| {
        while let Some((key, version)) = in_memory.next_if(|(next, _)| **next < *key) {
            visit_live(&key, version)?;
        }
        let newer = in_memory.next_if(|(next, _)| **next == *key).map(|(_, version)| version);
        visit_live(key, newer.unwrap_or(Version { revision, live: true }))
    };
    if scan_file(view.connection, prefix, start, snapshot, join)?.is_continue() {
        // This is the end in either case.
        let _ = in_memory.try_for_each(|(key, version)| visit_live(&key, version));
    }
    Ok(())
}

/// Like `scan`, from `start` on, over the file's index only.
fn scan_file(
    connection: &Connection,
    prefix: &str,
    mut start: String,
    snapshot: Revision,
    mut visit: impl FnMut(&str, Revision) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, Error> {
    let mut statement = connection.prepare_cached(SCAN).map_err(failed)?;
    let mut position = SkipScan { snapshot, key: String::new(), is_decided: false, steps: 0 };
    'seek: loop {
        let mut found = statement.query([&start]).map_err(failed)?;
        while let Some(row) = found.next().map_err(failed)? {
            let key = row.get_ref(0).and_then(|text| Ok(text.as_str()?)).map_err(failed)?;
            if !key.starts_with(prefix) {
                return Ok(ControlFlow::Continue(()));
            }
            // In a damaged index the order may be wrong, and a scan that continues after the last key would loop
            // forever.
            if key < start.as_str() || key < position.key.as_str() {
                return Err(out_of_order(key));
            }
            let revision = row_codec::revision(row, 1).map_err(failed)?;
            let live = row.get(2).map_err(failed)?;
            let (version, seeks) = match position.observe(key, revision, live) {
                Action::Version => (Some(revision), false),
                Action::Nothing => (None, false),
                Action::SeekVersion => (newest_in_file(connection, &position.key, snapshot)?, true),
                Action::SeekNextKey => (None, true),
            };
            if let Some(revision) = version
                && visit(&position.key, revision).is_break()
            {
                return Ok(ControlFlow::Break(()));
            }
            if seeks {
                start = key_successor(&position.key);
                continue 'seek;
            }
        }
        return Ok(ControlFlow::Continue(()));
    }
}

fn out_of_order(key: &str) -> Error {
    Error::Corrupt(format!("the index of the data file has the key {key:?} out of order: restore a backup"))
}

/// Returns the revision of the version of `key` that was current at `at`; `None` if the key did not exist.
pub fn newest(view: &ReadView<'_>, key: &str, at: Revision) -> Result<Option<Revision>, Error> {
    match view.memtables.newest(key, at) {
        Some(version) => Ok(version.live.then_some(version.revision)),
        None => newest_in_file(view.connection, key, at),
    }
}

/// Like `newest`, in the file's index only.
pub fn newest_in_file(connection: &Connection, key: &str, at: Revision) -> Result<Option<Revision>, Error> {
    let mut statement = connection.prepare_cached(NEWEST).map_err(failed)?;
    let found = statement.query_row((key, from_revision(at)), |row| Ok((row_codec::revision(row, 0)?, row.get(1)?)));
    Ok(found.optional().map_err(failed)?.and_then(|(revision, live)| if live { Some(revision) } else { None }))
}

/// The position of a scan within the versions of one key.
struct SkipScan {
    snapshot: Revision,
    key: String,
    /// True if the version of the key at the snapshot has been found.
    is_decided: bool,
    steps: u32,
}

/// The action for an index row.
enum Action {
    /// Visit this version.
    Version,
    /// Skip the row.
    Nothing,
    /// Too many versions newer than the snapshot: look up the version, then seek to the next key.
    SeekVersion,
    /// Too many older versions: seek to the next key.
    SeekNextKey,
}

impl SkipScan {
    fn observe(&mut self, key: &str, revision: Revision, live: bool) -> Action {
        if key != self.key {
            key.clone_into(&mut self.key);
            (self.is_decided, self.steps) = (false, 0);
        }
        if !self.is_decided && revision <= self.snapshot {
            self.is_decided = true;
            return if live { Action::Version } else { Action::Nothing };
        }
        self.steps += 1;
        match (self.steps > STEPS_BEFORE_SEEK, self.is_decided) {
            (false, _) => Action::Nothing,
            (true, false) => Action::SeekVersion,
            (true, true) => Action::SeekNextKey,
        }
    }
}

/// Returns the first key of a scan.
fn start(prefix: &str, after: Option<&Key>) -> String {
    match after {
        Some(after) if after.as_str() >= prefix => key_successor(after.as_str()),
        _ => prefix.to_owned(),
    }
}

/// Returns the smallest text greater than `key`. Keys contain no NUL.
fn key_successor(key: &str) -> String {
    format!("{key}\0")
}
