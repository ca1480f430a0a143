//! Conversion between decided writes and the types of the store, and from store errors to API errors.

use apimachinery::{
    kind::Span,
    object::Object,
    status_error::{StatusError, StatusReason},
};
use store::{Key, Revision};

use super::batch::{Batch, Staged};

/// Converts the writes of a batch to those of the store.
pub fn all_to_store(batch: &Batch) -> Result<Vec<store::Write>, StatusError> {
    batch.writes.iter().map(to_store).collect()
}

fn to_store(staged: &Staged) -> Result<store::Write, StatusError> {
    let Staged { write, bytes, releases, takes, .. } = staged;
    let spans = |spans: &[Span]| spans.iter().map(span_to_store).collect::<Result<Vec<_>, _>>();
    Ok(store::Write {
        key: key_to_store(write.key.storage_key())?,
        value: write.new.is_some().then(|| bytes.clone()),
        expected: write.old.as_ref().map(|old| revision_of(old)).transpose()?,
        releases: spans(releases)?,
        takes: spans(takes)?,
    })
}

fn span_to_store(span: &Span) -> Result<store::Span, StatusError> {
    let holder = key_to_store(span.holder.clone())?;
    Ok(store::Span { space: span.space.clone(), first: span.first, last: span.last, holder })
}

fn key_to_store(text: String) -> Result<Key, StatusError> {
    Key::new(text)
        .map_err(|text| StatusError::new(StatusReason::InternalError, format!("{text:?} cannot be stored as a key")))
}

fn revision_of(object: &Object) -> Result<Revision, StatusError> {
    object.metadata.resource_version.parse().map(Revision).map_err(|_| {
        StatusError::new(StatusReason::InternalError, format!("{} has no resourceVersion", object.metadata.name))
    })
}

/// The API error of a write that was not committed, or of which the store reports that nothing was written.
pub fn not_written(error: &store::Error) -> StatusError {
    match error {
        store::Error::Unavailable(_) => StatusError::new(
            StatusReason::ServiceUnavailable,
            "the store is unavailable; nothing was written, the request may be repeated",
        )
        .retry_after(1),
        store::Error::Full(_) => StatusError::new(
            StatusReason::ServiceUnavailable,
            "the disk of the server's store is full; nothing was written, the request may be repeated once there is space on it",
        )
        .retry_after(1),
        _ => StatusError::new(
            StatusReason::InternalError,
            "the store refused the write; nothing was written (the server's log says why)",
        ),
    }
}

/// The API error of a write whose commit failed. It says that nothing was written only if the store guarantees it.
pub fn commit_failed(error: &store::Error) -> StatusError {
    match error {
        error if error.nothing_was_written() => not_written(error),
        store::Error::OutcomeUnknown(_) => StatusError::new(
            StatusReason::Timeout,
            "the store did not report whether the write was committed: read the object before you repeat it",
        ),
        _ => StatusError::new(
            StatusReason::InternalError,
            "the store failed during the commit, and the outcome of the write is unknown: read the object before you repeat \
             it (the server's log says why)",
        ),
    }
}

#[cfg(test)]
mod tests {
    use store::Error;

    use super::*;

    #[test]
    fn commit_error_says_nothing_was_written_only_if_certain() {
        let precondition = || Error::Precondition { key: Key::new("k").unwrap(), expected: None, found: None };
        let (compacted, future) = (Revision(1), Revision(2));
        for (error, is_certain) in [
            (Error::Unavailable(String::new()), true),
            (Error::Full(String::new()), true),
            (Error::SpanConflict(String::new()), true),
            (precondition(), true),
            (Error::OutcomeUnknown(String::new()), false),
            (Error::Corrupt(String::new()), false),
            (Error::Diverged(String::new()), false),
            (Error::Compacted { requested: compacted, compacted: future }, false),
            (Error::FutureRevision { requested: future, head: compacted }, false),
        ] {
            let message = commit_failed(&error).message;
            assert_eq!(message.contains("nothing was written"), is_certain, "{error}: {message}");
            assert_eq!(message.contains("read the object before you repeat it"), !is_certain, "{error}: {message}");
            assert!(not_written(&error).message.contains("nothing was written"), "{error}");
        }
    }
}
