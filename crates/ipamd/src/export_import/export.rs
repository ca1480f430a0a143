//! `ipam store export`.

use anyhow::Context as _;
use tokio::io::AsyncWrite;

use super::{
    file::{Lines, Output},
    format::{self, End},
    progress::{Progress, Unit},
    snapshot_reader::{Chunk, SnapshotReader},
};
use crate::{config::Export, database};

/// Runs `ipam store export`. The export is one snapshot, so servers may write to a PostgreSQL store during it.
///
/// # Errors
/// If the store cannot be read or the file cannot be written; then no file remains.
pub async fn export(options: Export) -> anyhow::Result<()> {
    let store = database::open_source(&options.source).await?;
    let pages = SnapshotReader::of(store.snapshot().await.context("cannot read the store")?);
    let revision = pages.revision();
    let mut out = Output::create(&options.file)?;
    let total = store.count(revision).await;
    let mut progress = Progress::start("exporting", Unit::Objects, total);
    let end = write(pages, &mut out.lines, &mut progress).await?;
    out.finish().await?;
    progress.done();
    tracing::info!(revision = revision.0, records = end.records, spans = end.spans, "exported");
    Ok(())
}

/// Writes the header, all pages and the end of a file. Returns the end.
pub async fn write(
    mut pages: SnapshotReader,
    out: &mut Lines<impl AsyncWrite + Unpin>,
    progress: &mut Progress,
) -> anyhow::Result<End> {
    out.line(&format::header(pages.revision())).await?;
    let (mut records, mut spans) = (0, 0);
    while let Some(part) = pages.next().await.context("cannot read the store")? {
        match part {
            Chunk::Records(page) => {
                records += page.len() as u64;
                for record in &page {
                    out.line(&format::record(record)).await?;
                }
            }
            Chunk::Spans(page) => {
                spans += page.len() as u64;
                for span in &page {
                    out.line(&format::span(span)).await?;
                }
            }
        }
        progress.set_position(records);
    }
    let end = End { records, spans, sha256: out.sha256() };
    out.line(&format::end(&end)).await?;
    Ok(end)
}
