//! Commits: one round trip, and resolution of the outcome if the answer is lost.

use deadpool_postgres::Pool;
use store::{Error, Key, Revision, Write};
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use crate::commit_plan::CommitPlan;
use crate::error;
use crate::error_chain::format_chain;
use crate::head::take_head;
use crate::limits;
use crate::log_identity::{LogEnd, LogIdentity};
use crate::lost_commit::LostCommit;
use crate::row_codec::from_revision;
use crate::session::{Session, timed_out};
use crate::span_params::SpanParams;

const APPEND: &str = "SELECT append_commit($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";

/// Commits `writes` after `head`, whose lock `session` holds.
pub async fn commit(
    pool: &Pool,
    identity: &LogIdentity,
    mut session: Session,
    head: Revision,
    writes: &[Write],
) -> Result<(), Error> {
    let prepared = CommitPlan::of(head, writes).and_then(|plan| Ok((plan, token()?)));
    let (plan, token) = match prepared {
        Ok(prepared) => prepared,
        Err(refusal) => {
            session.release().await;
            return Err(refusal);
        }
    };
    let end = LogEnd { revision: Revision(head.0 + writes.len() as u64), token };
    for _ in 0..limits::COMMIT_TRIES_MAX {
        let error = match append(&session, head, writes, &plan, token).await {
            Appended::Done => {
                identity.committed(end);
                return Ok(());
            }
            Appended::Lost(why) => {
                session.close();
                return resolve_lost_commit(pool, identity, end, &why).await;
            }
            Appended::Refused(error) => error,
        };
        session.release().await;
        if !error::is_retryable(&error) {
            let expected = |key: &Key| writes.iter().find(|write| write.key == *key).and_then(|write| write.expected);
            return Err(error::commit_error(error, expected));
        }
        // Nothing was written. A retry is only valid if the head has not moved.
        session = Session::open(pool).await?;
        let again = take_head(&session, identity).await.and_then(|now| match now.revision {
            now if now == head => Ok(()),
            _ => Err(Error::Unavailable("another replica has committed in between".to_owned())),
        });
        if let Err(error) = again {
            session.release().await;
            return Err(error);
        }
    }
    session.release().await;
    Err(Error::Unavailable(format!(
        "the database aborted this commit {} times because of conflicts",
        limits::COMMIT_TRIES_MAX
    )))
}

/// Returns a random commit token.
pub fn token() -> Result<Uuid, Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::Unavailable(format!("the system gives no random bytes: {error}")))?;
    Ok(uuid::Builder::from_random_bytes(bytes).into_uuid())
}

/// The result of the statement and its COMMIT.
enum Appended {
    Done,
    /// The database rejected the statement: nothing was written.
    Refused(tokio_postgres::Error),
    /// There was no answer, or the answer does not say whether the transaction was committed.
    Lost(String),
}

async fn append(session: &Session, head: Revision, writes: &[Write], plan: &CommitPlan<'_>, token: Uuid) -> Appended {
    let keys: Vec<&str> = writes.iter().map(|write| write.key.as_str()).collect();
    let bodies: Vec<Option<&[u8]>> = writes.iter().map(|write| write.value.as_deref()).collect();
    let expected: Vec<Option<i64>> = plan.expected.iter().map(|expected| expected.map(from_revision)).collect();
    let ended = SpanParams::of(plan.released.iter().copied());
    let begun = SpanParams::of(plan.taken.values().copied());
    let head = from_revision(head);
    let mut parameters: Vec<(&(dyn ToSql + Sync), Type)> = vec![
        (&head, Type::INT8),
        (&keys, Type::TEXT_ARRAY),
        (&bodies, Type::BYTEA_ARRAY),
        (&expected, Type::INT8_ARRAY),
        (&plan.checked, Type::BOOL_ARRAY),
        (&token, Type::UUID),
    ];
    parameters.extend(ended.parameters());
    parameters.extend(begun.parameters());
    // Both statements are sent at once (pipelining). If the first one fails, COMMIT rolls the transaction back.
    let sent = futures::future::join(session.query_typed(APPEND, &parameters), session.batch_execute("COMMIT"));
    match session.wait(limits::STATEMENT_MAX, sent).await {
        Some((Ok(_), Ok(()))) => Appended::Done,
        Some((Err(error), _)) if error::is_refusal(&error) => Appended::Refused(error),
        Some((Err(error), _) | (_, Err(error))) => Appended::Lost(format_chain(&error)),
        None => Appended::Lost(timed_out("a commit", limits::STATEMENT_MAX).to_string()),
    }
}

/// Resolves the outcome of a commit whose answer was lost.
async fn resolve_lost_commit(pool: &Pool, identity: &LogIdentity, end: LogEnd, why: &str) -> Result<(), Error> {
    match LostCommit::Token(identity, end).resolve(pool).await {
        Ok(true) => {
            identity.committed(end);
            Ok(())
        }
        Ok(false) => {
            Err(Error::Unavailable(format!("the answer to a commit was lost, and the commit was not written: {why}")))
        }
        Err(last) => {
            Err(Error::OutcomeUnknown(format!("the answer was lost ({why}), and looking up the commit failed: {last}")))
        }
    }
}
