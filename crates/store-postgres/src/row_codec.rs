//! Conversion between columns and the types of the log.
//!
//! A column with an invalid value means that another program wrote the database.

use bytes::Bytes;
use store::{Error, Key, Record, Revision, Span};
use tokio_postgres::{Row, types::FromSql};

use crate::error::failed;

/// Converts a revision to a `bigint`. Values beyond its range become the greatest `bigint`, which is in the future as
/// well.
pub fn from_revision(revision: Revision) -> i64 {
    i64::try_from(revision.0).unwrap_or(i64::MAX)
}

/// Converts a limit to a `bigint`.
pub fn from_limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// Reads a column.
pub fn column<'a, T: FromSql<'a>>(row: &'a Row, place: usize) -> Result<T, Error> {
    row.try_get(place).map_err(failed)
}

/// Reads a revision.
pub fn revision(row: &Row, place: usize) -> Result<Revision, Error> {
    optional_revision(row, place)?.ok_or_else(|| Error::Corrupt("a revision is missing".to_owned()))
}

/// Reads a nullable revision.
pub fn optional_revision(row: &Row, place: usize) -> Result<Option<Revision>, Error> {
    let number: Option<i64> = column(row, place)?;
    let revision = |number: i64| {
        u64::try_from(number).map(Revision).map_err(|_| Error::Corrupt(format!("{number} is not a revision")))
    };
    number.map(revision).transpose()
}

/// Reads a key.
pub fn key(row: &Row, place: usize) -> Result<Key, Error> {
    let text: String = column(row, place)?;
    Key::new(text).map_err(|text| Error::Corrupt(format!("{text:?} is not a valid key")))
}

/// Reads a nullable value.
pub fn value(row: &Row, place: usize) -> Result<Option<Bytes>, Error> {
    let bytes: Option<&[u8]> = column(row, place)?;
    Ok(bytes.map(Bytes::copy_from_slice))
}

/// Reads a record from three columns: key, revision, value.
pub fn record(row: &Row, place: usize) -> Result<Record, Error> {
    let (key, revision) = (key(row, place)?, revision(row, place + 1)?);
    let value = value(row, place + 2)?.ok_or_else(|| version_lost(revision))?;
    Ok(Record { key, revision, value })
}

/// Returns the error for a version that another row refers to, but that does not exist.
pub fn version_lost(revision: Revision) -> Error {
    Error::Corrupt(format!("the version at revision {revision} is missing: restore a backup of the database"))
}

/// Reads a span from the columns space, first, last, holder.
pub fn span(row: &Row) -> Result<Span, Error> {
    Ok(Span { space: column(row, 0)?, first: number(row, 1)?, last: number(row, 2)?, holder: key(row, 3)? })
}

fn number(row: &Row, place: usize) -> Result<u128, Error> {
    let bytes: &[u8] = column(row, place)?;
    let bytes = bytes.try_into().map_err(|_| Error::Corrupt("a number of a span does not have 16 bytes".to_owned()))?;
    Ok(u128::from_be_bytes(bytes))
}
