//! `ipam store check`: checks the integrity and consistency of a store.

use std::{io::Write, process::ExitCode, time::Instant};

use anyhow::Context as _;
use consistency::{Check, Findings, Inventory};
use store::{Error, Key, Record, Snapshot, Span};
use store_sqlite::OpenError;

use crate::{
    config::{self, CheckFormat},
    database::{self, Reading},
    export_import::{
        RECORDS_PER_PAGE, SPANS_PER_PAGE,
        progress::{Progress, Unit},
    },
};

/// The exit code if there are faults.
const FAULTS: u8 = 10;

/// The subject of faults in the file itself.
const DATA_FILE: &str = "the data file";

/// The reason to skip the checks of objects if the file is damaged.
const UNREADABLE: &str = "the store cannot be read";

/// The revision of the store (`None` if it cannot be read) and the findings.
type Found = (Option<u64>, Findings);

/// Runs the command, and writes the findings to `out`.
///
/// # Errors
/// If the store cannot be read for another reason than damage.
pub async fn run(options: &config::Check, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    let (revision, findings) = match database::open_source(&options.source).await {
        Ok(reading) => look(&reading).await?,
        Err(error) if is_damage(&error) => damaged(&error),
        Err(error) => return Err(error),
    };
    match options.output {
        CheckFormat::Text => out.write_all(findings.to_text(revision, started.elapsed()).as_bytes())?,
        CheckFormat::Jsonl => out.write_all(findings.to_jsonl().as_bytes())?,
    }
    Ok(if findings.faults() == 0 { ExitCode::SUCCESS } else { ExitCode::from(FAULTS) })
}

/// Returns the findings for a store that cannot be read.
fn damaged(why: &anyhow::Error) -> Found {
    let mut findings = Findings::new(true);
    for check in Check::ALL.into_iter().filter(|check| *check != Check::File) {
        findings.skip(check, UNREADABLE);
    }
    findings.add(Check::File, DATA_FILE, format!("{why:#}"));
    (None, findings)
}

fn is_damage(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        matches!(cause.downcast_ref(), Some(Error::Corrupt(_)))
            || cause.downcast_ref().is_some_and(OpenError::is_damage)
    })
}

async fn look(reading: &Reading) -> anyhow::Result<Found> {
    let integrity = match reading.integrity().await {
        Err(Error::Corrupt(why)) => Some(vec![why]),
        integrity => integrity.context("cannot read the store")?,
    };
    let (revision, mut findings) = match look_at_objects(reading).await {
        Err(error) if is_damage(&error) => damaged(&error),
        found => found?,
    };
    match integrity {
        None => findings.skip(Check::File, "use PostgreSQL's own tool (pg_amcheck)"),
        Some(faults) => faults.iter().for_each(|fault| findings.add(Check::File, DATA_FILE, fault)),
    }
    Ok((revision, findings))
}

async fn look_at_objects(reading: &Reading) -> anyhow::Result<Found> {
    let mut snapshot = reading.snapshot().await.context("cannot read the store")?;
    let total = reading.count(snapshot.revision()).await;
    let mut progress = Progress::start("checking", Unit::Objects, total);
    let findings = compare(&mut *snapshot, &mut progress).await.context("cannot read the store")?;
    progress.done();
    Ok((Some(snapshot.revision().0), findings))
}

/// Runs the checks on all objects, kind by kind, and then on all spans.
async fn compare(snapshot: &mut dyn Snapshot, progress: &mut Progress) -> Result<Findings, Error> {
    let mut inventory = Inventory::of_store();
    let mut count = 0;
    let mut counted = |page: &[Record]| {
        count += page.len() as u64;
        progress.set_position(count);
    };
    for (prefix, add) in [
        ("ippools/", Inventory::pool as fn(&mut Inventory, &str, &[u8])),
        ("namespaces/", Inventory::namespace),
        ("ipallocations/", Inventory::allocation),
    ] {
        let mut after = None;
        while let Some(page) = records(snapshot, prefix, &mut after).await? {
            for record in &page {
                add(&mut inventory, scope(&record.key), &record.value);
            }
            counted(&page);
        }
    }
    let mut comparison = inventory.complete();
    let mut after = None;
    while let Some(page) = records(snapshot, "ipclaims/", &mut after).await? {
        for record in &page {
            comparison.claim(scope(&record.key), &record.value);
        }
        counted(&page);
    }
    let mut after = None;
    while let Some(page) = spans(snapshot, &mut after).await? {
        for span in &page {
            comparison.span(&span.space, span.first, span.last, span.holder.as_str());
        }
    }
    Ok(comparison.finish())
}

/// Returns the next page of objects with `prefix`, or `None` after the last.
async fn records(
    snapshot: &mut dyn Snapshot,
    prefix: &str,
    after: &mut Option<Key>,
) -> Result<Option<Vec<Record>>, Error> {
    let page = snapshot.list(prefix, after.as_ref(), RECORDS_PER_PAGE).await?.records;
    let Some(last) = page.last() else { return Ok(None) };
    *after = Some(last.key.clone());
    Ok(Some(page))
}

/// Returns the next page of spans, or `None` after the last.
async fn spans(snapshot: &mut dyn Snapshot, after: &mut Option<(String, u128)>) -> Result<Option<Vec<Span>>, Error> {
    let place = after.as_ref().map(|(space, first)| (space.as_str(), *first));
    let page = snapshot.spans(place, SPANS_PER_PAGE).await?;
    let Some(last) = page.last() else { return Ok(None) };
    *after = Some((last.space.clone(), last.first));
    Ok(Some(page))
}

/// Returns the scope of a key `resource/scope/namespace/name`.
fn scope(key: &Key) -> &str {
    key.as_str().split('/').nth(1).unwrap_or_default()
}
