//! The limits of this store, with their units.
//!
//! Limits that the database enforces (locks, statements) are also enforced in the client, [`ANSWER_MARGIN`] later,
//! because a database that hangs does not enforce them.

use std::time::Duration;

/// The maximum time for connecting to one host, and for waiting for a free connection.
///
/// Unit: time. Flag: `connect_timeout` of the connection string. Test: `crates/store-postgres/tests/it/hangs.rs::next_host_is_tried_when_one_does_not_answer`.
pub const CONNECT_MAX: Duration = Duration::from_secs(5);

/// The maximum time that sent data may stay unacknowledged before the kernel closes the connection.
///
/// Unit: time. Flag: `tcp_user_timeout` of the connection string. Test: `crates/store-postgres/src/dsn/tests.rs::dead_peers_are_noticed_unless_the_string_says_otherwise`.
pub const TCP_UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(10);

/// The idle time of a connection after which the kernel sends TCP keepalive probes.
///
/// Unit: time. Flag: `keepalives_idle` of the connection string. Test: `crates/store-postgres/src/dsn/tests.rs::dead_peers_are_noticed_unless_the_string_says_otherwise`.
pub const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);

/// The time between two TCP keepalive probes.
///
/// Unit: time. Flag: `keepalives_interval` of the connection string. Test: `crates/store-postgres/src/dsn/tests.rs::dead_peers_are_noticed_unless_the_string_says_otherwise`.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);

/// The number of unanswered TCP keepalive probes after which the connection is closed.
///
/// Unit: probes. Flag: `keepalives_count` of the connection string. Test: `crates/store-postgres/src/dsn/tests.rs::dead_peers_are_noticed_unless_the_string_says_otherwise`.
pub const KEEPALIVE_RETRIES: u32 = 3;

/// The maximum time that the database waits for a lock: the head lock, or the lock of a compaction or migration.
///
/// Unit: time. Test: `crates/store-postgres/tests/it/hangs.rs::head_that_another_holds_is_not_waited_for_without_end`.
pub const LOCK_MAX: Duration = Duration::from_secs(5);

/// The maximum time of one statement of a commit in the database.
///
/// Unit: time. Test: `crates/store-postgres/tests/it/hangs.rs::every_transaction_limits_its_statements`.
pub const STATEMENT_MAX: Duration = Duration::from_secs(5);

/// The maximum time that a transaction may hold the head lock without sending a statement; then the database ends it.
/// The holder may be frozen or disconnected.
///
/// Unit: time. Test: `crates/ipamd/tests/replicas/three/outages.rs::a_frozen_replica_holds_nobody_up`.
pub const IDLE_IN_TRANSACTION_TIMEOUT: Duration = Duration::from_secs(3);

/// The maximum time of a long read in the database: a page of a list, a count, a page of a snapshot.
///
/// Unit: time. Test: `crates/store-postgres/tests/it/read_timeouts.rs::a_long_read_has_a_limit_at_the_database`.
pub const LONG_READ_MAX: Duration = Duration::from_secs(10);

/// The maximum time of one statement of a compaction or a bulk load in the database.
///
/// Unit: time. Test: `crates/store-postgres/tests/it/hangs.rs::every_transaction_limits_its_statements`.
pub const BULK_STATEMENT_MAX: Duration = Duration::from_secs(30);

/// The maximum time of one statement of a migration in the database.
///
/// Unit: time. Test: `crates/store-postgres/tests/it/hangs.rs::every_transaction_limits_its_statements`.
pub const MIGRATION_STATEMENT_MAX: Duration = Duration::from_mins(10);

/// The time that the client waits for an answer beyond the database's own limit.
///
/// Unit: time. Test: `crates/store-postgres/tests/it/hangs.rs::every_call_ends_when_the_database_hangs`.
pub const ANSWER_MARGIN: Duration = Duration::from_secs(3);

/// The maximum time for a rollback. After that the connection is closed, which ends the transaction as well.
///
/// Unit: time. Test: `crates/store-postgres/tests/it/hangs.rs::every_call_ends_when_the_database_hangs`.
pub const ROLLBACK_MAX: Duration = Duration::from_secs(3);

/// The maximum time for resolving the outcome of a commit whose answer was lost.
///
/// Unit: time. Test: `crates/store-postgres/tests/it/hangs.rs::commit_whose_outcome_cannot_be_found_is_unknown`.
pub const RESOLVE_TIMEOUT: Duration = Duration::from_secs(20);

/// The time between two attempts to resolve the outcome.
///
/// Unit: time. Test: `crates/store-postgres/tests/it/lost_answers.rs::a_commit_whose_answer_is_lost_is_found`.
pub const RESOLVE_INTERVAL: Duration = Duration::from_millis(200);

/// The maximum number of attempts of a commit that the database aborts with a deadlock or a serialization failure.
///
/// Unit: tries. Test: `crates/store-postgres/tests/it/lost_answers.rs::commit_that_gives_way_is_tried_again`.
pub const COMMIT_TRIES_MAX: usize = 5;

/// The number of revisions per compaction transaction: a few milliseconds of the database's time.
///
/// Unit: revisions. Test: `crates/store-postgres/tests/it/foreign.rs::compaction_leaves_nothing_that_every_commit_reads`.
pub const COMPACTION_CHUNK_REVISIONS: u64 = 1024;

/// The polling interval of callers that receive no notification.
///
/// Unit: time. Test: `crates/store-postgres/tests/it/notifications.rs::a_hint_is_told_once`.
pub const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// The first delay before the listener reconnects. Each further delay is twice as long.
///
/// Unit: time. Test: `crates/store-postgres/tests/it/notifications.rs::listening_goes_on_after_the_connection_hung`.
pub const LISTEN_RETRY_MIN: Duration = Duration::from_millis(100);

/// The maximum delay before the listener reconnects.
///
/// Unit: time. Test: `crates/store-postgres/tests/it/notifications.rs::listening_goes_on_after_the_connection_hung`.
pub const LISTEN_RETRY_MAX: Duration = Duration::from_secs(10);

/// The interval at which the listener checks its connection.
///
/// Unit: time. Test: `crates/store-postgres/tests/it/notifications.rs::listening_goes_on_after_the_connection_hung`.
pub const LISTEN_CHECK_INTERVAL: Duration = Duration::from_secs(10);
