//! The limits of the binary. The limits of the API server are in `apiserver::limits`.

use std::time::Duration;

/// Concurrent connections to the admin socket; further ones wait.
///
/// Unit: connections. Test: `crates/ipamd/src/admin/tests.rs::callers_beyond_the_limit_wait`.
pub const ADMIN_CONNECTIONS_MAX: usize = 8;

/// The longest line of the admin socket's protocol.
///
/// Unit: bytes. Test: `crates/ipamd/src/admin/tests.rs::long_line_is_refused`.
pub const ADMIN_LINE_BYTES_MAX: u64 = 64 * 1024;

/// The time that a client of the admin socket has to send its request.
///
/// Unit: time. Test: `crates/ipamd/src/admin/tests.rs::silent_caller_is_turned_away`.
pub const ADMIN_REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// The time that a client of the admin socket waits for the next line; a server sends a line every second.
///
/// Unit: time. Test: `crates/ipamd/src/admin/client.rs::silent_server_is_given_up`.
pub const ADMIN_SILENCE_TIMEOUT: Duration = Duration::from_secs(30);

/// The time between two checks of the certificate, key, authority and token files for changes.
///
/// Unit: time. Test: `crates/ipamd/tests/it/certificates.rs::certificates_given_as_files_are_read_again`.
pub const RELOAD_INTERVAL: Duration = Duration::from_secs(2);
/// The largest file of certificates, authorities or tokens.
///
/// Unit: bytes. Test: `crates/ipamd/src/watched.rs::a_file_that_is_too_long_is_refused`.
pub const CREDENTIAL_FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Time between a failed renewal of the server's own certificates and the next attempt.
///
/// Unit: time. Test: `crates/ipamd/src/reload/tests.rs::a_renewal_that_failed_is_tried_again_after_an_hour`.
pub const RENEWAL_RETRY_INTERVAL: Duration = Duration::from_hours(1);
/// Time between two log lines about a certificate that expires soon.
///
/// Unit: time. Test: `crates/ipamd/tests/it/certificates.rs::certificate_that_ends_soon_is_logged_once_a_day`.
pub const END_WARNING_INTERVAL: Duration = Duration::from_hours(24);
/// Open files that are reserved for the store, the log and other uses; the rest may be connections.
///
/// Unit: files. Test: `crates/ipamd/src/descriptors.rs::some_are_kept_for_the_server_itself`.
pub const DESCRIPTORS_RESERVED: usize = 256;

/// Log lines in the queue of the log writer; further ones are lost.
///
/// Unit: lines. Test: `crates/ipamd/tests/it/log_output.rs::a_pipe_that_is_not_read_loses_log_lines_alone`.
pub const LOG_LINES_MAX: usize = 8_192;

/// The time that the program waits at its end for its error message to be written to standard error.
///
/// Unit: time. Test: `crates/ipamd/tests/it/log_output.rs::a_pipe_that_is_not_read_holds_no_process_that_cannot_start`.
pub const ERROR_PRINT_TIMEOUT: Duration = Duration::from_secs(1);

/// The longest line of a file that `ipam store import` reads. It is larger than any object, and bounds the memory that a file of
/// another format can use.
///
/// Unit: bytes. Test: `crates/ipamd/src/export_import/tests.rs::long_line_is_refused`.
pub const EXPORT_LINE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The size of the objects that `ipam store import` writes to the store at a time; the last object may exceed it.
///
/// Unit: bytes. Test: `crates/ipamd/src/export_import/tests.rs::large_objects_are_written_in_pages_bounded_in_bytes`.
pub const IMPORT_PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
