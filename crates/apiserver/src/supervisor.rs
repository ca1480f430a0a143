//! The long-running tasks of a server, and the detection of their ends.
//!
//! Each task has a name and a policy. The process ends, with a reason, when a required task ends
//! ([`Supervisor::spawn_draining`], [`Supervisor::spawn_required`]); other tasks are restarted after a delay
//! ([`Supervisor::spawn_restarting`]). A panic counts as an end. The caller waits for [`TaskEnds`] and decides what to
//! do.

use std::{
    any::Any,
    collections::BTreeSet,
    error::Error,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, PoisonError},
};

use futures::FutureExt as _;
use tokio::{sync::mpsc, time::Instant};
use tokio_util::task::AbortOnDropHandle;

use crate::{limits, metrics::Metrics};

/// Starts and supervises tasks. Clones share the tasks, which are aborted when the last clone is dropped.
#[derive(Clone)]
pub struct Supervisor {
    shared: Arc<Shared>,
}

struct Shared {
    metrics: Arc<Metrics>,
    ends: mpsc::Sender<TaskEnd>,
    /// Tasks that end by themselves when the server stops.
    draining: Mutex<Vec<AbortOnDropHandle<()>>>,
    /// Tasks that run until they are aborted.
    until_stopped: Mutex<Vec<AbortOnDropHandle<()>>>,
}

struct TaskEnd {
    task: &'static str,
    result: Result<(), Failure>,
}

/// Receives the ends of required tasks.
pub struct TaskEnds {
    ended: mpsc::Receiver<TaskEnd>,
    /// Tasks whose end has been received.
    known: BTreeSet<&'static str>,
}

/// Why a required task has ended.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// It returned an error.
    #[error("the {task} failed")]
    Failed {
        /// The name of the task.
        task: &'static str,
        /// The error.
        source: Box<dyn Error + Send + Sync>,
    },
    /// It panicked.
    #[error("the {task} panicked: {message}")]
    Panicked {
        /// The name of the task.
        task: &'static str,
        /// The message of the panic.
        message: String,
    },
    /// It ended although the server was not stopping.
    #[error("the {task} ended unexpectedly")]
    Ended {
        /// The name of the task.
        task: &'static str,
    },
}

impl Supervisor {
    /// A supervisor without tasks, and the receiver of the ends of its tasks.
    pub fn new(metrics: Arc<Metrics>) -> (Self, TaskEnds) {
        let (ends, ended) = mpsc::channel(limits::SUPERVISED_ENDS_MAX);
        let shared = Shared { metrics, ends, draining: Mutex::default(), until_stopped: Mutex::default() };
        (Self { shared: Arc::new(shared) }, TaskEnds { ended, known: BTreeSet::new() })
    }

    /// Runs a required task that ends on its own when the server stops.
    pub fn spawn_draining<E>(&self, task: &'static str, work: impl Future<Output = Result<(), E>> + Send + 'static)
    where
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        add(&self.shared.draining, self.spawn(task, work));
    }

    /// Runs a required task until [`Supervisor::stop`].
    pub fn spawn_required<E>(&self, task: &'static str, work: impl Future<Output = Result<(), E>> + Send + 'static)
    where
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        add(&self.shared.until_stopped, self.spawn(task, work));
    }

    /// Runs a task that is restarted whenever it ends, until [`Supervisor::stop`].
    pub fn spawn_restarting<F>(&self, task: &'static str, work: impl Fn() -> F + Send + Sync + 'static)
    where
        F: Future<Output = ()> + Send,
    {
        let metrics = Arc::clone(&self.shared.metrics);
        let run = async move {
            let mut pause = limits::BACKGROUND_RETRY_MIN;
            loop {
                let began = Instant::now();
                let end = AssertUnwindSafe(async { work().await }).catch_unwind().await;
                let reason = end.err().map_or_else(|| "it ended".to_owned(), |panic| message(&*panic));
                if began.elapsed() >= limits::BACKGROUND_RETRY_MAX {
                    pause = limits::BACKGROUND_RETRY_MIN;
                }
                let pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
                tracing::error!(task, reason, pause_ms, "a background task ended and is restarted");
                metrics.task_restarted(task);
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(limits::BACKGROUND_RETRY_MAX);
            }
        };
        add(&self.shared.until_stopped, AbortOnDropHandle::new(tokio::spawn(run)));
    }

    /// Aborts the tasks that do not end by themselves, and waits until all have ended.
    pub async fn stop(&self) {
        let tasks = std::mem::take(&mut *self.shared.until_stopped.lock().unwrap_or_else(PoisonError::into_inner));
        for task in &tasks {
            task.abort();
        }
        for task in tasks {
            // The abort is expected; panics have been caught inside.
            task.await.ok();
        }
    }

    fn spawn<E>(
        &self,
        task: &'static str,
        work: impl Future<Output = Result<(), E>> + Send + 'static,
    ) -> AbortOnDropHandle<()>
    where
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        let ends = self.shared.ends.clone();
        AbortOnDropHandle::new(tokio::spawn(async move {
            let result = match AssertUnwindSafe(work).catch_unwind().await {
                Ok(end) => end.map_err(|error| Failure::Failed { task, source: error.into() }),
                Err(panic) => Err(Failure::Panicked { task, message: message(&*panic) }),
            };
            // Without a receiver the process is already ending.
            ends.send(TaskEnd { task, result }).await.ok();
        }))
    }
}

impl TaskEnds {
    /// Waits until a required task ends.
    pub async fn failure(&mut self) -> Failure {
        match self.next().await {
            TaskEnd { result: Err(failure), .. } => failure,
            TaskEnd { task, .. } => Failure::Ended { task },
        }
    }

    /// Waits until this task has ended. Returns the first failure of any task in the meantime.
    pub async fn finished(&mut self, task: &str) -> Result<(), Failure> {
        let mut outcome = Ok(());
        while !self.known.contains(task) {
            outcome = outcome.and(self.next().await.result);
        }
        outcome
    }

    async fn next(&mut self) -> TaskEnd {
        let Some(ended) = self.ended.recv().await else { return std::future::pending().await };
        self.known.insert(ended.task);
        ended
    }
}

fn add(tasks: &Mutex<Vec<AbortOnDropHandle<()>>>, task: AbortOnDropHandle<()>) {
    tasks.lock().unwrap_or_else(PoisonError::into_inner).push(task);
}

/// The message of a panic.
fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without a message").to_owned()
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::atomic::{AtomicUsize, Ordering},
        time::Duration,
    };

    use tokio::sync::watch;

    use super::*;

    fn supervisor() -> (Supervisor, TaskEnds) {
        Supervisor::new(Arc::default())
    }

    #[tokio::test]
    async fn end_of_a_needed_task_is_reported_with_its_name_and_reason() {
        let (tasks, mut ends) = supervisor();
        tasks.spawn_required("store", async { Err(io::Error::other("the disk is gone")) });
        let failure = ends.failure().await;
        assert_eq!(failure.to_string(), "the store failed");
        assert_eq!(failure.source().unwrap().to_string(), "the disk is gone");
        tasks.spawn_required("reader", async { Ok::<_, io::Error>(()) });
        assert_eq!(ends.failure().await.to_string(), "the reader ended unexpectedly");
        tasks.spawn_draining("listener", async {
            if true { panic!("no {}", "socket") } else { Ok::<_, io::Error>(()) }
        });
        assert_eq!(ends.failure().await.to_string(), "the listener panicked: no socket");
    }

    #[tokio::test(start_paused = true)]
    async fn panicking_task_is_restarted_with_growing_delays() {
        let (tasks, _ends) = supervisor();
        let starts = watch::Sender::new(Vec::new());
        let (mut seen, began) = (starts.subscribe(), Instant::now());
        tasks.spawn_restarting("collector", move || {
            starts.send_modify(|starts| starts.push(began.elapsed()));
            async { panic!("it cannot go on") }
        });
        let starts = seen.wait_for(|starts| starts.len() == 12).await.unwrap().clone();
        let pauses: Vec<Duration> = starts.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect();
        assert!(pauses[0] >= limits::BACKGROUND_RETRY_MIN, "{pauses:?}");
        assert!(pauses.is_sorted(), "{pauses:?}");
        assert!(pauses[10] <= limits::BACKGROUND_RETRY_MAX + Duration::from_secs(1), "{pauses:?}");
        let metrics = tasks.shared.metrics.render(&[]);
        assert!(metrics.contains("ipam_task_restarts_total{task=\"collector\"} 1"), "{metrics}");
    }

    #[tokio::test]
    async fn stop_aborts_tasks_that_do_not_end_by_themselves() {
        let (tasks, mut ends) = supervisor();
        let (stop, mut stopped) = watch::channel(false);
        tasks.spawn_draining("listener", async move { stopped.wait_for(|stopped| *stopped).await.map(drop) });
        let held = Arc::new(AtomicUsize::new(0));
        let (one, other) = (Arc::clone(&held), Arc::clone(&held));
        tasks.spawn_required("store", async move {
            one.fetch_add(1, Ordering::SeqCst);
            std::future::pending::<Result<(), io::Error>>().await
        });
        tasks.spawn_restarting("turns", move || {
            let held = Arc::clone(&other);
            async move {
                held.fetch_add(1, Ordering::SeqCst);
                std::future::pending::<()>().await;
            }
        });
        tasks.stop().await;
        assert_eq!(Arc::strong_count(&held), 1, "nothing of them is left");
        stop.send_replace(true);
        ends.finished("listener").await.unwrap();
    }

    #[tokio::test]
    async fn wait_for_one_task_reports_the_failure_of_another() {
        let (tasks, mut ends) = supervisor();
        let (stop, mut stopped) = watch::channel(false);
        tasks.spawn_draining("listener", async move { stopped.wait_for(|stopped| *stopped).await.map(drop) });
        tasks.spawn_draining("committer", async move {
            stop.send_replace(true);
            Err(io::Error::other("the log is not what it was"))
        });
        assert_eq!(ends.finished("listener").await.unwrap_err().to_string(), "the committer failed");
        ends.finished("committer").await.unwrap();
    }
}
