//! The signals that ask the server to stop: SIGTERM and SIGINT. The first is a request, the second an order.

use std::io;

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
};

use crate::logging;

/// The exit code after a second signal, as in Kubernetes.
const EXIT_CODE: i32 = 1;

/// Whether the server was asked to stop.
pub struct Signals {
    first: watch::Receiver<Option<&'static str>>,
}

struct Pair {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// From now on a first signal does not end the process. A second one does, at once, whatever else goes on.
    pub fn listen() -> io::Result<Self> {
        let mut pair =
            Pair { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? };
        let (asked, first) = watch::channel(None);
        tokio::spawn(async move {
            let name = pair.next().await;
            asked.send_replace(Some(name));
            let signal = pair.next().await;
            tracing::warn!(signal, "a second signal: the server ends at once");
            end();
        });
        Ok(Self { first })
    }

    /// Waits until the server is asked to stop; answers with the signal's name.
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
