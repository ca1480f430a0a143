//! Three replicas. Clients send each request to the next replica.

/// Starts the servers of the tests.
mod environment {
    use testkit::Replicas;

    /// The servers of a test.
    pub type Servers = Replicas;

    pub async fn start() -> Servers {
        Replicas::start(super::support::BINARY.as_ref(), 3).await
    }
}

#[expect(dead_code, reason = "the tests that are not repeated here use the rest")]
#[path = "../it/support.rs"]
mod support;

#[path = "../it/claim_lifecycle.rs"]
mod claim_lifecycle;
#[path = "../it/doubles.rs"]
mod doubles;
#[path = "../it/dry_run_and_protection.rs"]
mod dry_run_and_protection;
#[path = "../it/dry_run_of_sets.rs"]
mod dry_run_of_sets;
#[path = "../it/overlap_prevention.rs"]
mod overlap_prevention;
#[path = "../it/pinned.rs"]
mod pinned;
#[path = "../it/pool_capacity.rs"]
mod pool_capacity;
#[path = "../it/pool_events.rs"]
mod pool_events;
#[path = "../it/pool_hierarchy.rs"]
mod pool_hierarchy;
#[path = "../it/restored.rs"]
mod restored;
#[path = "../it/terminating_pools.rs"]
mod terminating_pools;

#[path = "../it/history.rs"]
mod history;

mod outages;
mod rights;
mod versions;
