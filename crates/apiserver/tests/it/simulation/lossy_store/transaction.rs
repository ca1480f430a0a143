//! A transaction on the log whose connection may fail, and the outcomes of its commit.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use rand::Rng as _;
use store::{Entry, Error, Key, Record, Revision, Transaction, Write};
use tokio::{
    runtime::Handle,
    sync::Mutex as AsyncMutex,
    time::{Instant, sleep, timeout},
};
use tokio_util::task::AbortOnDropHandle;

use super::{BAD_COMMITS_OF, DELAY_MAX, FaultModel, InjectedBug, LATE_MAX, LossyStore, SILENCE_MAX};

/// The transaction in the database: `None` after the database has ended it.
type Inner = Arc<AsyncMutex<Option<Box<dyn Transaction>>>>;

/// A transaction on the log whose connection may fail.
pub struct LossyTransaction {
    head: Revision,
    inner: Inner,
    /// The idle timer of the database.
    idle_timer: Mutex<Option<AbortOnDropHandle<()>>>,
    lossy_store: LossyStore,
}

impl LossyTransaction {
    pub fn new(inner: Box<dyn Transaction>, lossy_store: LossyStore) -> Self {
        let (head, inner) = (inner.head(), Arc::new(AsyncMutex::new(Some(inner))));
        let transaction = Self { head, idle_timer: Mutex::new(None), inner, lossy_store };
        transaction.renew_idle_timer();
        transaction
    }

    fn renew_idle_timer(&self) {
        if self.lossy_store.fault_model == FaultModel::Network {
            *self.idle_timer.lock().unwrap() = Some(idle_timer(&self.inner));
        }
    }

    /// Sends a message to the database, which restarts the idle timer.
    async fn message(&self) -> Result<(), Error> {
        self.lossy_store.message().await?;
        self.renew_idle_timer();
        Ok(())
    }
}

impl Drop for LossyTransaction {
    /// Ending a transaction is a message, too: it may arrive late, or not before the idle timer has ended the
    /// transaction.
    fn drop(&mut self) {
        let Ok(mut inner) = self.inner.try_lock() else { return };
        let Some(inner) = inner.take().filter(|_| self.lossy_store.fault_model == FaultModel::Network) else { return };
        let Ok(runtime) = Handle::try_current() else { return };
        let lossy_store = self.lossy_store.clone();
        runtime.spawn(async move {
            let _held = inner;
            let _ = timeout(SILENCE_MAX, lossy_store.message()).await;
        });
    }
}

/// Ends a transaction after the idle timeout.
fn idle_timer(inner: &Inner) -> AbortOnDropHandle<()> {
    let inner = Arc::clone(inner);
    AbortOnDropHandle::new(tokio::spawn(async move {
        sleep(SILENCE_MAX).await;
        drop(inner.lock().await.take());
    }))
}

fn silent_for_too_long() -> Error {
    Error::Unavailable("the database ended the transaction: it was silent for too long".to_owned())
}

#[async_trait]
impl Transaction for LossyTransaction {
    fn head(&self) -> Revision {
        self.head
    }

    async fn read(&self, keys: &[Key]) -> Result<Vec<Option<Record>>, Error> {
        self.message().await?;
        let found = self.inner.lock().await.as_deref().ok_or_else(silent_for_too_long)?.read(keys).await;
        self.lossy_store.message().await?;
        found
    }

    async fn tail(&self, after: Revision, limit: usize) -> Result<Vec<Entry>, Error> {
        self.message().await?;
        let mut news = self.inner.lock().await.as_deref().ok_or_else(silent_for_too_long)?.tail(after, limit).await?;
        self.lossy_store.message().await?;
        if matches!(self.lossy_store.bug, InjectedBug::DecideBeforeCatchingUp) {
            // The injected bug: the replica does not see the first entries.
            news.drain(..news.len().saturating_sub(1));
        }
        Ok(self.lossy_store.seen(news))
    }

    async fn commit(self: Box<Self>, mut writes: Vec<Write>) -> Result<(), Error> {
        let lossy_store = self.lossy_store.clone();
        sleep(lossy_store.up_to(DELAY_MAX)).await;
        if !lossy_store.pass().await {
            // It hung on the way to the database, which has ended the transaction.
            return Err(lossy_store.given_up());
        }
        let Some(inner) = self.inner.lock().await.take() else { return Err(silent_for_too_long()) };
        if lossy_store.has_disabled_checks() {
            lossy_store.disable_checks(self.head, &mut writes).await?;
        }
        if writes.is_empty() {
            return inner.commit(writes).await;
        }
        match (lossy_store.one_of(BAD_COMMITS_OF), lossy_store.fault_model) {
            (false, _) => {
                inner.commit(writes).await?;
                sleep(lossy_store.up_to(DELAY_MAX)).await;
                Ok(())
            }
            (true, FaultModel::Network) => lossy_store.bad_commit(inner, writes).await,
            (true, FaultModel::Disk) => lossy_store.bad_write(inner, writes).await,
        }
    }
}

impl LossyStore {
    /// A commit that fails on the way to a database or there.
    async fn bad_commit(&self, inner: Box<dyn Transaction>, writes: Vec<Write>) -> Result<(), Error> {
        let unknown = || Err(Error::OutcomeUnknown("the connection was cut in the commit".to_owned()));
        let case = self.chance.lock().unwrap().random_range(0..6);
        match case {
            // The request is lost.
            0 => unknown(),
            // The response is lost.
            1 => {
                inner.commit(writes).await?;
                unknown()
            }
            // The database continues the commit after the replica has stopped waiting for it.
            2 => {
                let late = self.up_to(LATE_MAX);
                tokio::spawn(async move {
                    sleep(late).await;
                    drop(inner.commit(writes).await);
                });
                unknown()
            }
            // The response hangs.
            3 => {
                inner.commit(writes).await?;
                self.hang();
                if self.pass().await { Ok(()) } else { Err(self.given_up()) }
            }
            // The database hangs and keeps the head's lock.
            4 => {
                let (lossy_store, until) = (self.clone(), Instant::now() + self.draw_hang());
                let work = async move {
                    lossy_store.stall(until).await;
                    inner.commit(writes).await
                };
                self.in_time(work).await.unwrap_or_else(|| Err(self.given_up()))
            }
            // It hangs and is not committed, and the store knows that.
            _ => {
                self.hang();
                self.pass().await;
                drop(inner);
                Err(Error::Unavailable("the database gave the commit up".to_owned()))
            }
        }
    }

    /// A commit that fails on a disk.
    async fn bad_write(&self, inner: Box<dyn Transaction>, writes: Vec<Write>) -> Result<(), Error> {
        let case = self.chance.lock().unwrap().random_range(0..5);
        match case {
            0 => Err(Error::Unavailable("the disk is full".to_owned())),
            1 => Err(Error::OutcomeUnknown("the disk failed before it was written".to_owned())),
            2 => {
                inner.commit(writes).await?;
                Err(Error::OutcomeUnknown("the disk failed after it was written".to_owned()))
            }
            3 => {
                self.hang();
                self.pass().await;
                inner.commit(writes).await
            }
            _ => {
                inner.commit(writes).await?;
                self.hang();
                self.pass().await;
                Ok(())
            }
        }
    }
}
