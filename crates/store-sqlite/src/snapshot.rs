//! Reads in one consistent view of the file.

use std::ops::ControlFlow;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension};
use store::{Entry, Error, Key, Page, Record, Revision, page::PageBudget};

use crate::error::failed;
use crate::row_codec::{self, from_limit, from_revision};
use crate::scan;
use crate::view::{ReadView, commit_end};

const VALUE: &str = "SELECT value FROM log WHERE revision = ?1";

pub const TAIL: &str = "
SELECT log.revision, log.key, log.value, log.previous, replaced.value
FROM log LEFT JOIN log AS replaced ON replaced.revision = log.previous
WHERE log.revision > ?1 ORDER BY log.revision LIMIT ?2";

/// Returns the revision of the snapshot at `at`: the end of a commit.
fn resolve(view: &ReadView<'_>, at: Option<Revision>) -> Result<Revision, Error> {
    let bounds = view.bounds;
    match at {
        None => Ok(bounds.head),
        Some(at) if at > bounds.head => Err(Error::FutureRevision { requested: at, head: bounds.head }),
        Some(at) if at < bounds.compacted => Err(Error::Compacted { requested: at, compacted: bounds.compacted }),
        Some(at) => commit_end(view.connection, bounds, at).map_err(failed),
    }
}

/// Returns the current version of `key`.
pub fn get(view: &ReadView<'_>, key: &Key) -> Result<Option<Record>, Error> {
    let Some(revision) = scan::newest(view, key.as_str(), view.bounds.head)? else {
        return Ok(None);
    };
    let value = value(view.connection, revision)?;
    Ok(Some(Record { key: key.clone(), revision, value }))
}

/// Returns the current versions of `keys`, in the order of `keys`.
pub fn read(view: &ReadView<'_>, keys: &[Key]) -> Result<Vec<Option<Record>>, Error> {
    keys.iter().map(|key| get(view, key)).collect()
}

/// Returns a page of the snapshot at `at`.
pub fn list(
    view: &ReadView<'_>,
    prefix: &str,
    after: Option<&Key>,
    at: Option<Revision>,
    limit: usize,
) -> Result<Page, Error> {
    let revision = resolve(view, at)?;
    let mut found = Vec::new();
    let mut more = false;
    scan::scan(view, prefix, after, revision, |key, revision| {
        if found.len() == limit {
            more = true;
            return ControlFlow::Break(());
        }
        found.push((key.to_owned(), revision));
        ControlFlow::Continue(())
    })?;
    let (mut filled, mut records) = (PageBudget::new(limit), Vec::with_capacity(found.len()));
    for (key, revision) in found {
        if filled.is_full() {
            more = true;
            break;
        }
        let value = value(view.connection, revision)?;
        let record = Record { key: row_codec::checked_key(key)?, revision, value };
        filled.add(record.bytes());
        records.push(record);
    }
    Ok(Page { revision, records, more })
}

/// Counts the records that `list` would return, up to `limit`.
pub fn count(
    view: &ReadView<'_>,
    prefix: &str,
    after: Option<&Key>,
    at: Revision,
    limit: usize,
) -> Result<usize, Error> {
    let revision = resolve(view, Some(at))?;
    let mut count = 0;
    scan::scan(view, prefix, after, revision, |_, _| {
        if count == limit {
            return ControlFlow::Break(());
        }
        count += 1;
        ControlFlow::Continue(())
    })?;
    Ok(count)
}

/// Returns a page of the entries after `after`.
pub fn tail(view: &ReadView<'_>, after: Revision, limit: usize) -> Result<Vec<Entry>, Error> {
    let ReadView { connection, bounds, .. } = view;
    if after < bounds.compacted {
        return Err(Error::Compacted { requested: after, compacted: bounds.compacted });
    }
    let mut statement = connection.prepare_cached(TAIL).map_err(failed)?;
    let mut found = statement.query((from_revision(after), from_limit(limit))).map_err(failed)?;
    let (mut filled, mut entries) = (PageBudget::new(limit), Vec::new());
    while !filled.is_full()
        && let Some(row) = found.next().map_err(failed)?
    {
        let entry = entry(row)?;
        filled.add(entry.bytes());
        entries.push(entry);
    }
    Ok(entries)
}

fn entry(row: &rusqlite::Row<'_>) -> Result<Entry, Error> {
    let key = row_codec::key(row, 1)?;
    let previous = match row_codec::optional_revision(row, 3).map_err(failed)? {
        None => None,
        Some(revision) => {
            let value = row_codec::value(row, 4).map_err(failed)?.ok_or_else(|| version_lost(revision))?;
            Some(Record { key: key.clone(), revision, value })
        }
    };
    let value = row_codec::value(row, 2).map_err(failed)?;
    Ok(Entry { revision: row_codec::revision(row, 0).map_err(failed)?, key, value, previous })
}

fn value(connection: &Connection, revision: Revision) -> Result<Bytes, Error> {
    let mut statement = connection.prepare_cached(VALUE).map_err(failed)?;
    let found = statement.query_row([from_revision(revision)], |row| row_codec::value(row, 0)).optional();
    found.map_err(failed)?.flatten().ok_or_else(|| version_lost(revision))
}

fn version_lost(revision: Revision) -> Error {
    Error::Corrupt(format!("the version at revision {revision} is missing: restore a backup of the data file"))
}
