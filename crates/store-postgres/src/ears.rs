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
use tokio::{sync::watch, time::sleep};
use tokio_postgres::AsyncMessage;
use tokio_util::task::AbortOnDropHandle;

use crate::{Address, causes::causes};

/// The time after which whoever waits looks without a hint.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// The first wait after the connection was lost, and the longest. Each is twice the one before, and up to half of it is left to chance.
const AGAIN_MIN: Duration = Duration::from_millis(100);
const AGAIN_MAX: Duration = Duration::from_secs(10);

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
            () = sleep(LOOK_AGAIN) => {}
        }
    }
}

async fn listen_always(address: Address, heard: watch::Sender<Revision>) {
    let mut again = AGAIN_MIN;
    loop {
        if let Err(error) = listen(&address, &heard, &mut again).await {
            tracing::debug!(
                error = causes(&error),
                "hints of other replicas' commits are not heard; the log is looked at instead"
            );
        }
        let wait = again.mul_f64(rand::rng().random_range(0.5..=1.0));
        sleep(wait).await;
        again = (again * 2).min(AGAIN_MAX);
    }
}

/// Listens until the connection is lost.
async fn listen(
    address: &Address,
    heard: &watch::Sender<Revision>,
    again: &mut Duration,
) -> Result<(), tokio_postgres::Error> {
    let (client, mut connection) = address.config.connect(address.tls.clone()).await?;
    let mut messages = stream::poll_fn(move |context| connection.poll_message(context));
    let asked = tokio::spawn(async move {
        let answer = client.batch_execute("LISTEN ipam_log").await;
        (client, answer)
    });
    let _asked = AbortOnDropHandle::new(asked);
    while let Some(message) = messages.next().await {
        if let AsyncMessage::Notification(hint) = message?
            && let Ok(revision) = hint.payload().parse()
        {
            *again = AGAIN_MIN;
            heard.send_if_modified(|heard| {
                let is_news = *heard < Revision(revision);
                *heard = (*heard).max(Revision(revision));
                is_news
            });
        }
    }
    Ok(())
}
