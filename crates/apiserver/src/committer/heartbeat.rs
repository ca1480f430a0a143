//! A small commit of the committer's own, after one has failed: whether the store takes commits again.
//!
//! A server that is not ready gets no requests, so that nothing else would tell. The head alone can often be had when nothing can be
//! written, as on a full disk; only a commit shows that commits succeed. It rewrites the log's first entry, which is no object.

use std::sync::Arc;

use apimachinery::kind::World;
use bytes::Bytes;
use store::{Error, Key, Revision, Write};

use super::{Committer, Fatal, flight::Lost};
use crate::{
    hub::{Event, Version},
    restore::FIRST_ENTRY,
};

/// How large its value is, in bytes: as an object is. What is left of the last page of a table on a full disk must not suffice.
const VALUE_BYTES: usize = 1_024;

impl<W: World> Committer<W> {
    /// Commits, and notes how that went. Nothing else of this server may be on its way into the store.
    pub(super) async fn heartbeat(&self) -> Result<(), Fatal> {
        let written = match self.write_heartbeat().await {
            Ok(revision) => Some(revision),
            Err(error @ Error::Unknown(_)) if !self.store.is_shared() => self.find_out(error).await?,
            Err(error) => {
                self.writes.failed(&error);
                None
            }
        };
        // From a log that others write to as well it comes back by itself.
        if let Some(revision) = written.filter(|_| !self.store.is_shared()) {
            let known = Revision(self.hub.head());
            if revision != known.next() {
                let why =
                    format!("the log ends at {revision}, this server wrote up to {known}: something else writes to it");
                return Err(Fatal(why));
            }
            let event = Event::new(revision.0, FIRST_ENTRY.to_owned(), None, Some(Version::encoded(value()))).untied();
            self.hub.publish(vec![Arc::new(event)]);
        }
        Ok(())
    }

    async fn write_heartbeat(&self) -> Result<Revision, Error> {
        let key = Key::new(FIRST_ENTRY).expect("the text is short and not empty");
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
        self.crew().commit_timed(transaction, vec![write]).await?;
        Ok(head.next())
    }

    /// Whether a heartbeat was written although its answer was lost.
    async fn find_out(&self, why: Error) -> Result<Option<Revision>, Fatal> {
        let base = Revision(self.hub.head());
        match self.crew().find_out(base, base.next(), why).await {
            Ok(landing) => Ok(landing.is_ok().then(|| base.next())),
            Err(Lost::Foreign(why) | Lost::Unknown(why)) => Err(Fatal(why)),
        }
    }
}

/// As empty as the first entry, and larger.
fn value() -> Bytes {
    format!("{:<VALUE_BYTES$}", "{}").into()
}
