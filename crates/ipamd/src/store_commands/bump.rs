//! `ipam store bump-revision`: the step behind the restore of a backup.
//!
//! A backup ends at a revision, and clients have seen later ones from the store that was lost. If the log went on from its end,
//! the same numbers would come again with other contents, and a watch that resumes from one of them would miss what it does not
//! know of. Behind the jump every number that a client may hold is old: it is told so (410), and lists anew.

use std::io::Write;

use anyhow::Context as _;

use crate::{config::BumpRevision, database};

/// Runs it; what was done goes to `out`.
///
/// # Errors
/// If the store cannot be opened or written; then nothing has changed.
pub async fn run(options: BumpRevision, out: &mut dyn Write) -> anyhow::Result<()> {
    let store = database::open_existing(&options.place).await?;
    let before = store.head().await.context("cannot read the store")?.revision;
    let after = store.jump(options.by).await.context("cannot write to the store")?;
    writeln!(out, "the log ended at revision {before} and goes on behind {after}; its history begins there")?;
    Ok(())
}
