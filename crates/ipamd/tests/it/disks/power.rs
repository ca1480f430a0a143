//! The power fails at any moment: what was not synced is gone, or is there in any part.

use rand::{Rng, SeedableRng, rngs::SmallRng};

use super::{
    Disk, Front,
    load::{Books, Load, audit},
    start, start_with_pool, support,
};

/// How often the power fails.
const ROUNDS: u64 = 8;

/// The most answers before it does.
const ANSWERS_MAX: usize = 120;

/// Every second time the machine stays up, and only the process dies: the next one finds what the kernel has, and then the power
/// fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_claims_survive_a_power_loss() {
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
        // Nothing, anything, or nearly everything of what was not synced.
        let kept = [0.0, 0.5, 0.95][random.random_range(0..3)];
        disk.after_power_loss(&data(round), || random.random_bool(kept));
        disk = Disk::under(&data(round));
        front = start(&disk).await;
        audit(&front, &books).await;
    }
    println!("{} claims", books.len());
}

async fn kill_under_load(front: &mut Front, prefix: &str, random: &mut SmallRng) -> Books {
    let load = Load::begin(front, prefix);
    load.answered(random.random_range(1..ANSWERS_MAX)).await;
    for _ in 0..random.random_range(0..2_000_000) {
        std::hint::spin_loop();
    }
    front.server.kill();
    load.end().await
}
