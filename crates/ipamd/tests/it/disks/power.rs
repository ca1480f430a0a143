//! Power loss at a random moment: any part of the unsynced writes may be lost.

use rand::{Rng, SeedableRng, rngs::SmallRng};

use super::{
    Disk, ServerFixture,
    load::{Books, Load, audit},
    start, start_with_pool, support,
};

/// The number of power losses.
const ROUNDS: u64 = 8;

/// The upper bound (exclusive) of answered requests before each of them.
const ANSWERS_MAX: usize = 120;

/// Every second round first kills only the process, so that the next server starts on data that may be only in the
/// kernel's page cache when the power fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_claims_survive_power_loss() {
    let mut random = SmallRng::seed_from_u64(support::seed());
    let directory = tempfile::tempdir().unwrap();
    let data = |round: u64| directory.path().join(format!("data-{round}"));
    let (mut disk, mut front) = start_with_pool(&data(0)).await;
    let mut books = Books::new();
    for round in 1..=ROUNDS {
        if round % 2 == 0 {
            books.extend(kill_under_load(&mut front, &format!("k{round}"), &mut random).await);
            front = start(&disk).await;
            audit(&front, &books).await;
        }
        books.extend(kill_under_load(&mut front, &format!("p{round}"), &mut random).await);
        // None, half, or nearly all of the unsynced writes survive.
        let kept = [0.0, 0.5, 0.95][random.random_range(0..3)];
        disk.after_power_loss(&data(round), || random.random_bool(kept));
        disk = Disk::under(&data(round));
        front = start(&disk).await;
        audit(&front, &books).await;
    }
    println!("{} claims", books.len());
}

async fn kill_under_load(front: &mut ServerFixture, prefix: &str, random: &mut SmallRng) -> Books {
    let load = Load::begin(front, prefix);
    load.answered(random.random_range(1..ANSWERS_MAX)).await;
    for _ in 0..random.random_range(0..2_000_000) {
        std::hint::spin_loop();
    }
    front.server.kill();
    load.end().await
}
