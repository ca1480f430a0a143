//! What this process knows of the log: its epoch, and the last end of it that was seen.
//!
//! A log that was seen to end at a revision with a token must show that token at that revision ever after, until it is forgotten
//! there. After a promotion that lost commits it does not: the revisions then belong to other writes, and whatever was made of
//! the lost ones (the world in memory, events of watches) must not be used any more.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use store::{Error, Head, Revision};
use uuid::Uuid;

/// Clones are the same knowledge.
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
    /// What the commit left there.
    pub token: Uuid,
}

/// Where the log stands, and by what it is recognized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The last revision, and where history begins.
    pub head: Head,
    /// What the revisions belong to.
    pub epoch: Uuid,
    /// The token of the last commit.
    pub token: Option<Uuid>,
    /// The token at the revision that was asked for.
    pub marked: Option<Uuid>,
    /// Whether the database only follows another one.
    pub is_standby: bool,
}

impl Known {
    /// A log of this epoch, of which no end was seen so far.
    pub fn new(epoch: Uuid) -> Self {
        Self(Arc::new(Mutex::new(Inner { epoch, end: None })))
    }

    /// The epoch.
    pub fn epoch(&self) -> Uuid {
        self.inner().epoch
    }

    /// The last end that was seen.
    pub fn end(&self) -> Option<End> {
        self.inner().end
    }

    /// This process began another epoch itself.
    pub fn begin(&self, epoch: Uuid) {
        *self.inner() = Inner { epoch, end: None };
    }

    /// Where the log stands, if it is the log that this process knows; `asked` is the end that the database was asked for.
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

    /// This process committed, and its commit is the end of the log.
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

/// Whether the revisions are still those that this process knows.
pub fn same_epoch(found: Uuid, known: Uuid) -> Result<(), Error> {
    if found == known {
        return Ok(());
    }
    let why =
        "the log was filled, or its revisions were moved (`ipam store bump-revision`), since this process started";
    Err(Error::Diverged(why.to_owned()))
}

fn same_log(standing: &Standing, asked: End) -> Result<(), Error> {
    let Standing { head, marked, is_standby, .. } = *standing;
    // Before the horizon a row may have been forgotten, and says nothing by its absence.
    if marked == Some(asked.token) || (marked.is_none() && asked.revision < head.compacted) {
        return Ok(());
    }
    let (seen, end) = (asked.revision, head.revision);
    if is_standby {
        let why = "name the primary, for instance by target_session_attrs=read-write";
        return Err(Error::Unavailable(format!("the database is a standby that is behind revision {seen}: {why}")));
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
