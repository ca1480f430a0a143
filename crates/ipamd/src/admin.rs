//! The admin socket of a running server. Its only request is a backup of the database file that the server has open.
//!
//! It is a Unix socket in the data directory, accessible only to the user of the server and to root. A client sends one request
//! as a line of JSON; the response is lines of JSON, of which the last states the result. A closed connection cancels its request.

pub mod client;
mod protocol;
pub mod server;
mod socket;
