//! The limits of the binary. The limits of the API server are in `apiserver::limits`.

use std::time::Duration;

/// Concurrent connections to the admin socket; further ones wait.
///
/// Unit: connections. Test: `crates/ipamd/src/admin/tests.rs::connections_over_the_limit_wait`.
pub const ADMIN_CONNECTIONS_MAX: usize = 8;

/// The longest line of the admin socket's protocol.
///
/// Unit: bytes. Test: `crates/ipamd/src/admin/tests.rs::request_line_over_the_limit_is_rejected`.
pub const ADMIN_LINE_BYTES_MAX: u64 = 64 * 1024;

/// The time that a client of the admin socket has to send its request.
///
/// Unit: time. Test: `crates/ipamd/src/admin/tests.rs::client_without_request_gets_timeout_error`.
pub const ADMIN_REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// The time that a client of the admin socket waits for the next line; a server sends a line every second.
///
/// Unit: time. Test: `crates/ipamd/src/admin/client.rs::client_gives_up_on_silent_server`.
pub const ADMIN_SILENCE_TIMEOUT: Duration = Duration::from_secs(30);

/// The time between two checks of the certificate, key, authority and token files for changes.
///
/// Unit: time. Test: `crates/ipamd/tests/it/certificates.rs::serving_certificate_files_are_reloaded`.
pub const RELOAD_INTERVAL: Duration = Duration::from_secs(2);
/// The largest file of certificates, authorities or tokens.
///
/// Unit: bytes. Test: `crates/ipamd/src/watched.rs::file_over_the_limit_is_rejected`.
pub const CREDENTIAL_FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Time between a failed renewal of the server's own certificates and the next attempt.
///
/// Unit: time. Test: `crates/ipamd/src/reload/tests.rs::failed_renewal_is_retried_after_an_hour`.
pub const RENEWAL_RETRY_INTERVAL: Duration = Duration::from_hours(1);
/// Time between two log lines about a certificate that expires soon.
///
/// Unit: time. Test: `crates/ipamd/tests/it/certificates.rs::expiring_certificate_is_logged_once_a_day`.
pub const END_WARNING_INTERVAL: Duration = Duration::from_hours(24);
/// Open files that are reserved for the store, the log and other uses; the rest may be connections.
///
/// Unit: files. Test: `crates/ipamd/src/descriptors.rs::connection_limit_leaves_reserved_descriptors`.
pub const DESCRIPTORS_RESERVED: usize = 256;

/// Log lines in the queue of the log writer; further ones are lost.
///
/// Unit: lines. Test: `crates/ipamd/tests/it/log_output.rs::unread_stderr_pipe_drops_only_log_lines`.
pub const LOG_LINES_MAX: usize = 8_192;

/// The time that the program waits at its end for its error message to be written to standard error.
///
/// Unit: time. Test: `crates/ipamd/tests/it/log_output.rs::unread_stderr_pipe_does_not_block_failed_start`.
pub const ERROR_PRINT_TIMEOUT: Duration = Duration::from_secs(1);

/// The longest line of a file that `ipam store import` reads. It is larger than any object, and bounds the memory that a file of
/// another format can use.
///
/// Unit: bytes. Test: `crates/ipamd/src/export_import/tests.rs::import_line_over_the_limit_is_rejected`.
pub const EXPORT_LINE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The size of the objects that `ipam store import` writes to the store at a time; the last object may exceed it.
///
/// Unit: bytes. Test: `crates/ipamd/src/export_import/tests.rs::import_pages_of_large_objects_are_limited_in_bytes`.
pub const IMPORT_PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
