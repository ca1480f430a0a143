//! The head lock of the log.

use store::{Error, Head};

use crate::error::failed;
use crate::limits;
use crate::log_identity::LogIdentity;
use crate::read;
use crate::session::Session;

/// Begins a transaction and takes the head lock. Returns the head, which does not change until the transaction ends.
///
/// One round trip: both statements are sent at once. With READ COMMITTED each statement sees what was committed before
/// it began, and the second one begins after the first got the lock.
pub async fn take_head(session: &Session, known: &LogIdentity) -> Result<Head, Error> {
    let begin = begin_with_the_head();
    let taken = async {
        let (locked, found) = futures::join!(session.batch_execute(&begin), read::head(session, known));
        locked.map_err(failed)?;
        found
    };
    session.step("taking the head of the log", limits::LOCK_MAX, taken).await
}

fn begin_with_the_head() -> String {
    format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = {}; SET LOCAL statement_timeout = {};
         SET LOCAL idle_in_transaction_session_timeout = {}; SELECT FROM commit_lock FOR UPDATE",
        limits::LOCK_MAX.as_millis(),
        limits::STATEMENT_MAX.as_millis(),
        limits::IDLE_IN_TRANSACTION_TIMEOUT.as_millis(),
    )
}
