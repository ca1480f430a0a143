//! Clients at work while the server is killed again and again. Afterwards what each of them was told must be true, the
//! books must balance, and a watch kept open from the start must tell the same story.

mod actor;
mod audit;
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
use testkit::{claim, pool};
use tokio::{sync::watch, time::Instant};

use self::{actor::Actor, audit::Books};
use crate::support::{CLAIMS, Front, body, revision, seed};

const CLIENTS: u64 = 32;
const KILLS: usize = 5;
/// Operations between two kills.
const BETWEEN_KILLS: std::ops::RangeInclusive<u64> = 150..=700;
/// The longest time between two kills, on a slow machine.
const BETWEEN_KILLS_MAX: Duration = Duration::from_secs(3);
/// The claim that is made last, so that the watch knows its end.
const LAST: &str = "zz-last";

/// A pool, and the lengths that are asked of it.
struct Space {
    pool: &'static str,
    cidr: &'static str,
    lengths: std::ops::RangeInclusive<i32>,
}

/// The child is small enough to be full now and then.
const SPACES: [Space; 3] = [
    Space { pool: "root", cidr: "10.0.0.0/16", lengths: 24..=32 },
    Space { pool: "child", cidr: "10.0.0.0/21", lengths: 25..=32 },
    Space { pool: "six", cidr: "2001:db8::/112", lengths: 118..=128 },
];

/// Where the run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Up,
    Down,
    Over,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_history_with_kills_is_true() {
    let seed = seed();
    let mut random = SmallRng::seed_from_u64(seed);
    let mut front = Front::open().await;
    front.pool(pool("root").cidr(SPACES[0].cidr)).await;
    front.pool(pool("child").parent("root").cidr(SPACES[1].cidr)).await;
    front.pool(pool("six").cidr(SPACES[2].cidr)).await;

    let (phase, phases) = watch::channel(Phase::Up);
    let from = revision(&body(&front.get(CLAIMS).await, 200));
    let recorder = tokio::spawn(recorder::record(front.server.http(), from, phases.clone()));
    let done = Arc::new(AtomicU64::new(0));
    let actors: Vec<_> = (0..CLIENTS)
        .map(|index| {
            let random = SmallRng::seed_from_u64(seed.wrapping_add(index + 1));
            tokio::spawn(Actor::new(index, &front.another_client(), random, phases.clone(), Arc::clone(&done)).run())
        })
        .collect();
    for _ in 0..KILLS {
        let_work(&done, &mut random).await;
        phase.send_replace(Phase::Down);
        front.server.kill();
        front.server.restart().await;
        phase.send_replace(Phase::Up);
    }
    let_work(&done, &mut random).await;
    phase.send_replace(Phase::Over);
    let actors: Vec<Actor> = join_all(actors).await.into_iter().map(Result::unwrap).collect();
    front.claim(claim(LAST).pool("six").length(128)).await;

    let events = recorder.await.unwrap();
    let books = Books::read(&front).await;
    books.audit(&actors);
    audit::replay(&events, &books.claims);
    let sum = |count: fn(&Actor) -> u64| actors.iter().map(count).sum::<u64>();
    println!(
        "history: {} operations checked ({} acknowledged creates, {} deletes, {} unanswered), {KILLS} kills, {} events",
        sum(|actor| actor.operations),
        sum(|actor| actor.creates),
        sum(|actor| actor.deletes),
        sum(|actor| actor.unanswered),
        events.len(),
    );
    assert!(sum(|actor| actor.creates) > 100, "too little happened to prove anything");
}

/// Lets the clients do a random number of operations, or go on for as long as that may take.
async fn let_work(done: &AtomicU64, random: &mut SmallRng) {
    let deadline = Instant::now() + BETWEEN_KILLS_MAX;
    let goal = done.load(Ordering::Relaxed) + random.random_range(BETWEEN_KILLS);
    while done.load(Ordering::Relaxed) < goal && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_micros(random.random_range(100..2_000))).await;
    }
}

/// The text at a JSON pointer outside of the metadata.
fn field<'a>(object: &'a DynamicObject, pointer: &str) -> &'a str {
    testkit::at(object, pointer).as_str().unwrap_or_default()
}

fn name(object: &DynamicObject) -> &str {
    object.metadata.name.as_deref().unwrap()
}
