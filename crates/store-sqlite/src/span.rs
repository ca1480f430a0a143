//! Queries of spans.
//!
//! Overlaps are rejected by the trigger in [`crate::schema`], not here.

use rusqlite::{Connection, Params};
use store::{Error, Span};

use crate::error::failed;
use crate::row_codec::{self, from_limit};

pub const PAGE: &str = "
SELECT space, first, last, holder FROM span
WHERE (space, first) > (?1, ?2) ORDER BY space, first LIMIT ?3";

/// Starts at the last span that begins at or before the range, because it may reach into the range.
pub const OVERLAPPING: &str = "
SELECT space, first, last, holder FROM span
WHERE space = ?1
    AND first >= coalesce((SELECT first FROM span WHERE space = ?1 AND first <= ?2 ORDER BY first DESC LIMIT 1), ?2)
    AND first <= ?3 AND last >= ?2
ORDER BY first LIMIT ?4";

/// Returns a page of all spans.
pub fn page(connection: &Connection, after: Option<(&str, u128)>, limit: usize) -> Result<Vec<Span>, Error> {
    let spans = match after {
        // The empty blob sorts before every number.
        None => query(connection, PAGE, ("", [0_u8; 0], from_limit(limit))),
        Some((space, first)) => query(connection, PAGE, (space, first.to_be_bytes(), from_limit(limit))),
    }?;
    // In a damaged file the order may be wrong, and a caller that continues after the last span would loop forever.
    let places = after.into_iter().chain(spans.iter().map(|span| (span.space.as_str(), span.first)));
    if places.is_sorted_by(|one, next| one < next) {
        return Ok(spans);
    }
    Err(Error::Corrupt("the data file has spans out of order: restore a backup".to_owned()))
}

/// Returns the spans of `space` that overlap `first..=last`.
pub fn overlapping_spans(
    connection: &Connection,
    space: &str,
    first: u128,
    last: u128,
    limit: usize,
) -> Result<Vec<Span>, Error> {
    query(connection, OVERLAPPING, (space, first.to_be_bytes(), last.to_be_bytes(), from_limit(limit)))
}

fn query(connection: &Connection, sql: &str, parameters: impl Params) -> Result<Vec<Span>, Error> {
    let mut statement = connection.prepare_cached(sql).map_err(failed)?;
    let mut found = statement.query(parameters).map_err(failed)?;
    let mut spans = Vec::new();
    while let Some(row) = found.next().map_err(failed)? {
        spans.push(row_codec::span(row)?);
    }
    Ok(spans)
}
