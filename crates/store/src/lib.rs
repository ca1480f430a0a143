//! The store interface: an ordered log of writes, as the server needs it from a database.
//!
//! Every write gets a [`Revision`], its position in one totally ordered log without gaps. A *commit* is a batch of
//! writes that becomes visible atomically; readers only see snapshots at the end of a commit. Keys and values are
//! opaque to the store: it does not depend on Kubernetes, kinds or addresses. It does know [`Span`]s, exclusive ranges
//! of numbers, because it rejects overlaps independently of the allocator.
//!
//! This file is the contract; [`contract`] is the test suite for every store, and [`memory`] is the reference model
//! with which the real stores are compared.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;

pub mod contract;
pub mod limits;
pub mod memory;
pub mod page;

/// A position in the log. The first write has revision 1; 0 is the empty log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

/// The name of an object in the store: UTF-8 text, ordered by bytes, at most [`limits::KEY_BYTES_MAX`] bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(String);

/// One version of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The key of the object.
    pub key: Key,
    /// The revision of the write that created this version.
    pub revision: Revision,
    /// The stored bytes.
    pub value: Bytes,
}

/// A log entry: one write as readers of the log see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The position in the log.
    pub revision: Revision,
    /// The written key.
    pub key: Key,
    /// The new value; `None` for a deletion.
    pub value: Option<Bytes>,
    /// The replaced version; `None` for a creation.
    pub previous: Option<Record>,
}

/// A range of numbers, both ends included, that one holder has exclusively inside a named space.
///
/// The store rejects a commit after which two spans of one space would overlap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The space in which the span is exclusive.
    pub space: String,
    /// The first number.
    pub first: u128,
    /// The last number; at least `first`.
    pub last: u128,
    /// The object that holds the span.
    pub holder: Key,
}

/// One write of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// The key to write.
    pub key: Key,
    /// The new value; `None` deletes the object.
    pub value: Option<Bytes>,
    /// The revision that the key must have; `None` if the key must not exist.
    pub expected: Option<Revision>,
    /// Spans to release. They are released before `takes`, and each must exist exactly as given.
    pub releases: Vec<Span>,
    /// Spans to take.
    pub takes: Vec<Span>,
}

/// The end of the log, and the start of its history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The last committed revision.
    pub revision: Revision,
    /// History up to this revision (included) has been compacted. Entries after it can be read, and snapshots at this
    /// revision or later.
    pub compacted: Revision,
}

/// A page of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The revision of the snapshot: the end of a commit.
    pub revision: Revision,
    /// Records in key order.
    pub records: Vec<Record>,
    /// True if the snapshot has more records with the prefix after the last one.
    pub more: bool,
}

/// The error of a store call.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The requested history has been compacted.
    #[error("revision {requested} is too old: history is kept after {compacted}")]
    Compacted {
        /// The requested revision.
        requested: Revision,
        /// The revision up to which history is compacted.
        compacted: Revision,
    },
    /// The requested revision is after the head.
    #[error("revision {requested} is in the future: the log ends at {head}")]
    FutureRevision {
        /// The requested revision.
        requested: Revision,
        /// The last revision of the log.
        head: Revision,
    },
    /// The `expected` revision of a write does not match. Nothing of the commit was written.
    #[error("{key}: expected revision {expected:?}, found {found:?}")]
    Precondition {
        /// The key of the write.
        key: Key,
        /// The revision that the write expected.
        expected: Option<Revision>,
        /// The current revision.
        found: Option<Revision>,
    },
    /// The commit would make two spans overlap, or releases a span that is not held. Nothing of the commit was written.
    #[error("the store rejected the commit: {0}")]
    SpanConflict(String),
    /// The database failed; nothing was written. The call may be repeated.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// The disk of the database is full; nothing was written. The call may be repeated after space was freed.
    #[error("the store's disk is full: {0}")]
    Full(String),
    /// The database failed during a commit; it is unknown whether the commit was written.
    #[error("the outcome of the commit is unknown: {0}")]
    OutcomeUnknown(String),
    /// The stored data is inconsistent; repeating the call does not help. For a commit it is unknown whether it was
    /// written.
    #[error("the store is damaged: {0}")]
    Corrupt(String),
    /// The log differs from the one that this store has read: it lost commits, was bulk-loaded, or its revisions were
    /// advanced. State derived from it must be discarded; a newly opened store reads the log as it is. For a commit it
    /// is unknown whether it was written.
    #[error("the log is not the one that was read before: {0}")]
    Diverged(String),
}

impl Error {
    /// True if a commit that failed with this error has certainly written nothing.
    pub fn nothing_was_written(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Full(_) | Self::SpanConflict(_) | Self::Precondition { .. })
    }
}

/// The ordered log of one database.
///
/// Reads run concurrently with a transaction and with each other, and see only whole commits.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Takes the head lock: no other transaction commits, in this process or another, until this one is committed or
    /// dropped.
    async fn begin(&self) -> Result<Box<dyn Transaction>, Error>;

    /// True if other processes may write to the same log.
    fn is_shared(&self) -> bool {
        false
    }

    /// Waits for a notification that another process may have written after `known`. Notifications may be early, late
    /// (by a bounded time) or spurious. If the log is not shared, this never returns.
    async fn wait_for_commits(&self, known: Revision) {
        let _ = known;
        std::future::pending::<()>().await;
    }

    /// Waits until the store fails permanently in this process, and returns the reason. The process should then end;
    /// the next one recovers the store. Until then every call is safe, but no commit succeeds.
    async fn failed(&self) -> String {
        std::future::pending().await
    }

    /// Returns the current head. It includes every commit that has been acknowledged, by any process.
    async fn head(&self) -> Result<Head, Error>;

    /// Returns the current version of `key`.
    async fn get(&self, key: &Key) -> Result<Option<Record>, Error>;

    /// Returns the current versions of `keys`, in the order of `keys`, from one snapshot.
    ///
    /// Used for decisions: it does not queue after other reads.
    async fn read(&self, keys: &[Key]) -> Result<Vec<Option<Record>>, Error>;

    /// Returns a page of the records whose key starts with `prefix` and is greater than `after`, in key order, as of
    /// revision `at` (`None`: the head). If `at` is inside a commit, the snapshot is the end of that commit. A page
    /// ends after `limit` records, or with the record that makes it reach [`limits::PAGE_BYTES_MAX`].
    async fn list(&self, prefix: &str, after: Option<&Key>, at: Option<Revision>, limit: usize) -> Result<Page, Error>;

    /// Counts the records whose key starts with `prefix` and is greater than `after`, as of `at`, up to `limit`.
    async fn count(&self, prefix: &str, after: Option<&Key>, at: Revision, limit: usize) -> Result<usize, Error>;

    /// Returns a page of the entries with a revision greater than `after`, in order. A page ends after `limit` entries,
    /// or with the entry that makes it reach [`limits::PAGE_BYTES_MAX`]; [`page::is_full`] reports that there may be
    /// more. Fails with [`Error::Compacted`] if entries after `after` were compacted. Beyond the head the page is
    /// empty; [`Error::FutureRevision`] is not returned.
    async fn tail(&self, after: Revision, limit: usize) -> Result<Vec<Entry>, Error>;

    /// Returns the spans of `space` that overlap `first..=last`, in order, up to `limit`.
    async fn overlapping_spans(&self, space: &str, first: u128, last: u128, limit: usize) -> Result<Vec<Span>, Error>;

    /// Compacts the history up to `revision`, at most up to the head: removes replaced versions and deletions. Does
    /// nothing if the history is already compacted that far. Current versions are kept.
    async fn compact(&self, revision: Revision) -> Result<(), Error>;

    /// Returns a snapshot of the current state, which stays readable while others write.
    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, Error>;

    /// Starts a bulk load of an empty log from a [`Snapshot`] of another store. Fails with [`Error::Unavailable`] if
    /// the log is not empty.
    async fn bulk_load(&self) -> Result<Box<dyn BulkLoad>, Error>;

    /// Advances the head by `by` revisions and discards all history. Run this after restoring a backup, so that
    /// revisions which clients may have seen before the loss are never reused. Returns the new head.
    async fn advance_revision(&self, by: u64) -> Result<Revision, Error>;
}

/// The state of a store at one revision.
#[async_trait]
pub trait Snapshot: Send {
    /// Returns the revision of the snapshot, which is the end of a commit.
    fn revision(&self) -> Revision;

    /// Returns a page of the records whose key starts with `prefix` and is greater than `after`, in key order. Pages
    /// end as those of [`Store::list`].
    async fn list(&mut self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<Page, Error>;

    /// Returns up to `limit` spans after `after`, ordered by (space, first).
    async fn spans(&mut self, after: Option<(&str, u128)>, limit: usize) -> Result<Vec<Span>, Error>;
}

/// A bulk load in progress. Dropping it before [`BulkLoad::finish`] leaves the log empty.
#[async_trait]
pub trait BulkLoad: Send {
    /// Adds current versions with their revisions, in any order. Keys and revisions must be unique.
    async fn records(&mut self, records: Vec<Record>) -> Result<(), Error>;

    /// Adds spans. Overlaps are rejected as in a commit.
    async fn spans(&mut self, spans: Vec<Span>) -> Result<(), Error>;

    /// Commits the load durably. The log then ends at `head`, which must not be less than any loaded revision, and has
    /// no earlier history.
    async fn finish(self: Box<Self>, head: Revision) -> Result<(), Error>;
}

/// A transaction that holds the head lock. Dropping it without a commit changes nothing.
///
/// Concurrent calls may share one round trip and complete in any order; nothing changes until the commit.
#[async_trait]
pub trait Transaction: Send + Sync {
    /// Returns the revision after which this transaction writes.
    fn head(&self) -> Revision;

    /// Returns the current versions of `keys`, in the order of `keys`.
    async fn read(&self, keys: &[Key]) -> Result<Vec<Option<Record>>, Error>;

    /// Like [`Store::tail`], under the head lock.
    async fn tail(&self, after: Revision, limit: usize) -> Result<Vec<Entry>, Error>;

    /// Writes all writes durably, or none. The n-th write (from 0) gets revision `head + 1 + n`. A commit may write a
    /// key several times; `expected` then refers to the previous write. Spans follow the same order: a span that a
    /// write releases may be taken by the same or a later write.
    async fn commit(self: Box<Self>, writes: Vec<Write>) -> Result<(), Error>;
}

impl Key {
    /// Creates a key.
    ///
    /// # Errors
    /// Returns the text if it is empty, longer than [`limits::KEY_BYTES_MAX`] bytes or contains a NUL.
    pub fn new(text: impl Into<String>) -> Result<Self, String> {
        let text = text.into();
        if text.is_empty() || text.len() > limits::KEY_BYTES_MAX || text.contains('\0') {
            return Err(text);
        }
        Ok(Self(text))
    }

    /// Returns the text of the key.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..={} in {} (holder {})", self.first, self.last, self.space, self.holder)
    }
}

impl Revision {
    /// Returns the next revision.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}
