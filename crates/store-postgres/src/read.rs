//! Reads. Each is one statement, and so one consistent snapshot and one round trip.

use store::{Entry, Error, Head, Key, Page, Record, Revision, Span, limits};
use tokio_postgres::{
    Client, Row,
    types::{ToSql, Type},
};

use crate::failure::failed;
use crate::known::{Known, Standing, same_epoch};
use crate::rows::{self, from_limit, from_revision};

const STANDING: &str = "SELECT head, compacted, epoch, token, marked, is_standby FROM standing($1)";

const NEWEST: &str = "SELECT revision, value FROM newest($1)";

const NEWS: &str = "SELECT * FROM news($1, $2, $3)";

/// Values beyond the page size are not read; only their lengths are.
const LIST: &str = "
WITH found AS MATERIALIZED (
    SELECT walk.*, (SELECT log.value FROM log WHERE log.revision = walk.revision) AS value FROM walk($1, $2, $3, $4)
), page AS (
    SELECT found.*, coalesce(sum(octet_length(value))
        OVER (ORDER BY key COLLATE \"C\" ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) < $5 AS fits
    FROM found
)
SELECT head, compacted, seen, key, revision, CASE WHEN fits THEN value END, fits FROM page ORDER BY key COLLATE \"C\"";

const COUNT: &str = "SELECT min(head), min(compacted), min(seen), count(key) FROM walk($1, $2, $3, $4)";

const SPANS: &str = "
SELECT space, first, last, holder FROM span
WHERE (space, first) > ($1, $2) ORDER BY space, first LIMIT $3";

/// Starts at the last span that begins at or before the range, because it may reach into the range.
const HOLDERS: &str = "
SELECT space, first, last, holder FROM span
WHERE space = $1
    AND first >= coalesce((SELECT first FROM span WHERE space = $1 AND first <= $2 ORDER BY first DESC LIMIT 1), $2)
    AND first <= $3 AND last >= $2
ORDER BY first LIMIT $4";

type Parameters<'a> = [(&'a (dyn ToSql + Sync), Type)];

async fn query(client: &Client, sql: &str, parameters: &Parameters<'_>) -> Result<Vec<Row>, Error> {
    client.query_typed(sql, parameters).await.map_err(failed)
}

impl Standing {
    fn of(row: &Row) -> Result<Self, Error> {
        Ok(Self {
            head: Head { revision: rows::revision(row, 0)?, compacted: rows::revision(row, 1)? },
            epoch: rows::column(row, 2)?,
            token: rows::column(row, 3)?,
            marked: rows::column(row, 4)?,
            is_standby: rows::column(row, 5)?,
        })
    }
}

/// Reads the state of the log, and the token at `mark`.
pub async fn standing(client: &Client, mark: Option<Revision>) -> Result<Standing, Error> {
    let rows = query(client, STANDING, &[(&mark.map(from_revision), Type::INT8)]).await?;
    Standing::of(&rows[0])
}

/// Returns the head, if the log is the one that this process knows.
pub async fn head(client: &Client, known: &Known) -> Result<Head, Error> {
    let asked = known.end();
    known.check(&standing(client, asked.map(|end| end.revision)).await?, asked)
}

/// Returns the current versions of `keys`, in the order of `keys`.
pub async fn read(client: &Client, keys: &[Key]) -> Result<Vec<Option<Record>>, Error> {
    let texts: Vec<&str> = keys.iter().map(Key::as_str).collect();
    let found = query(client, NEWEST, &[(&texts, Type::TEXT_ARRAY)]).await?;
    let record = |(row, key): (&Row, &Key)| {
        let Some(revision) = rows::optional_revision(row, 0)? else { return Ok(None) };
        let value = rows::value(row, 1)?.ok_or_else(|| rows::version_lost(revision))?;
        Ok(Some(Record { key: key.clone(), revision, value }))
    };
    found.iter().zip(keys).map(record).collect()
}

/// Returns the snapshot revision of a row of `walk`; an error if the requested revision is in the future or compacted.
fn sight(row: &Row, requested: Option<Revision>) -> Result<Revision, Error> {
    let (head, compacted) = (rows::revision(row, 0)?, rows::revision(row, 1)?);
    match requested {
        Some(requested) if requested > head => Err(Error::Future { requested, head }),
        Some(requested) if requested < compacted => Err(Error::Compacted { requested, compacted }),
        _ => rows::revision(row, 2),
    }
}

/// Returns a page of the snapshot at `at`.
pub async fn list(
    client: &Client,
    prefix: &str,
    after: Option<&Key>,
    at: Option<Revision>,
    limit: usize,
) -> Result<Page, Error> {
    let (after, revision) = (after.map_or("", Key::as_str), at.map(from_revision));
    let one_more = from_limit(limit.saturating_add(1));
    let bytes = from_limit(limits::PAGE_BYTES_MAX);
    let parameters: &Parameters = &[
        (&prefix, Type::TEXT),
        (&after, Type::TEXT),
        (&revision, Type::INT8),
        (&one_more, Type::INT8),
        (&bytes, Type::INT8),
    ];
    let found = query(client, LIST, parameters).await?;
    let revision = sight(&found[0], at)?;
    let mut records = Vec::with_capacity(found.len());
    for row in found.iter().filter(|row| !matches!(row.try_get::<_, Option<&str>>(3), Ok(None))) {
        if records.len() == limit || !rows::column::<bool>(row, 6)? {
            return Ok(Page { revision, records, more: true });
        }
        records.push(rows::record(row, 3)?);
    }
    Ok(Page { revision, records, more: false })
}

/// Counts the records that `list` would return, up to `limit`.
pub async fn count(
    client: &Client,
    prefix: &str,
    after: Option<&Key>,
    at: Revision,
    limit: usize,
) -> Result<usize, Error> {
    let after = after.map_or("", Key::as_str);
    let (revision, limit) = (Some(from_revision(at)), from_limit(limit));
    let parameters: &Parameters =
        &[(&prefix, Type::TEXT), (&after, Type::TEXT), (&revision, Type::INT8), (&limit, Type::INT8)];
    let found = query(client, COUNT, parameters).await?;
    sight(&found[0], Some(at))?;
    let count: i64 = rows::column(&found[0], 3)?;
    usize::try_from(count).map_err(|_| Error::Corrupt(format!("{count} is not a valid count")))
}

/// Returns a page of the entries after `after`.
pub async fn tail(client: &Client, known: &Known, after: Revision, limit: usize) -> Result<Vec<Entry>, Error> {
    let (revision, limit) = (from_revision(after), from_limit(limit));
    let bytes = from_limit(limits::PAGE_BYTES_MAX);
    let parameters: &Parameters = &[(&revision, Type::INT8), (&limit, Type::INT8), (&bytes, Type::INT8)];
    let found = query(client, NEWS, parameters).await?;
    same_epoch(rows::column(&found[0], 0)?, known.epoch())?;
    let compacted = rows::revision(&found[0], 1)?;
    if after < compacted {
        return Err(Error::Compacted { requested: after, compacted });
    }
    let some = found.iter().filter(|row| !matches!(row.try_get::<_, Option<i64>>(2), Ok(None)));
    some.map(entry).collect()
}

fn entry(row: &Row) -> Result<Entry, Error> {
    let key = rows::key(row, 3)?;
    let previous = match rows::optional_revision(row, 5)? {
        None => None,
        Some(revision) => {
            let value = rows::value(row, 6)?.ok_or_else(|| rows::version_lost(revision))?;
            Some(Record { key: key.clone(), revision, value })
        }
    };
    Ok(Entry { revision: rows::revision(row, 2)?, key, value: rows::value(row, 4)?, previous })
}

/// Returns a page of all spans.
pub async fn spans(client: &Client, after: Option<(&str, u128)>, limit: usize) -> Result<Vec<Span>, Error> {
    // The empty byte string sorts before every number.
    let (space, first) = after.map_or(("", Vec::new()), |(space, first)| (space, first.to_be_bytes().to_vec()));
    let limit = from_limit(limit);
    let parameters: &Parameters = &[(&space, Type::TEXT), (&first, Type::BYTEA), (&limit, Type::INT8)];
    query(client, SPANS, parameters).await?.iter().map(rows::span).collect()
}

/// Returns the spans of `space` that overlap `first..=last`.
pub async fn holders(client: &Client, space: &str, first: u128, last: u128, limit: usize) -> Result<Vec<Span>, Error> {
    let (first, last) = (first.to_be_bytes().to_vec(), last.to_be_bytes().to_vec());
    let limit = from_limit(limit);
    let parameters: &Parameters =
        &[(&space, Type::TEXT), (&first, Type::BYTEA), (&last, Type::BYTEA), (&limit, Type::INT8)];
    query(client, HOLDERS, parameters).await?.iter().map(rows::span).collect()
}
