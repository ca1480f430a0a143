//! Hearing of what others commit: a connection of its own that listens for hints.
//!
//! Nothing depends on it. A hint is lost while the connection is made anew, and all of them are behind a pooler that gives
//! connections away between transactions; whoever waits for hints looks by himself now and then.

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

/// What was heard so far.
pub struct Ears {
    heard: watch::Sender<Revision>,
    /// The last hint that somebody was told.
    told: AtomicU64,
    _listening: AbortOnDropHandle<()>,
}

impl Ears {
    /// Listens by a connection of its own.
    pub fn open(address: Address) -> Self {
        let heard = watch::Sender::new(Revision(0));
        let listening = tokio::spawn(listen_always(address, heard.clone()));
        Self { heard, told: AtomicU64::new(0), _listening: AbortOnDropHandle::new(listening) }
    }

    /// Waits for a hint that there is something behind `known`, or for the time to look without one. A hint is told once: whoever could
    /// not follow it looks again when it is time, because the database may be gone.
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
            tracing::debug!(error, "hints of other replicas' commits are not heard; the log is looked at instead");
        }
        // Up to half of the wait is left to chance: replicas that lost the database together do not come back together.
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

/// Asks for hints, and then, again and again, whether the database is still there. Ends when it does not answer.
async fn stay(client: &Client) -> String {
    let mut ask = "LISTEN ipam_log";
    loop {
        match timeout(limits::STATEMENT_MAX + limits::ANSWER_MARGIN, client.batch_execute(ask)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return causes(&error),
            Err(_) => return late("whether it is there", limits::STATEMENT_MAX).to_string(),
        }
        ask = "";
        sleep(limits::LISTEN_CHECK_INTERVAL).await;
    }
}
