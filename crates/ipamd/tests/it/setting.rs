//! Where the tests of this binary run: one server on a SQLite file of its own.

use testkit::Server;

/// What a test has to do with.
pub type Servers = Server;

pub async fn start() -> Servers {
    Server::start(super::support::BINARY.as_ref()).await
}
