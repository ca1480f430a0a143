//! The limits of the store, with their units.

/// The maximum growth of the write-ahead log during a backup. The log cannot be restarted until the copy is done.
/// Beyond this size, or half of the free space of the data file's disk, the backup fails.
///
/// Unit: bytes. Test: `crates/store-sqlite/src/backup.rs::backup_is_canceled_when_the_wal_grows_too_large`.
pub const BACKUP_WAL_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;

/// The maximum number of concurrent reads for clients; further ones wait.
///
/// Unit: connections. Test: `crates/store-sqlite/src/tests/failing.rs::decision_reads_do_not_wait_for_client_reads`.
pub const READERS_MAX: usize = 8;

/// The maximum number of concurrent reads for decisions. There is one committer.
///
/// Unit: connections. Test: `crates/store-sqlite/src/tests/failing.rs::decision_reads_do_not_wait_for_client_reads`.
pub const DECISION_READERS_MAX: usize = 1;

/// The page cache of each reader. `SQLite` discards it after every commit of the writer, so a larger cache has no
/// benefit.
///
/// Unit: KiB. Test: `crates/store-sqlite/src/tests/failing.rs::reader_page_caches_are_bounded`.
pub const READER_CACHE_KIB: u32 = 4 * 1024;

/// The maximum number of versions in a memtable before it is flushed to the data file: about 30 MiB.
///
/// Unit: versions. Test: `crates/store-sqlite/src/memtable.rs::layer_capacity_depends_on_the_file_size`.
pub const MEMTABLE_VERSIONS_MAX: u32 = 256 * 1024;

/// The size of the write-ahead log at which the background thread starts a checkpoint.
///
/// Unit: frames of 4 KiB. Test: `crates/store-sqlite/src/checkpoint.rs::wal_is_restarted_during_commits`.
pub const WAL_FRAMES_CHECKPOINT: u32 = 16_000;

/// The size of the write-ahead log from which the writer checkpoints all of it, and waits up to 100 ms for readers.
///
/// Unit: frames of 4 KiB. Test: `crates/store-sqlite/src/checkpoint.rs::writer_checkpoints_few_frames_unless_wal_is_too_large`.
pub const WAL_FRAMES_MAX: u32 = 64_000;
