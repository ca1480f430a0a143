//! A connection in use, with a deadline for every step.
//!
//! What the database is asked may never be answered: its machine may be gone without a word, or stand still. A connection that
//! still owes an answer is closed rather than given to the next caller, who would wait for the same one; the database ends
//! its transaction then. It is not asked to cancel what it does, because not every pooler survives that.

use std::{
    ops::Deref,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use deadpool_postgres::{Object, Pool};
use store::Error;
use tokio::{runtime::Handle, time::timeout};
use tokio_postgres::Client;

use crate::{failure::no_connection, limits};

/// One connection of a pool. Dropping it gives it back, unless an answer is missing.
pub struct Session {
    /// `None` once it is given back or closed.
    client: Option<Object>,
    /// Steps that have begun and not ended.
    unanswered: AtomicUsize,
}

impl Session {
    /// A connection of the pool, made if none is free.
    pub async fn open(pool: &Pool) -> Result<Self, Error> {
        pool.get().await.map(Self::of).map_err(no_connection)
    }

    /// This connection.
    pub fn of(client: Object) -> Self {
        Self { client: Some(client), unanswered: AtomicUsize::new(0) }
    }

    /// Waits for `work` on this connection, [`limits::ANSWER_MARGIN`] longer than the database may work; `None` if it did not end.
    pub async fn wait<T>(&self, database_max: Duration, work: impl Future<Output = T>) -> Option<T> {
        self.wait_for(database_max + limits::ANSWER_MARGIN, work).await
    }

    async fn wait_for<T>(&self, answer_max: Duration, work: impl Future<Output = T>) -> Option<T> {
        self.unanswered.fetch_add(1, Ordering::Relaxed);
        let Ok(outcome) = timeout(answer_max, work).await else {
            self.close_idle();
            return None;
        };
        self.unanswered.fetch_sub(1, Ordering::Relaxed);
        Some(outcome)
    }

    /// Where one connection hangs, others that are open hang too, as a rule: they are not tried one after the other.
    fn close_idle(&self) {
        if let Some(pool) = self.client.as_ref().and_then(Object::pool) {
            pool.retain(|_, _| false);
        }
    }

    /// The same, where no answer is an error; `what` is what was asked for.
    pub async fn step<T>(
        &self,
        what: &str,
        database_max: Duration,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        self.wait(database_max, work).await.unwrap_or_else(|| Err(late(what, database_max)))
    }

    /// Ends the transaction without a commit, and gives the connection back if that worked.
    pub async fn release(self) {
        if self.unanswered.load(Ordering::Relaxed) > 0 {
            return;
        }
        let ended = self.wait_for(limits::ROLLBACK_MAX, self.batch_execute("ROLLBACK")).await;
        if !matches!(ended, Some(Ok(()))) {
            self.close();
        }
    }

    /// Like [`Session::release`], for a caller that cannot wait; `held` is held until it is done.
    pub fn release_later(self, held: impl Send + 'static) {
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(async move {
                self.release().await;
                drop(held);
            })),
            Err(_) => self.close(),
        }
    }

    /// Closes the connection, which ends its transaction without a commit unless a commit is under way.
    pub fn close(mut self) {
        self.client.take().map(Object::take);
    }
}

/// The error of a step that was not answered.
pub fn late(what: &str, database_max: Duration) -> Error {
    let waited = (database_max + limits::ANSWER_MARGIN).as_secs();
    Error::Unavailable(format!("PostgreSQL did not answer within {waited} s: {what}"))
}

impl Deref for Session {
    type Target = Client;

    fn deref(&self) -> &Client {
        self.client.as_ref().expect("only what consumes a session takes its connection")
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if *self.unanswered.get_mut() > 0 {
            self.client.take().map(Object::take);
        }
    }
}
