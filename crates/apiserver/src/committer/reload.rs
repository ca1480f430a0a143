//! Reads the state again after kinds that this version does not know have changed.
//!
//! A replica of a newer version may have kinds whose objects hold spans. The log contains the objects but not the
//! spans, so after such an entry the state is read from the store again before anything is decided.

use std::sync::{PoisonError, atomic::Ordering};

use apimachinery::kind::State;
use store::{Error, Revision};

use super::{Committer, Fatal, head_first::CommitError};
use crate::{
    limits,
    restore::{self, RestoreError},
};

impl<W: State> Committer<W> {
    /// True if the state may lack spans.
    pub(super) fn is_outdated(&self) -> bool {
        self.outdated.load(Ordering::Relaxed)
    }

    /// Records that the log has an entry of an unknown kind.
    pub(super) fn set_outdated(&self) {
        self.outdated.store(true, Ordering::Relaxed);
    }

    /// Reads the state again if it may lack spans. `reloads` counts the reloads for one batch.
    pub(super) async fn reload_if_outdated(&self, reloads: &mut usize) -> Result<(), CommitError> {
        if !self.is_outdated() {
            return Ok(());
        }
        if *reloads == limits::RELOADS_PER_BATCH_MAX {
            let why =
                "a newer version of the server writes kinds that this one does not know, and its state is not current";
            return Err(CommitError::Store(Error::Unavailable(why.to_owned())));
        }
        *reloads += 1;
        self.reload().await
    }

    async fn reload(&self) -> Result<(), CommitError> {
        let mut state = W::default();
        let restored =
            restore::restore(&*self.store, &self.registry, &mut state).await.map_err(|error| match error {
                RestoreError::Store(error) => CommitError::from(error),
                error => CommitError::Fatal(Fatal(format!("the state could not be read again: {error}"))),
            })?;
        // Watches get every entry up to the reloaded revision; the state that these entries update is replaced
        // afterwards.
        while let Some(missing) = restored.revision.checked_sub(self.watch_cache.head()).filter(|missing| *missing > 0)
        {
            let limit = usize::try_from(missing).unwrap_or(usize::MAX).min(limits::CATCH_UP_ENTRIES_MAX);
            let entries = self.store.tail(Revision(self.watch_cache.head()), limit).await?;
            self.follow(entries)?;
        }
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = state;
        self.outdated.store(false, Ordering::Relaxed);
        tracing::info!(
            revision = restored.revision,
            "the state was read again: a newer version wrote kinds unknown here"
        );
        Ok(())
    }
}
