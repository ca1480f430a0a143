//! The one thread that writes.
//!
//! It owns the connection and the lock, and does one job after the other. It does not know what the jobs are.

use std::io;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use rusqlite::Connection;
use tokio::sync::oneshot;

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
}

/// The thread ended before it answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// It never saw the job.
    Before,
    /// It may have done the job, in part or whole.
    During,
}

impl Writer {
    /// Starts the thread. The lock is given back after the connection is closed.
    pub fn start(connection: Connection, lock: Lock) -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel::<Option<Job>>();
        let work = move || {
            let mut connection = connection;
            while let Ok(Some(job)) = queue.recv() {
                job(&mut connection);
            }
            drop(connection);
            drop(lock);
        };
        let thread = thread::Builder::new().name("store-writer".to_owned()).spawn(work)?;
        Ok(Self { handle: WriterHandle { jobs }, thread: Some(thread) })
    }

    /// A handle that does not keep the thread alive beyond [`Writer::stop`].
    pub fn handle(&self) -> &WriterHandle {
        &self.handle
    }

    /// Lets the thread finish the jobs that wait, and waits until it has closed the file.
    pub fn stop(&mut self) {
        // If the thread is gone already there is nobody to tell.
        let _ = self.handle.jobs.send(None);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the store's writer thread ended in a panic");
        }
    }
}

impl WriterHandle {
    /// Has `work` done on the writer's connection. Once sent it is done, even if nobody waits for the answer.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> T + Send + 'static,
    ) -> Result<T, Gone> {
        let (answer, answered) = oneshot::channel();
        let job = move |connection: &mut Connection| {
            // The caller may have gone away; the work counts all the same.
            let _ = answer.send(work(connection));
        };
        self.send(Box::new(job))?;
        answered.await.map_err(|_| Gone::During)
    }

    /// Has `job` done some time.
    pub fn send(&self, job: Job) -> Result<(), Gone> {
        self.jobs.send(Some(job)).map_err(|_| Gone::Before)
    }
}
