//! Conversion between columns and the types of the log.
//!
//! A column with an invalid value means that another program wrote the file.

use bytes::Bytes;
use rusqlite::Row;
use store::{Error, Key, Revision, Span};

use crate::error::failed;

/// Converts a revision to `SQLite`'s integer. Values beyond its range become the greatest integer, which is in the
/// future as well.
pub fn from_revision(revision: Revision) -> i64 {
    i64::try_from(revision.0).unwrap_or(i64::MAX)
}

/// Converts a limit to `SQLite`'s integer.
pub fn from_limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// Reads a revision.
pub fn revision(row: &Row<'_>, column: usize) -> rusqlite::Result<Revision> {
    let number: i64 = row.get(column)?;
    from_integer(column, number)
}

/// Reads a nullable revision.
pub fn optional_revision(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Revision>> {
    let number: Option<i64> = row.get(column)?;
    number.map(|number| from_integer(column, number)).transpose()
}

fn from_integer(column: usize, number: i64) -> rusqlite::Result<Revision> {
    let number = u64::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, number))?;
    Ok(Revision(number))
}

/// Reads a key.
pub fn key(row: &Row<'_>, column: usize) -> Result<Key, Error> {
    checked_key(row.get(column).map_err(failed)?)
}

/// Converts the text of a key. Keys are validated when they are written, so an invalid one means damage.
pub fn checked_key(text: String) -> Result<Key, Error> {
    Key::new(text).map_err(|text| Error::Corrupt(format!("the data file holds the key {text:?}: restore a backup")))
}

/// Reads a value; `None` for a deletion.
pub fn value(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Bytes>> {
    Ok(row.get_ref(column)?.as_blob_or_null()?.map(Bytes::copy_from_slice))
}

/// Reads a span from the columns space, first, last, holder.
pub fn span(row: &Row<'_>) -> Result<Span, Error> {
    Ok(Span {
        space: row.get(0).map_err(failed)?,
        first: u128::from_be_bytes(row.get(1).map_err(failed)?),
        last: u128::from_be_bytes(row.get(2).map_err(failed)?),
        holder: key(row, 3)?,
    })
}
