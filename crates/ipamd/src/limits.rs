//! The limits of the binary, beside those of the server that it runs.

use std::time::Duration;

/// Connections to the admin socket at once; further ones wait.
///
/// Unit: connections. Test: `crates/ipamd/src/admin/tests.rs::callers_beyond_the_limit_wait`.
pub const ADMIN_CONNECTIONS_MAX: usize = 8;

/// The longest line that is said over the admin socket.
///
/// Unit: bytes. Test: `crates/ipamd/src/admin/tests.rs::long_line_is_refused`.
pub const ADMIN_LINE_BYTES_MAX: u64 = 64 * 1024;

/// The time that a caller of the admin socket has to send its request.
///
/// Unit: time. Test: `crates/ipamd/src/admin/tests.rs::silent_caller_is_turned_away`.
pub const ADMIN_REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// The time that a caller of the admin socket waits for the next line; a server says something every second.
///
/// Unit: time. Test: `crates/ipamd/src/admin/client.rs::silent_server_is_given_up`.
pub const ADMIN_SILENCE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a change of a certificate, a key, an authority or a token file may go unnoticed.
///
/// Unit: time. Test: `crates/ipamd/tests/it/certificates.rs::certificates_given_as_files_are_read_again`.
pub const RELOAD_INTERVAL: Duration = Duration::from_secs(2);
/// The longest file of certificates, authorities or tokens.
///
/// Unit: bytes. Test: `crates/ipamd/src/watched.rs::a_file_that_is_too_long_is_refused`.
pub const CREDENTIAL_FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Time until a renewal of the server's own certificates that failed is tried again.
///
/// Unit: time. Test: `crates/ipamd/src/reload/tests.rs::a_renewal_that_failed_is_tried_again_after_an_hour`.
pub const RENEWAL_RETRY_INTERVAL: Duration = Duration::from_hours(1);
/// Time between two log lines about a certificate that ends soon.
///
/// Unit: time. Test: `crates/ipamd/tests/it/certificates.rs::certificate_that_ends_soon_is_logged_once_a_day`.
pub const END_WARNING_INTERVAL: Duration = Duration::from_hours(24);
/// Open files that are kept for the store, the log and the like; the rest may be connections.
///
/// Unit: files. Test: `crates/ipamd/src/descriptors.rs::some_are_kept_for_the_server_itself`.
pub const DESCRIPTORS_RESERVED: usize = 256;

/// Log lines that wait to be written; further ones are lost.
///
/// Unit: lines. Test: `crates/ipamd/tests/it/log_output.rs::a_pipe_that_is_not_read_loses_log_lines_alone`.
pub const LOG_LINES_MAX: usize = 8_192;

/// How long the end of the program waits until its error is printed.
///
/// Unit: time. Test: `crates/ipamd/tests/it/log_output.rs::a_pipe_that_is_not_read_holds_no_process_that_cannot_start`.
pub const ERROR_PRINT_TIMEOUT: Duration = Duration::from_secs(1);

/// The longest line of a file that `ipam store import` reads. Far above the longest object, it keeps a file of another kind out
/// of memory.
///
/// Unit: bytes. Test: `crates/ipamd/src/transfer/tests.rs::long_line_is_refused`.
pub const EXPORT_LINE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The objects that `ipam store import` writes to the store at a time; the last one may exceed it.
///
/// Unit: bytes. Test: `crates/ipamd/src/transfer/tests.rs::large_objects_are_written_in_pages_bounded_in_bytes`.
pub const IMPORT_PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
