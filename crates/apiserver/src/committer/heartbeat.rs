//! A small commit that the committer makes after one has failed, to find out whether the store accepts commits again.
//!
//! A server that is not ready gets no requests, so no other commit would show it. The head's lock can often be acquired
//! when nothing can be written, as on a full disk; only a commit proves that commits succeed. The heartbeat rewrites
//! the log's first entry, which is not an object.

use std::sync::Arc;

use apimachinery::kind::State;
use bytes::Bytes;
use store::{Error, Key, Revision, Write};

use super::{Committer, Fatal, in_flight::FatalCommitError};
use crate::{
    keys::INIT_KEY,
    watch_cache::{Event, EventObject},
};

/// Size of the heartbeat's value in bytes, about that of an object: it must not fit into the last page of a table on a
/// full disk.
const VALUE_BYTES: usize = 1_024;

impl<W: State> Committer<W> {
    /// Commits a heartbeat and records the outcome. No other commit of this server may be running.
    pub(super) async fn heartbeat(&self) -> Result<(), Fatal> {
        let written = match self.write_heartbeat().await {
            Ok(revision) => Some(revision),
            Err(error @ Error::OutcomeUnknown(_)) if !self.store.is_shared() => {
                self.resolve_unknown_outcome(error).await?
            }
            Err(error) => {
                self.writes.failed(&error);
                None
            }
        };
        // From a shared log the entry is read like those of other replicas.
        if let Some(revision) = written.filter(|_| !self.store.is_shared()) {
            let known = Revision(self.watch_cache.head());
            if revision != known.next() {
                let why = format!(
                    "the log ends at {revision}, this server wrote up to {known}: another program writes to it"
                );
                return Err(Fatal(why));
            }
            let event =
                Event::new(revision.0, INIT_KEY.to_owned(), None, Some(EventObject::encoded(value()))).without_gc();
            self.watch_cache.publish(vec![Arc::new(event)]);
        }
        Ok(())
    }

    async fn write_heartbeat(&self) -> Result<Revision, Error> {
        let key = Key::new(INIT_KEY).expect("the text is short and not empty");
        let transaction = self.store.begin().await?;
        let head = transaction.head();
        let current = transaction.read(std::slice::from_ref(&key)).await?.into_iter().next().flatten();
        let write = Write {
            key,
            value: Some(value()),
            expected: current.map(|record| record.revision),
            releases: Vec::new(),
            takes: Vec::new(),
        };
        self.commit_context().commit_timed(transaction, vec![write]).await?;
        Ok(head.next())
    }

    /// Determines whether a heartbeat whose commit returned the error `why` was written. Returns its revision, or
    /// `None` if it was not.
    async fn resolve_unknown_outcome(&self, why: Error) -> Result<Option<Revision>, Fatal> {
        let base = Revision(self.watch_cache.head());
        match self.commit_context().resolve_unknown_outcome(base, base.next(), why).await {
            Ok(commit_result) => Ok(commit_result.is_ok().then(|| base.next())),
            Err(FatalCommitError::ForeignWriter(why) | FatalCommitError::UnknownOutcome(why)) => Err(Fatal(why)),
        }
    }
}

/// An empty JSON object like that of the first entry, padded to `VALUE_BYTES`.
fn value() -> Bytes {
    format!("{:<VALUE_BYTES$}", "{}").into()
}
