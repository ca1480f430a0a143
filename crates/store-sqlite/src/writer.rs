//! The writer thread.
//!
//! It owns the connection and the lock file, and runs one job at a time. After the store has failed, no more jobs are
//! run.

use std::io;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use rusqlite::Connection;
use store::Error;
use tokio::sync::oneshot;

use crate::error::closed;
use crate::failure_flag::FailureFlag;
use crate::lock::Lock;

pub type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// The writer thread, as seen by the store.
#[derive(Debug)]
pub struct Writer {
    handle: WriterHandle,
    thread: Option<JoinHandle<()>>,
}

/// A handle for sending jobs to the thread.
#[derive(Clone, Debug)]
pub struct WriterHandle {
    /// `None` stops the thread.
    jobs: mpsc::Sender<Option<Job>>,
    failure_flag: Arc<FailureFlag>,
}

/// The error if the thread stopped before it answered, or the store has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriterGone {
    /// The job was not run.
    NotRun,
    /// The job may have run, in part or completely.
    OutcomeUnknown,
}

impl Writer {
    /// Starts the thread. The lock is released after the connection is closed.
    pub fn start(connection: Connection, lock: Lock, failure_flag: Arc<FailureFlag>) -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel::<Option<Job>>();
        let its_condition = Arc::clone(&failure_flag);
        let work = move || {
            let mut connection = connection;
            while let Ok(Some(job)) = queue.recv() {
                job(&mut connection);
            }
            its_condition.close(connection);
            drop(lock);
        };
        let thread = failure_flag.spawn("store-writer", work)?;
        Ok(Self { handle: WriterHandle { jobs, failure_flag }, thread: Some(thread) })
    }

    /// Returns the handle. Handles do not keep the thread alive after [`Writer::stop`].
    pub fn handle(&self) -> &WriterHandle {
        &self.handle
    }

    /// Lets the thread finish the queued jobs, and waits until it has closed the file.
    pub fn stop(&mut self) {
        // Fails only if the thread has stopped already.
        let _ = self.handle.jobs.send(None);
        if let Some(thread) = self.thread.take() {
            // The condition has already reported a panic.
            let _ = thread.join();
        }
    }
}

impl WriterHandle {
    /// Returns the failure state of the store.
    pub fn failure_flag(&self) -> &Arc<FailureFlag> {
        &self.failure_flag
    }

    /// Runs `work` on the writer's connection. Once sent it runs even if the future is dropped, unless the store fails
    /// before.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> T + Send + 'static,
    ) -> Result<T, WriterGone> {
        let (answer, answered) = oneshot::channel();
        let failure_flag = Arc::clone(&self.failure_flag);
        let job = move |connection: &mut Connection| {
            let done = if failure_flag.is_failed() { Err(WriterGone::NotRun) } else { Ok(work(connection)) };
            // The caller may have dropped the future; the work is done nevertheless.
            let _ = answer.send(done);
        };
        self.send(Box::new(job))?;
        answered.await.unwrap_or(Err(WriterGone::OutcomeUnknown))
    }

    /// Runs a writing transaction.
    pub async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let failure_flag = Arc::clone(&self.failure_flag);
        let work = move |connection: &mut Connection| work(connection).map_err(|error| failure_flag.written(error));
        self.run(work).await.map_err(|_| closed())?
    }

    /// Queues `job` without waiting for it.
    pub fn send(&self, job: Job) -> Result<(), WriterGone> {
        self.jobs.send(Some(job)).map_err(|_| WriterGone::NotRun)
    }
}
