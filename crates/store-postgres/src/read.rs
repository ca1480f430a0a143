//! Reads. Each is one statement, and so one consistent snapshot and one round trip.

use store::{Entry, Error, Head, Key, Page, Record, Revision, Span, limits};
use tokio_postgres::{
    Client, Row,
    types::{ToSql, Type},
};

use crate::error::failed;
use crate::log_identity::{LogIdentity, LogState, check_log_id};
use crate::row_codec::{self, from_limit, from_revision};

const LOG_STATE: &str = "SELECT head, compacted, log_id, token, token_at_mark, is_standby FROM log_state($1)";

const CURRENT_VERSIONS: &str = "SELECT revision, value FROM current_versions($1)";

const CHANGES_SINCE: &str = "SELECT * FROM changes_since($1, $2, $3)";

/// Values beyond the page size are not read; only their lengths are.
const LIST: &str = "
WITH found AS MATERIALIZED (
    SELECT list_keys.*, (SELECT log.value FROM log WHERE log.revision = list_keys.revision) AS value FROM list_keys($1, $2, $3, $4)
), page AS (
    SELECT found.*, coalesce(sum(octet_length(value))
        OVER (ORDER BY key COLLATE \"C\" ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) < $5 AS fits
    FROM found
)
SELECT head, compacted, snapshot_revision, key, revision, CASE WHEN fits THEN value END, fits FROM page ORDER BY key COLLATE \"C\"";

const COUNT: &str =
    "SELECT min(head), min(compacted), min(snapshot_revision), count(key) FROM list_keys($1, $2, $3, $4)";

const SPANS: &str = "
SELECT space, first, last, holder FROM span
WHERE (space, first) > ($1, $2) ORDER BY space, first LIMIT $3";

/// Starts at the last span that begins at or before the range, because it may reach into the range.
const OVERLAPPING: &str = "
SELECT space, first, last, holder FROM span
WHERE space = $1
    AND first >= coalesce((SELECT first FROM span WHERE space = $1 AND first <= $2 ORDER BY first DESC LIMIT 1), $2)
    AND first <= $3 AND last >= $2
ORDER BY first LIMIT $4";

type Parameters<'a> = [(&'a (dyn ToSql + Sync), Type)];

async fn query(client: &Client, sql: &str, parameters: &Parameters<'_>) -> Result<Vec<Row>, Error> {
    client.query_typed(sql, parameters).await.map_err(failed)
}

impl LogState {
    fn of(row: &Row) -> Result<Self, Error> {
        Ok(Self {
            head: Head { revision: row_codec::revision(row, 0)?, compacted: row_codec::revision(row, 1)? },
            log_id: row_codec::column(row, 2)?,
            token: row_codec::column(row, 3)?,
            token_at_mark: row_codec::column(row, 4)?,
            is_standby: row_codec::column(row, 5)?,
        })
    }
}

/// Reads the state of the log, and the token at `mark`.
pub async fn log_state(client: &Client, mark: Option<Revision>) -> Result<LogState, Error> {
    let rows = query(client, LOG_STATE, &[(&mark.map(from_revision), Type::INT8)]).await?;
    LogState::of(&rows[0])
}

/// Returns the head, if the log is the one that this process knows.
pub async fn head(client: &Client, identity: &LogIdentity) -> Result<Head, Error> {
    let asked = identity.end();
    identity.check(&log_state(client, asked.map(|end| end.revision)).await?, asked)
}

/// Returns the current versions of `keys`, in the order of `keys`.
pub async fn read(client: &Client, keys: &[Key]) -> Result<Vec<Option<Record>>, Error> {
    let texts: Vec<&str> = keys.iter().map(Key::as_str).collect();
    let found = query(client, CURRENT_VERSIONS, &[(&texts, Type::TEXT_ARRAY)]).await?;
    let record = |(row, key): (&Row, &Key)| {
        let Some(revision) = row_codec::optional_revision(row, 0)? else { return Ok(None) };
        let value = row_codec::value(row, 1)?.ok_or_else(|| row_codec::version_lost(revision))?;
        Ok(Some(Record { key: key.clone(), revision, value }))
    };
    found.iter().zip(keys).map(record).collect()
}

/// Returns the snapshot revision of a row of `list_keys`; an error if the requested revision is in the future or compacted.
fn snapshot_revision(row: &Row, requested: Option<Revision>) -> Result<Revision, Error> {
    let (head, compacted) = (row_codec::revision(row, 0)?, row_codec::revision(row, 1)?);
    match requested {
        Some(requested) if requested > head => Err(Error::FutureRevision { requested, head }),
        Some(requested) if requested < compacted => Err(Error::Compacted { requested, compacted }),
        _ => row_codec::revision(row, 2),
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
    let revision = snapshot_revision(&found[0], at)?;
    let mut records = Vec::with_capacity(found.len());
    for row in found.iter().filter(|row| !matches!(row.try_get::<_, Option<&str>>(3), Ok(None))) {
        if records.len() == limit || !row_codec::column::<bool>(row, 6)? {
            return Ok(Page { revision, records, more: true });
        }
        records.push(row_codec::record(row, 3)?);
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
    snapshot_revision(&found[0], Some(at))?;
    let count: i64 = row_codec::column(&found[0], 3)?;
    usize::try_from(count).map_err(|_| Error::Corrupt(format!("{count} is not a valid count")))
}

/// Returns a page of the entries after `after`.
pub async fn tail(client: &Client, identity: &LogIdentity, after: Revision, limit: usize) -> Result<Vec<Entry>, Error> {
    let (revision, limit) = (from_revision(after), from_limit(limit));
    let bytes = from_limit(limits::PAGE_BYTES_MAX);
    let parameters: &Parameters = &[(&revision, Type::INT8), (&limit, Type::INT8), (&bytes, Type::INT8)];
    let found = query(client, CHANGES_SINCE, parameters).await?;
    check_log_id(row_codec::column(&found[0], 0)?, identity.log_id())?;
    let compacted = row_codec::revision(&found[0], 1)?;
    if after < compacted {
        return Err(Error::Compacted { requested: after, compacted });
    }
    let some = found.iter().filter(|row| !matches!(row.try_get::<_, Option<i64>>(2), Ok(None)));
    some.map(entry).collect()
}

fn entry(row: &Row) -> Result<Entry, Error> {
    let key = row_codec::key(row, 3)?;
    let previous = match row_codec::optional_revision(row, 5)? {
        None => None,
        Some(revision) => {
            let value = row_codec::value(row, 6)?.ok_or_else(|| row_codec::version_lost(revision))?;
            Some(Record { key: key.clone(), revision, value })
        }
    };
    Ok(Entry { revision: row_codec::revision(row, 2)?, key, value: row_codec::value(row, 4)?, previous })
}

/// Returns a page of all spans.
pub async fn spans(client: &Client, after: Option<(&str, u128)>, limit: usize) -> Result<Vec<Span>, Error> {
    // The empty byte string sorts before every number.
    let (space, first) = after.map_or(("", Vec::new()), |(space, first)| (space, first.to_be_bytes().to_vec()));
    let limit = from_limit(limit);
    let parameters: &Parameters = &[(&space, Type::TEXT), (&first, Type::BYTEA), (&limit, Type::INT8)];
    query(client, SPANS, parameters).await?.iter().map(row_codec::span).collect()
}

/// Returns the spans of `space` that overlap `first..=last`.
pub async fn overlapping_spans(
    client: &Client,
    space: &str,
    first: u128,
    last: u128,
    limit: usize,
) -> Result<Vec<Span>, Error> {
    let (first, last) = (first.to_be_bytes().to_vec(), last.to_be_bytes().to_vec());
    let limit = from_limit(limit);
    let parameters: &Parameters =
        &[(&space, Type::TEXT), (&first, Type::BYTEA), (&last, Type::BYTEA), (&limit, Type::INT8)];
    query(client, OVERLAPPING, parameters).await?.iter().map(row_codec::span).collect()
}
