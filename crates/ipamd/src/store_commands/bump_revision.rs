//! `ipam store bump-revision`: the step after the restore of a backup.
//!
//! Clients may have seen revisions of the lost store that are later than the backup. Without this step the restored store would
//! use the same revisions for other contents, and a watch that resumes from one of them would miss changes. After this step every
//! revision that a client may hold is older than the history: the server responds with 410, and the client lists again.

use std::io::Write;

use anyhow::Context as _;

use crate::{config::BumpRevision, database};

/// Runs the command, and writes its result to `out`.
///
/// # Errors
/// If the store cannot be opened or written; then it is unchanged.
pub async fn run(options: BumpRevision, out: &mut dyn Write) -> anyhow::Result<()> {
    let store = database::open_existing(&options.place).await?;
    let before = store.head().await.context("cannot read the store")?.revision;
    let after = store.advance_revision(options.by).await.context("cannot write to the store")?;
    writeln!(out, "advanced the revision from {before} to {after}; watches cannot start at an earlier revision")?;
    Ok(())
}
