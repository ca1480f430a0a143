//! Reads the decision state from the store.

use std::sync::Arc;

use apimachinery::{
    kind::{Registry, Span, State},
    object::Object,
};
use bytes::Bytes;
use store::{Key, Revision, Snapshot, Store};

use crate::{clock, keys, limits};

/// Spans that are read from the store at once.
const SPANS_PER_PAGE: usize = 10_000;

/// The result of reading the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The revision at which the state was read.
    pub revision: u64,
    /// Number of objects that are kept in memory.
    pub objects: usize,
    /// Number of held spans.
    pub spans: usize,
    /// Number of objects whose stored status differs from their spans.
    pub disagreements: usize,
}

/// The stored state could not be read.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The store could not be read.
    #[error("the store could not be read")]
    Store(#[from] store::Error),
    /// The committer's thread could not be started.
    #[error("the committer could not be started")]
    Start(#[from] std::io::Error),
    /// The default namespaces could not be created.
    #[error("the default namespaces could not be created: {0}")]
    Namespaces(String),
    /// The stored state is inconsistent.
    #[error("the stored state is inconsistent: {0}")]
    Inconsistent(String),
}

/// Writes the first entry of an empty log, which is not an object: the revision of an empty list must not be 0, which
/// in a request means any revision.
pub async fn init_log(store: &dyn Store) -> Result<(), store::Error> {
    let transaction = store.begin().await?;
    if transaction.head() > Revision(0) {
        return Ok(());
    }
    let first = store::Write {
        key: Key::new(keys::INIT_KEY).expect("the text is short and not empty"),
        value: Some(Bytes::from_static(b"{}")),
        expected: None,
        releases: Vec::new(),
        takes: Vec::new(),
    };
    transaction.commit(vec![first]).await
}

/// Fills `state` from one snapshot of the store, and checks its consistency. Others may write in the meantime.
pub async fn restore<W: State>(
    store: &dyn Store,
    registry: &Registry<W>,
    state: &mut W,
) -> Result<Restored, RestoreError> {
    let mut snapshot = store.snapshot().await?;
    let mut restored = Restored { revision: snapshot.revision().0, objects: 0, spans: 0, disagreements: 0 };
    let kept = state.cached_resources();
    for kind in registry.iter().filter(|kind| kept.contains(&kind.resource().plural)) {
        restored.objects += restore_objects(&mut *snapshot, registry, kind.resource().plural, state).await?;
    }
    restored.spans = restore_spans(&mut *snapshot, state).await?;
    restored.disagreements = report_disagreements(state);
    Ok(restored)
}

/// Logs objects whose stored status differs from their spans, and returns their number. Every commit writes the status
/// that follows from its spans, so the two agree unless another program wrote to the store. The next commit overwrites
/// such a status, so the log lines are the only record of it.
fn report_disagreements<W: State>(state: &W) -> usize {
    let disagreeing = state.pending_status_updates(clock::now());
    for write in disagreeing.iter().take(limits::DISAGREEMENTS_LOGGED_MAX) {
        let status = |object: &Option<Arc<Object>>| {
            object.as_ref().and_then(|object| object.fields.get("status")).map(ToString::to_string).unwrap_or_default()
        };
        tracing::warn!(
            object = write.key.storage_key(),
            stored = status(&write.old),
            computed = status(&write.new),
            "the stored status differs from the held spans; the next commit writes the computed one. Run \
             `ipam store check` on a backup"
        );
    }
    disagreeing.len()
}

async fn restore_objects<W: State>(
    snapshot: &mut dyn Snapshot,
    registry: &Registry<W>,
    resource: &str,
    state: &mut W,
) -> Result<usize, RestoreError> {
    let prefix = format!("{resource}/");
    let (mut count, mut after) = (0, None::<Key>);
    loop {
        let page = snapshot.list(&prefix, after.as_ref(), limits::PAGE_RECORDS_MAX).await?;
        for record in &page.records {
            let object = Object::from_bytes(&record.value)
                .map_err(|error| RestoreError::Inconsistent(format!("{}: {error}", record.key)))?;
            let key = keys::object_key(registry, record.key.as_str());
            let key =
                key.ok_or_else(|| RestoreError::Inconsistent(format!("{} is not the key of an object", record.key)))?;
            state.load_object(key, object).map_err(RestoreError::Inconsistent)?;
        }
        count += page.records.len();
        after = page.records.into_iter().next_back().map(|record| record.key);
        if !page.more {
            return Ok(count);
        }
    }
}

async fn restore_spans<W: State>(snapshot: &mut dyn Snapshot, state: &mut W) -> Result<usize, RestoreError> {
    let (mut count, mut after) = (0, None::<(String, u128)>);
    loop {
        let cursor = after.as_ref().map(|(space, first)| (space.as_str(), *first));
        let spans = snapshot.spans(cursor, SPANS_PER_PAGE).await?;
        let Some(last) = spans.last() else { return Ok(count) };
        after = Some((last.space.clone(), last.first));
        count += spans.len();
        for span in spans {
            state.load_span(&span_from_store(span)).map_err(RestoreError::Inconsistent)?;
        }
    }
}

fn span_from_store(span: store::Span) -> Span {
    Span { space: span.space, first: span.first, last: span.last, holder: span.holder.as_str().to_owned() }
}
