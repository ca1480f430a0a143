//! The search for what became of a transaction whose answer was lost.
//!
//! It takes the head's lock. Whoever holds that has waited for the transaction, which is over then, one way or the other; and it
//! leaves a trace by which it is found if it was committed.

use deadpool_postgres::Pool;
use store::Error;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::failure::failed;
use crate::head::take_head;
use crate::known::{End, Known};
use crate::limits;
use crate::rows::from_revision;
use crate::session::Session;

const TOKEN_AT: &str = "SELECT count(*) FROM log WHERE revision = $1 AND token = $2";

/// What a committed transaction has left.
pub enum Trace<'a> {
    /// A commit: its token at its end.
    Token(&'a Known, End),
    /// A log that was filled or moved: its epoch.
    Epoch(Uuid),
}

impl Trace<'_> {
    /// Looks until there is an answer, or no time left: the error is the last trouble then.
    pub async fn search(&self, pool: &Pool) -> Result<bool, Error> {
        let deadline = Instant::now() + limits::SEARCH_MAX;
        let mut last = Error::Unavailable("there was no time to look for it".to_owned());
        while Instant::now() < deadline {
            match timeout_at(deadline, self.is_there(pool)).await {
                Ok(Ok(is_there)) => return Ok(is_there),
                // It is not the log any more into which the commit went.
                Ok(Err(error @ (Error::Diverged(_) | Error::Corrupt(_)))) => return Err(error),
                Ok(Err(error)) => last = error,
                Err(_) => break,
            }
            sleep(limits::SEARCH_INTERVAL).await;
        }
        Err(last)
    }

    async fn is_there(&self, pool: &Pool) -> Result<bool, Error> {
        let session = Session::open(pool).await?;
        let found = match self {
            Self::Token(known, end) => has_token(&session, known, *end).await,
            Self::Epoch(epoch) => has_epoch(&session, *epoch).await,
        };
        session.release().await;
        found
    }
}

async fn has_token(session: &Session, known: &Known, end: End) -> Result<bool, Error> {
    take_head(session, known).await?;
    let revision = from_revision(end.revision);
    let asked = async {
        let parameters = [(&revision as _, Type::INT8), (&end.token as _, Type::UUID)];
        session.query_typed(TOKEN_AT, &parameters).await.map_err(failed)
    };
    let found = session.step("looking for a commit", limits::STATEMENT_MAX, asked).await?;
    Ok(found[0].get::<_, i64>(0) == 1)
}

async fn has_epoch(session: &Session, epoch: Uuid) -> Result<bool, Error> {
    match take_head(session, &Known::new(epoch)).await {
        Ok(_) => Ok(true),
        Err(Error::Diverged(_)) => Ok(false),
        Err(error) => Err(error),
    }
}
