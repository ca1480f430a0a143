//! Clients work while the server is killed repeatedly. At the end every response must have been true, the stored
//! objects must be consistent, and a watch open since the start must match the final list.

// With explicit paths, because another test binary includes this file by its path, too.
#[path = "history/audit.rs"]
mod audit;
#[path = "history/client.rs"]
mod client;
#[path = "history/reader.rs"]
mod reader;
#[path = "history/recorder.rs"]
mod recorder;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::future::join_all;
use kube::core::DynamicObject;
use rand::{Rng as _, SeedableRng as _, rngs::SmallRng};
use serde_json::Value;
use testkit::{Servers as _, claim, pool};
use tokio::{sync::watch, task::JoinHandle, time::Instant};

use self::{audit::FinalState, client::HistoryClient};
use super::support::{self, CLAIMS, ServerFixture, body, revision, seed};

const CLIENTS: u64 = 32;
const KILLS: usize = 5;
/// Operations between two kills.
const BETWEEN_KILLS: std::ops::RangeInclusive<u64> = 150..=700;
/// The longest time between two kills, for slow machines.
const BETWEEN_KILLS_MAX: Duration = Duration::from_secs(3);
/// The claim that is created last; the watch ends when it sees it.
const LAST: &str = "zz-last";

/// A pool, and the prefix lengths that clients claim from it.
struct Space {
    pool: &'static str,
    cidr: &'static str,
    lengths: std::ops::RangeInclusive<i32>,
}

/// The child is small, so that it is sometimes full.
const SPACES: [Space; 3] = [
    Space { pool: "root", cidr: "10.0.0.0/16", lengths: 24..=32 },
    Space { pool: "child", cidr: "10.0.0.0/21", lengths: 25..=32 },
    Space { pool: "six", cidr: "2001:db8::/112", lengths: 118..=128 },
];

/// The state of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Up,
    Down,
    Over,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn client_observations_hold_across_server_kills() {
    let mut front = ServerFixture::open().await;
    let mut run = Run::begin(&front, CLIENTS).await;
    for kill in 0..KILLS {
        run.let_work().await;
        let victim = kill % front.server.count();
        if front.server.count() == 1 {
            run.set(Phase::Down);
            front.server.kill_one(victim);
        } else {
            // The other replicas keep running and take over its clients and watches.
            front.server.kill_one(victim);
            run.let_work().await;
        }
        front.server.restart_one(victim).await;
        run.set(Phase::Up);
    }
    run.let_work().await;
    run.end(&front, &format!("{KILLS} kills")).await;
}

/// The running clients and watches.
pub struct Run {
    random: SmallRng,
    phase: watch::Sender<Phase>,
    done: Arc<AtomicU64>,
    actors: Vec<JoinHandle<HistoryClient>>,
    recorders: Vec<JoinHandle<Vec<Value>>>,
    reader: JoinHandle<u64>,
    begun: Instant,
}

impl Run {
    /// Creates the pools, opens the watches, and starts `clients` clients.
    pub async fn begin(front: &ServerFixture, clients: u64) -> Self {
        let seed = seed();
        front.pool(pool("root").cidr(SPACES[0].cidr)).await;
        front.pool(pool("child").parent("root").cidr(SPACES[1].cidr)).await;
        front.pool(pool("six").cidr(SPACES[2].cidr)).await;
        let (phase, phases) = watch::channel(Phase::Up);
        let from = revision(&body(&front.get(CLAIMS).await, 200));
        let watching = |http| tokio::spawn(recorder::record(http, from, phases.clone()));
        let recorders = front.server.each_http().into_iter().map(watching).collect();
        let reader = tokio::spawn(reader::read_until_over(front.another_client(), phases.clone()));
        let done = Arc::new(AtomicU64::new(0));
        let act = |index| {
            let random = SmallRng::seed_from_u64(seed.wrapping_add(index + 1));
            tokio::spawn(
                HistoryClient::new(index, &front.another_client(), random, phases.clone(), Arc::clone(&done)).run(),
            )
        };
        let actors = (0..clients).map(act).collect();
        Self { random: SmallRng::seed_from_u64(seed), phase, done, actors, recorders, reader, begun: Instant::now() }
    }

    /// Sends the state of the run to every task.
    pub fn set(&self, phase: Phase) {
        self.phase.send_replace(phase);
    }

    /// Waits for a random number of operations, or at most [`BETWEEN_KILLS_MAX`].
    pub async fn let_work(&mut self) {
        let deadline = Instant::now() + BETWEEN_KILLS_MAX;
        let goal = self.done.load(Ordering::Relaxed) + self.random.random_range(BETWEEN_KILLS);
        while self.done.load(Ordering::Relaxed) < goal && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_micros(self.random.random_range(100..2_000))).await;
        }
    }

    /// Ends the run and checks all responses and watch events. `what` describes the run in the printed summary.
    pub async fn end(self, front: &ServerFixture, what: &str) {
        self.set(Phase::Over);
        let actors: Vec<HistoryClient> = join_all(self.actors).await.into_iter().map(Result::unwrap).collect();
        let looks = self.reader.await.unwrap();
        front.claim(claim(LAST).pool("six").length(128)).await;
        let books = FinalState::read(front).await;
        books.verify(&actors);
        let mut events = 0;
        for recorder in self.recorders {
            let story = recorder.await.unwrap();
            audit::replay(&story, &books.claims);
            events += story.len();
        }
        let sum = |count: fn(&HistoryClient) -> u64| actors.iter().map(count).sum::<u64>();
        println!(
            "history: {} operations checked ({} acknowledged creates, {} deletes, {} refused with nothing written, {} unanswered), {looks} looks, {what}, {events} events, {} s",
            sum(|actor| actor.operations),
            sum(|actor| actor.creates),
            sum(|actor| actor.deletes),
            sum(|actor| actor.not_written),
            sum(|actor| actor.unanswered),
            self.begun.elapsed().as_secs(),
        );
        assert!(sum(|actor| actor.creates) > 100, "too few creates");
    }
}

/// Returns the text at a JSON pointer outside the metadata; empty if there is none.
fn field<'a>(object: &'a DynamicObject, pointer: &str) -> &'a str {
    testkit::at(object, pointer).as_str().unwrap_or_default()
}

fn name(object: &DynamicObject) -> &str {
    object.metadata.name.as_deref().unwrap()
}
