//! The limits of the store.

/// How much longer the write-ahead log may become while a backup is copied. The copy keeps the log from starting anew; beyond
/// this, or half of what is free on the data file's disk, the backup is given up.
///
/// Unit: bytes. Test: `crates/store-sqlite/src/backup.rs::a_backup_is_given_up_when_the_log_grows_too_long`.
pub const BACKUP_LOG_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;

/// The reads of users that go on at a time; further ones wait.
///
/// Unit: connections. Test: `crates/store-sqlite/src/tests/failing.rs::decisions_do_not_wait_for_reads_of_users`.
pub const READERS_MAX: usize = 8;

/// The reads that decisions are made from, at a time: there is one committer.
///
/// Unit: connections. Test: `crates/store-sqlite/src/tests/failing.rs::decisions_do_not_wait_for_reads_of_users`.
pub const DECISION_READERS_MAX: usize = 1;

/// Each reader's page cache. `SQLite` empties it after every commit of the writer, so a large one would not pay.
///
/// Unit: KiB. Test: `crates/store-sqlite/src/tests/failing.rs::caches_are_bounded`.
pub const READER_CACHE_KIB: u32 = 4 * 1024;

/// The newest versions that are indexed in memory alone until they are folded into the data file: about 30 MiB.
///
/// Unit: versions. Test: `crates/store-sqlite/src/recent.rs::layer_is_full_by_the_size_of_the_file`.
pub const LAYER_VERSIONS_MAX: u32 = 256 * 1024;

/// The length of the write-ahead log from which on a thread moves it into the data file while commits go on.
///
/// Unit: frames of 4 KiB. Test: `crates/store-sqlite/src/checkpoint.rs::the_log_starts_anew_while_commits_go_on`.
pub const LOG_FRAMES_CHECKPOINT: u32 = 16_000;

/// The length of the write-ahead log from which on the writer itself moves all of it, and waits 100 ms for readers.
///
/// Unit: frames of 4 KiB. Test: `crates/store-sqlite/src/checkpoint.rs::the_writer_moves_little_unless_the_log_grows_too_long`.
pub const LOG_FRAMES_MAX: u32 = 64_000;
