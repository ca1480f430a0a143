//! The limits of the store, with their units.

/// The maximum growth of the write-ahead log during a backup. The log cannot be restarted until the copy is done.
/// Beyond this size, or half of the free space of the data file's disk, the backup fails.
///
/// Unit: bytes. Test: `crates/store-sqlite/src/backup.rs::a_backup_is_given_up_when_the_log_grows_too_long`.
pub const BACKUP_WAL_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;

/// The maximum number of concurrent reads for clients; further ones wait.
///
/// Unit: connections. Test: `crates/store-sqlite/src/tests/failing.rs::decisions_do_not_wait_for_reads_of_users`.
pub const READERS_MAX: usize = 8;

/// The maximum number of concurrent reads for decisions. There is one committer.
///
/// Unit: connections. Test: `crates/store-sqlite/src/tests/failing.rs::decisions_do_not_wait_for_reads_of_users`.
pub const DECISION_READERS_MAX: usize = 1;

/// The page cache of each reader. `SQLite` discards it after every commit of the writer, so a larger cache has no
/// benefit.
///
/// Unit: KiB. Test: `crates/store-sqlite/src/tests/failing.rs::caches_are_bounded`.
pub const READER_CACHE_KIB: u32 = 4 * 1024;

/// The maximum number of versions in a memtable before it is flushed to the data file: about 30 MiB.
///
/// Unit: versions. Test: `crates/store-sqlite/src/memtable.rs::layer_is_full_by_the_size_of_the_file`.
pub const MEMTABLE_VERSIONS_MAX: u32 = 256 * 1024;

/// The size of the write-ahead log at which the background thread starts a checkpoint.
///
/// Unit: frames of 4 KiB. Test: `crates/store-sqlite/src/checkpoint.rs::the_log_starts_anew_while_commits_go_on`.
pub const WAL_FRAMES_CHECKPOINT: u32 = 16_000;

/// The size of the write-ahead log from which the writer checkpoints all of it, and waits up to 100 ms for readers.
///
/// Unit: frames of 4 KiB. Test: `crates/store-sqlite/src/checkpoint.rs::the_writer_moves_little_unless_the_log_grows_too_long`.
pub const WAL_FRAMES_MAX: u32 = 64_000;
