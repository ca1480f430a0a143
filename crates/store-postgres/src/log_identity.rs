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
pub struct LogIdentity(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    log_id: Uuid,
    end: Option<LogEnd>,
}

/// The end of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogEnd {
    /// The last revision of the commit.
    pub revision: Revision,
    /// The token of the commit.
    pub token: Uuid,
}

/// The state of the log, as read from the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogState {
    /// The last revision, and the start of the history.
    pub head: Head,
    /// The id of the log. It changes when the log is bulk-loaded or its revisions are advanced.
    pub log_id: Uuid,
    /// The token of the last commit.
    pub token: Option<Uuid>,
    /// The token at the requested revision.
    pub token_at_mark: Option<Uuid>,
    /// True if the database is a standby.
    pub is_standby: bool,
}

impl LogIdentity {
    /// Creates the state for a log with this log ID, without an observed end.
    pub fn new(log_id: Uuid) -> Self {
        Self(Arc::new(Mutex::new(Inner { log_id, end: None })))
    }

    /// Returns the log ID.
    pub fn log_id(&self) -> Uuid {
        self.inner().log_id
    }

    /// Returns the last observed end.
    pub fn end(&self) -> Option<LogEnd> {
        self.inner().end
    }

    /// Sets a new log ID, which this process created.
    pub fn reset(&self, log_id: Uuid) {
        *self.inner() = Inner { log_id, end: None };
    }

    /// Checks that the log is the one that this process knows, and returns its head. `asked` is the log end
    /// whose token `log_state` contains.
    pub fn check(&self, log_state: &LogState, asked: Option<LogEnd>) -> Result<Head, Error> {
        let mut inner = self.inner();
        check_log_id(log_state.log_id, inner.log_id)?;
        if let Some(asked) = asked {
            check_history(log_state, asked)?;
        }
        let LogState { head, token, .. } = *log_state;
        inner.end = latest(inner.end, token.map(|token| LogEnd { revision: head.revision, token }));
        Ok(head)
    }

    /// Records a commit of this process as the last end.
    pub fn committed(&self, end: LogEnd) {
        let mut inner = self.inner();
        inner.end = latest(inner.end, Some(end));
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn latest(one: Option<LogEnd>, other: Option<LogEnd>) -> Option<LogEnd> {
    [one, other].into_iter().flatten().max_by_key(|end| end.revision)
}

/// Checks that the log still has the log ID that this process knows.
pub fn check_log_id(found: Uuid, known: Uuid) -> Result<(), Error> {
    if found == known {
        return Ok(());
    }
    let why =
        "the log was loaded, or its revisions were advanced (`ipam store bump-revision`), since this process started";
    Err(Error::Diverged(why.to_owned()))
}

fn check_history(log_state: &LogState, asked: LogEnd) -> Result<(), Error> {
    let LogState { head, token_at_mark, is_standby, .. } = *log_state;
    // Before the horizon the row may have been compacted, so a missing token proves nothing.
    if token_at_mark == Some(asked.token) || (token_at_mark.is_none() && asked.revision < head.compacted) {
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

    const LOG_ID: Uuid = Uuid::from_u128(1);

    fn log_state(revision: u64, token: u128, token_at_mark: Option<u128>) -> LogState {
        let head = Head { revision: Revision(revision), compacted: Revision(10) };
        let token = Some(Uuid::from_u128(token));
        LogState { head, log_id: LOG_ID, token, token_at_mark: token_at_mark.map(Uuid::from_u128), is_standby: false }
    }

    fn end(revision: u64, token: u128) -> LogEnd {
        LogEnd { revision: Revision(revision), token: Uuid::from_u128(token) }
    }

    #[test]
    fn latest_end_is_remembered() {
        let identity = LogIdentity::new(LOG_ID);
        for (revision, token, remembered) in [(20, 5, end(20, 5)), (30, 6, end(30, 6)), (20, 5, end(30, 6))] {
            identity.check(&log_state(revision, token, None), None).unwrap();
            assert_eq!(identity.end(), Some(remembered));
        }
        identity.committed(end(35, 7));
        assert_eq!(identity.end(), Some(end(35, 7)));
        identity.reset(Uuid::from_u128(2));
        assert_eq!(identity.end(), None);
        assert!(matches!(identity.check(&log_state(40, 7, None), None), Err(Error::Diverged(_))), "another epoch");
    }

    #[test]
    fn log_without_the_known_end_is_diverged() {
        let identity = LogIdentity::new(LOG_ID);
        for (found, asked, is_same) in [
            (log_state(40, 9, Some(6)), end(30, 6), true),
            (log_state(40, 9, Some(8)), end(30, 6), false),
            (log_state(40, 9, None), end(30, 6), false),
            (log_state(25, 9, None), end(30, 6), false),
            (log_state(40, 9, None), end(10, 6), false),
            (log_state(40, 9, None), end(9, 6), true),
            (log_state(40, 9, Some(8)), end(9, 6), false),
        ] {
            let outcome = identity.check(&found, Some(asked));
            assert_eq!(outcome.is_ok(), is_same, "{asked:?} in {found:?}: {outcome:?}");
            assert!(matches!(outcome, Ok(_) | Err(Error::Diverged(_))));
        }
        let standby = LogState { is_standby: true, ..log_state(25, 9, None) };
        assert!(matches!(identity.check(&standby, Some(end(30, 6))), Err(Error::Unavailable(_))));
    }
}
