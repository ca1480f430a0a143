//! `ipam store import`.

use anyhow::{Context as _, bail, ensure};
use store::{BulkLoad, Key, Record, Revision, Span, Store};
use tokio::io::sink;

use super::{
    RECORDS_PER_PAGE, SPANS_PER_PAGE, export,
    file::{Input, Lines},
    format::{self, End, Line},
    progress::{Progress, Unit},
    snapshot_reader::SnapshotReader,
};
use crate::{config::Import, database, limits::IMPORT_PAGE_BYTES_MAX};

/// Runs `ipam store import`.
///
/// # Errors
/// If the file is not an export, is damaged or is truncated, or the store is not empty; then the store is unchanged. If the contents
/// of the filled store differ from the file; then the store must not be used, and the message says so.
pub async fn import(options: Import) -> anyhow::Result<()> {
    let mut input = Input::open(&options.file)?;
    // Before the store is created, because the file may not be an export.
    let revision = read_header(&mut input).await?;
    let store = database::open_or_make(&options.place).await?;
    let end = fill(&*store, revision, &mut input).await?;
    verify(&*store, revision, &end).await?;
    tracing::info!(revision = revision.0, records = end.records, spans = end.spans, "imported, read back and compared");
    Ok(())
}

/// Checks that the store is empty, and fills it with the lines after the header of a file.
pub async fn fill(store: &dyn Store, revision: Revision, input: &mut Input) -> anyhow::Result<End> {
    let head = store.head().await.context("cannot read the store")?.revision;
    ensure!(head == Revision(0), "the store is not empty (its revision is {head}): only an empty store can be filled");
    load(store.bulk_load().await.context("cannot fill the store")?, revision, input).await
}

/// Loads the lines after the header of a file.
pub async fn load(load: Box<dyn BulkLoad>, revision: Revision, input: &mut Input) -> anyhow::Result<End> {
    Importer::begin(load, revision).run(input).await.with_context(|| format!("line {}", input.number()))
}

/// Reads the header of a file. Returns the revision of the snapshot.
pub async fn read_header(input: &mut Input) -> anyhow::Result<Revision> {
    let Some(line) = input.line().await? else { bail!("the file is empty") };
    format::read_header(line)
}

/// An import in progress. Dropping it leaves the store empty.
struct Importer {
    load: Box<dyn BulkLoad>,
    revision: Revision,
    records: Vec<Record>,
    record_bytes: usize,
    spans: Vec<Span>,
    last_key: Option<Key>,
    last_span: Option<(String, u128)>,
    /// The numbers of objects and spans so far.
    counted: (u64, u64),
}

impl Importer {
    fn begin(load: Box<dyn BulkLoad>, revision: Revision) -> Self {
        let (records, spans) = (Vec::new(), Vec::new());
        Self { load, revision, records, record_bytes: 0, spans, last_key: None, last_span: None, counted: (0, 0) }
    }

    /// Reads all lines, and completes the load if the counts and the digest match the last line.
    async fn run(mut self, input: &mut Input) -> anyhow::Result<End> {
        let mut progress = Progress::start("importing", Unit::Bytes, input.size());
        let end = loop {
            let Some(line) = input.line().await? else { bail!("the file ends without its last line: it was cut off") };
            match format::read(line).context("the line is damaged")? {
                Line::Record(record) => self.record(record).await?,
                Line::Span(span) => self.span(span).await?,
                Line::End(end) => break end,
            }
            progress.set_position(input.bytes());
        };
        self.check(&end, &input.sha256())?;
        ensure!(input.line().await?.is_none(), "the file continues after its last line");
        self.flush().await?;
        self.load.finish(self.revision).await.context("cannot fill the store")?;
        progress.done();
        Ok(end)
    }

    fn check(&self, end: &End, sha256: &str) -> anyhow::Result<()> {
        let counted = self.counted;
        ensure!(
            counted == (end.records, end.spans),
            "the file is damaged: it has {} objects and {} spans, and its last line states {} and {}",
            counted.0,
            counted.1,
            end.records,
            end.spans
        );
        ensure!(
            sha256 == end.sha256,
            "the file is damaged: its SHA-256 is {sha256}, and its last line states {}",
            end.sha256
        );
        Ok(())
    }

    async fn record(&mut self, record: Record) -> anyhow::Result<()> {
        ensure!(self.counted.1 == 0, "an object follows a span");
        ensure!(self.last_key.as_ref().is_none_or(|last| *last < record.key), "{} is out of order", record.key);
        let is_possible = Revision(0) < record.revision && record.revision <= self.revision;
        ensure!(is_possible, "{} has revision {}, and the file ends at {}", record.key, record.revision, self.revision);
        self.counted.0 += 1;
        self.last_key = Some(record.key.clone());
        self.record_bytes += record.value.len();
        self.records.push(record);
        if self.records.len() == RECORDS_PER_PAGE || self.record_bytes >= IMPORT_PAGE_BYTES_MAX {
            self.flush().await?;
        }
        Ok(())
    }

    async fn span(&mut self, span: Span) -> anyhow::Result<()> {
        let place = (span.space.clone(), span.first);
        ensure!(self.last_span.as_ref().is_none_or(|last| *last < place), "{span} is out of order");
        self.counted.1 += 1;
        self.last_span = Some(place);
        self.spans.push(span);
        if self.spans.len() == SPANS_PER_PAGE {
            self.flush().await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> anyhow::Result<()> {
        self.record_bytes = 0;
        let records = std::mem::take(&mut self.records);
        if !records.is_empty() {
            self.load.records(records).await.context("cannot fill the store")?;
        }
        let spans = std::mem::take(&mut self.spans);
        if !spans.is_empty() {
            self.load.spans(spans).await.context("cannot fill the store")?;
        }
        Ok(())
    }
}

/// Exports the whole store without writing, and compares its revision, counts and digest with those of the imported file.
pub async fn verify(store: &dyn Store, revision: Revision, expected: &End) -> anyhow::Result<()> {
    let pages = SnapshotReader::of(store.snapshot().await.context("cannot read the store back")?);
    ensure!(
        pages.revision() == revision,
        "the store is at revision {} and not at {revision}: has something else written to it? Do not use it",
        pages.revision()
    );
    let mut progress = Progress::start("comparing", Unit::Objects, Some(expected.records));
    let found =
        export::write(pages, &mut Lines::new(sink()), &mut progress).await.context("cannot compare the store")?;
    progress.done();
    ensure!(found == *expected, "the store holds {found}, and the file has {expected}: do not use it");
    Ok(())
}
