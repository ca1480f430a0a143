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

use super::{BAD_COMMITS_OF, DELAY_MAX, LATE_MAX, Planted, SILENCE_MAX, Sea, Way};

/// The transaction in the database: `None` after the database has ended it.
type Inner = Arc<AsyncMutex<Option<Box<dyn Transaction>>>>;

/// A transaction on the log whose connection may fail.
pub struct Voyage {
    head: Revision,
    inner: Inner,
    /// The idle timer of the database.
    patience: Mutex<Option<AbortOnDropHandle<()>>>,
    sea: Sea,
}

impl Voyage {
    pub fn new(inner: Box<dyn Transaction>, sea: Sea) -> Self {
        let (head, inner) = (inner.head(), Arc::new(AsyncMutex::new(Some(inner))));
        let voyage = Self { head, patience: Mutex::new(None), inner, sea };
        voyage.renew_patience();
        voyage
    }

    fn renew_patience(&self) {
        if self.sea.way == Way::Network {
            *self.patience.lock().unwrap() = Some(patience(&self.inner));
        }
    }

    /// Sends a message to the database, which restarts the idle timer.
    async fn message(&self) -> Result<(), Error> {
        self.sea.message().await?;
        self.renew_patience();
        Ok(())
    }
}

impl Drop for Voyage {
    /// Ending a transaction is a message, too: it may arrive late, or not before the idle timer has ended the
    /// transaction.
    fn drop(&mut self) {
        let Ok(mut inner) = self.inner.try_lock() else { return };
        let Some(inner) = inner.take().filter(|_| self.sea.way == Way::Network) else { return };
        let Ok(runtime) = Handle::try_current() else { return };
        let sea = self.sea.clone();
        runtime.spawn(async move {
            let _held = inner;
            let _ = timeout(SILENCE_MAX, sea.message()).await;
        });
    }
}

/// Ends a transaction after the idle timeout.
fn patience(inner: &Inner) -> AbortOnDropHandle<()> {
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
impl Transaction for Voyage {
    fn head(&self) -> Revision {
        self.head
    }

    async fn read(&self, keys: &[Key]) -> Result<Vec<Option<Record>>, Error> {
        self.message().await?;
        let found = self.inner.lock().await.as_deref().ok_or_else(silent_for_too_long)?.read(keys).await;
        self.sea.message().await?;
        found
    }

    async fn tail(&self, after: Revision, limit: usize) -> Result<Vec<Entry>, Error> {
        self.message().await?;
        let mut news = self.inner.lock().await.as_deref().ok_or_else(silent_for_too_long)?.tail(after, limit).await?;
        self.sea.message().await?;
        if matches!(self.sea.planted, Planted::DecideBeforeCatchingUp) {
            // The injected bug: the replica does not see the first entries.
            news.drain(..news.len().saturating_sub(1));
        }
        Ok(self.sea.seen(news))
    }

    async fn commit(self: Box<Self>, mut writes: Vec<Write>) -> Result<(), Error> {
        let sea = self.sea.clone();
        sleep(sea.up_to(DELAY_MAX)).await;
        if !sea.pass().await {
            // It hung on the way to the database, which has ended the transaction.
            return Err(sea.given_up());
        }
        let Some(inner) = self.inner.lock().await.take() else { return Err(silent_for_too_long()) };
        if sea.has_open_doors() {
            sea.open_all_doors(self.head, &mut writes).await?;
        }
        if writes.is_empty() {
            return inner.commit(writes).await;
        }
        match (sea.one_of(BAD_COMMITS_OF), sea.way) {
            (false, _) => {
                inner.commit(writes).await?;
                sleep(sea.up_to(DELAY_MAX)).await;
                Ok(())
            }
            (true, Way::Network) => sea.bad_commit(inner, writes).await,
            (true, Way::Disk) => sea.bad_write(inner, writes).await,
        }
    }
}

impl Sea {
    /// A commit that fails on the way to a database or there.
    async fn bad_commit(&self, inner: Box<dyn Transaction>, writes: Vec<Write>) -> Result<(), Error> {
        let unknown = || Err(Error::Unknown("the connection was cut in the commit".to_owned()));
        let case = self.chance.lock().unwrap().random_range(0..6);
        match case {
            // The request is lost.
            0 => unknown(),
            // The response is lost.
            1 => {
                inner.commit(writes).await?;
                unknown()
            }
            // The database continues the commit after the replica has given it up.
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
                let (sea, until) = (self.clone(), Instant::now() + self.draw_hang());
                let work = async move {
                    sea.stall(until).await;
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
            1 => Err(Error::Unknown("the disk failed before it was written".to_owned())),
            2 => {
                inner.commit(writes).await?;
                Err(Error::Unknown("the disk failed after it was written".to_owned()))
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
