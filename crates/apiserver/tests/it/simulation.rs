//! Several replicas on one log, with real committers and a simulated environment: slow or lost messages, hanging calls,
//! commits whose responses are lost, replicas that freeze, crash and restart; and one server on a disk that hangs and
//! fails. Time is virtual and randomness is seeded, so a failing seed fails again. The results are checked against the
//! log.

mod books;
#[path = "simulation/engine.rs"]
mod engine;

use self::{
    books::Books,
    engine::{FaultModel, InjectedBug, find, run, run_all},
};

const SEEDS: u64 = 100;

#[test]
fn replicas_stay_consistent_over_a_faulty_network() {
    let all = run_all::<Books>(0..SEEDS, FaultModel::Network);
    assert!(all.made > 1_000 && all.unknown > 100 && all.refused > 1_000, "too little happened: {all:?}");
    assert!(all.hangs > 100 && all.timed_out > 20 && all.noticed > 100, "too little hung: {all:?}");
}

#[test]
fn server_stays_consistent_on_a_faulty_disk() {
    let all = run_all::<Books>(0..SEEDS, FaultModel::Disk);
    assert!(all.made > 1_000 && all.unavailable > 100 && all.refused > 1_000, "too little happened: {all:?}");
    assert!(all.hangs > 100 && all.timed_out > 20 && all.noticed > 100, "too little hung: {all:?}");
}

#[test]
fn simulation_finds_decisions_before_catching_up() {
    let about = "a place was given out twice";
    let found = find::<Books>(0..20, FaultModel::Network, InjectedBug::DecideBeforeCatchingUp, about);
    println!("{}", found.expect("replicas that do not catch up give out one place twice"));
}

#[test]
fn simulation_finds_overlooked_writes_of_other_replicas() {
    let (about, bug) =
        ("a place was given out twice", InjectedBug::Overlook { prefix: "cards/", field: "/spec/place" });
    let found = find::<Books>(0..20, FaultModel::Network, bug, about);
    println!("{}", found.expect("replicas that do not see the places of others give them out again"));
}

#[test]
fn simulation_finds_a_denied_commit() {
    let about = "nothing was to be written, and it is in the log";
    let found = find::<Books>(0..20, FaultModel::Network, InjectedBug::DenyCommitsThatHung, about);
    println!("{}", found.expect("a client was told that nothing was written, and it was"));
}

#[test]
fn simulation_is_deterministic_for_a_seed() {
    for fault_model in [FaultModel::Network, FaultModel::Disk] {
        let one = run::<Books>(7, fault_model, InjectedBug::Nothing).unwrap();
        assert_eq!(one, run::<Books>(7, fault_model, InjectedBug::Nothing).unwrap());
    }
}
