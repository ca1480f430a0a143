//! The listener for notifications of other replicas' commits, on a separate connection.
//!
//! Notifications are an optimization. They are lost during reconnects, and do not arrive through a pooler in
//! transaction mode, so callers also poll every [`limits::LOOK_INTERVAL`].

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

use crate::{address::Address, causes::causes, limits, session::late};

/// The listener and the notifications so far.
pub struct Ears {
    heard: watch::Sender<Revision>,
    /// The greatest revision that was delivered to a caller.
    told: AtomicU64,
    _listening: AbortOnDropHandle<()>,
}

impl Ears {
    /// Starts the listener on its own connection.
    pub fn open(address: Address) -> Self {
        let heard = watch::Sender::new(Revision(0));
        let listening = tokio::spawn(listen_always(address, heard.clone()));
        Self { heard, told: AtomicU64::new(0), _listening: AbortOnDropHandle::new(listening) }
    }

    /// Waits for a notification of a revision after `known`, or for the polling interval. Each notification is
    /// delivered once: a caller that could not read the log then polls, because the database may be down.
    pub async fn wait(&self, known: Revision) {
        let mut heard = self.heard.subscribe();
        let known = known.max(Revision(self.told.load(Ordering::Relaxed)));
        tokio::select! {
            hint = heard.wait_for(|heard| *heard > known) => {
                self.told.store(hint.map_or(0, |hint| hint.0), Ordering::Relaxed);
            }
            () = sleep(limits::LOOK_INTERVAL) => {}
        }
    }
}

async fn listen_always(address: Address, heard: watch::Sender<Revision>) {
    let mut again = limits::LISTEN_RETRY_MIN;
    loop {
        if let Err(error) = listen(&address, &heard, &mut again).await {
            tracing::debug!(error, "cannot listen for other replicas' commits; the log is polled instead");
        }
        // Up to half of the delay is random, so that replicas that lost the database at the same time do not reconnect
        // at the same time.
        let wait = again.mul_f64(rand::rng().random_range(0.5..=1.0));
        sleep(wait).await;
        again = (again * 2).min(limits::LISTEN_RETRY_MAX);
    }
}

/// Listens until the connection is lost.
async fn listen(address: &Address, heard: &watch::Sender<Revision>, again: &mut Duration) -> Result<(), String> {
    let (client, mut connection) = address.connect().await?;
    let mut messages = stream::poll_fn(move |context| connection.poll_message(context));
    let hints = async {
        while let Some(message) = messages.next().await {
            if let AsyncMessage::Notification(hint) = message.map_err(|error| causes(&error))?
                && let Ok(revision) = hint.payload().parse()
            {
                *again = limits::LISTEN_RETRY_MIN;
                heard.send_if_modified(|heard| {
                    let is_news = *heard < Revision(revision);
                    *heard = (*heard).max(Revision(revision));
                    is_news
                });
            }
        }
        Ok(())
    };
    tokio::select! {
        ended = hints => ended,
        lost = stay(&client) => Err(lost),
    }
}

/// Sends LISTEN, and then periodically checks that the connection still works. Returns the error when it does not.
async fn stay(client: &Client) -> String {
    let mut ask = "LISTEN ipam_log";
    loop {
        match timeout(limits::STATEMENT_MAX + limits::ANSWER_MARGIN, client.batch_execute(ask)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return causes(&error),
            Err(_) => return late("the check of the listening connection", limits::STATEMENT_MAX).to_string(),
        }
        ask = "";
        sleep(limits::LISTEN_CHECK_INTERVAL).await;
    }
}
