//! The signals SIGTERM and SIGINT. The first starts a graceful shutdown, the second ends the process immediately.

use std::io;

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
};

use crate::logging;

/// The exit code after a second signal, as in Kubernetes.
const EXIT_CODE: i32 = 1;

/// Reports the first SIGTERM or SIGINT.
pub struct Signals {
    first: watch::Receiver<Option<&'static str>>,
}

struct Pair {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Installs the signal handlers. From then on only a second signal ends the process.
    pub fn listen() -> io::Result<Self> {
        let mut pair =
            Pair { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? };
        let (asked, first) = watch::channel(None);
        tokio::spawn(async move {
            let name = pair.next().await;
            asked.send_replace(Some(name));
            let signal = pair.next().await;
            tracing::warn!(signal, "received a second signal: the server ends immediately");
            end();
        });
        Ok(Self { first })
    }

    /// Waits for the first signal, and returns its name.
    pub async fn asked(&self) -> &'static str {
        match self.first.clone().wait_for(Option::is_some).await {
            Ok(name) => name.unwrap_or_default(),
            Err(_) => std::future::pending().await,
        }
    }
}

impl Pair {
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the way out of main is what the second signal cuts short")]
fn end() {
    logging::end();
    std::process::exit(EXIT_CODE);
}
