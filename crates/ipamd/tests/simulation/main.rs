//! Simulations of several replicas, and of one server on its disk, with the real kinds. Disk, network and time are simulated by the
//! engine of `apiserver`'s own tests, which must not depend on the kinds.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends at the first surprise, in its helpers too")]

mod block;
#[path = "../../../apiserver/tests/it/simulation/engine.rs"]
mod engine;
mod pools;
mod state;

use self::{
    engine::{FaultModel, InjectedBug, find, run, run_all},
    pools::Pools,
};

const SEEDS: u64 = 100;

#[test]
fn replicas_allocate_every_block_once_despite_faults() {
    let all = run_all::<Pools>(0..SEEDS, FaultModel::Network);
    assert!(all.made > 1_000 && all.unknown > 100 && all.refused > 1_000, "too few events: {all:?}");
    assert!(all.hangs > 100 && all.timed_out > 10 && all.noticed > 100 && all.tried > 100, "too few hangs: {all:?}");
}

#[test]
fn server_allocates_every_block_once_despite_disk_faults() {
    let all = run_all::<Pools>(0..SEEDS, FaultModel::Disk);
    assert!(all.made > 1_000 && all.unavailable > 100 && all.refused > 1_000, "too few events: {all:?}");
    assert!(all.hangs > 100 && all.timed_out > 10 && all.noticed > 100 && all.tried > 100, "too few hangs: {all:?}");
}

#[test]
fn allocator_that_ignores_foreign_blocks_is_detected() {
    let bug = InjectedBug::Overlook { prefix: "ipallocations/", field: "/status/allocatedCIDR" };
    let found = find::<Pools>(0..20, FaultModel::Network, bug, "overlaps");
    println!("{}", found.expect("replicas that do not see the blocks of others must be found to allocate them again"));
}

#[test]
fn deciding_before_catching_up_is_detected() {
    let found = find::<Pools>(0..20, FaultModel::Network, InjectedBug::DecideBeforeCatchingUp, "overlaps");
    println!("{}", found.expect("replicas that do not catch up must be found to allocate blocks again"));
}

#[test]
fn denying_a_commit_that_hung_is_detected() {
    let about = "nothing was to be written, and it is in the log";
    let found = find::<Pools>(0..20, FaultModel::Network, InjectedBug::DenyCommitsThatHung, about);
    println!("{}", found.expect("a false answer that nothing was written must be found"));
}

#[test]
fn same_seed_gives_the_same_run() {
    for fault_model in [FaultModel::Network, FaultModel::Disk] {
        let one = run::<Pools>(7, fault_model, InjectedBug::Nothing).unwrap();
        assert_eq!(one, run::<Pools>(7, fault_model, InjectedBug::Nothing).unwrap());
    }
}
