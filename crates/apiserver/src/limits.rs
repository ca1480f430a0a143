//! Every limit of the server, with its unit. What an operator may want to change is a flag of the binary.

use std::time::Duration;

/// The longest request body: 3 MiB, as kube-apiserver's.
pub const BODY_BYTES_MAX: usize = 3 * 1024 * 1024;
/// Answers longer than this, in bytes, are compressed for clients that take gzip: upstream's value.
pub const COMPRESSED_BYTES_MIN: u64 = 128 * 1024;
/// The longest request head.
pub const HEADER_BYTES_MAX: u32 = 1024 * 1024;
/// Commands that wait for the committer; one more is answered with 429.
pub const QUEUE_COMMANDS_MAX: usize = 8_192;
/// Commands of one commit.
pub const BATCH_COMMANDS_MAX: usize = 1_024;
/// Commands that are decided in one go, before the committer looks whether the store is free for the next commit.
pub const DECIDED_COMMANDS_MAX: usize = 32;
/// Entries of the log that are read at once to catch up with other replicas, also while the head is held.
pub const NEWS_ENTRIES_MAX: usize = 8_192;
/// Writing requests under way at once; one more is answered with 429.
pub const MUTATING_REQUESTS_MAX: usize = 4_096;
/// Reading requests under way at once, watches not counted; one more is answered with 429.
pub const READ_REQUESTS_MAX: usize = 4_096;
/// Open watches; one more is answered with 429.
pub const WATCHES_MAX: usize = 16_384;
/// Events that are kept in memory for watches; older ones are read from the store.
pub const RECENT_EVENTS_MAX: usize = 8_192;
/// Events that a watch takes from memory or from the store at once.
pub const TAIL_EVENTS_MAX: usize = 128;
/// Watches that read from the store what is no longer in memory, at the same time: decisions read from it too.
pub const TAILS_AT_ONCE: usize = 1;
/// Such reads that are kept for other watches; together as many events as are in memory anyway.
pub const TAILS_KEPT: usize = RECENT_EVENTS_MAX / TAIL_EVENTS_MAX;
/// Watches that are told something at the same time, before everything else has its turn again.
pub const TURNS_AT_ONCE: usize = 4;
/// Objects that a list or a watch takes from the store at once.
pub const PAGE_RECORDS_MAX: usize = 1_000;
/// Spans that a restart takes from the store at once.
pub const RESTORED_SPANS_MAX: usize = 10_000;
/// Objects behind a page up to which a list counts what remains.
pub const REMAINING_COUNTED_MAX: usize = 10_000;
/// History that is kept for watches and for the pages of a list, in time.
pub const HISTORY_AGE_MIN: Duration = Duration::from_mins(10);
/// Time between two compactions of the history.
pub const COMPACTION_INTERVAL: Duration = Duration::from_mins(1);
/// Time until a request is answered; a watch goes on behind its answer.
pub const REQUEST_TIMEOUT: Duration = Duration::from_mins(1);
/// Time until the write of one object is answered: `requestTimeoutUpperBound` of Kubernetes
/// (`staging/src/k8s.io/apiserver/pkg/endpoints/handlers/rest.go`).
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(34);
/// Time that a TLS handshake may take.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Time that the head of a request may take, and the first one of a connection to come.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(32);
/// How long a read waits for a revision that lies in the future.
pub const FUTURE_REVISION_WAIT: Duration = Duration::from_secs(3);
/// Time between two bookmarks of a watch.
pub const BOOKMARK_INTERVAL: Duration = Duration::from_mins(1);
/// How long before its end a watch sends its last bookmark.
pub const BOOKMARK_BEFORE_END: Duration = Duration::from_secs(2);
/// The shortest life of a watch that names no timeout; the longest is twice that.
pub const WATCH_TIMEOUT_MIN: Duration = Duration::from_mins(30);
/// The longest life of a watch, whatever it asks for.
pub const WATCH_TIMEOUT_MAX: Duration = Duration::from_hours(24);
/// Streams of one HTTP/2 connection: upstream's value for aggregated servers.
pub const HTTP2_STREAMS_MAX: u32 = 1_000;
/// How often a generated name that is taken is drawn anew.
pub const GENERATED_NAME_TRIES: usize = 8;

/// Deletions and changes of the garbage collector, and of a namespace's deletion, that are under way at once.
pub const BACKGROUND_WRITES_MAX: usize = 64;
/// How long background work leaves the log alone before it reads on.
pub const BACKGROUND_NAP: Duration = Duration::from_millis(10);
/// How long background work waits after a failure; each time twice as long.
pub const BACKGROUND_RETRY_MIN: Duration = Duration::from_millis(100);
/// The longest that it waits.
pub const BACKGROUND_RETRY_MAX: Duration = Duration::from_mins(1);

/// The limits that an operator sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Reading requests under way at once; see [`READ_REQUESTS_MAX`].
    pub read_requests: usize,
    /// Writing requests under way at once; see [`MUTATING_REQUESTS_MAX`].
    pub mutating_requests: usize,
    /// The longest request body, in bytes; see [`BODY_BYTES_MAX`].
    pub body_bytes: usize,
    /// Open watches; see [`WATCHES_MAX`].
    pub watches: usize,
    /// Events that are kept in memory; see [`RECENT_EVENTS_MAX`].
    pub recent_events: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            read_requests: READ_REQUESTS_MAX,
            mutating_requests: MUTATING_REQUESTS_MAX,
            body_bytes: BODY_BYTES_MAX,
            watches: WATCHES_MAX,
            recent_events: RECENT_EVENTS_MAX,
        }
    }
}
