//! Between the columns of the file and the types of the log.
//!
//! A column that cannot be read as what it must be means that something else wrote the file.

use bytes::Bytes;
use rusqlite::Row;
use store::{Error, Key, Revision, Span};

use crate::failure::failed;

/// A revision as `SQLite`'s integer. One beyond its range is as far in the future as the largest.
pub fn from_revision(revision: Revision) -> i64 {
    i64::try_from(revision.0).unwrap_or(i64::MAX)
}

/// A limit as `SQLite`'s integer.
pub fn from_limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// A revision from a column.
pub fn revision(row: &Row<'_>, column: usize) -> rusqlite::Result<Revision> {
    let number: i64 = row.get(column)?;
    from_integer(column, number)
}

/// A revision from a column that may be empty.
pub fn optional_revision(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Revision>> {
    let number: Option<i64> = row.get(column)?;
    number.map(|number| from_integer(column, number)).transpose()
}

fn from_integer(column: usize, number: i64) -> rusqlite::Result<Revision> {
    let number = u64::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, number))?;
    Ok(Revision(number))
}

/// A key from a column.
pub fn key(row: &Row<'_>, column: usize) -> Result<Key, Error> {
    checked_key(row.get(column).map_err(failed)?)
}

/// A key from its text, which the file is supposed to have checked when it was written.
pub fn checked_key(text: String) -> Result<Key, Error> {
    Key::new(text).map_err(|text| Error::Corrupt(format!("the data file holds the key {text:?}: restore a backup")))
}

/// A value from a column; `None` is a deletion.
pub fn value(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Bytes>> {
    Ok(row.get_ref(column)?.as_blob_or_null()?.map(Bytes::copy_from_slice))
}

/// A span from the columns space, first, last, holder.
pub fn span(row: &Row<'_>) -> Result<Span, Error> {
    Ok(Span {
        space: row.get(0).map_err(failed)?,
        first: u128::from_be_bytes(row.get(1).map_err(failed)?),
        last: u128::from_be_bytes(row.get(2).map_err(failed)?),
        holder: key(row, 3)?,
    })
}
