//! Logs go to standard error: lines for a human on a terminal, JSON for everything else. Standard output belongs to the
//! answers of the client commands.
//!
//! What happens to the lines is no concern of the service. A thread of its own writes them; when it cannot keep up, or the other
//! end takes none (a full disk, a closed pipe, a pipe that is not read), lines are lost and counted.

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

/// The thread that writes, for the end of the process: there is one log, as there is one place to send events to.
static WRITER: Mutex<Option<WorkerGuard>> = Mutex::new(None);

/// The log. Dropping it ends it.
#[must_use = "lines that wait are written when it is dropped"]
pub struct Log {
    /// Which lines were lost so far.
    pub lost: LostLines,
}

impl Drop for Log {
    fn drop(&mut self) {
        end();
    }
}

/// Waits, for a moment, until the lines that wait are written. Later ones are not.
pub fn end() {
    drop(WRITER.lock().unwrap_or_else(PoisonError::into_inner).take());
}

/// How many lines were lost.
#[derive(Clone)]
pub struct LostLines {
    /// That there was no room for.
    dropped: ErrorCounter,
    /// That could not be written.
    failed: Arc<AtomicU64>,
}

impl LostLines {
    /// Since the start of the process.
    pub fn count(&self) -> u64 {
        self.failed.load(Ordering::Relaxed) + self.dropped.dropped_lines() as u64
    }
}

/// Starts logging. Called once, before anything is worth logging. `level` is a filter such as `info` or
/// `info,apiserver=debug`.
pub fn start(format: LogFormat, level: &str) -> anyhow::Result<Log> {
    let failed = Arc::<AtomicU64>::default();
    let stderr = Lines::new(Arc::clone(&failed)).context("cannot start logging")?;
    let writer = NonBlockingBuilder::default().lossy(true).buffered_lines_limit(LOG_LINES_MAX).thread_name("log");
    let (writer, guard) = writer.finish(stderr);
    let lost = LostLines { dropped: writer.error_counter(), failed };
    let builder = fmt().with_env_filter(EnvFilter::try_new(level)?).with_writer(writer);
    let started = match shape(format, io::stderr().is_terminal()) {
        Shape::Text { colours } => builder.with_ansi(colours && colours_wanted()).try_init(),
        Shape::Json => builder.json().flatten_event(true).with_current_span(false).try_init(),
    };
    started.map_err(|error| anyhow!("cannot start logging: {error}"))?;
    *WRITER.lock().unwrap_or_else(PoisonError::into_inner) = Some(guard);
    log_panics();
    Ok(Log { lost })
}

/// A panic is logged like everything else. The standard library would print it, and so wait for a pipe that is not read.
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

/// Prints why the program ends. Whether anybody takes the text or not, it ends.
pub fn print_error(error: &anyhow::Error) {
    let text = format!("Error: {error:?}\n");
    let (printed, is_printed) = mpsc::channel();
    thread::spawn(move || {
        // There is no other place to say that it failed.
        let _ = io::stderr().write_all(text.as_bytes());
        let _ = printed.send(());
    });
    let _ = is_printed.recv_timeout(ERROR_PRINT_TIMEOUT);
}

/// Standard error, which is given whole lines. To its writer it never fails.
struct Lines {
    /// Not the standard library's handle: its lock would be held while a pipe is full.
    file: File,
    failed: Arc<AtomicU64>,
    /// Whether only a part of the last line was written.
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
    Text { colours: bool },
    Json,
}

fn shape(format: LogFormat, terminal: bool) -> Shape {
    match format {
        LogFormat::Auto if terminal => Shape::Text { colours: true },
        LogFormat::Auto | LogFormat::Json => Shape::Json,
        LogFormat::Text => Shape::Text { colours: terminal },
    }
}

/// See <https://no-color.org>.
fn colours_wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_human_gets_text_and_a_machine_json() {
        for (format, terminal, expected) in [
            (LogFormat::Auto, true, Shape::Text { colours: true }),
            (LogFormat::Auto, false, Shape::Json),
            (LogFormat::Text, true, Shape::Text { colours: true }),
            (LogFormat::Text, false, Shape::Text { colours: false }),
            (LogFormat::Json, true, Shape::Json),
            (LogFormat::Json, false, Shape::Json),
        ] {
            assert_eq!(shape(format, terminal), expected, "{format:?}, terminal: {terminal}");
        }
    }
}
