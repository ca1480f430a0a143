//! The listener for notifications of other replicas' commits, on a separate connection.
//!
//! Notifications are an optimization. They are lost during reconnects, and do not arrive through a pooler in
//! transaction mode, so callers also poll every [`limits::POLL_INTERVAL`].

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use futures::{StreamExt as _, stream};
use rand::Rng as _;
use store::Revision;
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tokio_postgres::{AsyncMessage, Client};
use tokio_util::task::AbortOnDropHandle;

use crate::{address::Address, error_chain::format_chain, limits, session::timed_out};

/// The listener and the notifications so far.
pub struct Listener {
    latest: watch::Sender<Revision>,
    /// The greatest revision that was delivered to a caller.
    delivered: AtomicU64,
    _listening: AbortOnDropHandle<()>,
}

impl Listener {
    /// Starts the listener on its own connection.
    pub fn open(address: Address) -> Self {
        let latest = watch::Sender::new(Revision(0));
        let listening = tokio::spawn(run(address, latest.clone()));
        Self { latest, delivered: AtomicU64::new(0), _listening: AbortOnDropHandle::new(listening) }
    }

    /// Waits for a notification of a revision after `known`, or for the polling interval. Each notification is
    /// delivered once: a caller that could not read the log then polls, because the database may be down.
    pub async fn wait(&self, known: Revision) {
        let mut latest = self.latest.subscribe();
        let known = known.max(Revision(self.delivered.load(Ordering::Relaxed)));
        tokio::select! {
            notification = latest.wait_for(|latest| *latest > known) => {
                self.delivered.store(notification.map_or(0, |notification| notification.0), Ordering::Relaxed);
            }
            () = sleep(limits::POLL_INTERVAL) => {}
        }
    }
}

async fn run(address: Address, latest: watch::Sender<Revision>) {
    let mut backoff = limits::LISTEN_RETRY_MIN;
    loop {
        if let Err(error) = listen(&address, &latest, &mut backoff).await {
            tracing::debug!(error, "cannot listen for other replicas' commits; the log is polled instead");
        }
        // Up to half of the delay is random, so that replicas that lost the database at the same time do not reconnect
        // at the same time.
        let wait = backoff.mul_f64(rand::rng().random_range(0.5..=1.0));
        sleep(wait).await;
        backoff = (backoff * 2).min(limits::LISTEN_RETRY_MAX);
    }
}

/// Listens until the connection is lost.
async fn listen(address: &Address, latest: &watch::Sender<Revision>, backoff: &mut Duration) -> Result<(), String> {
    let (client, mut connection) = address.connect().await?;
    let mut messages = stream::poll_fn(move |context| connection.poll_message(context));
    let notifications = async {
        while let Some(message) = messages.next().await {
            if let AsyncMessage::Notification(notification) = message.map_err(|error| format_chain(&error))?
                && let Ok(revision) = notification.payload().parse()
            {
                *backoff = limits::LISTEN_RETRY_MIN;
                latest.send_if_modified(|latest| {
                    let is_news = *latest < Revision(revision);
                    *latest = (*latest).max(Revision(revision));
                    is_news
                });
            }
        }
        Ok(())
    };
    tokio::select! {
        ended = notifications => ended,
        lost = keep_listening(&client) => Err(lost),
    }
}

/// Sends LISTEN, and then periodically checks that the connection still works. Returns the error when it does not.
async fn keep_listening(client: &Client) -> String {
    let mut statement = "LISTEN ipam_log";
    loop {
        match timeout(limits::STATEMENT_MAX + limits::ANSWER_MARGIN, client.batch_execute(statement)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return format_chain(&error),
            Err(_) => return timed_out("the check of the listening connection", limits::STATEMENT_MAX).to_string(),
        }
        statement = "";
        sleep(limits::LISTEN_CHECK_INTERVAL).await;
    }
}
