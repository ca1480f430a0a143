//! Logging to standard error: text on a terminal, JSON otherwise. Standard output is reserved for the output of client commands.
//!
//! A separate thread writes the lines, so that logging never blocks the server. Lines are dropped and counted if the thread cannot
//! keep up or a write fails or blocks (a full disk, a closed pipe, a pipe that is not read).

use std::{
    fs::File,
    io::{self, IsTerminal as _, Write},
    os::fd::AsFd as _,
    panic,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
};

use anyhow::{Context as _, anyhow};
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{EnvFilter, fmt};

use crate::{
    config::LogFormat,
    limits::{ERROR_PRINT_TIMEOUT, LOG_LINES_MAX},
};

/// The guard of the writer thread, kept here so that [`end`] can flush the log before the process exits. A process has one log.
static WRITER: Mutex<Option<WorkerGuard>> = Mutex::new(None);

/// The log. Dropping it writes queued lines and ends logging.
#[must_use = "queued lines are written when it is dropped"]
pub struct Log {
    /// The counter of lost lines.
    pub lost: LostLines,
}

impl Drop for Log {
    fn drop(&mut self) {
        end();
    }
}

/// Writes queued lines, with the timeout of the `WorkerGuard`. Later lines are dropped.
pub fn end() {
    drop(WRITER.lock().unwrap_or_else(PoisonError::into_inner).take());
}

/// A counter of lost lines.
#[derive(Clone)]
pub struct LostLines {
    /// Lines that did not fit into the queue.
    dropped: ErrorCounter,
    /// Lines whose write failed.
    failed: Arc<AtomicU64>,
}

impl LostLines {
    /// Returns the number of lost lines since the start of the process.
    pub fn count(&self) -> u64 {
        self.failed.load(Ordering::Relaxed) + self.dropped.dropped_lines() as u64
    }
}

/// Starts logging; may be called once in a process. `level` is a filter such as `info` or `info,apiserver=debug`.
pub fn start(format: LogFormat, level: &str) -> anyhow::Result<Log> {
    let failed = Arc::<AtomicU64>::default();
    let stderr = Lines::new(Arc::clone(&failed)).context("cannot start logging")?;
    let writer = NonBlockingBuilder::default().lossy(true).buffered_lines_limit(LOG_LINES_MAX).thread_name("log");
    let (writer, guard) = writer.finish(stderr);
    let lost = LostLines { dropped: writer.error_counter(), failed };
    let builder = fmt().with_env_filter(EnvFilter::try_new(level)?).with_writer(writer);
    let started = match shape(format, io::stderr().is_terminal()) {
        Shape::Text { colors } => builder.with_ansi(colors && use_colors()).try_init(),
        Shape::Json => builder.json().flatten_event(true).with_current_span(false).try_init(),
    };
    started.map_err(|error| anyhow!("cannot start logging: {error}"))?;
    *WRITER.lock().unwrap_or_else(PoisonError::into_inner) = Some(guard);
    log_panics();
    Ok(Log { lost })
}

/// Logs panics. The default hook writes to standard error, which blocks if that is a pipe that is not read.
fn log_panics() {
    panic::set_hook(Box::new(|panic| {
        let message = panic.payload_as_str().unwrap_or("without a message");
        let place = panic.location().map(ToString::to_string);
        let thread = thread::current().name().map(ToOwned::to_owned);
        let backtrace = std::backtrace::Backtrace::capture();
        let backtrace = (backtrace.status() == std::backtrace::BacktraceStatus::Captured).then_some(backtrace);
        tracing::error!(thread, place, backtrace = backtrace.map(tracing::field::display), "panicked: {message}");
    }));
}

/// Prints the error that ends the program. Returns after at most `ERROR_PRINT_TIMEOUT`, also if the write blocks.
pub fn print_error(error: &anyhow::Error) {
    let text = format!("Error: {error:?}\n");
    let (printed, is_printed) = mpsc::channel();
    thread::spawn(move || {
        // A failed write cannot be reported anywhere else.
        let _ = io::stderr().write_all(text.as_bytes());
        let _ = printed.send(());
    });
    let _ = is_printed.recv_timeout(ERROR_PRINT_TIMEOUT);
}

/// A writer of whole lines to standard error. It counts failed writes and never returns an error.
struct Lines {
    /// A duplicate of the file descriptor. `io::stderr()` would hold its lock while a write to a full pipe blocks.
    file: File,
    failed: Arc<AtomicU64>,
    /// True if the last line was written in part.
    is_torn: bool,
}

impl Lines {
    fn new(failed: Arc<AtomicU64>) -> io::Result<Self> {
        Ok(Self { file: io::stderr().as_fd().try_clone_to_owned()?.into(), failed, is_torn: false })
    }

    fn write_line(&mut self, mut line: &[u8]) -> io::Result<()> {
        if self.is_torn {
            self.file.write_all(b"\n")?;
            self.is_torn = false;
        }
        while !line.is_empty() {
            match self.file.write(line) {
                Ok(written) => line = &line[written..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            self.is_torn = !line.is_empty();
        }
        Ok(())
    }
}

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.write_line(line).is_err() {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Shape {
    Text { colors: bool },
    Json,
}

fn shape(format: LogFormat, terminal: bool) -> Shape {
    match format {
        LogFormat::Auto if terminal => Shape::Text { colors: true },
        LogFormat::Auto | LogFormat::Json => Shape::Json,
        LogFormat::Text => Shape::Text { colors: terminal },
    }
}

/// See <https://no-color.org>.
fn use_colors() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_format_depends_on_terminal_and_flag() {
        for (format, terminal, expected) in [
            (LogFormat::Auto, true, Shape::Text { colors: true }),
            (LogFormat::Auto, false, Shape::Json),
            (LogFormat::Text, true, Shape::Text { colors: true }),
            (LogFormat::Text, false, Shape::Text { colors: false }),
            (LogFormat::Json, true, Shape::Json),
            (LogFormat::Json, false, Shape::Json),
        ] {
            assert_eq!(shape(format, terminal), expected, "{format:?}, terminal: {terminal}");
        }
    }
}
