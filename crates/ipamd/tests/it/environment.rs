//! The deployment mode of the tests in this binary: one server with its own SQLite file.

use testkit::Server;

/// The server, or servers, of a test.
pub type Servers = Server;

pub async fn start() -> Servers {
    Server::start(super::support::BINARY.as_ref()).await
}
