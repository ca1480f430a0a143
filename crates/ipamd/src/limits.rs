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
