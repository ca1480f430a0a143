//! The one thread that writes.
//!
//! It owns the connection and the lock, and does one job after the other. It does not know what the jobs are. Once the store
//! has failed, a job that was to write is not done.

use std::io;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use rusqlite::Connection;
use store::Error;
use tokio::sync::oneshot;

use crate::condition::Condition;
use crate::failure::closed;
use crate::lock::Lock;

pub type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// The thread, for its owner.
#[derive(Debug)]
pub struct Writer {
    handle: WriterHandle,
    thread: Option<JoinHandle<()>>,
}

/// The thread, for whoever has a job for it.
#[derive(Clone, Debug)]
pub struct WriterHandle {
    /// `None` ends the thread.
    jobs: mpsc::Sender<Option<Job>>,
    condition: Arc<Condition>,
}

/// The thread ended before it answered, or the store has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// It never saw the job.
    Before,
    /// It may have done the job, in part or whole.
    During,
}

impl Writer {
    /// Starts the thread. The lock is given back after the connection is closed.
    pub fn start(connection: Connection, lock: Lock, condition: Arc<Condition>) -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel::<Option<Job>>();
        let its_condition = Arc::clone(&condition);
        let work = move || {
            let mut connection = connection;
            while let Ok(Some(job)) = queue.recv() {
                job(&mut connection);
            }
            its_condition.close(connection);
            drop(lock);
        };
        let thread = condition.spawn("store-writer", work)?;
        Ok(Self { handle: WriterHandle { jobs, condition }, thread: Some(thread) })
    }

    /// A handle that does not keep the thread alive beyond [`Writer::stop`].
    pub fn handle(&self) -> &WriterHandle {
        &self.handle
    }

    /// Lets the thread finish the jobs that wait, and waits until it has closed the file.
    pub fn stop(&mut self) {
        // If the thread is gone already there is nobody to tell.
        let _ = self.handle.jobs.send(None);
        if let Some(thread) = self.thread.take() {
            // A panic was reported by the condition.
            let _ = thread.join();
        }
    }
}

impl WriterHandle {
    /// The store's condition.
    pub fn condition(&self) -> &Arc<Condition> {
        &self.condition
    }

    /// Has `work` done on the writer's connection. Once sent it is done, even if nobody waits for the answer, unless the store
    /// fails before.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> T + Send + 'static,
    ) -> Result<T, Gone> {
        let (answer, answered) = oneshot::channel();
        let condition = Arc::clone(&self.condition);
        let job = move |connection: &mut Connection| {
            let done = if condition.is_failed() { Err(Gone::Before) } else { Ok(work(connection)) };
            // The caller may have gone away; the work counts all the same.
            let _ = answer.send(done);
        };
        self.send(Box::new(job))?;
        answered.await.unwrap_or(Err(Gone::During))
    }

    /// Has a transaction done that writes.
    pub async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let condition = Arc::clone(&self.condition);
        let work = move |connection: &mut Connection| work(connection).map_err(|error| condition.written(error));
        self.run(work).await.map_err(|_| closed())?
    }

    /// Has `job` done some time.
    pub fn send(&self, job: Job) -> Result<(), Gone> {
        self.jobs.send(Some(job)).map_err(|_| Gone::Before)
    }
}
