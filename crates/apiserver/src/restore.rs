//! Reading the world back from the store.

use std::sync::Arc;

use apimachinery::{
    kind::{Registry, World},
    object::Object,
};
use bytes::Bytes;
use store::{Key, Revision, Snapshot, Store};

use crate::{api, committer, limits};

/// The key of the first entry of every log. No resource has a dot in its name.
pub const FIRST_ENTRY: &str = ".log";

/// Spans that a restart takes from the store at once.
const SPANS_PER_PAGE: usize = 10_000;

/// What a restart read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Where the log ends.
    pub revision: u64,
    /// Objects that are kept in memory.
    pub objects: usize,
    /// Held spans.
    pub spans: usize,
    /// Objects whose stored status is not what their spans say.
    pub disagreements: usize,
}

/// The state in the store does not make a world.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The store could not be read.
    #[error("the store could not be read")]
    Store(#[from] store::Error),
    /// The system gives no thread to work in.
    #[error("the committer could not be started")]
    Start(#[from] std::io::Error),
    /// Its own namespaces could not be made.
    #[error("the namespaces that are always there could not be made: {0}")]
    Namespaces(String),
    /// What it holds contradicts itself.
    #[error("the stored state contradicts itself: {0}")]
    Inconsistent(String),
}

/// Gives an empty log its first entry, which is no object: the revision of an empty list must not be 0, which means any.
pub async fn begin_log(store: &dyn Store) -> Result<(), store::Error> {
    let transaction = store.begin().await?;
    if transaction.head() > Revision(0) {
        return Ok(());
    }
    let first = store::Write {
        key: Key::new(FIRST_ENTRY).expect("the text is short and not empty"),
        value: Some(Bytes::from_static(b"{}")),
        expected: None,
        releases: Vec::new(),
        takes: Vec::new(),
    };
    transaction.commit(vec![first]).await
}

/// Fills `world` from one sight of the store, and checks it against itself. Others may write meanwhile.
pub async fn restore<W: World>(
    store: &dyn Store,
    registry: &Registry<W>,
    world: &mut W,
) -> Result<Restored, RestoreError> {
    let mut snapshot = store.snapshot().await?;
    let mut restored = Restored { revision: snapshot.revision().0, objects: 0, spans: 0, disagreements: 0 };
    let kept = world.kept();
    for kind in registry.iter().filter(|kind| kept.contains(&kind.resource().plural)) {
        restored.objects += restore_objects(&mut *snapshot, registry, kind.resource().plural, world).await?;
    }
    restored.spans = restore_spans(&mut *snapshot, world).await?;
    restored.disagreements = report_disagreements(world);
    Ok(restored)
}

/// Every commit writes the status that its spans lead to, so the two agree unless something else wrote to the store. The next
/// commit writes such a status again: what it was is in the log lines alone.
fn report_disagreements<W: World>(world: &W) -> usize {
    let disagreeing = world.settle(api::now());
    for write in disagreeing.iter().take(limits::DISAGREEMENTS_LOGGED_MAX) {
        let status = |object: &Option<Arc<Object>>| {
            object.as_ref().and_then(|object| object.fields.get("status")).map(ToString::to_string).unwrap_or_default()
        };
        tracing::warn!(
            object = write.key.to_text(),
            stored = status(&write.old),
            computed = status(&write.new),
            "the stored status differs from the addresses that are held; the next commit writes the computed one. Run \
             `ipam store check` on a backup"
        );
    }
    disagreeing.len()
}

async fn restore_objects<W: World>(
    snapshot: &mut dyn Snapshot,
    registry: &Registry<W>,
    resource: &str,
    world: &mut W,
) -> Result<usize, RestoreError> {
    let prefix = format!("{resource}/");
    let (mut count, mut after) = (0, None::<Key>);
    loop {
        let page = snapshot.list(&prefix, after.as_ref(), limits::PAGE_RECORDS_MAX).await?;
        for record in &page.records {
            let object = Object::from_bytes(&record.value)
                .map_err(|error| RestoreError::Inconsistent(format!("{}: {error}", record.key)))?;
            let key = api::object_key(registry, record.key.as_str());
            let key = key.ok_or_else(|| RestoreError::Inconsistent(format!("{} is no object's key", record.key)))?;
            world.restore_object(key, object).map_err(RestoreError::Inconsistent)?;
        }
        count += page.records.len();
        after = page.records.into_iter().next_back().map(|record| record.key);
        if !page.more {
            return Ok(count);
        }
    }
}

async fn restore_spans<W: World>(snapshot: &mut dyn Snapshot, world: &mut W) -> Result<usize, RestoreError> {
    let (mut count, mut after) = (0, None::<(String, u128)>);
    loop {
        let cursor = after.as_ref().map(|(space, first)| (space.as_str(), *first));
        let spans = snapshot.spans(cursor, SPANS_PER_PAGE).await?;
        let Some(last) = spans.last() else { return Ok(count) };
        after = Some((last.space.clone(), last.first));
        count += spans.len();
        for span in spans {
            world.restore_span(&committer::span_from_store(span)).map_err(RestoreError::Inconsistent)?;
        }
    }
}
