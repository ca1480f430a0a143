//! The ordered log: what the rest of the server asks of a database.
//!
//! Every write gets a [`Revision`], its position in one totally ordered log without gaps. A *commit* is a batch of
//! writes that becomes visible at once; only the last revision of a commit is ever a snapshot that a reader can hold.
//! The store keeps opaque bytes under opaque keys. It does not know Kubernetes, kinds or addresses; it does know
//! [`Span`]s, exclusive ranges of numbers, because it is the second guard against handing one out twice.
//!
//! This file is the contract; [`contract`] is the suite that every store passes, [`memory`] the obvious model that
//! the real stores are compared with.

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

/// The name of an object in the store: UTF-8 text, ordered by its bytes, at most [`limits::KEY_BYTES_MAX`] bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(String);

/// One version of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Whose version it is.
    pub key: Key,
    /// The write that made it.
    pub revision: Revision,
    /// The object's bytes, as they were written.
    pub value: Bytes,
}

/// One write, as a reader of the log sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its position.
    pub revision: Revision,
    /// What it wrote.
    pub key: Key,
    /// The new value; `None` is a deletion.
    pub value: Option<Bytes>,
    /// The version that it replaced; `None` is a creation.
    pub previous: Option<Record>,
}

/// A range of numbers, both ends included, that one holder has to itself inside a named space.
///
/// The store refuses a commit after which two spans of one space would overlap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The space in which it is exclusive.
    pub space: String,
    /// The first number.
    pub first: u128,
    /// The last number; never below `first`.
    pub last: u128,
    /// The object that holds it.
    pub holder: Key,
}

/// One write of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// What to write.
    pub key: Key,
    /// The new value; `None` deletes.
    pub value: Option<Bytes>,
    /// The revision that the key must have now; `None`: the key must not exist.
    pub expected: Option<Revision>,
    /// Spans that end with this write. They are released before `takes`, and each must exist exactly so.
    pub releases: Vec<Span>,
    /// Spans that begin with it.
    pub takes: Vec<Span>,
}

/// Where the log stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The last committed revision.
    pub revision: Revision,
    /// History up to and including this revision is gone: the tail can be read from here on,
    /// and a snapshot taken at this revision or later.
    pub compacted: Revision,
}

/// A page of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The snapshot: the end of a commit.
    pub revision: Revision,
    /// Records in order of key.
    pub records: Vec<Record>,
    /// Whether the snapshot has further records of the prefix behind the last of these.
    pub more: bool,
}

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The history that the call needs has been compacted away.
    #[error("revision {requested} is too old: history is kept after {compacted}")]
    Compacted {
        /// What was asked for.
        requested: Revision,
        /// Where history begins now.
        compacted: Revision,
    },
    /// The revision lies after the head.
    #[error("revision {requested} is in the future: the log ends at {head}")]
    Future {
        /// What was asked for.
        requested: Revision,
        /// Where the log ends.
        head: Revision,
    },
    /// A write's `expected` does not hold. Nothing of the commit was written.
    #[error("{key}: expected revision {expected:?}, found {found:?}")]
    Precondition {
        /// Whose.
        key: Key,
        /// What the write expected.
        expected: Option<Revision>,
        /// What is there.
        found: Option<Revision>,
    },
    /// The commit would let two spans overlap, or releases one that is not held. Nothing of it was written.
    #[error("the store's guard refused the commit: {0}")]
    Guard(String),
    /// The database failed and nothing was written: the call may be repeated.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// The database's disk is full and nothing was written: the call may be repeated once there is space again.
    #[error("the store's disk is full: {0}")]
    Full(String),
    /// The database failed in a commit and whether it was written is not known.
    #[error("the outcome of the commit is unknown: {0}")]
    Unknown(String),
    /// What the store holds contradicts itself. Repeating the call will not help. Of a commit it is not known whether it was written.
    #[error("the store is damaged: {0}")]
    Corrupt(String),
    /// The log is not the one that this store has read so far: it lost commits, was filled, or its revisions were moved. What was made of
    /// it must not be used any more, and a store that is opened now reads the log as it is. Of a commit it is not known whether it
    /// was written.
    #[error("the log is not the one that was read before: {0}")]
    Diverged(String),
}

impl Error {
    /// Whether a commit that failed so has certainly written nothing.
    pub fn nothing_was_written(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Full(_) | Self::Guard(_) | Self::Precondition { .. })
    }
}

/// The ordered log of one database.
///
/// Reads go on beside a transaction and beside each other, and see whole commits only.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Takes the head: nobody else commits, here or elsewhere, until the transaction is committed or dropped.
    async fn begin(&self) -> Result<Box<dyn Transaction>, Error>;

    /// Whether other processes may write to the same log.
    fn is_shared(&self) -> bool {
        false
    }

    /// Waits until somebody else may have written behind `known`. It is a hint: it may come early, late (by a bounded time) or
    /// for nothing. Of a log that is not shared it never comes.
    async fn changed(&self, known: Revision) {
        let _ = known;
        std::future::pending::<()>().await;
    }

    /// Waits until the store cannot go on in this process, and returns the reason: the process should end then, and the next
    /// one recovers the store. Every call is safe meanwhile; none commits.
    async fn failed(&self) -> String {
        std::future::pending().await
    }

    /// Where the log stands, as of now: after a commit was acknowledged anywhere, this shows it.
    async fn head(&self) -> Result<Head, Error>;

    /// The current version under `key`.
    async fn get(&self, key: &Key) -> Result<Option<Record>, Error>;

    /// The current versions under `keys`, in their order, all of one snapshot.
    ///
    /// This is what decisions are made from: it does not wait for the other reads.
    async fn read(&self, keys: &[Key]) -> Result<Vec<Option<Record>>, Error>;

    /// A page of the records whose key starts with `prefix` and lies behind `after`, in order of key, as they were
    /// at revision `at` (`None`: now). If `at` lies inside a commit, the snapshot is the end of that commit. The page ends with the
    /// record that is its `limit`th, or that brings it to [`limits::PAGE_BYTES_MAX`].
    async fn list(&self, prefix: &str, after: Option<&Key>, at: Option<Revision>, limit: usize) -> Result<Page, Error>;

    /// How many records start with `prefix` and lie behind `after` at snapshot `at`, counted up to `limit`.
    async fn count(&self, prefix: &str, after: Option<&Key>, at: Revision, limit: usize) -> Result<usize, Error>;

    /// A page of the entries with a revision above `after`, in order. It ends with the entry that is its `limit`th, or that brings
    /// it to [`limits::PAGE_BYTES_MAX`]; [`page::is_full`] tells whether it did, so that there may be more.
    /// [`Error::Compacted`] if entries behind `after` are gone; [`Error::Future`] never: beyond the head it is empty.
    async fn tail(&self, after: Revision, limit: usize) -> Result<Vec<Entry>, Error>;

    /// The spans of `space` that overlap `first..=last`, in order, up to `limit`.
    async fn holders(&self, space: &str, first: u128, last: u128, limit: usize) -> Result<Vec<Span>, Error>;

    /// Drops replaced versions and deletions up to `revision` (bounded by the head; going backwards does nothing).
    /// Current versions stay whatever their age.
    async fn compact(&self, revision: Revision) -> Result<(), Error>;

    /// Everything as it is now, to be read to its end while others write.
    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, Error>;

    /// Begins to fill an empty log with what a [`Snapshot`] of another one read; [`Error::Unavailable`] if it is not empty.
    async fn load(&self) -> Result<Box<dyn Load>, Error>;

    /// Lets the log go on `by` revisions behind its head, and forgets its history: after a backup was brought back, clients may
    /// have seen revisions that it does not know, and must not take new ones for those. Answers with the new head.
    async fn jump(&self, by: u64) -> Result<Revision, Error>;
}

/// A store as it was at one moment.
#[async_trait]
pub trait Snapshot: Send {
    /// The moment: the end of a commit.
    fn revision(&self) -> Revision;

    /// A page of the records whose key starts with `prefix` and lies behind `after`, in order of key; it ends as one of
    /// [`Store::list`].
    async fn list(&mut self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<Page, Error>;

    /// Up to `limit` spans behind `after` in order of (space, first).
    async fn spans(&mut self, after: Option<(&str, u128)>, limit: usize) -> Result<Vec<Span>, Error>;
}

/// A log that is being filled. Dropping it before [`Load::finish`] leaves the log empty.
#[async_trait]
pub trait Load: Send {
    /// Current versions, under the revisions that they had; no key and no revision twice, in any order.
    async fn records(&mut self, records: Vec<Record>) -> Result<(), Error>;

    /// Spans, which the store's guard sees.
    async fn spans(&mut self, spans: Vec<Span>) -> Result<(), Error>;

    /// Makes it all durable. The log goes on behind `head`, which is not below any loaded revision, and its history begins there.
    async fn finish(self: Box<Self>, head: Revision) -> Result<(), Error>;
}

/// The head, held. Dropping it without a commit changes nothing.
///
/// What is asked at once may be answered in one round trip, in any order: until the commit nothing changes.
#[async_trait]
pub trait Transaction: Send + Sync {
    /// The revision that the next write follows.
    fn head(&self) -> Revision;

    /// The current versions under `keys`, in their order.
    async fn read(&self, keys: &[Key]) -> Result<Vec<Option<Record>>, Error>;

    /// Like [`Store::tail`], under the head's lock.
    async fn tail(&self, after: Revision, limit: usize) -> Result<Vec<Entry>, Error>;

    /// Writes everything or nothing, durably. The n-th write (from 0) gets revision `head + 1 + n`.
    /// One commit may write a key several times; `expected` then refers to the write before.
    /// Spans follow the same order: what one write releases, that write and the later ones may take.
    async fn commit(self: Box<Self>, writes: Vec<Write>) -> Result<(), Error>;
}

impl Key {
    /// A key from its text.
    ///
    /// # Errors
    /// The text, if it is empty, longer than [`limits::KEY_BYTES_MAX`] bytes or holds a NUL.
    pub fn new(text: impl Into<String>) -> Result<Self, String> {
        let text = text.into();
        if text.is_empty() || text.len() > limits::KEY_BYTES_MAX || text.contains('\0') {
            return Err(text);
        }
        Ok(Self(text))
    }

    /// Its text.
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
    /// The revision behind this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}
