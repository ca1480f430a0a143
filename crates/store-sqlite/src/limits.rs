//! The limits of the store.

/// How much longer the write-ahead log may become while a backup is copied. The copy keeps the log from starting anew; beyond
/// this, or half of what is free on the data file's disk, the backup is given up.
///
/// Unit: bytes. Test: `crates/store-sqlite/src/backup.rs::a_backup_is_given_up_when_the_log_grows_too_long`.
pub const BACKUP_LOG_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;
