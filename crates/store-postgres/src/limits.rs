//! The limits of this store, with their units.
//!
//! Limits that the database enforces (locks, statements) are also enforced in the client, [`ANSWER_MARGIN`] later,
//! because a database that hangs does not enforce them.

use std::time::Duration;

/// The maximum time for connecting to one host, and for waiting for a free connection.
///
/// Unit: time. Flag: `connect_timeout` of the connection string. Test: `crates/store-postgres/tests/it/hangs.rs::next_host_is_tried_when_one_hangs`.
pub const CONNECT_MAX: Duration = Duration::from_secs(5);

/// The maximum time that sent data may stay unacknowledged before the kernel closes the connection.
///
/// Unit: time. Flag: `tcp_user_timeout` of the connection string. Test: `crates/store-postgres/src/dsn/tests.rs::timeout_and_keepalive_defaults_can_be_overridden`.
pub const TCP_UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(10);

/// The idle time of a connection after which the kernel sends TCP keepalive probes.
///
/// Unit: time. Flag: `keepalives_idle` of the connection string. Test: `crates/store-postgres/src/dsn/tests.rs::timeout_and_keepalive_defaults_can_be_overridden`.
pub const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);

/// The time between two TCP keepalive probes.
///
/// Unit: time. Flag: `keepalives_interval` of the connection string. Test: `crates/store-postgres/src/dsn/tests.rs::timeout_and_keepalive_defaults_can_be_overridden`.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);

/// The number of unanswered TCP keepalive probes after which the connection is closed.
///
/// Unit: probes. Flag: `keepalives_count` of the connection string. Test: `crates/store-postgres/src/dsn/tests.rs::timeout_and_keepalive_defaults_can_be_overridden`.
pub const KEEPALIVE_RETRIES: u32 = 3;

/// The maximum time that the database waits for a lock: the head lock, or the lock of a compaction or migration.
///
/// Unit: time. Test: `crates/store-postgres/tests/it/hangs.rs::wait_for_the_head_lock_times_out`.
pub const LOCK_MAX: Duration = Duration::from_secs(5);

/// The maximum time of one statement of a commit in the database.
///
/// Unit: time. Test: `crates/store-postgres/tests/it/hangs.rs::every_transaction_sets_statement_timeouts`.
pub const STATEMENT_MAX: Duration = Duration::from_secs(5);

/// The maximum time that a transaction may hold the head lock without sending a statement; then the database ends it.
/// The holder may be frozen or disconnected.
///
/// Unit: time. Test: `crates/ipamd/tests/replicas/three/outages.rs::frozen_replica_does_not_block_others`.
pub const IDLE_IN_TRANSACTION_TIMEOUT: Duration = Duration::from_secs(3);

/// The maximum time of a long read in the database: a page of a list, a count, a page of a snapshot.
///
/// Unit: time. Test: `crates/store-postgres/tests/it/read_timeouts.rs::long_read_has_statement_timeout_directly`.
pub const LONG_READ_MAX: Duration = Duration::from_secs(10);

/// The maximum time of one statement of a compaction or a bulk load in the database.
///
/// Unit: time. Test: `crates/store-postgres/tests/it/hangs.rs::every_transaction_sets_statement_timeouts`.
pub const BULK_STATEMENT_MAX: Duration = Duration::from_secs(30);

/// The maximum time of one statement of a migration in the database.
///
/// Unit: time. Test: `crates/store-postgres/tests/it/hangs.rs::every_transaction_sets_statement_timeouts`.
pub const MIGRATION_STATEMENT_MAX: Duration = Duration::from_mins(10);

/// The time that the client waits for an answer beyond the database's own limit.
///
/// Unit: time. Test: `crates/store-postgres/tests/it/hangs.rs::every_call_times_out_when_the_database_hangs`.
pub const ANSWER_MARGIN: Duration = Duration::from_secs(3);

/// The maximum time for a rollback. After that the connection is closed, which ends the transaction as well.
///
/// Unit: time. Test: `crates/store-postgres/tests/it/hangs.rs::every_call_times_out_when_the_database_hangs`.
pub const ROLLBACK_MAX: Duration = Duration::from_secs(3);

/// The maximum time for resolving the outcome of a commit whose answer was lost.
///
/// Unit: time. Test: `crates/store-postgres/tests/it/hangs.rs::commit_with_unresolvable_outcome_is_unknown`.
pub const RESOLVE_TIMEOUT: Duration = Duration::from_secs(20);

/// The time between two attempts to resolve the outcome.
///
/// Unit: time. Test: `crates/store-postgres/tests/it/lost_answers.rs::lost_answer_of_a_commit_is_resolved`.
pub const RESOLVE_INTERVAL: Duration = Duration::from_millis(200);

/// The maximum number of attempts of a commit that the database aborts with a deadlock or a serialization failure.
///
/// Unit: tries. Test: `crates/store-postgres/tests/it/lost_answers.rs::serialization_failure_is_retried_up_to_the_limit`.
pub const COMMIT_TRIES_MAX: usize = 5;

/// The number of revisions per compaction transaction: a few milliseconds of the database's time.
///
/// Unit: revisions. Test: `crates/store-postgres/tests/it/foreign.rs::compaction_does_not_increase_pages_read_per_commit`.
pub const COMPACTION_CHUNK_REVISIONS: u64 = 1024;

/// The polling interval of callers that receive no notification.
///
/// Unit: time. Test: `crates/store-postgres/tests/it/notifications.rs::notification_is_delivered_once`.
pub const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// The first delay before the listener reconnects. Each further delay is twice as long.
///
/// Unit: time. Test: `crates/store-postgres/tests/it/notifications.rs::listener_reconnects_after_a_hanging_connection`.
pub const LISTEN_RETRY_MIN: Duration = Duration::from_millis(100);

/// The maximum delay before the listener reconnects.
///
/// Unit: time. Test: `crates/store-postgres/tests/it/notifications.rs::listener_reconnects_after_a_hanging_connection`.
pub const LISTEN_RETRY_MAX: Duration = Duration::from_secs(10);

/// The interval at which the listener checks its connection.
///
/// Unit: time. Test: `crates/store-postgres/tests/it/notifications.rs::listener_reconnects_after_a_hanging_connection`.
pub const LISTEN_CHECK_INTERVAL: Duration = Duration::from_secs(10);
