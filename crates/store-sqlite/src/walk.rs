//! Through the keys in order, to the version that each had at a snapshot.
//!
//! It steps along the index, in the file and in memory at once. Where a key has many versions it jumps to the next place that matters instead, so that a
//! key written a hundred thousand times costs a list no more than one written twenty times.

use std::ops::ControlFlow;

use rusqlite::{Connection, OptionalExtension};
use store::{Error, Key, Revision};

use crate::failure::failed;
use crate::recent::Version;
use crate::rows::{self, from_revision};
use crate::view::View;

/// How many versions of one key are stepped over before a jump. A jump costs as much as about twenty steps.
const STEPS_BEFORE_JUMP: u32 = 16;

/// The newest version of a key at or before a revision that the file's index has.
pub const NEWEST: &str =
    "SELECT revision, live FROM version WHERE key = ?1 AND revision <= ?2 ORDER BY revision DESC LIMIT 1";

/// Every version there of every key from one key on, each key's newest first.
pub const WALK: &str = "SELECT key, revision, live FROM version WHERE key >= ?1 ORDER BY key, revision DESC";

/// Visits, in order of key, the version that each key of the prefix had at `snapshot`, until told to stop.
pub fn walk(
    view: &View<'_>,
    prefix: &str,
    after: Option<&Key>,
    snapshot: Revision,
    mut visit: impl FnMut(&str, Revision) -> ControlFlow<()>,
) -> Result<(), Error> {
    let start = start(prefix, after);
    let mut recent = view.recent.walk(prefix, &start, snapshot).peekable();
    let mut visit_live = |key: &str, Version { revision, live }| {
        if live { visit(key, revision) } else { ControlFlow::Continue(()) }
    };
    // What a key has in memory is newer than what it has in the file.
    let join = |key: &str, revision| {
        while let Some((key, version)) = recent.next_if(|(recent, _)| **recent < *key) {
            visit_live(&key, version)?;
        }
        let newer = recent.next_if(|(recent, _)| **recent == *key).map(|(_, version)| version);
        visit_live(key, newer.unwrap_or(Version { revision, live: true }))
    };
    if walk_file(view.connection, prefix, start, snapshot, join)?.is_continue() {
        // Broken off or not, this is the end.
        let _ = recent.try_for_each(|(key, version)| visit_live(&key, version));
    }
    Ok(())
}

/// The same, from `start` on, of the file's index.
fn walk_file(
    connection: &Connection,
    prefix: &str,
    mut start: String,
    snapshot: Revision,
    mut visit: impl FnMut(&str, Revision) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, Error> {
    let mut statement = connection.prepare_cached(WALK).map_err(failed)?;
    let mut place = Place { snapshot, key: String::new(), is_decided: false, steps: 0 };
    'jump: loop {
        let mut found = statement.query([&start]).map_err(failed)?;
        while let Some(row) = found.next().map_err(failed)? {
            let key = row.get_ref(0).and_then(|text| Ok(text.as_str()?)).map_err(failed)?;
            if !key.starts_with(prefix) {
                return Ok(ControlFlow::Continue(()));
            }
            // Of a damaged index, whoever goes on behind the last key would go round for ever.
            if key < start.as_str() || key < place.key.as_str() {
                return Err(out_of_order(key));
            }
            let revision = rows::revision(row, 1).map_err(failed)?;
            let live = row.get(2).map_err(failed)?;
            let (version, jumps) = match place.step(key, revision, live) {
                Step::Version => (Some(revision), false),
                Step::Nothing => (None, false),
                Step::LookUp => (newest_in_file(connection, &place.key, snapshot)?, true),
                Step::Jump => (None, true),
            };
            if let Some(revision) = version
                && visit(&place.key, revision).is_break()
            {
                return Ok(ControlFlow::Break(()));
            }
            if jumps {
                start = behind(&place.key);
                continue 'jump;
            }
        }
        return Ok(ControlFlow::Continue(()));
    }
}

fn out_of_order(key: &str) -> Error {
    Error::Corrupt(format!("the index of the data file has the key {key:?} in a wrong place: restore a backup"))
}

/// The revision of the version of `key` that was current at `at`, if it existed then.
pub fn newest(view: &View<'_>, key: &str, at: Revision) -> Result<Option<Revision>, Error> {
    match view.recent.newest(key, at) {
        Some(version) => Ok(version.live.then_some(version.revision)),
        None => newest_in_file(view.connection, key, at),
    }
}

/// The same of the file's index.
pub fn newest_in_file(connection: &Connection, key: &str, at: Revision) -> Result<Option<Revision>, Error> {
    let mut statement = connection.prepare_cached(NEWEST).map_err(failed)?;
    let found = statement.query_row((key, from_revision(at)), |row| Ok((rows::revision(row, 0)?, row.get(1)?)));
    Ok(found.optional().map_err(failed)?.and_then(|(revision, live)| if live { Some(revision) } else { None }))
}

/// Where a walk stands among the versions of one key.
struct Place {
    snapshot: Revision,
    key: String,
    /// Whether the key's version at the snapshot is behind us.
    is_decided: bool,
    steps: u32,
}

/// What the next row of the index is to a walk.
enum Step {
    /// The version that it looks for.
    Version,
    /// Nothing; the next row may be.
    Nothing,
    /// One too many that are younger than the snapshot: look the version up, then jump.
    LookUp,
    /// One too many that are older: jump to the next key.
    Jump,
}

impl Place {
    fn step(&mut self, key: &str, revision: Revision, live: bool) -> Step {
        if key != self.key {
            key.clone_into(&mut self.key);
            (self.is_decided, self.steps) = (false, 0);
        }
        if !self.is_decided && revision <= self.snapshot {
            self.is_decided = true;
            return if live { Step::Version } else { Step::Nothing };
        }
        self.steps += 1;
        match (self.steps > STEPS_BEFORE_JUMP, self.is_decided) {
            (false, _) => Step::Nothing,
            (true, false) => Step::LookUp,
            (true, true) => Step::Jump,
        }
    }
}

/// The first key that a walk may meet.
fn start(prefix: &str, after: Option<&Key>) -> String {
    match after {
        Some(after) if after.as_str() >= prefix => behind(after.as_str()),
        _ => prefix.to_owned(),
    }
}

/// The least text behind `key`: no key holds a NUL.
fn behind(key: &str) -> String {
    format!("{key}\0")
}
