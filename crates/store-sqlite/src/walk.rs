//! Through the keys in order, to the version that each had at a snapshot.
//!
//! It steps along the index. Where a key has many versions it jumps to the next place that matters instead, so that a
//! key written a hundred thousand times costs a list no more than one written twenty times.

use std::ops::ControlFlow;

use rusqlite::{Connection, OptionalExtension};
use store::{Error, Key, Revision};

use crate::failure::failed;
use crate::rows::{self, from_revision};

/// How many versions of one key are stepped over before a jump. A jump costs as much as about twenty steps.
const STEPS_MAX: u32 = 16;

/// The newest version of a key at or before a revision, from the index alone.
pub const NEWEST: &str =
    "SELECT revision, live FROM log WHERE key = ?1 AND revision <= ?2 ORDER BY revision DESC LIMIT 1";

/// Every version of every key from one key on, each key's newest first.
pub const WALK: &str = "SELECT key, revision, live FROM log WHERE key >= ?1 ORDER BY key, revision DESC";

/// Visits, in order of key, the version that each key of the prefix had at `snapshot`, until told to stop.
pub fn walk(
    connection: &Connection,
    prefix: &str,
    after: Option<&Key>,
    snapshot: Revision,
    mut visit: impl FnMut(&str, Revision) -> ControlFlow<()>,
) -> Result<(), Error> {
    let mut statement = connection.prepare_cached(WALK).map_err(failed)?;
    let mut start = start(prefix, after);
    let mut place = Place { snapshot, key: String::new(), is_decided: false, steps: 0 };
    'jump: loop {
        let mut found = statement.query([&start]).map_err(failed)?;
        while let Some(row) = found.next().map_err(failed)? {
            let key = row.get_ref(0).and_then(|text| Ok(text.as_str()?)).map_err(failed)?;
            if !key.starts_with(prefix) {
                return Ok(());
            }
            let revision = rows::revision(row, 1).map_err(failed)?;
            let live = row.get(2).map_err(failed)?;
            let (version, jumps) = match place.step(key, revision, live) {
                Step::Version => (Some(revision), false),
                Step::Nothing => (None, false),
                Step::LookUp => (newest(connection, &place.key, snapshot)?, true),
                Step::Jump => (None, true),
            };
            if let Some(revision) = version
                && visit(&place.key, revision).is_break()
            {
                return Ok(());
            }
            if jumps {
                start = behind(&place.key);
                continue 'jump;
            }
        }
        return Ok(());
    }
}

/// The revision of the version of `key` that was current at `at`, if it existed then.
pub fn newest(connection: &Connection, key: &str, at: Revision) -> Result<Option<Revision>, Error> {
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
        match (self.steps > STEPS_MAX, self.is_decided) {
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
