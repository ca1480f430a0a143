//! A connection in use, with a timeout for every step.
//!
//! The database may never answer, for instance because its machine is down or hangs. A connection with an outstanding
//! answer is closed instead of being returned to the pool, because the next user would wait for the same answer; the
//! database then ends its transaction. No cancel request is sent, because not every pooler supports them.

use std::{
    ops::Deref,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use deadpool_postgres::{Object, Pool};
use store::Error;
use tokio::{runtime::Handle, time::timeout};
use tokio_postgres::Client;

use crate::{error::no_connection, limits};

/// A pooled connection. Dropping it returns it to the pool, unless an answer is outstanding.
pub struct Session {
    /// `None` once it is returned or closed.
    client: Option<Object>,
    /// The number of steps in progress.
    unanswered: AtomicUsize,
}

impl Session {
    /// Gets a connection from the pool, or opens one if none is idle.
    pub async fn open(pool: &Pool) -> Result<Self, Error> {
        pool.get().await.map(Self::of).map_err(no_connection)
    }

    /// Wraps a connection.
    pub fn of(client: Object) -> Self {
        Self { client: Some(client), unanswered: AtomicUsize::new(0) }
    }

    /// Waits for `work` on this connection, for at most `database_max` plus [`limits::ANSWER_MARGIN`]. On a timeout closes
    /// the idle connections of the pool and returns `None`.
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

    /// Closes the idle connections of the pool: if one connection hangs, the others usually hang as well, and trying
    /// them one by one would take too long.
    fn close_idle(&self) {
        if let Some(pool) = self.client.as_ref().and_then(Object::pool) {
            pool.retain(|_, _| false);
        }
    }

    /// Like `wait`, but a timeout is an error. `what` describes the step for the message.
    pub async fn step<T>(
        &self,
        what: &str,
        database_max: Duration,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        self.wait(database_max, work).await.unwrap_or_else(|| Err(timed_out(what, database_max)))
    }

    /// Rolls the transaction back, and returns the connection to the pool if that succeeds.
    pub async fn release(self) {
        if self.unanswered.load(Ordering::Relaxed) > 0 {
            return;
        }
        let ended = self.wait_for(limits::ROLLBACK_MAX, self.batch_execute("ROLLBACK")).await;
        if !matches!(ended, Some(Ok(()))) {
            self.close();
        }
    }

    /// Like [`Session::release`], in the background. `held` is dropped afterwards.
    pub fn rollback_detached(self, held: impl Send + 'static) {
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(async move {
                self.release().await;
                drop(held);
            })),
            Err(_) => self.close(),
        }
    }

    /// Closes the connection. The database then rolls the transaction back, unless a COMMIT is in progress.
    pub fn close(mut self) {
        self.client.take().map(Object::take);
    }
}

/// Returns the error of a step without an answer.
pub fn timed_out(what: &str, database_max: Duration) -> Error {
    let waited = (database_max + limits::ANSWER_MARGIN).as_secs();
    Error::Unavailable(format!("PostgreSQL did not answer within {waited} s: {what}"))
}

impl Deref for Session {
    type Target = Client;

    fn deref(&self) -> &Client {
        self.client.as_ref().expect("the connection is taken only when the session is consumed")
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if *self.unanswered.get_mut() > 0 {
            self.client.take().map(Object::take);
        }
    }
}
