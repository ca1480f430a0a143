//! Resolution of a transaction whose answer was lost.
//!
//! The look-up takes the head lock. It gets the lock only after the transaction has ended, and a committed transaction
//! leaves a trace by which it is found.

use deadpool_postgres::Pool;
use store::Error;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::error::failed;
use crate::head::take_head;
use crate::limits;
use crate::log_identity::{LogEnd, LogIdentity};
use crate::row_codec::from_revision;
use crate::session::Session;

const TOKEN_AT: &str = "SELECT count(*) FROM log WHERE revision = $1 AND token = $2";

/// The trace of a committed transaction.
pub enum LostCommit<'a> {
    /// A commit: the token at its last revision.
    Token(&'a LogIdentity, LogEnd),
    /// A bulk load or an advanced revision: the log ID.
    LogId(Uuid),
}

impl LostCommit<'_> {
    /// Looks for the trace until the outcome is known. After [`limits::RESOLVE_TIMEOUT`] returns the last error.
    pub async fn resolve(&self, pool: &Pool) -> Result<bool, Error> {
        let deadline = Instant::now() + limits::RESOLVE_TIMEOUT;
        let mut last = Error::Unavailable("there was no time to look it up".to_owned());
        while Instant::now() < deadline {
            match timeout_at(deadline, self.is_there(pool)).await {
                Ok(Ok(is_there)) => return Ok(is_there),
                // The log is no longer the one to which the commit was sent.
                Ok(Err(error @ (Error::Diverged(_) | Error::Corrupt(_)))) => return Err(error),
                Ok(Err(error)) => last = error,
                Err(_) => break,
            }
            sleep(limits::RESOLVE_INTERVAL).await;
        }
        Err(last)
    }

    async fn is_there(&self, pool: &Pool) -> Result<bool, Error> {
        let session = Session::open(pool).await?;
        let found = match self {
            Self::Token(identity, end) => has_token(&session, identity, *end).await,
            Self::LogId(log_id) => has_log_id(&session, *log_id).await,
        };
        session.release().await;
        found
    }
}

async fn has_token(session: &Session, identity: &LogIdentity, end: LogEnd) -> Result<bool, Error> {
    take_head(session, identity).await?;
    let revision = from_revision(end.revision);
    let asked = async {
        let parameters = [(&revision as _, Type::INT8), (&end.token as _, Type::UUID)];
        session.query_typed(TOKEN_AT, &parameters).await.map_err(failed)
    };
    let found = session.step("looking up a commit", limits::STATEMENT_MAX, asked).await?;
    Ok(found[0].get::<_, i64>(0) == 1)
}

async fn has_log_id(session: &Session, log_id: Uuid) -> Result<bool, Error> {
    match take_head(session, &LogIdentity::new(log_id)).await {
        Ok(_) => Ok(true),
        Err(Error::Diverged(_)) => Ok(false),
        Err(error) => Err(error),
    }
}
