//! The part of the log that this process has seen: its log ID, and the last observed end of a commit.
//!
//! A log that ended at a revision with some token must keep that token at that revision until it is compacted. If a
//! failover lost commits, it does not: the revisions then belong to other writes, and state derived from the lost ones
//! (the allocator state in memory, watch events) must be discarded.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use store::{Error, Head, Revision};
use uuid::Uuid;

/// Clones share the same state.
#[derive(Clone, Debug)]
pub struct Known(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    epoch: Uuid,
    end: Option<End>,
}

/// The end of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// The last revision of the commit.
    pub revision: Revision,
    /// The token of the commit.
    pub token: Uuid,
}

/// The state of the log, as read from the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The last revision, and the start of the history.
    pub head: Head,
    /// The id of the log. It changes when the log is bulk-loaded or its revisions are advanced.
    pub epoch: Uuid,
    /// The token of the last commit.
    pub token: Option<Uuid>,
    /// The token at the requested revision.
    pub marked: Option<Uuid>,
    /// True if the database is a standby.
    pub is_standby: bool,
}

impl Known {
    /// Creates the state for a log with this log ID, without an observed end.
    pub fn new(epoch: Uuid) -> Self {
        Self(Arc::new(Mutex::new(Inner { epoch, end: None })))
    }

    /// Returns the log ID.
    pub fn epoch(&self) -> Uuid {
        self.inner().epoch
    }

    /// Returns the last observed end.
    pub fn end(&self) -> Option<End> {
        self.inner().end
    }

    /// Sets a new log ID, which this process created.
    pub fn begin(&self, epoch: Uuid) {
        *self.inner() = Inner { epoch, end: None };
    }

    /// Checks that the log is the one that this process knows, and returns its head. `asked` is the end whose token was
    /// requested.
    pub fn check(&self, standing: &Standing, asked: Option<End>) -> Result<Head, Error> {
        let mut inner = self.inner();
        same_epoch(standing.epoch, inner.epoch)?;
        if let Some(asked) = asked {
            same_log(standing, asked)?;
        }
        let Standing { head, token, .. } = *standing;
        inner.end = latest(inner.end, token.map(|token| End { revision: head.revision, token }));
        Ok(head)
    }

    /// Records a commit of this process as the last end.
    pub fn committed(&self, end: End) {
        let mut inner = self.inner();
        inner.end = latest(inner.end, Some(end));
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn latest(one: Option<End>, other: Option<End>) -> Option<End> {
    [one, other].into_iter().flatten().max_by_key(|end| end.revision)
}

/// Checks that the log still has the log ID that this process knows.
pub fn same_epoch(found: Uuid, known: Uuid) -> Result<(), Error> {
    if found == known {
        return Ok(());
    }
    let why =
        "the log was loaded, or its revisions were advanced (`ipam store bump-revision`), since this process started";
    Err(Error::Diverged(why.to_owned()))
}

fn same_log(standing: &Standing, asked: End) -> Result<(), Error> {
    let Standing { head, marked, is_standby, .. } = *standing;
    // Before the horizon the row may have been compacted, so a missing token proves nothing.
    if marked == Some(asked.token) || (marked.is_none() && asked.revision < head.compacted) {
        return Ok(());
    }
    let (seen, end) = (asked.revision, head.revision);
    if is_standby {
        let why = "name the primary, for instance by target_session_attrs=read-write";
        return Err(Error::Unavailable(format!(
            "the database is a standby that has not reached revision {seen}: {why}"
        )));
    }
    let found = if end < seen {
        format!("it ends at {end} now, and this process has seen it end at {seen}")
    } else {
        format!("it ends at {end} now, and what this process has seen at {seen} is not in it")
    };
    Err(Error::Diverged(format!("{found}: the database has lost commits, or another one answers")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EPOCH: Uuid = Uuid::from_u128(1);

    fn standing(revision: u64, token: u128, marked: Option<u128>) -> Standing {
        let head = Head { revision: Revision(revision), compacted: Revision(10) };
        let token = Some(Uuid::from_u128(token));
        Standing { head, epoch: EPOCH, token, marked: marked.map(Uuid::from_u128), is_standby: false }
    }

    fn end(revision: u64, token: u128) -> End {
        End { revision: Revision(revision), token: Uuid::from_u128(token) }
    }

    #[test]
    fn ends_are_remembered_and_never_earlier_ones() {
        let known = Known::new(EPOCH);
        for (revision, token, remembered) in [(20, 5, end(20, 5)), (30, 6, end(30, 6)), (20, 5, end(30, 6))] {
            known.check(&standing(revision, token, None), None).unwrap();
            assert_eq!(known.end(), Some(remembered));
        }
        known.committed(end(35, 7));
        assert_eq!(known.end(), Some(end(35, 7)));
        known.begin(Uuid::from_u128(2));
        assert_eq!(known.end(), None);
        assert!(matches!(known.check(&standing(40, 7, None), None), Err(Error::Diverged(_))), "another epoch");
    }

    #[test]
    fn log_without_an_end_that_was_seen_is_another_one() {
        let known = Known::new(EPOCH);
        for (found, asked, is_same) in [
            (standing(40, 9, Some(6)), end(30, 6), true),
            (standing(40, 9, Some(8)), end(30, 6), false),
            (standing(40, 9, None), end(30, 6), false),
            (standing(25, 9, None), end(30, 6), false),
            (standing(40, 9, None), end(10, 6), false),
            (standing(40, 9, None), end(9, 6), true),
            (standing(40, 9, Some(8)), end(9, 6), false),
        ] {
            let outcome = known.check(&found, Some(asked));
            assert_eq!(outcome.is_ok(), is_same, "{asked:?} in {found:?}: {outcome:?}");
            assert!(matches!(outcome, Ok(_) | Err(Error::Diverged(_))));
        }
        let standby = Standing { is_standby: true, ..standing(25, 9, None) };
        assert!(matches!(known.check(&standby, Some(end(30, 6))), Err(Error::Unavailable(_))));
    }
}
