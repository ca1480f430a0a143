//! Every limit of this store, with its unit.
//!
//! What the database limits by itself (a lock, a statement) is limited here as well, [`ANSWER_MARGIN`] later: a database that
//! hangs keeps no promise of its own.

use std::time::Duration;

/// How long a connection may take to be made to one host, or to become free.
///
/// Unit: time. Flag: `connect_timeout` of the connection string. Test: `crates/store-postgres/tests/it/hangs.rs::next_host_is_tried_when_one_does_not_answer`.
pub const CONNECT_MAX: Duration = Duration::from_secs(5);

/// How long what was sent may stay unacknowledged before the system gives the connection up.
///
/// Unit: time. Flag: `tcp_user_timeout` of the connection string. Test: `crates/store-postgres/src/dsn/tests.rs::dead_peers_are_noticed_unless_the_string_says_otherwise`.
pub const TCP_UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(10);

/// How long a connection is silent before the system asks whether the other end is there.
///
/// Unit: time. Flag: `keepalives_idle` of the connection string. Test: `crates/store-postgres/src/dsn/tests.rs::dead_peers_are_noticed_unless_the_string_says_otherwise`.
pub const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);

/// The time between two such questions.
///
/// Unit: time. Flag: `keepalives_interval` of the connection string. Test: `crates/store-postgres/src/dsn/tests.rs::dead_peers_are_noticed_unless_the_string_says_otherwise`.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);

/// Such questions without an answer before the connection is given up.
///
/// Unit: questions. Flag: `keepalives_count` of the connection string. Test: `crates/store-postgres/src/dsn/tests.rs::dead_peers_are_noticed_unless_the_string_says_otherwise`.
pub const KEEPALIVE_RETRIES: u32 = 3;

/// How long the database waits for a lock: the head, or the turn of a compaction or a migration.
///
/// Unit: time. Test: `crates/store-postgres/tests/it/hangs.rs::head_that_another_holds_is_not_waited_for_without_end`.
pub const LOCK_MAX: Duration = Duration::from_secs(5);

/// How long the database works on one statement of a commit.
///
/// Unit: time. Test: `crates/store-postgres/tests/it/hangs.rs::every_transaction_limits_its_statements`.
pub const STATEMENT_MAX: Duration = Duration::from_secs(5);

/// How long the head may be held without a word before the database takes it away: the holder may be frozen, or cut off.
///
/// Unit: time. Test: `crates/ipamd/tests/replicas/three/outages.rs::a_frozen_replica_holds_nobody_up`.
pub const SILENCE_MAX: Duration = Duration::from_secs(3);

/// How long the database works on a read that may be long: a page of a list, a count, a page of a snapshot.
///
/// Unit: time. Test: `crates/store-postgres/tests/it/reading.rs::a_long_read_has_a_limit_at_the_database`.
pub const LONG_READ_MAX: Duration = Duration::from_secs(10);

/// How long the database works on one statement of a compaction or of filling a log.
///
/// Unit: time. Test: `crates/store-postgres/tests/it/hangs.rs::every_transaction_limits_its_statements`.
pub const BULK_STATEMENT_MAX: Duration = Duration::from_secs(30);

/// How long the database works on one statement of a migration.
///
/// Unit: time. Test: `crates/store-postgres/tests/it/hangs.rs::every_transaction_limits_its_statements`.
pub const MIGRATION_STATEMENT_MAX: Duration = Duration::from_mins(10);

/// How much longer than the database may work its answer may take to be here.
///
/// Unit: time. Test: `crates/store-postgres/tests/it/hangs.rs::every_call_ends_when_the_database_hangs`.
pub const ANSWER_MARGIN: Duration = Duration::from_secs(3);

/// How long the end of a transaction may take. After that its connection is closed, which ends it too.
///
/// Unit: time. Test: `crates/store-postgres/tests/it/hangs.rs::every_call_ends_when_the_database_hangs`.
pub const ROLLBACK_MAX: Duration = Duration::from_secs(3);

/// How long the outcome of a commit is looked for when its answer was lost.
///
/// Unit: time. Test: `crates/store-postgres/tests/it/hangs.rs::commit_whose_outcome_cannot_be_found_is_unknown`.
pub const SEARCH_MAX: Duration = Duration::from_secs(20);

/// The time between two looks for it.
///
/// Unit: time. Test: `crates/store-postgres/tests/it/lost_answers.rs::a_commit_whose_answer_is_lost_is_found`.
pub const SEARCH_INTERVAL: Duration = Duration::from_millis(200);

/// How often a commit is tried again that the database chose to give way.
///
/// Unit: tries. Test: `crates/store-postgres/tests/it/lost_answers.rs::commit_that_gives_way_is_tried_again`.
pub const COMMIT_TRIES_MAX: usize = 5;

/// Revisions that one transaction of a compaction covers: a few milliseconds of the database's time.
///
/// Unit: revisions. Test: `crates/store-postgres/tests/it/foreign.rs::compaction_leaves_nothing_that_every_commit_reads`.
pub const COMPACTION_CHUNK_REVISIONS: u64 = 1024;

/// The time after which a store that heard no hint lets its caller look all the same.
///
/// Unit: time. Test: `crates/store-postgres/tests/it/hints.rs::a_hint_is_told_once`.
pub const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// The first wait before the listening connection is made again, each next one twice as long.
///
/// Unit: time. Test: `crates/store-postgres/tests/it/hints.rs::listening_goes_on_after_the_connection_hung`.
pub const LISTEN_RETRY_MIN: Duration = Duration::from_millis(100);

/// The longest such wait.
///
/// Unit: time. Test: `crates/store-postgres/tests/it/hints.rs::listening_goes_on_after_the_connection_hung`.
pub const LISTEN_RETRY_MAX: Duration = Duration::from_secs(10);

/// How often the listening connection is asked whether it is still there.
///
/// Unit: time. Test: `crates/store-postgres/tests/it/hints.rs::listening_goes_on_after_the_connection_hung`.
pub const LISTEN_CHECK_INTERVAL: Duration = Duration::from_secs(10);
