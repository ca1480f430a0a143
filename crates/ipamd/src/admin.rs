//! The socket by which a running server is asked for what no other process can do: a backup of the file that it has open.
//!
//! It is a Unix socket in the data directory, for the user of the server (and root) alone. A caller sends one request as a line
//! of JSON; the answer is lines of JSON until the last, which says how it ended. A caller that goes away gives its request up.

pub mod client;
mod protocol;
pub mod server;
mod socket;
